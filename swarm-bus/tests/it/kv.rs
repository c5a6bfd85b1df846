use crate::raw::{any, ask};
use crate::rig::{Rig, SOON, connected, soon, token, version};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use swarm_bus::client::{Client, PublishError, RequestError, SubscribeError};
use swarm_bus::kv::{Bucket, BucketConfig, Content, KvError, Update, Watch};
use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
use swarm_bus::stream::{Ensured, StreamError};
use swarm_bus::{Raw, Token, Topic};

#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[topic("$KV.rooms.{node}.{room}", payload = u64, delivery = stored)]
struct Room {
    node: Token,
    room: Token,
}

/// What other software may write there.
#[derive(Topic)]
#[topic("$KV.rooms.{node}", payload = Bytes, codec = Raw, delivery = stored)]
struct Shallow {
    node: Token,
}

fn room(node: &str, room: &str) -> Room {
    Room {
        node: token(node),
        room: token(room),
    }
}

/// The hub may all, an edge reads all and writes its own, an operator nothing.
pub(crate) fn policy() -> Policy {
    Policy::new()
        .with_stream_keeper(Role::Hub)
        .with(Rule::new::<Room>(Role::Hub, Right::WriteState, Scope::All))
        .with(Rule::new::<Room>(Role::Hub, Right::ReadState, Scope::All))
        .with(Rule::new::<Shallow>(
            Role::Hub,
            Right::WriteState,
            Scope::All,
        ))
        .with(Rule::new::<Room>(Role::Edge, Right::WriteState, Scope::Own))
        .with(Rule::new::<Room>(Role::Edge, Right::ReadState, Scope::All))
}

const USERS: [(&str, Role); 3] = [
    ("hub", Role::Hub),
    ("n1", Role::Edge),
    ("stranger", Role::Operator),
];

async fn bucket(client: &Client, history: u8) -> Bucket<Room> {
    let mut config = BucketConfig::new::<Room>();
    config.history = history;
    client.ensure_bucket(&config).await.unwrap();
    client.bucket().await.unwrap()
}

/// An update in short: what a test compares.
fn short(update: &Update<Room>) -> String {
    match update {
        Update::Entry(entry) => {
            let key = format!("{}.{}", entry.key.node, entry.key.room);
            match &entry.content {
                Content::Value(value) => format!("{key}={value}@{}", entry.revision),
                Content::Deleted => format!("{key} deleted@{}", entry.revision),
                Content::Purged => format!("{key} purged@{}", entry.revision),
            }
        }
        Update::Unreadable { revision, .. } => format!("unreadable@{revision}"),
        Update::Current => "current".into(),
        Update::Missed { after, before } => format!("missed {after}..{before}"),
        Update::Vanished { key, revision } => {
            format!("{}.{} vanished@{revision}", key.node, key.room)
        }
        Update::Restarted => "restarted".into(),
        other => panic!("{other:?}"),
    }
}

async fn updates(watch: &mut Watch<Room>, count: usize) -> Vec<String> {
    let mut updates = Vec::new();
    for _ in 0..count {
        updates.push(short(&soon(watch.next()).await.unwrap()));
    }
    updates
}

/// That nothing more comes, as far as that can be waited for.
async fn quiet(watch: &mut Watch<Room>) {
    let more = tokio::time::timeout(Duration::from_millis(300), watch.next()).await;
    assert!(more.is_err(), "{:?}", more.unwrap());
}

#[tokio::test]
async fn a_key_is_written_read_compared_deleted_and_its_history_kept() {
    let Some(rig) = Rig::start_with("kv::operations", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let none = hub.bucket::<Room>().await;
    assert!(matches!(none, Err(KvError::Stream(StreamError::NoStream))));

    let mut config = BucketConfig::new::<Room>();
    for history in [0, 65] {
        config.history = history;
        let refused = hub.ensure_bucket(&config).await;
        assert!(matches!(refused, Err(KvError::History(_))));
    }
    config.history = 5;
    for ensured in [Ensured::Created, Ensured::Unchanged] {
        assert_eq!(hub.ensure_bucket(&config).await.unwrap(), ensured);
    }
    let bucket = hub.bucket::<Room>().await.unwrap();
    assert_eq!(bucket.name(), "rooms");

    let attic = room("hub", "attic");
    assert!(bucket.get(&attic).await.unwrap().is_none());
    assert_eq!(bucket.create(&attic, &10).await.unwrap(), 1);
    let again = bucket.create(&attic, &11).await;
    assert!(
        matches!(&again, Err(KvError::Conflict { key, present: Some(1) }) if key == "hub.attic"),
        "{again:?}"
    );
    assert_eq!(bucket.update(&attic, &12, 1).await.unwrap(), 2);
    let stale = bucket.update(&attic, &13, 1).await;
    assert!(matches!(
        stale,
        Err(KvError::Conflict {
            present: Some(2),
            ..
        })
    ));
    assert_eq!(bucket.put(&attic, &14).await.unwrap(), 3);
    let read = bucket.get(&attic).await.unwrap().unwrap();
    assert_eq!((read.value, read.revision), (14, 3));
    let later = read.time + Duration::from_secs(1);
    assert_eq!(read.age_at(later), Duration::from_secs(1));
    assert!(read.time > std::time::SystemTime::UNIX_EPOCH);

    let stale = bucket.delete(&attic, Some(2)).await;
    assert!(matches!(stale, Err(KvError::Conflict { .. })));
    assert_eq!(bucket.delete(&attic, Some(3)).await.unwrap(), 4);
    assert!(bucket.get(&attic).await.unwrap().is_none());
    let entry = bucket.entry(&attic).await.unwrap().unwrap();
    assert_eq!((entry.content, entry.revision), (Content::Deleted, 4));
    assert_eq!(bucket.keys(Room::any()).await.unwrap(), []);
    assert_eq!(bucket.create(&attic, &15).await.unwrap(), 5);

    let cellar = room("hub", "cellar");
    bucket.put(&cellar, &20).await.unwrap();
    let mut keys = bucket.keys(Room::any()).await.unwrap();
    keys.sort();
    assert_eq!(keys, [attic.clone(), cellar.clone()]);
    let only = bucket.keys(&cellar).await.unwrap();
    assert_eq!(only, std::slice::from_ref(&cellar));

    let history = bucket.history(&attic).await.unwrap();
    let history: Vec<_> = history
        .iter()
        .map(|e| e.as_ref().unwrap())
        .map(|e| (e.revision, e.content.value()))
        .collect();
    let expected = [
        (1, Some(&10)),
        (2, Some(&12)),
        (3, Some(&14)),
        (4, None),
        (5, Some(&15)),
    ];
    assert_eq!(history, expected);
    let mut kept = Vec::new();
    // 6 is the other key's, and there is no 0 and no 7.
    for revision in 0..=7 {
        let entry = bucket.revision(&attic, revision).await.unwrap();
        kept.extend(entry.map(|entry| (entry.revision, entry.content.into_value())));
    }
    let owned = |(revision, value): &(u64, Option<&u64>)| (*revision, value.copied());
    assert_eq!(kept, history.iter().map(owned).collect::<Vec<_>>());

    bucket.purge(&attic, None).await.unwrap();
    let history = bucket.history(&attic).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].as_ref().unwrap().content, Content::Purged);
    assert!(bucket.revision(&attic, 5).await.unwrap().is_none());
    assert_eq!(bucket.get(&cellar).await.unwrap().unwrap().value, 20);
    assert_eq!(bucket.create(&attic, &1).await.unwrap(), 8);
    assert_eq!(bucket.last_revision().await.unwrap(), 8);

    let odd = bucket.put(&room("hub", "a$b"), &1).await;
    assert!(matches!(odd, Err(KvError::Key { key }) if key == "hub.a$b"));
}

#[tokio::test]
async fn what_the_server_would_ignore_is_refused_by_name() {
    let Some(rig) = Rig::start_with("kv::version", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let server = hub.connected(SOON).await.unwrap().version;
    if server >= version("2.11.0") {
        return grows_too_old_by_itself(&hub).await;
    }
    let bucket = bucket(&hub, 1).await;
    let mut compressed = BucketConfig::new::<Room>();
    compressed.compressed = true;
    let mut aging = BucketConfig::new::<Room>();
    aging.value_ttl = true;
    let compresses = server >= version("2.10.0");
    for config in [Some(aging), (!compresses).then_some(compressed)]
        .into_iter()
        .flatten()
    {
        let refused = hub.ensure_bucket(&config).await;
        assert!(matches!(
            refused,
            Err(KvError::Stream(StreamError::Unsupported(_)))
        ));
    }
    let key = room("hub", "attic");
    let refused = bucket.create_for(&key, &1, Duration::from_secs(5)).await;
    let Err(KvError::Stream(StreamError::Unsupported(unsupported))) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(unsupported.server, server);
    assert!(
        bucket.get(&key).await.unwrap().is_none(),
        "nothing was written"
    );
}

/// Newer servers have what older ones are refused for.
async fn grows_too_old_by_itself(hub: &Client) {
    let mut config = BucketConfig::new::<Room>();
    (config.compressed, config.value_ttl) = (true, true);
    hub.ensure_bucket(&config).await.unwrap();
    let bucket = hub.bucket::<Room>().await.unwrap();
    let (short, long) = (room("hub", "short"), room("hub", "long"));
    let watch = bucket.watch(Room::any()).await.unwrap();
    let mut watch = watch.check_every(Duration::from_millis(200));
    let time = Duration::from_secs(1);
    bucket.create_for(&short, &1, time).await.unwrap();
    bucket.put(&long, &2).await.unwrap();
    let seen = updates(&mut watch, 4).await;
    assert_eq!(seen[3], "hub.short vanished@1", "{seen:?}");
    assert!(bucket.get(&short).await.unwrap().is_none());
    assert_eq!(bucket.get(&long).await.unwrap().unwrap().value, 2);
}

#[tokio::test]
async fn of_writers_that_race_none_overwrites_another() {
    let Some(rig) = Rig::start_with("kv::race", &USERS, &policy()) else {
        return;
    };
    const WRITERS: u64 = 6;
    const EACH: u64 = 25;
    let hub = rig.client("hub").await;
    bucket(&hub, 1).await;
    let mut tasks = Vec::new();
    for _ in 0..WRITERS {
        let client = rig.client("hub").await;
        tasks.push(tokio::spawn(async move {
            let bucket = client.bucket::<Room>().await.unwrap();
            let key = room("hub", "counter");
            let mut conflicts = 0;
            for _ in 0..EACH {
                loop {
                    let written = match bucket.get(&key).await.unwrap() {
                        Some(read) => bucket.update(&key, &(read.value + 1), read.revision).await,
                        None => bucket.create(&key, &1).await,
                    };
                    match written {
                        Ok(_) => break,
                        Err(KvError::Conflict { .. }) => conflicts += 1,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            conflicts
        }));
    }
    let mut conflicts = 0;
    for task in tasks {
        conflicts += task.await.unwrap();
    }
    let bucket = hub.bucket::<Room>().await.unwrap();
    let read = bucket.get(&room("hub", "counter")).await.unwrap().unwrap();
    assert_eq!(
        (read.value, read.revision),
        (WRITERS * EACH, WRITERS * EACH)
    );
    assert!(conflicts > 0, "they did race");
}

#[tokio::test]
async fn a_watch_gives_the_present_state_then_each_change_in_order() {
    let Some(rig) = Rig::start_with("kv::watch", &USERS, &policy()) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    let writer = bucket(&hub, 1).await;
    let (a, b) = (room("hub", "a"), room("n1", "b"));
    writer.put(&a, &1).await.unwrap();
    writer.put(&a, &2).await.unwrap();
    writer.put(&b, &3).await.unwrap();
    writer.delete(&b, None).await.unwrap();
    let reader = edge.bucket::<Room>().await.unwrap();
    let mut all = reader.watch(Room::any()).await.unwrap();
    let mut own = reader
        .watch(Room::filter(Some(&token("n1")), None))
        .await
        .unwrap();
    assert_eq!(
        updates(&mut all, 3).await,
        ["hub.a=2@2", "n1.b deleted@4", "current"]
    );
    assert_eq!(updates(&mut own, 2).await, ["n1.b deleted@4", "current"]);

    writer.put(&a, &5).await.unwrap();
    assert_eq!(updates(&mut all, 1).await, ["hub.a=5@5"]);
    writer.put(&b, &6).await.unwrap();
    writer.purge(&a, None).await.unwrap();
    assert_eq!(updates(&mut all, 2).await, ["n1.b=6@6", "hub.a purged@7"]);
    assert_eq!(updates(&mut own, 1).await, ["n1.b=6@6"]);
    // What was replaced before it was seen is told.
    for value in 8..12 {
        writer.put(&b, &value).await.unwrap();
    }
    let seen = updates(&mut own, 1).await;
    assert!(seen[0].starts_with("n1.b="), "{seen:?}");
    let mut last = 7;
    while last < 11 {
        let update = soon(all.next()).await.unwrap();
        match update {
            Update::Missed { after, before } => {
                assert_eq!(after, last);
                last = before - 1;
            }
            Update::Entry(entry) => {
                assert_eq!(entry.revision, last + 1);
                last = entry.revision;
            }
            other => panic!("{other:?}"),
        }
    }
    quiet(&mut all).await;
}

#[tokio::test]
async fn a_watch_of_an_empty_bucket_is_current_at_once() {
    let Some(rig) = Rig::start_with("kv::empty", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let bucket = bucket(&hub, 1).await;
    let mut watch = bucket.watch(Room::any()).await.unwrap();
    assert_eq!(updates(&mut watch, 1).await, ["current"]);
    bucket.put(&room("hub", "a"), &1).await.unwrap();
    assert_eq!(updates(&mut watch, 1).await, ["hub.a=1@1"]);
}

#[tokio::test]
async fn a_watch_goes_on_after_a_kill_with_what_was_changed_meanwhile() {
    let Some(mut rig) = Rig::start_with("kv::kill", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    // It comes back when it is told to.
    let mut options = rig.options("n1");
    options.backoff_min = Duration::from_secs(300);
    options.backoff_max = Duration::from_secs(300);
    let edge = connected(options).await;
    let writer = bucket(&hub, 1).await;
    let keys: BTreeMap<_, _> = ["a", "b", "c", "d"].map(|k| (k, room("hub", k))).into();
    for key in keys.values() {
        writer.put(key, &1).await.unwrap();
    }
    let reader = edge.bucket::<Room>().await.unwrap();
    let mut all = reader.watch(Room::any()).await.unwrap();
    let mut one = reader.watch(&keys["b"]).await.unwrap();
    assert_eq!(updates(&mut all, 5).await[4], "current");
    assert_eq!(updates(&mut one, 2).await, ["hub.b=1@2", "current"]);

    rig.kill();
    soon(hub.states().until(|state| !state.is_connected())).await;
    soon(edge.states().until(|state| !state.is_connected())).await;
    rig.run();
    hub.connected(SOON).await.unwrap();
    for value in 2..5 {
        writer.put(&keys["a"], &value).await.unwrap();
    }
    writer.delete(&keys["c"], None).await.unwrap();
    writer.put(&keys["b"], &9).await.unwrap();
    writer.purge(&keys["b"], None).await.unwrap();
    // Even the mark of a deletion is gone before the watch is back.
    for key in ["b", "d"] {
        let body = format!(r#"{{"filter":"$KV.rooms.hub.{key}"}}"#);
        let answer = ask(&hub, "$JS.API.STREAM.PURGE.KV_rooms", &body).await;
        assert!(answer.contains(r#""success":true"#), "{answer}");
    }
    assert!(
        !edge.states().current().is_connected(),
        "it was away all the time"
    );
    edge.reload().await.unwrap();

    let seen = updates(&mut all, 5).await;
    assert_eq!(
        seen,
        [
            "missed 4..7",
            "hub.a=4@7",
            "hub.c deleted@8",
            "hub.b vanished@2",
            "hub.d vanished@4",
        ]
    );
    assert_eq!(updates(&mut one, 1).await, ["hub.b vanished@2"]);
    writer.put(&keys["d"], &5).await.unwrap();
    assert_eq!(updates(&mut all, 2).await, ["missed 8..11", "hub.d=5@11"]);
    quiet(&mut all).await;
    quiet(&mut one).await;
}

#[tokio::test]
async fn a_watch_doubles_nothing_while_connections_are_replaced() {
    let Some(rig) = Rig::start_with("kv::reload", &USERS, &policy()) else {
        return;
    };
    const COUNT: u64 = 400;
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    let writer = bucket(&hub, 64).await;
    let mut watch = edge
        .bucket::<Room>()
        .await
        .unwrap()
        .watch(Room::any())
        .await
        .unwrap();
    assert_eq!(updates(&mut watch, 1).await, ["current"]);
    let writing = tokio::spawn(async move {
        for number in 1..=COUNT {
            // Enough keys that the history holds all.
            let key = room("hub", &(number % 20).to_string());
            assert_eq!(writer.put(&key, &number).await.unwrap(), number);
            if number % 100 == 0 {
                hub.reload().await.unwrap();
            }
        }
    });
    for number in 1..=COUNT {
        if number % 90 == 0 {
            edge.reload().await.unwrap();
        }
        let expected = format!("hub.{}={number}@{number}", number % 20);
        assert_eq!(updates(&mut watch, 1).await, [expected]);
    }
    soon(writing).await.unwrap();
    quiet(&mut watch).await;
}

#[tokio::test]
async fn another_bucket_of_the_same_name_is_told_and_read_from_its_beginning() {
    let Some(rig) = Rig::start_with("kv::restarted", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let mut options = rig.options("n1");
    // To a question about a stream that is gone there is no answer.
    options.timeout = Duration::from_secs(1);
    let edge = connected(options).await;
    let writer = bucket(&hub, 1).await;
    for name in ["a", "b", "c"] {
        writer.put(&room("hub", name), &1).await.unwrap();
    }
    let reader = edge.bucket::<Room>().await.unwrap();
    let mut watch = reader.watch(Room::any()).await.unwrap();
    assert_eq!(updates(&mut watch, 4).await[3], "current");
    ask(&hub, "$JS.API.STREAM.DELETE.KV_rooms", "").await;
    let writer = bucket(&hub, 1).await;
    for name in ["x", "y", "z", "w"] {
        writer.put(&room("hub", name), &2).await.unwrap();
    }
    edge.reload().await.unwrap();
    let mut seen = updates(&mut watch, 5).await;
    // The revision behind the last one known may have been read before the stream was asked.
    if seen[0] != "restarted" {
        assert_eq!(seen.remove(0), "hub.w=2@4");
        seen.extend(updates(&mut watch, 1).await);
    }
    assert_eq!(
        seen,
        [
            "restarted",
            "hub.x=2@1",
            "hub.y=2@2",
            "hub.z=2@3",
            "hub.w=2@4"
        ]
    );
    assert_eq!(updates(&mut watch, 1).await, ["current"]);

    ask(&hub, "$JS.API.STREAM.DELETE.KV_rooms", "").await;
    edge.reload().await.unwrap();
    let end = soon(watch.next()).await;
    assert!(
        matches!(end, Err(KvError::Stream(StreamError::NoStream))),
        "{end:?}"
    );
}

#[tokio::test]
async fn what_grew_too_old_vanishes_from_a_watch() {
    let Some(rig) = Rig::start_with("kv::age", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let mut config = BucketConfig::new::<Room>();
    config.max_age = Some(Duration::from_secs(1));
    hub.ensure_bucket(&config).await.unwrap();
    let bucket = hub.bucket::<Room>().await.unwrap();
    let key = room("hub", "a");
    let mut watch = bucket.watch(Room::any()).await.unwrap();
    let mut view = bucket.view(Room::any()).await.unwrap();
    soon(view.current()).await.unwrap();
    assert_eq!(updates(&mut watch, 1).await, ["current"]);
    bucket.put(&key, &1).await.unwrap();
    assert_eq!(updates(&mut watch, 1).await, ["hub.a=1@1"]);
    soon(view.until(|entries| entries.contains_key(&key)))
        .await
        .unwrap();
    soon(async {
        while bucket.get(&key).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    // Asked at the latest when the connection is another one.
    hub.reload().await.unwrap();
    assert_eq!(updates(&mut watch, 1).await, ["hub.a vanished@1"]);
    soon(view.until(|entries| entries.is_empty()))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_removed_by_hand_vanishes_without_a_new_connection() {
    let Some(rig) = Rig::start_with("kv::by_hand", &USERS, &policy()) else {
        return;
    };
    let mut options = rig.options("hub");
    // To a question about a stream that is gone there is no answer.
    options.timeout = Duration::from_secs(1);
    let hub = connected(options).await;
    let bucket = bucket(&hub, 1).await;
    for name in ["a", "b"] {
        bucket.put(&room("hub", name), &1).await.unwrap();
    }
    let watch = bucket.watch(Room::any()).await.unwrap();
    let mut watch = watch.check_every(Duration::from_millis(200));
    assert_eq!(updates(&mut watch, 3).await[2], "current");
    let body = r#"{"filter":"$KV.rooms.hub.a"}"#;
    ask(&hub, "$JS.API.STREAM.PURGE.KV_rooms", body).await;
    assert_eq!(updates(&mut watch, 1).await, ["hub.a vanished@1"]);
    quiet(&mut watch).await;
    ask(&hub, "$JS.API.STREAM.DELETE.KV_rooms", "").await;
    self::bucket(&hub, 1).await;
    assert_eq!(updates(&mut watch, 2).await, ["restarted", "current"]);
}

#[tokio::test]
async fn a_view_holds_the_present_state() {
    let Some(rig) = Rig::start_with("kv::view", &USERS, &policy()) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    let writer = bucket(&hub, 1).await;
    let keys: Vec<_> = (0..200).map(|n| room("hub", &n.to_string())).collect();
    for (value, key) in (0..).zip(&keys) {
        writer.put(key, &value).await.unwrap();
    }
    let reader = edge.bucket::<Room>().await.unwrap();
    let mut view = reader.view(Room::any()).await.unwrap();
    soon(view.current()).await.unwrap();
    assert_eq!(view.len(), 200);
    for (value, key) in (0..).zip(&keys) {
        assert_eq!(view.get(key).unwrap().content, Content::Value(value));
    }
    soon(view.changed()).await.unwrap();
    let none = tokio::time::timeout(Duration::from_millis(100), view.changed()).await;
    assert!(none.is_err());
    writer.delete(&keys[3], None).await.unwrap();
    soon(view.changed()).await.unwrap();
    writer.put(&keys[4], &1000).await.unwrap();
    let changed = |entries: &std::collections::HashMap<Room, std::sync::Arc<_>>| {
        let entry: Option<&std::sync::Arc<swarm_bus::kv::Entry<Room>>> = entries.get(&keys[4]);
        entry.is_some_and(|entry| entry.content == Content::Value(1000))
    };
    soon(view.until(changed)).await.unwrap();
    assert!(view.get(&keys[3]).is_none());
    assert_eq!((view.len(), view.entries().len()), (199, 199));
    edge.drain(SOON).await.unwrap();
    let end = soon(view.until(|_| false)).await;
    assert!(matches!(*end.unwrap_err(), KvError::Closed));
}

#[tokio::test]
async fn what_cannot_be_read_is_told_in_its_place_and_the_rest_goes_on() {
    let Some(rig) = Rig::start_with("kv::hostile", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let bucket = bucket(&hub, 1).await;
    let bad = room("hub", "bad");
    bucket.put(&room("hub", "a"), &1).await.unwrap();
    let raw = any("$KV.rooms.hub.bad");
    let store = async |bytes: Vec<u8>, schema: &str| {
        let message = hub.message(&raw, &Bytes::from(bytes)).unwrap();
        let message = message.header("Swarm-Schema", schema).unwrap();
        message.store().await.unwrap().sequence
    };
    for (bytes, schema) in [
        (b"no number".to_vec(), "1"),
        (vec![b'['; 500_000], "1"),
        (vec![0xff; 1000], "1"),
        (b"7".to_vec(), "2"),
    ] {
        store(bytes, schema).await;
        let read = bucket.get(&bad).await;
        assert!(matches!(read, Err(KvError::Unreadable { .. })), "{read:?}");
    }
    let shallow = Shallow { node: token("x") };
    hub.publish_stored(&shallow, &Bytes::new()).await.unwrap();
    bucket.put(&room("hub", "b"), &2).await.unwrap();

    let mut watch = bucket.watch(Room::any()).await.unwrap();
    assert_eq!(
        updates(&mut watch, 4).await,
        ["hub.a=1@1", "unreadable@5", "hub.b=2@7", "current"]
    );
    store(b"x".to_vec(), "1").await;
    assert_eq!(updates(&mut watch, 1).await, ["unreadable@8"]);
    let history = bucket.history(&bad).await.unwrap();
    assert!(matches!(
        history.as_slice(),
        [Err(KvError::Unreadable { revision: 8, .. })]
    ));
    let mut keys = bucket.keys(Room::any()).await.unwrap();
    keys.sort();
    assert_eq!(keys, [room("hub", "a"), room("hub", "b"), bad.clone()]);
    // A view has no value where there is none that can be read, also if there was one.
    let mut view = bucket.view(Room::any()).await.unwrap();
    soon(view.current()).await.unwrap();
    assert_eq!((view.len(), view.unreadable()), (2, 1));
    // Whatever is there, it can be replaced by who knows its revision.
    assert_eq!(bucket.update(&bad, &5, 8).await.unwrap(), 9);
    assert_eq!(updates(&mut watch, 1).await, ["hub.bad=5@9"]);
    soon(view.until(|entries| entries.contains_key(&bad)))
        .await
        .unwrap();
    store(b"y".to_vec(), "1").await;
    soon(view.until(|entries| !entries.contains_key(&bad)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_reader_cannot_write_others_keys_and_a_stranger_can_do_nothing() {
    let Some(rig) = Rig::start_with("kv::permissions", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let all = bucket(&hub, 1).await;
    all.put(&room("hub", "a"), &1).await.unwrap();

    let edge = rig.client("n1").await;
    let own = edge.bucket::<Room>().await.unwrap();
    assert_eq!(own.get(&room("hub", "a")).await.unwrap().unwrap().value, 1);
    own.put(&room("n1", "a"), &2).await.unwrap();
    own.create(&room("n1", "b"), &2).await.unwrap();
    own.delete(&room("n1", "b"), None).await.unwrap();
    let foreign = room("hub", "a");
    for refused in [
        own.put(&foreign, &3).await,
        own.create(&foreign, &3).await,
        own.update(&foreign, &3, 1).await,
        own.delete(&foreign, None).await,
        own.purge(&foreign, None).await,
    ] {
        let denied = matches!(refused, Err(KvError::Publish(PublishError::Denied { .. })));
        assert!(denied, "{refused:?}");
    }
    assert_eq!(all.get(&foreign).await.unwrap().unwrap().value, 1);
    // It defines no consumers and no streams.
    let refused = edge.ensure_bucket(&BucketConfig::new::<Room>()).await;
    assert!(
        refused.is_ok_and(|e| e == Ensured::Unchanged),
        "it may look"
    );
    for subject in [
        "$JS.API.CONSUMER.CREATE.KV_rooms",
        "$JS.API.CONSUMER.DURABLE.CREATE.KV_rooms.x",
        "$JS.API.STREAM.UPDATE.KV_rooms",
        "$JS.API.STREAM.PURGE.KV_rooms",
        "$JS.API.STREAM.MSG.DELETE.KV_rooms",
        "$JS.API.STREAM.DELETE.KV_rooms",
        "$JS.API.STREAM.INFO.KV_other",
        "$JS.API.DIRECT.GET.KV_other",
        "$JS.API.STREAM.NAMES",
    ] {
        let refused = edge.publish_flushed(&any(subject), &Bytes::new()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{subject}"
        );
    }

    let stranger = rig.client("stranger").await;
    let refused = stranger.bucket::<Room>().await;
    assert!(matches!(
        refused,
        Err(KvError::Stream(StreamError::Request(
            RequestError::Publish(PublishError::Denied { .. })
        )))
    ));
    let refused = stranger.publish_flushed(&foreign, &9).await;
    assert!(matches!(refused, Err(PublishError::Denied { .. })));
    let refused = stranger.subscribe(Room::any()).unwrap().barrier().await;
    assert!(matches!(refused, Err(SubscribeError::Denied { .. })));
    for subject in [
        "$JS.API.DIRECT.GET.KV_rooms",
        "$JS.API.DIRECT.GET.KV_rooms.$KV.rooms.hub.a",
        "$JS.API.STREAM.MSG.GET.KV_rooms",
    ] {
        let refused = stranger.publish_flushed(&any(subject), &Bytes::new()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{subject}"
        );
    }
}

#[tokio::test]
async fn without_purges_a_writer_of_one_key_cannot_remove_the_others() {
    let Some(rig) = Rig::start_with("kv::rollup", &USERS, &policy()) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    for (allowed, left) in [(true, None), (false, Some(1))] {
        let mut config = BucketConfig::new::<Room>();
        config.allow_purge = allowed;
        hub.ensure_bucket(&config).await.unwrap();
        let bucket = hub.bucket::<Room>().await.unwrap();
        bucket.put(&room("hub", "a"), &1).await.unwrap();
        let own = room("n1", "a");
        let message = edge.message(&own, &7).unwrap();
        let stored = message.header("Nats-Rollup", "all").unwrap().store().await;
        assert_eq!(stored.is_ok(), allowed, "{stored:?}");
        let read = bucket.get(&room("hub", "a")).await.unwrap();
        assert_eq!(read.map(|read| read.value), left);
        let purged = bucket.purge(&room("hub", "a"), None).await;
        assert_eq!(purged.is_ok(), allowed, "{purged:?}");
    }
}
