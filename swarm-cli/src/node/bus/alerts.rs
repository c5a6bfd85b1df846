//! A hub passes alerts on to people.

use std::convert::Infallible;

use swarm_bus::client::Message;
use swarm_bus::stream::StreamError;
use swarm_bus::topics::{self, NodeEvents, Occurrence};

use super::super::Shared;
use super::{AGAIN, PAUSE, own};
use crate::error::Error;
use crate::wire;

/// On a hub: passes alerts from the bus on to people in `#alerts`, each at least once: what came while this
/// node was away is in the stream.
pub(super) async fn route_alerts(shared: &Shared) {
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
