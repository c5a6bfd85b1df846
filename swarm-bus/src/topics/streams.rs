//! The streams that keep the mesh's stored topics.

use super::{NodeEndpoints, NodeEvents, TrustBundle, state_bucket};
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

/// Returns the consumer by which a node reads the events that it missed.
///
/// It bears the node's name. A hub makes it; the node can pull from it and acknowledge, not define
/// it: whoever may define consumers may have the server send stored messages anywhere.
#[must_use]
pub fn events_consumer(node: &Token) -> ConsumerConfig {
    ConsumerConfig::new(EVENTS_STREAM, node.clone())
}
