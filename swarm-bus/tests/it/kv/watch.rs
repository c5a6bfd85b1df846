//! Watches and views, through losses and what is removed.

use super::{Room, Shallow, USERS, bucket, policy, quiet, room, updates};
use crate::raw::{any, ask};
use crate::rig::{Rig, SOON, connected, soon, token};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use swarm_bus::Topic;
use swarm_bus::kv::{BucketConfig, Content, KvError, Update};
use swarm_bus::stream::StreamError;

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
