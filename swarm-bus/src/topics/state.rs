//! What nodes share.

use crate as swarm_bus;
use crate::kv::BucketConfig;
use crate::{Token, Topic};
use serde_json::Value;

/// A piece of state that a node shares with all others: a key `{node}.{key}` of the bucket
/// `swarm-state`, any JSON.
///
/// Only the node and a hub write it, every node reads and watches it. It stays when the node is
/// away, so what it holds is what the node said last, and its time says when.
#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic(
    "$KV.swarm-state.{node}.{key}",
    payload = Value,
    delivery = stored,
    crate = swarm_bus
)]
pub struct NodeState {
    /// Whose it is.
    pub node: Token,
    /// What it is about.
    pub key: Token,
}

impl NodeState {
    /// What each running node says of its program, once a start.
    pub const NODE: Token = Token::from_static("node");
}

/// Returns the bucket of [`NodeState`]: five revisions of a key, values up to 64 KiB, 64 MiB in all.
///
/// A write cannot ask that what is before it be removed: that would let a node remove what others
/// wrote. A hub empties it as the stream that it is, with
/// `Client::purge_stream`.
#[must_use]
pub fn state_bucket() -> BucketConfig {
    let mut bucket = BucketConfig::new::<NodeState>();
    bucket.history = 5;
    bucket.max_bytes = Some(64 << 20);
    bucket.max_value_size = Some(64 << 10);
    bucket.allow_purge = false;
    bucket
}
