//! What a node says and hears on the bus by itself: trust, endpoints, commands, alerts, telemetry.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use swarm_bus::client::{Client, Message, State};
use swarm_bus::stream::StreamError;
use swarm_bus::topics::{
    self, Commands, Endpoints, NodeEndpoints, NodeEvent, NodeEvents, Occurrence, Samples,
    Telemetry, TrustBundle,
};
use swarm_bus::{Token, Topic as _};
use swarm_pki::NodeId;

use crate::error::Error;
use crate::wire;

use super::{Shared, commands, trust};

/// How often a node tells how it is.
const TELEMETRY: Duration = Duration::from_secs(10);
/// When an alert that could not be passed on is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// A pause before a subscription that ended is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs every part until the node stops.
pub(super) async fn follow(shared: Arc<Shared>) {
    tokio::join!(
        announce(&shared),
        hear_trust(&shared),
        hear_endpoints(&shared),
        obey(&shared),
        route_alerts(&shared),
        tell(&shared),
    );
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

/// After each connection: a hub makes sure of the streams and says what it knows; every node says that it is
/// up.
async fn announce(shared: &Shared) {
    let mut states = shared.bus.states();
    while states.until(State::is_connected).await.is_some() {
        if shared.hub.is_some() {
            let leaves = wire::leaves(shared.member.plan());
            for stream in topics::mesh_streams_with(&leaves) {
                if let Err(error) = shared.bus.ensure_stream(&stream).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a stream is missing"
                    );
                }
            }
            trust::publish(shared).await;
            for (node, endpoint) in shared.seen_endpoints() {
                publish_endpoint(shared, &node, endpoint).await;
            }
        }
        if shared.leaf.is_some() {
            for stream in topics::leaf_streams(&own(shared)) {
                if let Err(error) = shared.bus.ensure_stream(&stream).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a stream of this node's own bus is missing"
                    );
                }
            }
        }
        let up = NodeEvent {
            at: SystemTime::now().into(),
            event: Occurrence::Up,
        };
        let topic = NodeEvents { node: own(shared) };
        if let Err(error) = shared.bus.publish(&topic, &up) {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "nobody hears that this node is up"
            );
        }
        if states.until(|state| !state.is_connected()).await.is_none() {
            return;
        }
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

/// Answers commands.
async fn obey(shared: &Arc<Shared>) {
    loop {
        let filter = Commands::filter(Some(&own(shared)), None);
        match shared.bus.requests(filter, None) {
            Ok(requests) => {
                requests
                    .serve(async |call| commands::answer(shared, &call.topic, &call.payload))
                    .await;
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot hear commands"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// On a hub: passes alerts from the bus on to people in `#alerts`, each at least once: what came while this
/// node was away is in the stream.
async fn route_alerts(shared: &Shared) {
    if shared.hub.is_none() {
        return;
    }
    loop {
        let Err(error) = route_stored_alerts(shared).await;
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "alerts are not routed yet"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

async fn route_stored_alerts(shared: &Shared) -> Result<Infallible, StreamError> {
    let config = topics::events_consumer(&own(shared));
    shared.bus.ensure_consumer(&config).await?;
    let mut events = shared
        .bus
        .consumer::<NodeEvents>(&config.stream, &config.durable)
        .await?;
    loop {
        let delivered = events.next().await?;
        let routed = match &delivered.content {
            Ok(message) => route(shared, message).await,
            // what cannot be read now can never be read
            Err(error) => {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "an event cannot be read"
                );
                Ok(())
            }
        };
        let told = match routed {
            Ok(()) => delivered.ack(),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an alert reached nobody yet"
                );
                delivered.nak(AGAIN)
            }
        };
        if let Err(error) = told {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "an event will come again"
            );
        }
    }
}

async fn route(shared: &Shared, message: &Message<NodeEvents>) -> Result<(), Error> {
    match &message.payload.event {
        Occurrence::Alert(alert) => {
            shared
                .rooms
                .alert(&wire::room_alert(
                    &message.topic.node,
                    alert,
                    message.payload.at,
                ))
                .await
        }
        _ => Ok(()),
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
