//! Which streams a node makes sure of, and what it says whenever it is on the bus again.

use std::convert::Infallible;

use swarm_bus::client::State;
use swarm_bus::stream::StreamConfig;
use swarm_bus::topics::{self, Occurrence};

use super::super::{Shared, trust};
use super::{AGAIN, own, publish_endpoint};
use crate::wire;

/// After each connection: a hub makes sure of the streams and says what it knows. Every node says that it is
/// up when it starts, and again after each time without the bus.
pub(super) async fn announce(shared: &Shared) {
    let mut states = shared.bus.states();
    shared.events.tell(Occurrence::Up).await;
    let mut was_connected = false;
    while states.until(State::is_connected).await.is_some() {
        let missing = ensure(shared, streams(shared)).await;
        if shared.hub.is_some() {
            trust::publish(shared).await;
            for (node, endpoint) in shared.seen_endpoints() {
                publish_endpoint(shared, &node, endpoint).await;
            }
        }
        if std::mem::replace(&mut was_connected, true) {
            shared.events.tell(Occurrence::Up).await;
        }
        let gone = tokio::select! {
            gone = states.until(|state| !state.is_connected()) => gone,
            never = complete(shared, missing) => match never {},
        };
        if gone.is_none() {
            return;
        }
    }
}

/// The streams that this node makes sure of: those of the mesh on a hub, its own where it has a bus of its own.
fn streams(shared: &Shared) -> Vec<StreamConfig> {
    if shared.hub.is_some() {
        topics::mesh_streams_with(&wire::leaves(shared.member.plan()))
    } else if shared.leaf.is_some() {
        topics::leaf_streams(&own(shared))
    } else {
        Vec::new()
    }
}

/// Makes sure of streams, and returns those that are missing.
async fn ensure(shared: &Shared, streams: Vec<StreamConfig>) -> Vec<StreamConfig> {
    let mut missing = Vec::new();
    for stream in streams {
        if let Err(error) = shared.bus.ensure_stream(&stream).await {
            tracing::warn!(
                stream = %stream.name,
                error = &error as &dyn std::error::Error,
                "a stream is missing"
            );
            missing.push(stream);
        }
    }
    missing
}

/// Tries again to make the streams that are missing: what they keep waits for them, on the disks of all nodes.
async fn complete(shared: &Shared, mut missing: Vec<StreamConfig>) -> Infallible {
    while !missing.is_empty() {
        tokio::time::sleep(AGAIN).await;
        missing = ensure(shared, missing).await;
    }
    std::future::pending().await
}
