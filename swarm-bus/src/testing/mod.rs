//! For tests of programs that use this crate, and for fuzzing; outside semver.
//!
//! [`Server`] is a NATS server in the process: no program, no ports, no certificates. Programs use
//! the same [`Client`](crate::client::Client) as against a real one, which cannot tell the
//! difference: matching, queue groups, permissions and their words, streams and consumers are those
//! of nats-server 2.9.10. A property test of this crate runs random operations of several clients
//! against both and wants the same from each. Newer servers say more of streams and consumers, and
//! answer 503 to questions that 2.9.10 leaves unanswered, such as one for the last message of a
//! stream that there is not.
//!
//! ```
//! # #[cfg(feature = "derive")] {
//! use swarm_bus::client::Client;
//! use swarm_bus::permissions::{Policy, Role};
//! use swarm_bus::testing::Server;
//! use swarm_bus::topics::{NodeEvent, NodeEvents, Occurrence, Timestamp};
//! use swarm_bus::{Token, Topic as _};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let server = Server::new();
//! let node = Token::from_static("attic");
//! let permissions = Policy::mesh().permissions(&node, &[Role::Edge]);
//! let client = Client::start(server.options(node.clone(), permissions));
//!
//! let mut events = client.subscribe(NodeEvents::any())?;
//! events.barrier().await?;
//! let event = NodeEvent { at: Timestamp(1), event: Occurrence::Up };
//! client.publish_flushed(&NodeEvents { node }, &event).await?;
//! assert_eq!(events.next().await.unwrap()?.payload, event);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # }
//! ```
//!
//! # Time
//! The server's clock is Tokio's: under `#[tokio::test(start_paused = true)]` acknowledgement
//! times, ages and duplicate windows pass without waiting. [`Server::advance`] moves it alone.
//!
//! # What is not there
//! TLS and certificates (the user is who [`Server::options`] was called for), clusters and leaf
//! nodes, accounts, push consumers, mirrors, sources, republishing, snapshots, monitoring. What
//! JetStream has of these is answered by an error that says so (501). Of the advisories there are
//! those of consumers: maximum deliveries, negative acknowledgement, termination. Subjects that
//! [`Subject`](crate::Subject) refuses are refused.

#[cfg_attr(
    not(feature = "client"),
    allow(dead_code, reason = "fuzzing neither kills nor looks inside")
)]
mod core;
mod fuzz;
#[cfg(feature = "client")]
mod server;

pub use self::core::{Counters, Limits, StreamState};
#[cfg(feature = "client")]
pub use self::server::{Server, StoredMessage};
pub use fuzz::*;
