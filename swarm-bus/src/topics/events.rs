//! What happens to nodes.

use super::Timestamp;
use crate as swarm_bus;
use crate::{Token, Topic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The events of one node: `swarm.events.node.{node}`.
#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic(
    "swarm.events.node.{node}",
    payload = NodeEvent,
    delivery = stored,
    crate = swarm_bus
)]
pub struct NodeEvents {
    /// Of which node.
    pub node: Token,
}

/// Something that happened to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeEvent {
    /// When it happened, by the publisher's clock.
    pub at: Timestamp,
    /// What happened.
    pub event: Occurrence,
}

/// What happened to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Occurrence {
    /// The node joined the mesh for the first time.
    Joined {
        /// The roles that its certificate gives it.
        roles: Vec<String>,
        /// The software that it runs.
        version: String,
    },
    /// The node is there.
    Up,
    /// The node goes, or was found gone.
    Down {
        /// Why, for people.
        reason: String,
    },
    /// The node has a new certificate.
    Renewed {
        /// When the certificate ends.
        not_after: Timestamp,
    },
    /// Where the node thinks that its tunnel can be reached.
    Candidates {
        /// The UDP addresses, the best first.
        addresses: Vec<SocketAddr>,
    },
    /// Somebody should look.
    Alert(Alert),
    /// An event of an application.
    Custom {
        /// What it is.
        name: String,
        /// What it says.
        body: serde_json::Value,
    },
}

/// Something that people should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Alert {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about; alerts of one node with one key are one alert over time.
    pub key: String,
    /// One line for people.
    pub summary: String,
    /// More than one line, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether it is over.
    #[serde(default)]
    pub resolved: bool,
    /// What to route and group by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// How bad an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_json_of_an_event_is_as_documented() {
        let event = NodeEvent {
            at: Timestamp(1_700_000_000_000),
            event: Occurrence::Alert(Alert {
                severity: Severity::Warning,
                key: "disk".into(),
                summary: "disk nearly full".into(),
                detail: None,
                resolved: false,
                labels: BTreeMap::new(),
            }),
        };
        let expected = json!({
            "at": 1_700_000_000_000_u64,
            "event": {
                "kind": "alert", "severity": "warning", "key": "disk",
                "summary": "disk nearly full", "resolved": false,
            },
        });
        assert_eq!(serde_json::to_value(&event).unwrap(), expected);
        assert_eq!(
            serde_json::from_value::<NodeEvent>(expected).unwrap(),
            event
        );
        assert_eq!(
            serde_json::to_value(Occurrence::Up).unwrap(),
            json!({"kind": "up"})
        );
    }
}
