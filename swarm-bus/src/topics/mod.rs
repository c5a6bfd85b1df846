//! The mesh's own topics.
//!
//! | subject | payload | delivery | who publishes |
//! |---|---|---|---|
//! | `swarm.events.node.{node}` | [`NodeEvent`] | stored | the node, a hub |
//! | `swarm.commands.{node}.{verb}` | [`Command`] → [`CommandReply`] | live | hub, operator |
//! | `swarm.commands.{node}.ping` | [`Ping`] → [`Pong`] | live | everyone |
//! | `swarm.telemetry.{node}.{kind}` | [`Samples`] | live | the node, a hub |
//! | `swarm.endpoints.{node}` | [`Endpoints`] | stored, the last | hub |
//! | `swarm.trust.bundle` | opaque bytes | stored, the last | hub |
//! | `$KV.swarm-state.{node}.{key}` | any JSON | stored, the last five | the node, a hub |
//!
//! Objects of the mesh lie in the bucket [`FILES_BUCKET`]. Commands are served as the service
//! [`NODE_SERVICE`], so that every tool for NATS services lists the nodes. Events outlive an outage:
//! they are put into a spool ([`Offline::Spool`](crate::Offline::Spool)) and stored when there is a
//! connection.
//!
//! Who may do what with them is [`Policy::mesh`](crate::permissions::Policy::mesh); the streams that
//! keep them are [`mesh_streams`].

mod commands;
mod endpoints;
mod events;
mod files;
mod state;
mod streams;
mod telemetry;
mod timestamp;
mod trust;

pub use commands::{Command, CommandReply, Commands, NODE_SERVICE, Ping, PingCommand, Pong};
pub use endpoints::{Endpoints, NodeEndpoints};
pub use events::{Alert, NodeEvent, NodeEvents, Occurrence, Severity};
pub use files::FILES_BUCKET;
#[cfg(any(feature = "client", feature = "testing"))]
pub use files::files_store;
pub use state::{NodeState, state_bucket};
pub use streams::{
    ENDPOINTS_STREAM, EVENTS_STREAM, TRUST_STREAM, events_consumer, leaf_stream, leaf_streams,
    mesh_streams, mesh_streams_with,
};
pub use telemetry::{Samples, Telemetry};
pub use timestamp::Timestamp;
pub use trust::TrustBundle;
