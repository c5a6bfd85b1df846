use crate::rig::{Rig, SOON, python, skip, soon, token, version};
use std::time::Duration;
use swarm_bus::client::{Client, PublishError, ReceiveError, RequestError, State};
use swarm_bus::dead_letter::{
    Advisories, Cause, DeadLetter, DeadLetterTopic, DeadLetters, KeepError, Keeper, Kept,
    LETTERS_STREAM, Original, ReplayError, advisories_stream, keeper_consumer, letters_stream,
};
use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
use swarm_bus::stream::{ConsumerConfig, Retention, StreamConfig, StreamError, Undecodable};
use swarm_bus::{Raw, Token, Topic};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinHandle;

const JOBS: Token = Token::from_static("JOBS");
const WORKER: Token = Token::from_static("n1");

#[derive(Topic, Debug)]
#[topic("jobs.{queue}", payload = u64, delivery = stored)]
struct Jobs {
    queue: Token,
}

/// The same subjects, but any bytes.
#[derive(Topic, Debug)]
#[topic("jobs.{queue}", payload = bytes::Bytes, codec = Raw, delivery = stored)]
struct RawJobs {
    queue: Token,
}

/// What one consumer alone reads.
#[derive(Topic, Debug)]
#[topic("retry.{consumer}", payload = u64, delivery = stored)]
struct Retry {
    consumer: Token,
}

/// The server's advisories, as somebody else would write them.
#[derive(Topic, Debug)]
#[topic(
    "$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.{consumer}",
    payload = bytes::Bytes,
    codec = Raw
)]
struct Forgery {
    kind: Token,
    stream: Token,
    consumer: Token,
}

const USERS: [(&str, Role); 3] = [
    ("hub", Role::Hub),
    ("keeper", Role::Operator),
    ("n1", Role::Edge),
];

/// The hub makes streams, the keeper keeps letters and replays them, the edge works.
fn policy() -> Policy {
    Policy::new()
        .with_stream_keeper(Role::Hub)
        .with(Rule::new::<Jobs>(Role::Hub, Right::Publish, Scope::All))
        .with(Rule::new::<Jobs>(Role::Hub, Right::Subscribe, Scope::All))
        .with_dead_letter_keeper(Role::Operator)
        .with(Rule::new::<Jobs>(
            Role::Operator,
            Right::Publish,
            Scope::All,
        ))
        .with(Rule::new::<Retry>(
            Role::Operator,
            Right::Publish,
            Scope::All,
        ))
        .with(Rule::new::<Jobs>(
            Role::Edge,
            Right::Consume(JOBS),
            Scope::All,
        ))
}

async fn make_jobs(hub: &Client, retention: Retention) {
    let subjects = vec![
        Jobs::any().pattern().clone(),
        Retry::any().pattern().clone(),
    ];
    let mut stream = StreamConfig::new(JOBS, subjects);
    stream.retention = retention;
    hub.ensure_stream(&stream).await.unwrap();
    let mut consumer = ConsumerConfig::new(JOBS, WORKER);
    consumer.ack_wait = Duration::from_secs(1);
    consumer.max_deliver = Some(3);
    hub.ensure_consumer(&consumer).await.unwrap();
}

/// Works at jobs and never finishes one, for as long as it is let.
fn fail_always(edge: &Client) -> JoinHandle<()> {
    let edge = edge.clone();
    tokio::spawn(async move {
        let mut consumer = loop {
            match edge.consumer::<Jobs>(&JOBS, &WORKER).await {
                Ok(consumer) => break consumer,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        loop {
            match consumer.next().await {
                Ok(delivered) => drop(delivered.nak(Duration::from_millis(10))),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
}

fn jobs() -> Jobs {
    Jobs {
        queue: token("main"),
    }
}

async fn all(client: &Client) -> Vec<DeadLetter> {
    let letters = DeadLetters::new(client);
    let letters = letters.list(DeadLetterTopic::any(), 0, 1000).await.unwrap();
    letters.into_iter().map(Result::unwrap).collect()
}

/// Waits until there is one letter of each of these jobs and no other. While a letter replaces its
/// like, a list that is read message by message may show both.
async fn until(client: &Client, jobs: std::ops::Range<u64>) {
    let jobs: Vec<u64> = jobs.collect();
    let mut found = Vec::new();
    for _ in 0..100 {
        let letters = DeadLetters::new(client);
        if let Ok(letters) = letters.list(DeadLetterTopic::any(), 0, 1000).await {
            let payload = |letter: DeadLetter| letter.message::<Jobs>().unwrap().unwrap().payload;
            found = letters.into_iter().map(|l| payload(l.unwrap())).collect();
            found.sort_unstable();
            if found == jobs {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{found:?}");
}

async fn kept(keeper: &mut Keeper) -> (u64, bool, bool) {
    match soon(keeper.next()).await.unwrap() {
        Kept::Letter {
            sequence,
            duplicate,
            whole,
            ..
        } => (sequence, duplicate, whole),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_fails_always_is_kept_whole_and_replayed_once() {
    let Some(rig) = Rig::start_with("dead_letter::whole", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    // The stream of advisories is there; nobody reads it yet.
    drop(Keeper::start(&operator).await.unwrap());
    let failing = fail_always(&edge);
    let message = hub.message(&jobs(), &7).unwrap();
    let message = message.header("Trace", "abc").unwrap();
    // A header by which the stream would act, were it not put aside in the letter.
    let message = message.header("Nats-Expected-Stream", "JOBS").unwrap();
    let first = message.store().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;

    let mut keeper = Keeper::start(&operator).await.unwrap();
    assert_eq!(kept(&mut keeper).await, (1, false, true));
    let letter = all(&operator).await.remove(0);
    let origin = DeadLetterTopic {
        stream: JOBS,
        consumer: WORKER,
        sequence: first.sequence,
    };
    assert_eq!((letter.sequence, &letter.origin), (1, &origin));
    assert_eq!(
        (letter.deliveries, &letter.cause),
        (3, &Cause::MaxDeliveries)
    );
    let age = letter.at.elapsed().unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    let Original::Kept(original) = &letter.original else {
        panic!("{letter:?}");
    };
    assert_eq!(
        (original.subject.as_str(), &*original.payload),
        ("jobs.main", b"7".as_slice())
    );
    assert_eq!(original.headers.get("Trace"), Some("abc"));
    assert_eq!(original.headers.get("Nats-Expected-Stream"), Some("JOBS"));
    assert_eq!(original.headers.id(), Some(first.id.as_str()));
    assert_eq!(letter.message::<Jobs>().unwrap().unwrap().payload, 7);
    let shelf = DeadLetters::new(&operator);
    let inspected = shelf.inspect(1).await.unwrap().unwrap().unwrap();
    assert_eq!(inspected, letter);

    // Repaired, and replayed to the same subject.
    failing.abort();
    let mut consumer = edge.consumer::<Jobs>(&JOBS, &WORKER).await.unwrap();
    let again = shelf.replay(&letter, SOON).await.unwrap();
    assert_eq!((again.stream.as_str(), again.duplicate), ("JOBS", false));
    assert_ne!(again.id, first.id);
    let delivered = loop {
        let delivered = soon(consumer.next()).await.unwrap();
        // One that the aborted worker had asked for.
        if delivered.sequence == again.sequence {
            break delivered;
        }
    };
    let message = delivered.content.as_ref().unwrap();
    assert_eq!(
        (message.payload, message.headers.get("Trace")),
        (7, Some("abc"))
    );
    delivered.ack_confirmed(SOON).await.unwrap();
    assert!(all(&operator).await.is_empty());
    // Whoever holds the letter still and tries again doubles nothing.
    let once = shelf.replay(&letter, SOON).await.unwrap();
    assert_eq!((once.sequence, once.duplicate), (again.sequence, true));
    assert!(!shelf.discard(1).await.unwrap());
    assert!(shelf.inspect(1).await.unwrap().is_none());
}

#[tokio::test]
async fn an_advisory_that_comes_again_makes_no_second_letter_however_late() {
    let policy = policy().with(Rule::new::<Forgery>(
        Role::Operator,
        Right::Publish,
        Scope::All,
    ));
    let Some(rig) = Rig::start_with("dead_letter::once", &USERS, &policy) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    let (advisories, mut letters) = (advisories_stream(), letters_stream());
    let consumer = keeper_consumer();
    letters.duplicate_window = Duration::from_millis(500);
    let mut keeper = Keeper::start_with(&operator, &advisories, &letters, &consumer)
        .await
        .unwrap();
    let failing = fail_always(&edge);
    hub.publish_stored(&jobs(), &7).await.unwrap();
    let (first, _, _) = kept(&mut keeper).await;
    let letter = all(&operator).await.remove(0);

    // As if the server had gone between the letter and the acknowledgement.
    let body = format!(
        r#"{{"type":"io.nats.jetstream.advisory.v1.max_deliver","id":"x",
        "timestamp":"2026-01-01T00:00:00Z","stream":"JOBS","consumer":"n1",
        "stream_seq":{},"deliveries":3}}"#,
        letter.origin.sequence
    );
    let again = |stream: &str| Forgery {
        kind: Advisories::MAX_DELIVERIES,
        stream: token(stream),
        consumer: WORKER,
    };
    operator
        .publish_flushed(&again("JOBS"), &body.clone().into())
        .await
        .unwrap();
    assert_eq!(kept(&mut keeper).await, (first, true, true));
    // The window in which the server knows the id is over, and the original is gone.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut stream = StreamConfig::new(
        JOBS,
        vec![
            Jobs::any().pattern().clone(),
            Retry::any().pattern().clone(),
        ],
    );
    stream.retention = Retention::WorkQueue;
    stream.max_messages = Some(1);
    hub.ensure_stream(&stream).await.unwrap();
    failing.abort();
    hub.publish_stored(&jobs(), &8).await.unwrap();
    operator
        .publish_flushed(&again("JOBS"), &body.clone().into())
        .await
        .unwrap();
    assert_eq!(kept(&mut keeper).await, (first, true, true));
    let letters = all(&operator).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0], letter);

    // A body that speaks of another stream than its subject, one that is no JSON, and one of the
    // letters themselves.
    operator
        .publish_flushed(&again("OTHER"), &body.clone().into())
        .await
        .unwrap();
    let refused = soon(keeper.next()).await.unwrap();
    assert!(
        matches!(&refused, Kept::Refused { reason } if reason.contains("`JOBS`")),
        "{refused:?}"
    );
    operator
        .publish_flushed(&again("JOBS"), &"{".into())
        .await
        .unwrap();
    assert!(matches!(
        soon(keeper.next()).await.unwrap(),
        Kept::Refused { .. }
    ));
    let own = body.replace("JOBS", LETTERS_STREAM.as_str());
    operator
        .publish_flushed(&again(LETTERS_STREAM.as_str()), &own.into())
        .await
        .unwrap();
    assert!(matches!(soon(keeper.next()).await.unwrap(), Kept::Own(_)));
    // Of a stream that there is not, and of a message that there never was.
    for (stream, body) in [
        ("NONE", body.replace("JOBS", "NONE")),
        (
            "JOBS",
            body.replace("\"stream_seq\":1", "\"stream_seq\":99"),
        ),
    ] {
        operator
            .publish_flushed(&again(stream), &body.into())
            .await
            .unwrap();
        let (_, duplicate, whole) = kept(&mut keeper).await;
        assert!(!duplicate && !whole, "{stream}");
    }
    let gone = all(&operator).await.pop().unwrap();
    assert_eq!(
        (gone.origin.sequence, &gone.original),
        (99, &Original::Gone)
    );
    let refused = DeadLetters::new(&operator).replay(&gone, SOON).await;
    assert!(matches!(refused, Err(ReplayError::Gone)));
    assert!(
        DeadLetters::new(&operator)
            .discard(gone.sequence)
            .await
            .unwrap()
    );
    assert_eq!(all(&operator).await.len(), 2);
}

#[tokio::test]
async fn when_there_is_no_room_for_letters_the_advisories_wait() {
    let Some(rig) = Rig::start_with("dead_letter::full", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    let mut letters = letters_stream();
    letters.max_messages = Some(1);
    let mut keeper = Keeper::start_with(
        &operator,
        &advisories_stream(),
        &letters,
        &keeper_consumer(),
    )
    .await
    .unwrap();
    let _failing = fail_always(&edge);
    hub.publish_stored(&jobs(), &1).await.unwrap();
    let (first, _, _) = kept(&mut keeper).await;
    hub.publish_stored(&jobs(), &2).await.unwrap();
    let full = soon(keeper.next()).await;
    assert!(
        matches!(full, Err(KeepError::Letter(PublishError::Refused { .. }))),
        "{full:?}"
    );
    let shelf = DeadLetters::new(&operator);
    assert!(shelf.discard(first).await.unwrap());
    // It comes again by itself.
    let (second, duplicate, whole) = kept(&mut keeper).await;
    assert!(second > first && !duplicate && whole);
    let letter = all(&operator).await.remove(0);
    assert_eq!(letter.message::<Jobs>().unwrap().unwrap().payload, 2);
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_letter_as_its_user_says() {
    for (retention, undecodable, whole) in [
        (Retention::Limits, Undecodable::Term, true),
        (Retention::WorkQueue, Undecodable::Term, false),
        (
            Retention::WorkQueue,
            Undecodable::GiveBack(Duration::from_millis(10)),
            true,
        ),
    ] {
        let Some(rig) = Rig::start_with("dead_letter::unread", &USERS, &policy()) else {
            return;
        };
        let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
        let edge = rig.client("n1").await;
        make_jobs(&hub, retention).await;
        let mut keeper = Keeper::start(&operator).await.unwrap();
        let raw = RawJobs {
            queue: token("main"),
        };
        hub.publish_stored(&raw, &"seven".into()).await.unwrap();
        let consumer = edge.consumer::<Jobs>(&JOBS, &WORKER).await.unwrap();
        let mut consumer = consumer.undecodable(undecodable);
        let reading = tokio::spawn(async move {
            let mut seen = 0;
            while let Ok(delivered) = consumer.next().await {
                assert!(matches!(
                    delivered.content,
                    Err(ReceiveError::Undecodable { .. })
                ));
                seen += 1;
                assert!(seen <= 3);
            }
        });
        assert_eq!(kept(&mut keeper).await, (1, false, whole), "{retention:?}");
        let letter = all(&operator).await.remove(0);
        match undecodable {
            Undecodable::Term => {
                let server = edge.connected(SOON).await.unwrap();
                let told = server.version >= version("2.10.4");
                let reason = told.then(|| "the message on `jobs.main` cannot be read".to_owned());
                assert_eq!(letter.cause, Cause::Terminated { reason });
            }
            _ => assert_eq!(letter.cause, Cause::MaxDeliveries),
        }
        match whole {
            true => {
                let message = letter.message::<RawJobs>().unwrap().unwrap();
                assert_eq!(message.payload, "seven");
                let unread = letter.message::<Jobs>().unwrap();
                assert!(matches!(unread, Err(ReceiveError::Undecodable { .. })));
            }
            false => assert_eq!(letter.original, Original::Gone),
        }
        assert!(!reading.is_finished());
        reading.abort();
    }
}

#[tokio::test]
async fn one_that_leaves_no_room_stays_where_it_is_and_another_goes_to_one_consumer() {
    let Some(rig) = Rig::start_with("dead_letter::large", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    let mut keeper = Keeper::start(&operator).await.unwrap();
    let raw = RawJobs {
        queue: token("main"),
    };
    let large = bytes::Bytes::from(vec![b'1'; (1 << 20) - 100]);
    hub.publish_stored(&raw, &large).await.unwrap();
    let failing = fail_always(&edge);
    assert_eq!(kept(&mut keeper).await, (1, false, false));
    let letter = all(&operator).await.remove(0);
    assert!(
        matches!(&letter.original, Original::TooLarge { subject, size } if subject == "jobs.main" && *size > 1_048_476),
        "{letter:?}"
    );
    assert!(letter.message::<RawJobs>().is_none());
    let shelf = DeadLetters::new(&operator);
    // It is replayed from where it lies.
    failing.abort();
    let again = shelf.replay(&letter, SOON).await.unwrap();
    let mut consumer = edge.consumer::<RawJobs>(&JOBS, &WORKER).await.unwrap();
    let delivered = loop {
        let delivered = soon(consumer.next()).await.unwrap();
        if delivered.sequence == again.sequence {
            break delivered;
        }
    };
    assert_eq!(delivered.content.as_ref().unwrap().payload, large);
    delivered.ack_confirmed(SOON).await.unwrap();
    drop(consumer);

    let failing = fail_always(&edge);
    hub.publish_stored(&jobs(), &7).await.unwrap();
    let (sequence, _, whole) = kept(&mut keeper).await;
    assert!(whole);
    failing.abort();
    let letter = shelf.inspect(sequence).await.unwrap().unwrap().unwrap();
    let mut live = hub.subscribe(Jobs::any()).unwrap();
    live.barrier().await.unwrap();
    let retry = Retry { consumer: WORKER };
    let stored = shelf.replay_to(&letter, &retry, SOON).await.unwrap();
    assert_eq!(stored.stream, "JOBS");
    assert!(shelf.inspect(sequence).await.unwrap().is_none());
    hub.publish_flushed(&jobs(), &8).await.unwrap();
    let seen = soon(live.next()).await.unwrap().unwrap();
    assert_eq!(seen.payload, 8, "the replay did not come here");
}

#[tokio::test]
async fn a_stranger_can_neither_forge_an_advisory_nor_a_letter_nor_read_any() {
    let Some(rig) = Rig::start_with("dead_letter::stranger", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    let mut keeper = Keeper::start(&operator).await.unwrap();
    let forgery = Forgery {
        kind: Advisories::MAX_DELIVERIES,
        stream: JOBS,
        consumer: WORKER,
    };
    let letter = DeadLetterTopic {
        stream: JOBS,
        consumer: WORKER,
        sequence: 1,
    };
    // The keeper neither: advisories are the server's.
    for client in [&edge, &hub, &operator] {
        let refused = client.publish_flushed(&forgery, &"{}".into()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{refused:?}"
        );
    }
    for client in [&edge, &hub] {
        let refused = client.publish_flushed(&letter, &"{}".into()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{refused:?}"
        );
    }
    let denied = |error: StreamError| {
        matches!(
            error,
            StreamError::Request(RequestError::Publish(PublishError::Denied { .. }))
        )
    };
    let shelf = DeadLetters::new(&edge);
    assert!(denied(
        shelf.list(DeadLetterTopic::any(), 0, 1).await.unwrap_err()
    ));
    assert!(denied(shelf.discard(1).await.unwrap_err()));
    assert!(denied(Keeper::start(&edge).await.err().unwrap()));
    // To keep letters is not to make other streams.
    let other = StreamConfig::new(token("OTHER"), vec![]);
    assert!(denied(operator.ensure_stream(&other).await.unwrap_err()));
    let silence = tokio::time::timeout(Duration::from_millis(500), keeper.next()).await;
    assert!(silence.is_err(), "nothing came of it");
}

#[tokio::test]
async fn a_server_killed_in_the_middle_costs_no_letter_and_doubles_none() {
    const COUNT: u64 = 400;
    let Some(mut rig) = Rig::start_with("dead_letter::killed", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    drop(Keeper::start(&operator).await.unwrap());
    let failing = fail_always(&edge);
    for number in 0..COUNT {
        hub.publish_stored(&jobs(), &number).await.unwrap();
    }
    // The first time between advisories and any letter, then with the keeper at work.
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.kill();
    rig.run();
    for client in [&hub, &operator, &edge] {
        let mut states = client.states();
        soon(states.until(State::is_connected)).await.unwrap();
    }
    let keeper = loop {
        match Keeper::start(&operator).await {
            Ok(keeper) => break keeper,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let other = Keeper::start(&operator).await.unwrap();
    let told_by_other = told.clone();
    let others = tokio::spawn(other.run(move |kept| drop(told_by_other.send(kept))));
    let running = tokio::spawn(keeper.run(move |kept| drop(told.send(kept))));
    let mut stored = 0;
    for at in [COUNT / 10, COUNT / 2] {
        while stored < at {
            if let Ok(Kept::Letter { .. }) = soon(hear.recv()).await.unwrap() {
                stored += 1;
            }
        }
        rig.kill();
        assert!(
            hear.len() < (COUNT / 4) as usize,
            "the rest is not done yet"
        );
        rig.run();
        let mut states = operator.states();
        soon(states.until(State::is_connected)).await.unwrap();
    }
    until(&operator, 0..COUNT).await;
    assert!(!running.is_finished());
    failing.abort();
    operator.drain(SOON).await.unwrap();
    soon(running).await.unwrap();
    soon(others).await.unwrap();
}

#[tokio::test]
async fn a_job_that_another_library_gives_up_is_kept_read_and_replayed() {
    let test = "dead_letter::nats_py";
    let Some(python) = python().or_else(|| skip(test, "no Python with nats-py")) else {
        return;
    };
    let users = [
        ("hub", Role::Hub),
        ("keeper", Role::Operator),
        ("peer", Role::Hub),
    ];
    let Some(rig) = Rig::start_with(test, &users, &policy()) else {
        return;
    };
    let own = rig.authority.client("peer");
    rig.write("peer.pem", &own.chain);
    rig.write("peer.key", &own.key);
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    make_jobs(&hub, Retention::WorkQueue).await;
    let mut keeper = Keeper::start(&operator).await.unwrap();
    let mut peer = rig.script(&python, "worker.py");
    let mut stdin = peer.stdin.take().unwrap();
    let mut lines = BufReader::new(peer.stdout.take().unwrap()).lines();
    let mut line = async || soon(lines.next_line()).await.unwrap().unwrap_or_default();
    assert_eq!(line().await, "3");
    assert_eq!(kept(&mut keeper).await, (1, false, true));

    stdin.write_all(b"\n").await.unwrap();
    let letter = line().await;
    let (subject, rest) = letter.split_once(' ').unwrap();
    let (payload, headers) = rest.split_once(' ').unwrap();
    assert_eq!((subject, payload), ("dead.JOBS.n1.1", "7"));
    let headers: serde_json::Value = serde_json::from_str(headers).unwrap();
    for (name, value) in [
        ("Nats-Msg-Id", "dead.JOBS.n1.1"),
        ("Dead-Letter-Stream", "JOBS"),
        ("Dead-Letter-Consumer", "n1"),
        ("Dead-Letter-Sequence", "1"),
        ("Dead-Letter-Deliveries", "3"),
        ("Dead-Letter-Cause", "max-deliveries"),
        ("Dead-Letter-Subject", "jobs.main"),
        ("Dead-Letter-Kept-Nats-Msg-Id", "first"),
        ("Trace", "python"),
    ] {
        assert_eq!(headers[name], value, "{headers}");
    }

    let letter = all(&operator).await.remove(0);
    let shelf = DeadLetters::new(&operator);
    shelf.replay(&letter, SOON).await.unwrap();
    stdin.write_all(b"\n").await.unwrap();
    assert_eq!(
        line().await,
        r#"7 {"Trace": "python", "Nats-Msg-Id": "replay.dead.JOBS.n1.1"}"#
    );
    drop(stdin);
    assert!(soon(peer.wait()).await.unwrap().success());
}
