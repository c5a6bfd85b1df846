//! What clients do, at random.

use super::pair::Pair;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// One thing that one client does.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Subscribe {
        sid: usize,
        pattern: &'static str,
        queue: Option<&'static str>,
    },
    Unsubscribe {
        sid: usize,
        max: Option<u64>,
    },
    Publish {
        subject: &'static str,
        reply: bool,
        header: bool,
    },
    /// Publishes to the inbox of another client, as an answer.
    Answer {
        to: &'static str,
    },
    Store {
        subject: &'static str,
        headers: Vec<(&'static str, String)>,
    },
    Ask {
        subject: String,
        body: Option<Value>,
    },
    Ack {
        word: &'static str,
    },
}

pub(super) const CLIENTS: [&str; 4] = ["a", "b", "c", "d"];
pub(super) const STREAMS: [&str; 2] = ["ONE", "TWO"];

const PATTERNS: [&str; 14] = [
    "t.a.x",
    "t.a.y",
    "t.b.x",
    "t.a.*",
    "t.*.x",
    "t.>",
    ">",
    "*.a.x",
    "t.secret.x",
    "t.secret.>",
    "t.*.no",
    "t.a.>",
    "u",
    "t.*.*",
];
const SUBJECTS: [&str; 11] = [
    "t.a.x",
    "t.a.y",
    "t.b.x",
    "t.b.y",
    "t.secret.x",
    "t.a.no",
    "t.b.no",
    "t.a",
    "u",
    "t.a.x.z",
    "nobody",
];
/// Each with its filter: a server of 2.9 takes a change of that, and then forgets half of it.
const CONSUMERS: [(&str, &str); 3] = [("C", ""), ("D", "a"), ("E", "*")];
const STORED: [&str; 5] = ["one.a", "one.b", "one.c.d", "two.a", "two.b"];

impl Step {
    pub(super) async fn take(&self, pair: &mut Pair) {
        let inbox = format!("_INBOX.{}.r.1", pair.name);
        match self {
            Self::Subscribe {
                sid,
                pattern,
                queue,
            } => {
                let sid = sid.to_string();
                let queue = queue.unwrap_or_default();
                pair.send(format!("SUB {pattern} {queue} {sid}\r\n").as_bytes())
                    .await;
                match queue {
                    "" => {}
                    queue => {
                        pair.queues.entry(sid).or_insert_with(|| queue.to_owned());
                    }
                }
            }
            Self::Unsubscribe { sid, max } => {
                // Who of a group gets how many is up to chance.
                let max = max.filter(|_| !pair.queues.contains_key(&sid.to_string()));
                let max = max.map_or(String::new(), |max| max.to_string());
                pair.send(format!("UNSUB {sid} {max}\r\n").as_bytes()).await;
            }
            Self::Publish {
                subject,
                reply,
                header,
            } => {
                let reply = if *reply { inbox.as_str() } else { "" };
                let headers: &[_] = match header {
                    true => &[("X", "1".to_owned())],
                    false => &[],
                };
                pair.publish(subject, reply, headers, "payload").await;
            }
            Self::Answer { to } => {
                pair.publish(&format!("_INBOX.{to}.r.1"), "", &[], "answer")
                    .await;
            }
            Self::Store { subject, headers } => {
                pair.publish(subject, &inbox, headers, "stored").await;
            }
            Self::Ask { subject, body } => {
                let body = body.as_ref().map_or(String::new(), Value::to_string);
                let inbox = match subject.strip_prefix("$JS.API.CONSUMER.MSG.NEXT.") {
                    Some(consumer) => format!("_INBOX.{}.pull.{consumer}", pair.name),
                    None => inbox,
                };
                pair.publish(subject, &inbox, &[], &body).await;
            }
            Self::Ack { word } => pair.ack(word).await,
        }
    }
}

/// Which client does it; streams are for the first two, groups for those whose answers do not
/// depend on who of the group got the request.
pub(super) fn plain() -> impl Strategy<Value = (usize, Step)> {
    let sid = 1_usize..5;
    let subscribe =
        (sid.clone(), select(&PATTERNS[..])).prop_map(|(sid, pattern)| Step::Subscribe {
            sid,
            pattern,
            queue: None,
        });
    // A number always means the same group, so that it is known whose a message is.
    let join = (
        select(vec![(5, "g"), (6, "g"), (7, "h")]),
        select(&PATTERNS[..]),
    )
        .prop_map(|((sid, queue), pattern)| Step::Subscribe {
            sid,
            pattern,
            queue: Some(queue),
        });
    let unsubscribe = (1_usize..8, prop::option::of(0_u64..4))
        .prop_map(|(sid, max)| Step::Unsubscribe { sid, max });
    let publish = (select(&SUBJECTS[..]), any::<bool>(), any::<bool>()).prop_map(
        |(subject, reply, header)| Step::Publish {
            subject,
            reply,
            header,
        },
    );
    let answer = select(&CLIENTS[..]).prop_map(|to| Step::Answer { to });
    prop_oneof![
        3 => (0_usize..4, subscribe),
        2 => (select(vec![0_usize, 1, 3]), join),
        1 => (0_usize..4, unsubscribe),
        6 => (0_usize..4, publish),
        2 => (0_usize..4, answer),
    ]
}

fn stream_config() -> impl Strategy<Value = Step> {
    let limit = || select(vec![-1, 0, 1, 2, 4]);
    (
        select(&STREAMS[..]),
        select(vec!["limits", "limits", "workqueue", "interest"]),
        select(vec!["old", "new"]),
        (limit(), limit(), select(vec![-1, -1, 200])),
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        select(vec!["CREATE", "CREATE", "UPDATE"]),
        select(vec![0, 1, 2]),
    )
        .prop_map(|(name, retention, discard, limits, flags, verb, subjects)| {
            let lower = name.to_lowercase();
            let storage = if name == "ONE" { "file" } else { "memory" };
            // What counts as acknowledged by its delivery a server lets go in its own time.
            let retention = match (name, retention) {
                ("ONE", "interest") => "limits",
                _ => retention,
            };
            let subjects = match subjects {
                0 => vec![format!("{lower}.>")],
                1 => vec![format!("{lower}.*"), format!("{lower}.c.d")],
                _ => vec![format!("{lower}.a"), format!("{lower}.b")],
            };
            Step::Ask {
                subject: format!("$JS.API.STREAM.{verb}.{name}"),
                body: Some(json!({
                    "name": name, "subjects": subjects, "retention": retention, "storage": storage,
                    "discard": discard, "max_msgs": limits.0, "max_msgs_per_subject": limits.1,
                    "max_bytes": limits.2, "allow_direct": flags.0, "allow_rollup_hdrs": flags.1,
                    "deny_delete": flags.2, "discard_new_per_subject": flags.3 && limits.1 > 0 && discard == "new",
                })),
            }
        })
}

fn consumer_config() -> impl Strategy<Value = Step> {
    (
        select(&STREAMS[..]),
        select(&CONSUMERS[..]),
        select(vec!["all", "all", "last", "new", "by_start_sequence", "last_per_subject"]),
        select(vec!["explicit", "explicit", "explicit", "all", "none"]),
        select(vec![-1, 1, 2, 3]),
        select(vec![0, 1, 2, 10]),
        0_u64..4,
    )
        .prop_map(|(stream, (name, filter), deliver, ack, max_deliver, max_pending, start)| {
            // A server of 2.9 that stalls forgets which last messages it was about to deliver, so
            // only one that never comes to stall is asked for them.
            let (deliver, max_pending) = match (name, deliver) {
                ("E", _) => (deliver, 10),
                (_, "last_per_subject") => ("last", max_pending),
                _ => (deliver, max_pending),
            };
            let ack = if (stream, ack) == ("TWO", "none") { "explicit" } else { ack };
            let mut config = json!({
                "durable_name": name, "deliver_policy": deliver, "ack_policy": ack, "max_deliver": max_deliver,
                "max_ack_pending": max_pending,
            });
            if !filter.is_empty() {
                config["filter_subject"] = json!(format!("{}.{filter}", stream.to_lowercase()));
            }
            if deliver == "by_start_sequence" {
                config["opt_start_seq"] = json!(start);
            }
            Step::Ask {
                subject: format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}"),
                body: Some(json!({"stream_name": stream, "config": config})),
            }
        })
}

fn store() -> impl Strategy<Value = Step> {
    let header = prop_oneof![
        4 => select(vec!["1", "2", "3"]).prop_map(|id| ("Nats-Msg-Id", id.to_owned())),
        1 => (0_u64..5).prop_map(|last| ("Nats-Expected-Last-Sequence", last.to_string())),
        1 => (0_u64..5).prop_map(|last| ("Nats-Expected-Last-Subject-Sequence", last.to_string())),
        1 => select(&STREAMS[..]).prop_map(|name| ("Nats-Expected-Stream", name.to_owned())),
        1 => select(vec!["1", "2"]).prop_map(|id| ("Nats-Expected-Last-Msg-Id", id.to_owned())),
        1 => select(vec!["sub", "all"]).prop_map(|what| ("Nats-Rollup", what.to_owned())),
    ];
    let headers = prop::option::weighted(0.4, header);
    (select(&STORED[..]), headers).prop_map(|(subject, header)| {
        // After a roll-up of all, a server's streams in memory lose count of their subjects.
        let header = header.map(|(name, value)| match (name, subject.starts_with("two")) {
            ("Nats-Rollup", true) => (name, "sub".to_owned()),
            _ => (name, value),
        });
        Step::Store {
            subject,
            headers: header.into_iter().collect(),
        }
    })
}

fn ask() -> impl Strategy<Value = Step> {
    let name = || select(&STREAMS[..]);
    let ask = |subject: String, body: Option<Value>| Step::Ask { subject, body };
    let subject = |stream: &str, rest: &str| format!("{}.{rest}", stream.to_lowercase());
    prop_oneof![
        3 => name().prop_map(move |s| ask(format!("$JS.API.STREAM.INFO.{s}"), None)),
        1 => name().prop_map(move |s| ask(format!("$JS.API.STREAM.INFO.{s}"), Some(json!({"subjects_filter": ">"})))),
        1 => name().prop_map(move |s| ask(format!("$JS.API.STREAM.DELETE.{s}"), None)),
        1 => Just(ask("$JS.API.STREAM.NAMES".into(), None)),
        1 => Just(ask("$JS.API.NOTHING".into(), None)),
        1 => name().prop_map(move |s| ask(format!("$JS.API.CONSUMER.NAMES.{s}"), None)),
        1 => name().prop_map(move |s| ask(format!("$JS.API.STREAM.PURGE.{s}"), None)),
        1 => (name(), select(vec!["a", "*"]), 0_u64..3).prop_map(move |(s, rest, keep)| {
            let body = json!({"filter": subject(s, rest), "keep": keep});
            ask(format!("$JS.API.STREAM.PURGE.{s}"), Some(body))
        }),
        1 => (name(), 0_u64..5).prop_map(move |(s, seq)| {
            ask(format!("$JS.API.STREAM.MSG.DELETE.{s}"), Some(json!({"seq": seq})))
        }),
        1 => (name(), 0_u64..5).prop_map(move |(s, seq)| {
            ask(format!("$JS.API.STREAM.MSG.GET.{s}"), Some(json!({"seq": seq})))
        }),
        1 => (name(), select(vec!["a", "*", ">"])).prop_map(move |(s, rest)| {
            ask(format!("$JS.API.STREAM.MSG.GET.{s}"), Some(json!({"last_by_subj": subject(s, rest)})))
        }),
        1 => (name(), select(vec!["a", "b", "c.d"])).prop_map(move |(s, rest)| {
            ask(format!("$JS.API.DIRECT.GET.{s}.{}", subject(s, rest)), None)
        }),
        1 => (name(), 0_u64..5, prop::option::of(select(vec!["a", "*"]))).prop_map(move |(s, seq, next)| {
            let mut body = json!({"seq": seq});
            if let Some(next) = next {
                body["next_by_subj"] = json!(subject(s, next));
            }
            ask(format!("$JS.API.DIRECT.GET.{s}"), Some(body))
        }),
    ]
}

fn read() -> impl Strategy<Value = Step> {
    let of = || (select(&STREAMS[..]), select(&CONSUMERS[..]));
    let word = select(vec![
        "+ACK", "+ACK", "+ACK", "", "-NAK", "+TERM", "+WPI", "+NXT",
    ]);
    prop_oneof![
        4 => (of(), 1_u32..4).prop_map(|((stream, (name, _)), batch)| Step::Ask {
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"),
            body: Some(json!({"batch": batch})),
        }),
        2 => of().prop_map(|(stream, (name, _))| Step::Ask {
            subject: format!("$JS.API.CONSUMER.INFO.{stream}.{name}"),
            body: None,
        }),
        1 => of().prop_map(|(stream, (name, _))| Step::Ask {
            subject: format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"),
            body: None,
        }),
        5 => word.prop_map(|word| Step::Ack { word }),
    ]
}

/// What is done with streams, by the first two clients; to begin with there are some.
pub(super) fn stored() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let client = || 0_usize..2;
    let begin = prop::collection::vec(
        prop_oneof![
            (Just(0), stream_config()),
            (client(), store()),
            (Just(0), consumer_config())
        ],
        4..10,
    );
    let go_on = prop::collection::vec(step(), 1..40);
    (begin, go_on).prop_map(|(begin, go_on)| [begin, go_on].concat())
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        2 => stream_config(),
        2 => consumer_config(),
        6 => store(),
        3 => ask(),
        6 => read(),
    ];
    (0_usize..2, step)
}
