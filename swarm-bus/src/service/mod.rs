//! Services that can be found and watched: NATS micro.
//!
//! ```text
//!   Service ── endpoint(Call, handler) ── one of a queue group, counted
//!      └────── $SRV.PING | INFO | STATS [.name [.id]] ◄── nats micro list / info / stats,
//!                                                         Client::services
//! ```
//!
//! A [`Service`] is an instance: it has an id of its own, shares its name with its like, and each
//! request goes to one of them. What it says of itself is plain data ([`ServiceInfo`],
//! [`ServiceStats`], [`ServicePing`]), in the JSON that every NATS tool knows. Nothing proves who
//! said it but the permission to answer on the service's subjects
//! ([`Right::Provide`](crate::permissions::Right::Provide)): trust it as far as those who have that.
//!
//! ```no_run
//! # #[cfg(feature = "derive")] {
//! use std::time::Duration;
//! use swarm_bus::Topic;
//! use swarm_bus::client::{Client, Fault};
//! use swarm_bus::service::{EndpointConfig, ServiceConfig, ServiceName};
//!
//! #[derive(Topic, Debug)]
//! #[topic("calc.halve", payload = i64, reply = i64)]
//! struct Halve;
//!
//! # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
//! let config = ServiceConfig::new(ServiceName::parse("calc")?, "1.2.0".parse()?);
//! let service = client.service(config).await?;
//! let endpoint = EndpointConfig::new(ServiceName::parse("halve")?);
//! service.endpoint(endpoint, &Halve, |message| async move {
//!     match message.payload % 2 {
//!         0 => Ok(message.payload / 2),
//!         _ => Err(Fault::new(422, "odd")),
//!     }
//! }).await?;
//! // until it is time to go
//! service.stop(Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md>

mod data;
mod name;

#[cfg(feature = "client")]
mod control;
#[cfg(feature = "client")]
mod discovery;
#[cfg(feature = "client")]
mod endpoint;
#[cfg(feature = "client")]
mod instance;

pub use data::{EndpointInfo, EndpointStats, ServiceInfo, ServicePing, ServiceStats, Started};
pub use name::{ParseServiceError, ServiceName, ServiceVersion};

#[cfg(feature = "client")]
pub use discovery::{Discovered, ServiceAnswer, ServiceQuery};
#[cfg(feature = "client")]
pub use endpoint::EndpointConfig;
#[cfg(feature = "client")]
pub use instance::{Service, ServiceConfig, ServiceError, StopError};

use crate::Token;

/// The queue group that endpoints share where they are given no other.
pub const QUEUE_GROUP: Token = Token::from_static("q");

/// The verbs of discovery.
pub(crate) const VERBS: [Token; 3] = [
    Token::from_static("PING"),
    Token::from_static("INFO"),
    Token::from_static("STATS"),
];
