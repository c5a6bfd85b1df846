//! What a node says and hears on the bus by itself: trust, endpoints, commands, alerts, telemetry, state.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use swarm_bus::client::{Client, Fault, Message, State, SubscribeError};
use swarm_bus::dead_letter::{self, KeepError, Keeper, Kept};
use swarm_bus::service::{EndpointConfig, Service, ServiceConfig, ServiceError, ServiceName};
use swarm_bus::stream::{StreamConfig, StreamError};
use swarm_bus::topics::{
    self, Commands, Endpoints, NODE_SERVICE, NodeEndpoints, NodeEvents, NodeState, Occurrence,
    Samples, Telemetry, TrustBundle,
};
use swarm_bus::{Token, Topic as _};
use swarm_pki::NodeId;

use crate::error::Error;
use crate::wire;

use super::{Shared, commands, trust};

/// How often a node tells how it is.
const TELEMETRY: Duration = Duration::from_secs(10);
/// When an alert that could not be passed on, or a stream that could not be made, is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How much dead letters may take, and what waits to become one.
const LETTERS_BYTES: u64 = 64 << 20;
const ADVISORIES_BYTES: u64 = 16 << 20;
/// When a bus that refused this node is asked again, at first and at last.
const REFUSED_FIRST: Duration = Duration::from_secs(2);
const REFUSED_LAST: Duration = Duration::from_secs(300);
/// A pause before a subscription that ended is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs every part until the node stops.
pub(super) async fn follow(shared: Arc<Shared>) {
    tokio::join!(
        ask_again(&shared),
        announce(&shared),
        share(&shared),
        keep_letters(&shared),
        hear_trust(&shared),
        hear_endpoints(&shared),
        obey(&shared),
        route_alerts(&shared),
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

/// After each connection: a hub makes sure of the streams and says what it knows. Every node says that it is
/// up when it starts, and again after each time without the bus.
async fn announce(shared: &Shared) {
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

/// On a hub: makes letters of what consumers give up.
async fn keep_letters(shared: &Shared) {
    if shared.hub.is_none() {
        return;
    }
    let (mut advisories, mut letters) = (
        dead_letter::advisories_stream(),
        dead_letter::letters_stream(),
    );
    advisories.max_bytes = Some(ADVISORIES_BYTES);
    letters.max_bytes = Some(LETTERS_BYTES);
    let mut states = shared.bus.states();
    while states.until(State::is_connected).await.is_some() {
        let consumer = dead_letter::keeper_consumer();
        match Keeper::start_with(&shared.bus, &advisories, &letters, &consumer).await {
            Ok(keeper) => keeper.run(note_letter).await,
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "dead letters are not kept yet"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn note_letter(kept: Result<Kept, KeepError>) {
    match kept {
        Ok(Kept::Letter {
            origin,
            sequence,
            duplicate: false,
            ..
        }) => tracing::warn!(
            stream = %origin.stream,
            consumer = %origin.consumer,
            message = origin.sequence,
            letter = sequence,
            "a message was given up; see it: swarm bus deadletter show {sequence}"
        ),
        Ok(_) => {}
        Err(error) => tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a dead letter is not kept yet"
        ),
    }
}

/// Answers commands: as a service that tools find, or without that where the hub is of a version that does
/// not permit it.
async fn obey(shared: &Arc<Shared>) {
    let mut states = shared.bus.states();
    while states.until(State::is_connected).await.is_some() {
        match provide(shared).await {
            // it serves until it is dropped
            Ok(_service) => return std::future::pending().await,
            Err(ServiceError::Subscribe(SubscribeError::Denied { pattern })) => {
                tracing::info!(%pattern, "commands are answered, but not found as a service");
                return answer_commands(shared).await;
            }
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "commands are not served yet"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn provide(shared: &Arc<Shared>) -> Result<Service, ServiceError> {
    let version = env!("CARGO_PKG_VERSION").parse();
    let version = version.expect("a package's version is a semantic version");
    let mut config = ServiceConfig::new(NODE_SERVICE, version);
    "A node of the swarm, and the commands that it answers".clone_into(&mut config.description);
    let node = shared.member.id().to_string();
    config.metadata.insert("node".to_owned(), node);
    let service = shared.bus.service(config).await?;
    let endpoint = EndpointConfig::new(ServiceName::from_static("commands"));
    let filter = Commands::filter(Some(&own(shared)), None);
    // a service that outlives the node's tasks must not keep the node
    let node = Arc::downgrade(shared);
    let answer = move |call: Message<Commands>| {
        let node = node.upgrade();
        async move {
            let node = node.ok_or_else(|| Fault::new(503, "the node stops"))?;
            commands::answer(&node, &call.topic, &call.payload)
        }
    };
    service.endpoint(endpoint, filter, answer).await?;
    Ok(service)
}

async fn answer_commands(shared: &Arc<Shared>) {
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
        let told = match &delivered.content {
            Ok(message) => match route(shared, message).await {
                Ok(()) => delivered.ack(),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "an alert reached nobody yet"
                    );
                    delivered.nak(AGAIN)
                }
            },
            // what cannot be read now can never be read: it becomes a dead letter
            Err(error) => {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "an event cannot be read"
                );
                delivered.term()
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
