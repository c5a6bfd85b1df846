//! What a node says and hears on the bus by itself: trust, endpoints, commands, alerts, telemetry, state.

mod alerts;
mod letters;
mod service;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use swarm_bus::client::{Client, State};
use swarm_bus::topics::{
    self, Endpoints, NodeEndpoints, NodeState, Samples, Telemetry, TrustBundle,
};
use swarm_bus::{Token, Topic as _};
use swarm_pki::NodeId;

use crate::wire;

use super::{Shared, trust};

/// How often a node tells how it is.
const TELEMETRY: Duration = Duration::from_secs(10);
/// When an alert that could not be passed on, or a stream that could not be made, is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// When a bus that refused this node is asked again, at first and at last.
const REFUSED_FIRST: Duration = Duration::from_secs(2);
const REFUSED_LAST: Duration = Duration::from_secs(300);
/// A pause before a subscription that ended is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs every part until the node stops.
pub(super) async fn follow(shared: Arc<Shared>) {
    tokio::join!(
        ask_again(&shared),
        streams::announce(&shared),
        share(&shared),
        letters::keep_letters(&shared),
        hear_trust(&shared),
        hear_endpoints(&shared),
        service::obey(&shared),
        alerts::route_alerts(&shared),
        tell(&shared),
    );
}

/// A client that is refused a few times in a row gives up, as is right for a node that was revoked. One that
/// has just joined may be refused, too, by a hub that is slow to tell its server; so it is asked again, less
/// and less often.
async fn ask_again(shared: &Shared) {
    let mut states = shared.bus.states();
    let mut pause = REFUSED_FIRST;
    loop {
        let settled =
            |state: &State| state.is_connected() || matches!(state, State::Refused { .. });
        match states.until(settled).await {
            None => return,
            Some(State::Refused { .. }) => {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(REFUSED_LAST);
                if let Err(error) = shared.bus.reload().await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "the bus refuses this node still"
                    );
                }
            }
            Some(_) => {
                pause = REFUSED_FIRST;
                if states.until(|state| !state.is_connected()).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Tells where a hub sees a node.
pub(super) async fn publish_endpoint(shared: &Shared, node: &NodeId, endpoint: SocketAddr) {
    let topic = NodeEndpoints {
        node: wire::token(node),
    };
    let endpoints = Endpoints {
        at: SystemTime::now().into(),
        observed: vec![endpoint],
    };
    // who misses it asks for it
    if let Err(error) = shared.bus.publish_stored(&topic, &endpoints).await {
        tracing::debug!(%node, error = &error as &dyn std::error::Error, "an endpoint is not on the bus");
    }
}

async fn hear_trust(shared: &Shared) {
    loop {
        match shared.bus.subscribe(TrustBundle::any()) {
            Ok(mut bundles) => {
                while let Some(item) = bundles.next().await {
                    match item {
                        Ok(message) => trust::receive(shared, &message.payload, "the bus"),
                        Err(error) => tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "a trust bundle was missed"
                        ),
                    }
                }
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot hear of trust"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear_endpoints(shared: &Shared) {
    loop {
        match shared.bus.subscribe(NodeEndpoints::any()) {
            Ok(mut endpoints) => {
                while let Some(item) = endpoints.next().await {
                    let Ok(message) = item else { continue };
                    let node = message.topic.node.as_str().parse::<NodeId>();
                    if let (Ok(node), Some(endpoint)) = (node, message.payload.observed.first()) {
                        shared.suggest(&node, *endpoint);
                    }
                }
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot hear of endpoints"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Shares what this node runs, once it can: a hub that just starts has no bucket yet.
async fn share(shared: &Shared) {
    let key = NodeState {
        node: own(shared),
        key: NodeState::NODE,
    };
    let status = shared.status();
    let value = json!({
        "version": status.version,
        "roles": status.roles,
        "started": topics::Timestamp::from(SystemTime::now()),
    });
    let bus = shared.member.at_hub(&shared.bus);
    let mut states = bus.states();
    while states.until(State::is_connected).await.is_some() {
        let written = match bus.bucket::<NodeState>().await {
            Ok(bucket) => bucket.put(&key, &value).await.map(drop),
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => return,
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "what this node runs is not shared yet"
            ),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Tells how the node is, now and then; while the bus is away nobody would hear it.
async fn tell(shared: &Shared) {
    let mut ticks = tokio::time::interval(TELEMETRY);
    loop {
        ticks.tick().await;
        let topic = Telemetry {
            node: own(shared),
            kind: Token::from_static("node"),
        };
        let status = shared.status();
        let mut samples = Samples::new(SystemTime::now().into());
        let live = status
            .tunnel
            .peers
            .iter()
            .filter(|peer| peer.session)
            .count();
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        samples.set("peers_live", count(live));
        samples.set("peers", count(status.tunnel.peers.len()));
        samples.set("problems", count(status.problems.len()));
        publish(&shared.bus, &topic, &samples);
    }
}

fn publish(bus: &Client, topic: &Telemetry, samples: &Samples) {
    if let Err(error) = bus.publish(topic, samples) {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "telemetry is not sent"
        );
    }
}

fn own(shared: &Shared) -> Token {
    wire::token(shared.member.id())
}
