//! Buckets of values and of objects that another client has made, or reads.

use crate::rig::{Rig, SOON, python, skip, soon, token};
use bytes::Bytes;
use std::time::Duration;
use swarm_bus::kv::{BucketConfig, Content, KvError, Update};
use swarm_bus::object::{LinkTarget, ObjectError, ObjectName, ObjectStoreConfig, ObjectUpdate};
use swarm_bus::permissions::{ObjectRight, Policy, Right, Role, Rule, Scope};
use swarm_bus::{Raw, Token, Topic};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic("$KV.rooms.{node}.{room}", payload = u64, delivery = stored)]
struct Room {
    node: Token,
    room: Token,
}

#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic("$KV.theirs.{key}", payload = u64, delivery = stored)]
struct Theirs {
    key: Token,
}

/// What the other client's consumers need to be allowed to go on.
#[derive(Topic)]
#[topic("$JS.FC.{stream}.{consumer}.{token}", payload = Bytes, codec = Raw)]
struct FlowControl {
    stream: Token,
    consumer: Token,
    token: Token,
}

struct Peer {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    async fn start(python: &std::path::Path, rig: &Rig) -> Self {
        let own = rig.authority.client("peer");
        rig.write("peer.pem", &own.chain);
        rig.write("peer.key", &own.key);
        let mut child = rig.script(python, "state_peer.py");
        Self {
            stdin: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    async fn line(&mut self) -> String {
        soon(self.lines.next_line())
            .await
            .unwrap()
            .unwrap_or_default()
    }

    /// Has the peer do a step, which it does without an error.
    async fn step(&mut self, step: &str) {
        self.stdin
            .write_all(format!("{step}\n").as_bytes())
            .await
            .unwrap();
        let line = tokio::time::timeout(3 * SOON, self.lines.next_line()).await;
        assert_eq!(line.unwrap().unwrap().as_deref(), Some(step));
    }

    async fn end(mut self) {
        drop(self.stdin);
        assert!(soon(self.child.wait()).await.unwrap().success());
    }
}

#[tokio::test]
async fn values_pass_both_ways_between_this_and_another_client() {
    let test = "state_peer::values";
    let Some(python) = python().or_else(|| skip(test, "no Python with nats-py")) else {
        return;
    };
    let policy = Policy::new()
        .with_stream_keeper(Role::Hub)
        .with(Rule::new::<Room>(Role::Hub, Right::WriteState, Scope::All))
        .with(Rule::new::<Room>(Role::Hub, Right::ReadState, Scope::All))
        .with(Rule::new::<Theirs>(
            Role::Hub,
            Right::WriteState,
            Scope::All,
        ))
        .with(Rule::new::<Theirs>(Role::Hub, Right::ReadState, Scope::All))
        .with(Rule::new::<FlowControl>(
            Role::Hub,
            Right::Publish,
            Scope::All,
        ));
    let users = [("hub", Role::Hub), ("peer", Role::Hub)];
    let Some(rig) = Rig::start_with(test, &users, &policy) else {
        return;
    };
    let hub = rig.client("hub").await;
    let mut config = BucketConfig::new::<Room>();
    config.history = 5;
    hub.ensure_bucket(&config).await.unwrap();
    let rooms = hub.bucket::<Room>().await.unwrap();
    let room = |node: &str, room: &str| Room {
        node: token(node),
        room: token(room),
    };
    let (attic, cellar) = (room("hub", "attic"), room("hub", "cellar"));
    rooms.put(&attic, &20).await.unwrap();
    rooms.put(&attic, &21).await.unwrap();
    rooms.put(&cellar, &1).await.unwrap();
    rooms.delete(&cellar, None).await.unwrap();
    let mut watch = rooms.watch(Room::any()).await.unwrap();
    while !matches!(soon(watch.next()).await.unwrap(), Update::Current) {}

    let mut peer = Peer::start(&python, &rig).await;
    assert_eq!(peer.line().await.len(), 64);
    peer.step("values_of_rust").await;
    assert_eq!(rooms.get(&attic).await.unwrap().unwrap().value, 22);
    assert!(rooms.get(&cellar).await.unwrap().is_none());
    let cellar = rooms.entry(&cellar).await.unwrap().unwrap();
    assert_eq!((cellar.content, cellar.revision), (Content::Purged, 9));
    let stale = rooms.update(&attic, &0, 2).await;
    assert!(matches!(
        stale,
        Err(KvError::Conflict {
            present: Some(5),
            ..
        })
    ));
    // All that the other client did comes, but for what its purge removed before it was seen.
    let mut last = 4;
    while last < 9 {
        match soon(watch.next()).await.unwrap() {
            Update::Entry(entry) => {
                assert_eq!(entry.revision, last + 1);
                let expected = match entry.revision {
                    5 => Content::Value(22),
                    6 => Content::Value(2),
                    7 => Content::Value(3),
                    8 => Content::Deleted,
                    _ => Content::Purged,
                };
                assert_eq!(entry.content, expected);
                last = entry.revision;
            }
            Update::Missed {
                after: 5,
                before: 7,
            } => last = 6,
            other => panic!("{other:?}"),
        }
    }

    peer.step("values_of_python").await;
    let theirs = hub.bucket::<Theirs>().await.unwrap();
    let key = |key: &str| Theirs { key: token(key) };
    let read = theirs.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((read.value, read.revision), (3, 3));
    assert!(theirs.get(&key("b")).await.unwrap().is_none());
    let history = theirs.history(&key("a")).await.unwrap();
    let history: Vec<_> = history
        .iter()
        .filter_map(|e| e.as_ref().unwrap().content.value())
        .collect();
    assert_eq!(history, [&1, &2, &3]);
    assert_eq!(theirs.keys(Theirs::any()).await.unwrap(), [key("a")]);
    let mut watch = theirs.watch(Theirs::any()).await.unwrap();
    for revision in 1..=5 {
        let update = soon(watch.next()).await.unwrap();
        assert!(matches!(update, Update::Entry(entry) if entry.revision == revision));
    }
    assert!(matches!(soon(watch.next()).await.unwrap(), Update::Current));
    assert_eq!(theirs.update(&key("a"), &30, 3).await.unwrap(), 6);
    theirs.create(&key("b"), &40).await.unwrap();
    theirs.put(&key("c"), &50).await.unwrap();
    theirs.delete(&key("c"), None).await.unwrap();
    for revision in 6..=9 {
        let update = soon(watch.next()).await.unwrap();
        assert!(matches!(update, Update::Entry(entry) if entry.revision == revision));
    }
    peer.step("values_came_back").await;
    peer.end().await;
}

#[tokio::test]
async fn objects_pass_both_ways_between_this_and_another_client() {
    let test = "state_peer::objects";
    let Some(python) = python().or_else(|| skip(test, "no Python with nats-py")) else {
        return;
    };
    let (files, boxes) = (token("files"), token("boxes"));
    let policy = Policy::new()
        .with_stream_keeper(Role::Hub)
        .with_objects(Role::Hub, ObjectRight::Write, files.clone())
        .with_objects(Role::Hub, ObjectRight::Write, boxes.clone())
        .with(Rule::new::<FlowControl>(
            Role::Hub,
            Right::Publish,
            Scope::All,
        ));
    let users = [("hub", Role::Hub), ("peer", Role::Hub)];
    let Some(rig) = Rig::start_with(test, &users, &policy) else {
        return;
    };
    let hub = rig.client("hub").await;
    let config = ObjectStoreConfig::new(files.clone()).unwrap();
    hub.ensure_object_store(&config).await.unwrap();
    let store = hub.object_store(&files).await.unwrap();
    let name = |text: &str| ObjectName::parse(text).unwrap();
    let large: Vec<u8> = (0..700_000_usize)
        .map(|i| (i * 7 + i / 251) as u8)
        .collect();
    let mut upload = store.upload(&name("dir/ä.bin")).description("from Rust");
    let info = upload.send(large.as_slice()).await.unwrap();
    store.put(&name("empty"), &b""[..]).await.unwrap();
    store.put(&name("gone"), &b"gone"[..]).await.unwrap();
    store.delete(&name("gone")).await.unwrap();
    let to = |bucket: &Token, text: &str| LinkTarget::Object {
        bucket: bucket.clone(),
        name: name(text),
    };
    let target = to(&files, "dir/ä.bin");
    store.link(&name("link"), target).await.unwrap();
    let target = LinkTarget::Bucket(boxes.clone());
    store.link(&name("directory"), target).await.unwrap();
    let mut watch = store.watch().await.unwrap();
    while !matches!(soon(watch.next()).await.unwrap(), ObjectUpdate::Current) {}

    let mut peer = Peer::start(&python, &rig).await;
    assert_eq!(peer.line().await, info.digest.to_string());
    peer.step("objects_of_rust").await;
    let read = async |text: &str| {
        let mut all = Vec::new();
        soon(store.get(&name(text), &mut all)).await.map(|_| all)
    };
    let mut reversed = large.clone();
    reversed.reverse();
    assert!(read("from python").await.unwrap() == reversed);
    assert_eq!(read("empty").await.unwrap(), b"not any more");
    let gone = read("dir/ä.bin").await;
    assert!(matches!(gone, Err(ObjectError::NotFound { .. })));
    assert_eq!(store.list().await.unwrap().len(), 4);
    for expected in ["from python", "empty", "dir/ä.bin"] {
        match soon(watch.next()).await.unwrap() {
            ObjectUpdate::Object(info) => assert_eq!(info.name, name(expected)),
            ObjectUpdate::Deleted { name: gone } => assert_eq!(gone, name("dir/ä.bin")),
            other => panic!("{other:?}"),
        }
    }

    peer.step("objects_of_python").await;
    let theirs = hub.object_store(&boxes).await.unwrap();
    let mut all = Vec::new();
    soon(theirs.get(&name("box"), &mut all)).await.unwrap();
    assert!(all == large);
    let mut through = Vec::new();
    soon(theirs.get(&name("way"), &mut through)).await.unwrap();
    assert!(through == reversed);
    let told = theirs.info(&name("way")).await;
    let expected = to(&files, "from python");
    assert!(matches!(told, Err(ObjectError::Link { target, .. }) if target == expected));
    theirs.put(&name("box"), &b"replaced"[..]).await.unwrap();
    let later = info.modified + Duration::from_secs(3600);
    let swept = theirs.sweep(Duration::ZERO, later).await.unwrap();
    assert_eq!(
        swept.uploads, 0,
        "nothing is left that would have to be swept"
    );
    peer.step("objects_came_back").await;
    peer.end().await;
}
