//! The streams that keep the mesh's stored topics.

use super::{NodeEndpoints, NodeEvents, TrustBundle, state_bucket};
use crate::permissions::Leaf;
use crate::stream::{ConsumerConfig, StreamConfig};
use crate::{Token, Topic};
use std::time::Duration;

/// The stream of [`NodeEvents`].
pub const EVENTS_STREAM: Token = Token::from_static("SWARM_EVENTS");
/// The stream of [`NodeEndpoints`].
pub const ENDPOINTS_STREAM: Token = Token::from_static("SWARM_ENDPOINTS");
/// The stream of the [`TrustBundle`].
pub const TRUST_STREAM: Token = Token::from_static("SWARM_TRUST");

/// Returns the streams that a hub makes sure of.
///
/// Events stay for seven days or 256 MiB, whichever is less; of the endpoints and the trust bundle
/// the last message of each subject stays. Beside these there are the buckets, of [`state_bucket`]
/// and, with the feature `client`, of `files_store`. Room for all of it is reserved: about 1 GiB.
#[must_use]
pub fn mesh_streams() -> Vec<StreamConfig> {
    let mut events = StreamConfig::new(EVENTS_STREAM, vec![NodeEvents::any().pattern().clone()]);
    events.max_age = Some(Duration::from_secs(7 * 24 * 3600));
    events.max_bytes = Some(256 << 20);
    // a spool asks for the last one of its own
    events.direct_get = true;

    let mut endpoints = StreamConfig::new(
        ENDPOINTS_STREAM,
        vec![NodeEndpoints::any().pattern().clone()],
    );
    endpoints.max_messages_per_subject = Some(1);
    endpoints.max_bytes = Some(16 << 20);
    endpoints.direct_get = true;

    let mut trust = StreamConfig::new(TRUST_STREAM, vec![TrustBundle::any().pattern().clone()]);
    trust.max_messages_per_subject = Some(1);
    trust.max_bytes = Some(64 << 20);
    trust.direct_get = true;
    let buckets = [
        state_bucket().stream(),
        #[cfg(any(feature = "client", feature = "testing"))]
        super::files_store().stream(),
    ];
    [events, endpoints, trust]
        .into_iter()
        .chain(buckets)
        .collect()
}

/// Returns the streams that a node makes sure of at a [server of its own](crate::permissions::Leaf),
/// from which the hub takes them: its own events, for six days or 64 MiB, whichever is less. Then
/// the oldest give way.
#[must_use]
pub fn leaf_streams(node: &Token) -> Vec<StreamConfig> {
    let own = NodeEvents::filter(Some(node)).pattern().clone();
    let mut events = StreamConfig::new(leaf_stream(node), vec![own]);
    events.max_age = Some(Duration::from_secs(6 * 24 * 3600));
    events.max_bytes = Some(64 << 20);
    vec![events]
}

/// Returns the name of the stream of a leaf node's own events, here and at the hub: `LEAF_<node>`.
///
/// # Panics
/// When the name is longer than a token may be.
#[must_use]
pub fn leaf_stream(node: &Token) -> Token {
    Token::parse(&format!("LEAF_{node}")).expect("the id of a node is a short token")
}

/// Returns the streams that a hub makes sure of which has these leaf nodes, in the order in which
/// they are to be made.
#[must_use]
pub fn mesh_streams_with(leaves: &[Leaf]) -> Vec<StreamConfig> {
    let mut streams: Vec<_> = leaves.iter().flat_map(Leaf::inlets).collect();
    for mut stream in mesh_streams() {
        let own = |leaf: &Leaf| -> Vec<_> {
            let subjects = stream.subjects.iter();
            subjects.flat_map(|subject| leaf.own(subject)).collect()
        };
        stream.sources = leaves.iter().flat_map(own).collect();
        streams.push(stream);
    }
    streams
}

/// Returns the consumer by which a node reads the events that it missed.
///
/// It bears the node's name. A hub makes it; the node can pull from it and acknowledge, not define
/// it: whoever may define consumers may have the server send stored messages anywhere.
#[must_use]
pub fn events_consumer(node: &Token) -> ConsumerConfig {
    ConsumerConfig::new(EVENTS_STREAM, node.clone())
}
