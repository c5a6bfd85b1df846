//! Where nodes can be reached.

use super::Timestamp;
use crate as swarm_bus;
use crate::{Token, Topic};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Where a node was seen from outside: `swarm.endpoints.{node}`.
///
/// Apart from the node's own events, since only a hub may say it: whoever could name another's
/// endpoint could draw its tunnel traffic to a place of their choice. The stream keeps the last for
/// each node, so that one who comes late finds it.
#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic(
    "swarm.endpoints.{node}",
    payload = Endpoints,
    delivery = stored,
    crate = swarm_bus
)]
pub struct NodeEndpoints {
    /// Whose they are.
    pub node: Token,
}

/// The UDP endpoints of a node's tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Endpoints {
    /// When they were observed, by the observer's clock.
    pub at: Timestamp,
    /// Where the node's datagrams came from, the latest first.
    pub observed: Vec<SocketAddr>,
}
