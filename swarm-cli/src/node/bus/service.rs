//! A node answers commands.

use std::sync::Arc;

use swarm_bus::client::{Fault, Message, State, SubscribeError};
use swarm_bus::service::{EndpointConfig, Service, ServiceConfig, ServiceError, ServiceName};
use swarm_bus::topics::{Commands, NODE_SERVICE};

use super::super::{Shared, commands};
use super::{PAUSE, own};

/// Answers commands: as a service that tools find, or without that where the hub is of a version that does
/// not permit it.
pub(super) async fn obey(shared: &Arc<Shared>) {
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
