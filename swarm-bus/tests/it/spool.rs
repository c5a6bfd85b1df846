use crate::rig::{Rig, SOON, connected, soon, token};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use swarm_bus::client::Client;
use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
use swarm_bus::spool::{
    Clock, DrainError, DrainOptions, Full, Limits, LossReason, OpenError, Order, PutError, Spool,
};
use swarm_bus::stream::{ConsumerConfig, StreamConfig};
use swarm_bus::{MessageId, Raw, Token, Topic};
use tempfile::TempDir;

#[derive(Debug, Topic)]
#[topic(
    "lab.{node}.{kind}",
    payload = Bytes,
    codec = Raw,
    delivery = stored,
    offline = spool
)]
struct Sample {
    node: Token,
    kind: u32,
}

fn sample(kind: u32) -> Sample {
    Sample {
        node: token("n1"),
        kind,
    }
}

const LAB: Token = Token::from_static("LAB");
const LONG: Duration = Duration::from_secs(60);

fn policy() -> Policy {
    Policy::mesh()
        .with(Rule::new::<Sample>(Role::Edge, Right::Publish, Scope::Own))
        .with(Rule::new::<Sample>(
            Role::Edge,
            Right::ReadLast(LAB),
            Scope::Own,
        ))
        .with(Rule::new::<Sample>(Role::Hub, Right::Publish, Scope::All))
}

fn start(test: &str) -> Option<Rig> {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    Rig::start_with(test, &users, &policy())
}

async fn ensure(hub: &Client, window: Duration, largest: Option<u32>) {
    let mut stream = StreamConfig::new(LAB, vec![Sample::any().pattern().clone()]);
    stream.duplicate_window = window;
    stream.direct_get = true;
    stream.max_message_size = largest;
    hub.ensure_stream(&stream).await.unwrap();
}

/// The default options; the stream has a name, so that nobody needs to be asked for it.
fn options() -> DrainOptions {
    let mut options = DrainOptions::default();
    options.streams = vec![(Sample::any().pattern().clone(), LAB)];
    options.timeout = Duration::from_secs(2);
    options
}

fn payload(number: u32) -> Bytes {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(200, 7);
    bytes.into()
}

fn number(payload: &Bytes) -> u32 {
    u32::from_le_bytes(payload[..4].try_into().unwrap())
}

/// Reads the whole stream; returns the numbers of each kind in order.
async fn stored(hub: &Client, name: &str) -> HashMap<u32, Vec<u32>> {
    let mut config = ConsumerConfig::new(LAB, token(name));
    config.max_ack_pending = 100_000;
    hub.ensure_consumer(&config).await.unwrap();
    let mut consumer = hub.consumer::<Sample>(&LAB, &token(name)).await.unwrap();
    let mut found: HashMap<u32, Vec<u32>> = HashMap::new();
    while let Ok(Ok(delivered)) =
        tokio::time::timeout(Duration::from_secs(2), consumer.next()).await
    {
        delivered.ack().unwrap();
        let content = delivered.content.as_ref().unwrap();
        let numbers = found.entry(content.topic.kind).or_default();
        numbers.push(number(&content.payload));
    }
    found
}

/// Puts messages `from..to`, spread over `kinds` subjects, many at a time.
async fn put(spool: &Spool, from: u32, to: u32, kinds: u32) {
    let topics: Vec<_> = (0..kinds).map(sample).collect();
    let submitted: Vec<_> = (from..to)
        .map(|number| {
            let topic = &topics[(number % kinds) as usize];
            spool.submit(topic, &payload(number)).unwrap()
        })
        .collect();
    for submitted in submitted {
        submitted.confirmed().await.unwrap();
    }
}

fn assert_all(found: &HashMap<u32, Vec<u32>>, total: u32, kinds: u32, case: &str) {
    for kind in 0..kinds {
        let expected: Vec<u32> = (0..total).filter(|n| n % kinds == kind).collect();
        let found = found.get(&kind).cloned().unwrap_or_default();
        assert!(
            found == expected,
            "{case}: kind {kind}: {} of {}; first difference at {:?}",
            found.len(),
            expected.len(),
            found.iter().zip(&expected).position(|(a, b)| a != b)
        );
    }
}

/// Through kills of the server while it drains, and starts of the spool between: also such that
/// nothing was finished.
async fn through_kills(test: &str, order: Order, total: u32, per_second: u32) {
    const KINDS: u32 = 7;
    let Some(mut rig) = start(test) else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let hub = rig.client("hub").await;
    ensure(&hub, Duration::from_secs(120), None).await;
    let mut options = options();
    options.order = order;
    options.per_second = per_second;

    // Half of it is put while there is no server at all, by a program that ends and comes back.
    rig.kill();
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    put(&spool, 0, total / 4, KINDS).await;
    spool.close().await;
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    assert_eq!(spool.recovery().waiting, u64::from(total / 4));
    put(&spool, total / 4, total / 2, KINDS).await;

    let edge = Client::start(rig.options("n1"));
    let drain = spool.drain(edge.clone(), options.clone()).unwrap();
    assert!(matches!(
        spool.drain(edge.clone(), options.clone()),
        Err(DrainError::Busy)
    ));
    rig.run();
    put(&spool, total / 2, total, KINDS).await;
    until_drained(&spool, u64::from(total / 8)).await;
    rig.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = spool.statistics();
    assert!(before.waiting > 0, "the server was killed in mid-drain");
    rig.run();
    until_drained(&spool, before.drained + u64::from(total / 8)).await;

    // The spool goes as a killed process does: what is on its way is not awaited.
    assert!(spool.statistics().waiting > 0);
    drop(drain);
    drop(edge);
    let statistics = spool.statistics();
    assert_eq!(statistics.reordered, 0);
    spool.close().await;
    let spool = reopen(&directory).await;
    assert!(spool.recovery().damage.is_empty());
    let edge = rig.client("n1").await;
    let drain = spool.drain(edge.clone(), options).unwrap();
    assert!(spool.emptied(LONG).await, "{:?}", spool.statistics());
    drain.stop(SOON).await;
    let statistics = spool.statistics();
    assert_eq!((statistics.reordered, statistics.held), (0, 0));
    assert!(LossReason::ALL.iter().all(|r| statistics.dropped(*r) == 0));

    let hub = rig.client("hub").await;
    assert_all(&stored(&hub, "all").await, total, KINDS, test);
}

/// Waits until so many were drained.
async fn until_drained(spool: &Spool, count: u64) {
    let enough = async {
        while spool.statistics().drained < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = tokio::time::timeout(LONG, enough).await;
    assert!(reached.is_ok(), "{:?}", spool.statistics());
}

/// Opens a spool whose last holder may still be ending.
async fn reopen(directory: &TempDir) -> Spool {
    for _ in 0..200 {
        match Spool::open(directory.path(), Limits::default()) {
            Ok(spool) => return spool,
            Err(OpenError::Locked) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("still locked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_kills_of_server_and_spool_each_message_is_stored_once_and_in_order() {
    through_kills("spool::kills", Order::Pipelined, 8000, 3000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strictly_ordered_it_comes_to_the_same() {
    through_kills("spool::strict", Order::Strict, 5600, 3000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_stream_no_longer_knows_by_its_id_is_not_stored_twice() {
    let Some(mut rig) = start("spool::doubt") else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let hub = rig.client("hub").await;
    // The shortest window there is, in place of an outage longer than two minutes.
    let window = Duration::from_millis(200);
    ensure(&hub, window, None).await;
    let mut options = options();
    options.duplicate_window = window;

    // One that the stream took, and whose acknowledgement the spool never saw: 40 messages are
    // published with the spool's own ids, as a process would that died right after.
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    let edge = rig.client("n1").await;
    let drain = spool.drain(edge.clone(), options.clone()).unwrap();
    let first = spool.put(&sample(0), &payload(0)).await.unwrap();
    assert!(spool.emptied(SOON).await);
    drop(drain);
    rig.kill();
    put(&spool, 1, 60, 1).await;
    spool.close().await;
    rig.run();
    edge.connected(SOON).await.unwrap();
    let (prefix, _) = first.id.as_str().rsplit_once('-').unwrap();
    for number in 1..=40_u32 {
        let id = MessageId::parse(&format!("{prefix}-{number:x}")).unwrap();
        let message = edge.message(&sample(0), &payload(number)).unwrap();
        message.id(id).store().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;

    let spool = reopen(&directory).await;
    assert_eq!(spool.recovery().waiting, 59);
    let drain = spool.drain(edge.clone(), options).unwrap();
    assert!(spool.emptied(LONG).await, "{:?}", spool.statistics());
    drain.stop(SOON).await;
    let statistics = spool.statistics();
    assert_eq!((statistics.settled, statistics.drained), (40, 59));
    assert_eq!(
        statistics.duplicates, 0,
        "the stream did not know them again"
    );
    let hub = rig.client("hub").await;
    assert_all(&stored(&hub, "all").await, 60, 1, "doubt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_cannot_be_known_what_is_stored_the_subject_is_held_and_the_others_go() {
    let Some(rig) = start("spool::held") else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let hub = rig.client("hub").await;
    ensure(&hub, Duration::from_millis(200), None).await;
    let mut options = options();
    options.duplicate_window = Duration::from_millis(200);
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    let edge = rig.client("n1").await;
    let drain = spool.drain(edge.clone(), options.clone()).unwrap();
    put(&spool, 0, 3, 3).await;
    assert!(spool.emptied(SOON).await);
    drop(drain);
    put(&spool, 3, 9, 3).await;
    spool.close().await;
    // Somebody else publishes to one of the subjects: nothing can be told from its last message.
    hub.publish_stored(&sample(1), &payload(99)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let spool = reopen(&directory).await;
    let drain = spool.drain(edge.clone(), options.clone()).unwrap();
    until_drained(&spool, 4).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let statistics = spool.statistics();
    assert_eq!((statistics.waiting, statistics.held), (2, 1));
    drain.stop(SOON).await;
    // Stopping in order settles nothing: it is held again.
    spool.close().await;
    let spool = reopen(&directory).await;
    let drain = spool.drain(edge, options).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let statistics = spool.statistics();
    assert_eq!((statistics.waiting, statistics.held), (2, 1));
    drain.stop(SOON).await;
    let found = stored(&hub, "all").await;
    assert_eq!(found[&0], [0, 3, 6]);
    assert_eq!(found[&1], [1, 99]);
    assert_eq!(found[&2], [2, 5, 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_stream_will_never_take_is_told_and_stops_no_other() {
    let Some(rig) = start("spool::refused") else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let hub = rig.client("hub").await;
    ensure(&hub, Duration::from_secs(120), Some(1000)).await;
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    let mut losses = spool.losses();
    put(&spool, 0, 5, 1).await;
    let huge = Bytes::from(vec![0; 2000]);
    spool.put(&sample(0), &huge).await.unwrap();
    put(&spool, 5, 10, 1).await;
    // Larger than the spool takes at all.
    let monstrous = Bytes::from(vec![0; 2 << 20]);
    let refused = spool.put(&sample(0), &monstrous).await;
    assert!(matches!(refused, Err(PutError::TooLarge { .. })));

    let drain = spool.drain(rig.client("n1").await, options()).unwrap();
    assert!(spool.emptied(SOON).await, "{:?}", spool.statistics());
    drain.stop(SOON).await;
    let loss = soon(losses.next()).await.unwrap().unwrap();
    assert_eq!((loss.reason, loss.count), (LossReason::Refused, 1));
    assert_eq!(loss.subject.as_deref(), Some("lab.n1.0"));
    assert_eq!(spool.statistics().dropped(LossReason::Refused), 1);
    assert_eq!(spool.statistics().drained, 10);
    assert_all(&stored(&hub, "all").await, 10, 1, "refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_in_mid_drain_costs_nothing() {
    let Some(rig) = start("spool::reload") else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let hub = rig.client("hub").await;
    ensure(&hub, Duration::from_secs(120), None).await;
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    put(&spool, 0, 6000, 3).await;
    let edge = connected(rig.options("n1")).await;
    let mut options = options();
    options.per_second = 6000;
    let drain = spool.drain(edge.clone(), options).unwrap();
    for part in 1..4 {
        until_drained(&spool, part * 1000).await;
        edge.reload().await.unwrap();
    }
    assert!(spool.emptied(LONG).await, "{:?}", spool.statistics());
    drain.stop(SOON).await;
    assert_eq!(spool.statistics().reordered, 0);
    assert_all(&stored(&hub, "all").await, 6000, 3, "reload");
}

#[tokio::test]
async fn a_full_spool_lets_the_oldest_go_or_refuses_as_it_is_told() {
    let mut limits = Limits::default();
    limits.segment_bytes = 4096;
    limits.max_bytes = 5 * 4096;
    limits.max_message = 1024;
    let directory = TempDir::new().unwrap();
    let spool = Spool::open(directory.path(), limits.clone()).unwrap();
    let mut losses = spool.losses();
    for number in 0..300 {
        let topic = sample(number % 2);
        spool.put(&topic, &payload(number)).await.unwrap();
    }
    // And many at once, more than it holds altogether.
    let (topics, body) = ([sample(0), sample(1)], payload(7));
    let puts = (0..300).map(|number| spool.put(&topics[number % 2], &body));
    for put in futures_util::future::join_all(puts).await {
        put.unwrap();
    }
    let statistics = spool.statistics();
    assert!(statistics.bytes <= limits.max_bytes, "{statistics:?}");
    let dropped = statistics.dropped(LossReason::Full);
    assert!(dropped > 400 && statistics.waiting == 600 - dropped);
    let mut told: HashMap<String, u64> = HashMap::new();
    while told.values().sum::<u64>() < dropped {
        let loss = soon(losses.next()).await.unwrap().unwrap();
        *told.entry(loss.subject.unwrap()).or_default() += loss.count;
    }
    assert!(told["lab.n1.0"].abs_diff(told["lab.n1.1"]) <= 2);
    assert!(matches!(
        Spool::open(directory.path(), limits.clone()),
        Err(OpenError::Locked)
    ));
    spool.close().await;

    let directory = TempDir::new().unwrap();
    limits.full = Full::Refuse;
    let spool = Spool::open(directory.path(), limits.clone()).unwrap();
    let mut taken = 0;
    let refused = loop {
        match spool.put(&sample(0), &payload(taken)).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PutError::Full { .. }) && taken > 50);
    let statistics = spool.statistics();
    assert!(statistics.bytes <= limits.max_bytes);
    assert_eq!(statistics.waiting, u64::from(taken));
    assert_eq!(statistics.refused, 1);
    spool.close().await;

    limits.max_bytes = 4096;
    let senseless = Spool::open(directory.path(), limits);
    assert!(matches!(senseless, Err(OpenError::Limits(_))));
}

#[tokio::test]
async fn what_waited_too_long_goes_and_is_told() {
    let mut limits = Limits::default();
    limits.max_age = Some(Duration::from_millis(500));
    let directory = TempDir::new().unwrap();
    let spool = Spool::open(directory.path(), limits).unwrap();
    let mut losses = spool.losses();
    put(&spool, 0, 10, 1).await;
    assert!(spool.emptied(SOON).await);
    let loss = soon(losses.next()).await.unwrap().unwrap();
    assert_eq!((loss.reason, loss.count), (LossReason::Age, 10));
    let metrics = spool.statistics().metrics();
    let aged = metrics.iter().find(|metric| {
        metric.name == "nats_spool_dropped_total" && metric.labels == [("reason", "age".into())]
    });
    assert!((aged.unwrap().value - 10.0).abs() < f64::EPSILON);
}

#[tokio::test]
#[allow(
    clippy::disallowed_methods,
    reason = "a clock that is wrong begins with one that is not"
)]
async fn messages_age_by_the_clock_that_the_program_gives() {
    let wrong = Arc::new(AtomicU64::new(30 * DAY));
    let clock = Clock::new({
        let wrong = Arc::clone(&wrong);
        move || SystemTime::now() + Duration::from_secs(wrong.load(Ordering::Relaxed))
    });
    let directory = TempDir::new().unwrap();
    let spool = Spool::open_by(clock, directory.path(), Limits::default()).unwrap();
    put(&spool, 0, 10, 1).await;
    // Backwards: they are of the future, and stay.
    wrong.store(0, Ordering::Relaxed);
    assert!(!spool.emptied(Duration::from_millis(1500)).await);
    assert_eq!(spool.statistics().waiting, 10);
    assert_eq!(spool.statistics().oldest, Duration::ZERO);
    // Forwards, past the seven days that they may wait.
    wrong.store(38 * DAY, Ordering::Relaxed);
    put(&spool, 10, 11, 1).await;
    wrong.store(46 * DAY, Ordering::Relaxed);
    assert!(spool.emptied(SOON).await);
    assert_eq!(spool.statistics().dropped(LossReason::Age), 11);
}

const DAY: u64 = 24 * 3600;

const VICTIM: &str = "SWARM_TEST_SPOOL";

/// Puts messages until it is killed, and notes how many were confirmed; run by the test below.
#[tokio::test]
#[ignore = "another test runs it in a process of its own"]
#[allow(clippy::disallowed_methods, reason = "tests read their environment")]
async fn victim() {
    let Ok(directory) = std::env::var(VICTIM) else {
        return;
    };
    let directory = std::path::PathBuf::from(directory);
    let spool = Spool::open(directory.join("spool"), Limits::default()).unwrap();
    let noted = std::fs::File::create(directory.join("noted")).unwrap();
    for from in (0..1_000_000).step_by(50) {
        put(&spool, from, from + 50, 3).await;
        std::os::unix::fs::FileExt::write_all_at(&noted, &(from + 50).to_le_bytes(), 0).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_had_put_is_stored_once_and_in_order() {
    let Some(rig) = start("spool::killed") else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let hub = rig.client("hub").await;
    ensure(&hub, Duration::from_secs(120), None).await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spool::victim", "--ignored"])
        .env(VICTIM, directory.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let noted = || {
        let bytes = std::fs::read(directory.path().join("noted")).unwrap_or_default();
        bytes.try_into().map_or(0, u32::from_le_bytes)
    };
    let deadline = tokio::time::Instant::now() + LONG;
    while noted() < 2000 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let noted = noted();
    assert!(noted >= 2000, "{noted}");

    let spool = Spool::open(directory.path().join("spool"), Limits::default()).unwrap();
    let recovery = spool.recovery();
    assert!(recovery.damage.is_empty() && !recovery.cursor_lost);
    let waiting = u32::try_from(recovery.waiting).unwrap();
    assert!((noted..=noted + 50).contains(&waiting), "{waiting}");
    let drain = spool.drain(rig.client("n1").await, options()).unwrap();
    assert!(spool.emptied(LONG).await, "{:?}", spool.statistics());
    drain.stop(SOON).await;
    assert_all(&stored(&hub, "all").await, waiting, 3, "killed");
}
