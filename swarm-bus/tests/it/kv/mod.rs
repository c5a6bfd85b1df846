//! Buckets: keys, watches and what a user may, against a real server.

mod keys;
mod rights;
mod watch;

use crate::rig::{soon, token};
use bytes::Bytes;
use std::time::Duration;
use swarm_bus::client::Client;
use swarm_bus::kv::{Bucket, BucketConfig, Content, Update, Watch};
use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
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
