//! A node's state: what it says of itself, under its own user id.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{ContentError, StateContent, check_text, check_time, check_token, check_version};

/// Whether a node takes part in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NodeStatus {
    /// It takes part.
    Up,
    /// It went away in good order.
    Down,
    /// It is cut off. A reader takes this from the room (the hub's ban), see
    /// [`StateEntry::status`](crate::StateEntry::status): a node that is cut off cannot
    /// write.
    Revoked,
}

/// A node's operational state, written on transitions only.
///
/// Event type `org.sovereign-swarm.node`. State is not end-to-end encrypted and is never
/// reclaimed by the server: it says who and where, never anything secret, and never a reading
/// that changes by itself.
///
/// ```json
/// {"v":1,"status":"up","roles":["edge"],"addresses":["10.42.0.2"],"version":"0.1.0","since":1767225600000}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
#[non_exhaustive]
pub struct NodeState {
    /// Whether it takes part.
    pub status: NodeStatus,
    /// Its roles, at most 16 tokens.
    pub roles: BTreeSet<String>,
    /// Its mesh addresses, at most 16.
    pub addresses: BTreeSet<IpAddr>,
    /// The version of its software, at most 64 bytes.
    pub version: String,
    /// When it took this status: milliseconds since 1970, UTC, by its own clock.
    pub since: u64,
    /// Why, at most 256 bytes: `shutting down`, `low battery`.
    pub reason: Option<String>,
}

impl NodeState {
    /// Makes a state of a status and the time since which it holds, in milliseconds since 1970.
    pub fn new(status: NodeStatus, since: u64) -> Self {
        Self {
            status,
            roles: BTreeSet::new(),
            addresses: BTreeSet::new(),
            version: String::new(),
            since,
            reason: None,
        }
    }

    /// The same with roles.
    pub fn with_roles<R: Into<String>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// The same with mesh addresses.
    pub fn with_addresses(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.addresses = addresses.into_iter().collect();
        self
    }

    /// The same with the version of the software.
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// The same with a reason.
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl StateContent for NodeState {
    const TYPE: &'static str = "org.sovereign-swarm.node";
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: u64,
    status: NodeStatus,
    #[serde(default)]
    roles: BTreeSet<String>,
    #[serde(default)]
    addresses: BTreeSet<IpAddr>,
    #[serde(default)]
    version: String,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl TryFrom<Wire> for NodeState {
    type Error = ContentError;

    fn try_from(wire: Wire) -> Result<Self, ContentError> {
        check_version(wire.v)?;
        if wire.roles.len() > 16 {
            return Err(ContentError::Field {
                field: "roles",
                reason: "more than 16",
            });
        }
        wire.roles
            .iter()
            .try_for_each(|role| check_token("roles", role))?;
        if wire.addresses.len() > 16 {
            return Err(ContentError::Field {
                field: "addresses",
                reason: "more than 16",
            });
        }
        check_text("version", &wire.version, 64)?;
        check_time("since", wire.since)?;
        if let Some(reason) = &wire.reason {
            check_text("reason", reason, 256)?;
        }
        Ok(Self {
            status: wire.status,
            roles: wire.roles,
            addresses: wire.addresses,
            version: wire.version,
            since: wire.since,
            reason: wire.reason,
        })
    }
}

impl From<NodeState> for Wire {
    fn from(state: NodeState) -> Self {
        Self {
            v: 1,
            status: state.status,
            roles: state.roles,
            addresses: state.addresses,
            version: state.version,
            since: state.since,
            reason: state.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{decode, encode};
    use serde_json::{Value, json};

    #[test]
    fn a_state_survives_the_round_trip() {
        let state = NodeState::new(NodeStatus::Up, 1_767_225_600_000)
            .with_roles(["edge", "sensor"])
            .with_addresses(["10.42.0.2".parse().unwrap()])
            .with_version("0.1.0");
        let wire = Value::Object(encode(&state).unwrap());
        assert_eq!(wire["v"], 1);
        assert_eq!(decode::<NodeState>(&wire).unwrap(), state);
    }

    #[test]
    fn a_field_that_a_later_build_adds_is_passed_over() {
        let wire = json!({"v": 1, "status": "down", "since": 1, "mood": "fine"});
        assert_eq!(decode::<NodeState>(&wire).unwrap().status, NodeStatus::Down);
    }

    #[test]
    fn a_newer_version_and_oversized_fields_are_refused() {
        for bad in [
            json!({"v": 2, "status": "up", "since": 1}),
            json!({"v": 1, "status": "up", "since": u64::MAX}),
            json!({"v": 1, "status": "up", "since": 1, "roles": ["a b"]}),
            json!({"v": 1, "status": "up", "since": 1, "version": "x".repeat(65)}),
            json!({"v": 1, "status": "elsewhere", "since": 1}),
            json!({}),
        ] {
            assert!(decode::<NodeState>(&bad).is_err(), "{bad}");
        }
    }
}
