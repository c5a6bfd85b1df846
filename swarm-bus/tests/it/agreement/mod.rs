//! The server in the process against the real one: random clients hear the same from both.
//!
//! The real one is 2.9's, byte by byte. Newer servers differ where a program seldom looks: a stream
//! and a consumer tell more of themselves (`ts`, `compression`, `metadata`, `config.name`), an answer
//! that nobody serves names the subject (`Nats-Subject`), a pull that ends with nothing for it is
//! told 404 in place of 408, and a subscription whose pattern only overlaps with a denied one no
//! longer hears what is denied. What programs rely on is tested against both, by the tests beside
//! these.

mod pair;
mod real;
mod steps;

use pair::{Pair, settle};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use real::Real;
use serde_json::json;
use std::time::Duration;
use steps::{CLIENTS, STREAMS, Step};
use swarm_bus::permissions::{AllowResponses, Permissions};
use swarm_bus::testing::Server;

/// Who may what: everything, much, only answer, and everything without hearing itself.
fn users() -> [(&'static str, Permissions); 4] {
    let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let permissions =
        |publish: [&[&str]; 2], subscribe: [&[&str]; 2], max: Option<u32>| Permissions {
            publish_allow: list(publish[0]),
            publish_deny: list(publish[1]),
            subscribe_allow: list(subscribe[0]),
            subscribe_deny: list(subscribe[1]),
            allow_responses: max.map(|max| AllowResponses {
                max,
                expires: Duration::from_secs(60),
            }),
        };
    [
        ("a", permissions([&[], &[]], [&[], &[]], None)),
        (
            "b",
            permissions(
                [
                    &["t.a.>", "t.*.x", "one.>", "$JS.API.>", "$JS.ACK.>"],
                    &["t.a.no", "one.b"],
                ],
                [&["t.>", "u g", "_INBOX.b.>"], &["t.secret.>", "t.b.*"]],
                None,
            ),
        ),
        (
            "c",
            permissions(
                [&[], &[]],
                [&["t.a.*", "t.*.x", "u", "_INBOX.c.>"], &["t.a.no"]],
                Some(2),
            ),
        ),
        (
            "d",
            permissions([&[], &["t.secret.>"]], [&[], &["t.b.no"]], None),
        ),
    ]
}

/// How often the same is tried until the real server says it as the other does.
const ATTEMPTS: u32 = 5;

/// What the sequences follow from. Those of another number find, in about one of a thousand, a corner
/// where 2.9 itself loses account (of what a purge or a limit that came later took out, mostly), so
/// that a number drawn for each run would fail now and then for nothing that changed here. To look
/// for such corners: `SWARM_TEST_AGREEMENT_SEED=<number>`.
#[allow(clippy::disallowed_methods, reason = "tests read their environment")]
fn seed() -> RngSeed {
    let given = std::env::var("SWARM_TEST_AGREEMENT_SEED").ok();
    let given = given.map(|text| text.parse().expect("a number"));
    RngSeed::Fixed(given.unwrap_or(29))
}

struct Worlds {
    real: Real,
    runtime: tokio::runtime::Runtime,
}

impl Worlds {
    fn new(test: &str) -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Some(Self {
            real: Real::start(test, &users())?,
            runtime,
        })
    }

    /// Clients of a new server in the process and of the real one, where no stream is left.
    async fn clients(&self) -> (Server, Vec<Pair>) {
        let server = Server::new();
        for (user, permissions) in users() {
            server.admit(&crate::rig::token(user), permissions);
        }
        let mut cleaner = vec![Pair::connect("a", true, &server, &self.real).await];
        for stream in STREAMS {
            let subject = format!("$JS.API.STREAM.DELETE.{stream}");
            let reply = format!("_INBOX.a.r.{stream}");
            cleaner[0].publish(&subject, &reply, &[], "").await;
            // What those before asked for may be answered before.
            while !settle(&mut cleaner).await[1]
                .values()
                .flatten()
                .any(|said| said.starts_with(&reply))
            {}
        }
        let mut clients = Vec::new();
        for name in CLIENTS {
            clients.push(Pair::connect(name, name != "d", &server, &self.real).await);
        }
        settle(&mut clients).await;
        (server, clients)
    }

    async fn compare(&self, steps: &[(usize, Step)]) -> Result<(), TestCaseError> {
        let (server, mut clients) = self.clients().await;
        for (number, (client, step)) in steps.iter().enumerate() {
            step.take(&mut clients[*client]).await;
            let [ours, real] = settle(&mut clients).await;
            // A real server has threads of its own, which finish what they do meanwhile.
            tokio::time::sleep(Duration::from_millis(1)).await;
            prop_assert_eq!(
                ours,
                real,
                "after step {}: {} {:?}",
                number,
                CLIENTS[*client],
                step
            );
        }
        // What came too late, and too much.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let [ours, real] = settle(&mut clients).await;
        prop_assert_eq!(ours, real, "at the end");
        drop(server);
        Ok(())
    }

    /// Says whether the real server can be heard to say the same: it does some things at the same
    /// time, and which of them comes first is up to its threads.
    async fn can_agree(&self, steps: &[(usize, Step)]) -> Result<(), TestCaseError> {
        let mut result = self.compare(steps).await;
        for _ in 1..ATTEMPTS {
            if result.is_ok() {
                break;
            }
            result = self.compare(steps).await;
        }
        result
    }

    fn agree(&self, cases: u32, steps: impl Strategy<Value = Vec<(usize, Step)>>) {
        let config = ProptestConfig {
            cases,
            failure_persistence: None,
            max_shrink_iters: 60,
            rng_seed: seed(),
            ..ProptestConfig::default()
        };
        let result = TestRunner::new(config).run(&steps, |steps| {
            self.runtime.block_on(self.can_agree(&steps))
        });
        if let Err(error) = result {
            panic!("{error}");
        }
    }
}

#[test]
fn subscriptions_groups_permissions_and_answers_are_those_of_a_real_server() {
    let Some(worlds) = Worlds::new("agreement::plain") else {
        return;
    };
    worlds.agree(120, prop::collection::vec(steps::plain(), 1..40));
}

#[test]
fn streams_and_consumers_are_those_of_a_real_server() {
    let Some(worlds) = Worlds::new("agreement::stored") else {
        return;
    };
    worlds.agree(100, steps::stored());
}

/// What no client says that is one, or a client says that is cut off for it.
const OFFENCES: [&[u8]; 11] = [
    b"GET / HTTP/1.1\r\n",
    b"PUB t.a.x 1048577\r\n",
    b"PUB t.a.x -1\r\n",
    b"PUB t.a.x\r\n",
    b"PUB t.a.x 2\r\nabcd\r\n",
    b"HPUB t.a.x 5 4\r\nabcd\r\n",
    b"SUB t.a.x\r\n",
    b"SUB t..x 1\r\n",
    b"SUB t.>.x 1\r\n",
    b"UNSUB\r\n",
    b"PUB t.a.x $JS.ACK.x 0\r\n\r\n",
];

#[test]
fn what_is_not_the_protocol_ends_as_with_a_real_server() {
    let Some(worlds) = Worlds::new("agreement::offences") else {
        return;
    };
    worlds.runtime.block_on(async {
        let endless = [&b"PUB "[..], &[b'x'; 5000]].concat();
        for offence in OFFENCES.into_iter().chain([&endless[..]]) {
            let (_server, mut clients) = worlds.clients().await;
            clients[0].send(offence).await;
            let [ours, real] = settle(&mut clients).await;
            assert_eq!(ours, real, "{:?}", String::from_utf8_lossy(offence));
        }
    });
}

#[test]
fn readers_that_wait_take_turns_as_with_a_real_server() {
    let Some(worlds) = Worlds::new("agreement::turns") else {
        return;
    };
    worlds.runtime.block_on(async {
        let (_server, mut clients) = worlds.clients().await;
        let ask = |subject: &str, body: serde_json::Value| Step::Ask {
            subject: format!("$JS.API.{subject}"),
            body: Some(body),
        };
        let stream = json!({"name": "ONE", "subjects": ["one.>"]});
        let consumer = json!({"stream_name": "ONE", "config": {"durable_name": "C", "ack_policy": "explicit"}});
        let pull = |body| ask("CONSUMER.MSG.NEXT.ONE.C", body);
        let store = || Step::Store {
            subject: "one.a",
            headers: Vec::new(),
        };
        let steps = [
            (0, ask("STREAM.CREATE.ONE", stream)),
            (0, ask("CONSUMER.DURABLE.CREATE.ONE.C", consumer)),
            (0, pull(json!({"batch": 3}))),
            (1, pull(json!({"batch": 3, "max_bytes": 120}))),
            (0, store()),
            (0, store()),
            (0, store()),
            (0, store()),
            (1, pull(json!({"batch": 2}))),
            (0, store()),
            (0, store()),
            (0, store()),
            (0, ask("CONSUMER.INFO.ONE.C", json!({}))),
        ];
        for (number, (client, step)) in steps.iter().enumerate() {
            step.take(&mut clients[*client]).await;
            let [ours, real] = settle(&mut clients).await;
            assert_eq!(ours, real, "after step {number}: {step:?}");
        }
    });
}

#[test]
fn what_falls_due_comes_as_from_a_real_server() {
    let Some(worlds) = Worlds::new("agreement::due") else {
        return;
    };
    worlds.runtime.block_on(async {
        let (_server, mut clients) = worlds.clients().await;
        let second = 1_000_000_000_u64;
        clients[1]
            .send(b"SUB $JS.EVENT.ADVISORY.CONSUMER.> 1\r\n")
            .await;
        clients[1].send(b"UNSUB 1\r\n").await;
        clients[0]
            .send(
                b"SUB $JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.> 1\r\n\
                SUB $JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.> 2\r\n\
                SUB $JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.> 3\r\n",
            )
            .await;
        let config = json!({"name": "ONE", "subjects": ["one.>"], "max_age": 4 * second,
            "duplicate_window": second});
        let consumer = json!({"stream_name": "ONE", "config": {"durable_name": "C",
            "ack_policy": "explicit", "ack_wait": second, "max_deliver": 2}});
        let patient = json!({"stream_name": "ONE", "config": {"durable_name": "D",
            "ack_policy": "explicit", "backoff": [second / 2, 2 * second], "max_deliver": 3}});
        let pull = json!({"batch": 10, "expires": 3 * second / 2});
        let now = json!({"batch": 10, "no_wait": true});
        let long = json!({"batch": 10, "expires": 2 * second, "idle_heartbeat": 3 * second / 4});
        let ask = |subject: &str, body: serde_json::Value| Step::Ask {
            subject: format!("$JS.API.{subject}"),
            body: Some(body),
        };
        let store = |id: &str| Step::Store {
            subject: "one.a",
            headers: vec![("Nats-Msg-Id", id.to_owned())],
        };
        let wait = Duration::from_millis;
        let next = "CONSUMER.MSG.NEXT.ONE.C";
        let steps = [
            (ask("STREAM.CREATE.ONE", config), wait(0)),
            (ask("CONSUMER.DURABLE.CREATE.ONE.C", consumer), wait(0)),
            (ask("CONSUMER.DURABLE.CREATE.ONE.D", patient), wait(0)),
            (ask(next, now.clone()), wait(0)),
            (store("1"), wait(0)),
            (store("1"), wait(0)),
            (store("2"), wait(0)),
            (ask(next, now.clone()), wait(0)),
            (ask("CONSUMER.MSG.NEXT.ONE.D", long), wait(0)),
            (
                Step::Ack {
                    word: "-NAK {\"delay\": 200000000}",
                },
                wait(0),
            ),
            (ask(next, pull.clone()), wait(1700)),
            (store("1"), wait(0)),
            (ask(next, pull), wait(1800)),
            (ask("STREAM.INFO.ONE", json!({})), wait(0)),
            (ask("CONSUMER.INFO.ONE.C", json!({})), wait(0)),
            (ask("CONSUMER.INFO.ONE.D", json!({})), wait(4500)),
            (ask("STREAM.INFO.ONE", json!({})), wait(0)),
        ];
        let (mut ours, mut real) = (pair::Heard::new(), pair::Heard::new());
        for (step, pause) in steps {
            step.take(&mut clients[0]).await;
            let [here, there] = settle(&mut clients).await;
            pair::merge(&mut ours, here);
            pair::merge(&mut real, there);
            tokio::time::sleep(pause).await;
        }
        let [here, there] = settle(&mut clients).await;
        pair::merge(&mut ours, here);
        pair::merge(&mut real, there);
        // Several consumers note at once that a message is too old, and not all say how often it
        // was delivered.
        for heard in [&mut ours, &mut real] {
            let terminated = heard.get_mut("a/3").expect("messages became too old");
            for said in &mut *terminated {
                *said = said.replace("\"deliveries\":1,", "");
            }
            terminated.sort();
        }
        for (place, said) in &ours {
            assert_eq!(Some(said), real.get(place), "{place}");
        }
        assert_eq!(ours.len(), real.len());
        let advised = ours.get("a/1").map_or(0, Vec::len);
        assert!(advised > 0, "a message was given up: {ours:#?}");
    });
}
