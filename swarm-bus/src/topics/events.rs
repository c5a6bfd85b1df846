//! What happens to nodes.

use super::Timestamp;
use crate as swarm_bus;
use crate::{ForgedIdentity, Headers, Token, Topic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The events of one node: `swarm.events.node.{node}`.
///
/// What happens while there is no connection is what one wants to know later: a node puts its events
/// into a spool on disk, from which they are stored in order.
#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic(
    "swarm.events.node.{node}",
    payload = NodeEvent,
    delivery = stored,
    offline = spool,
    verify = NodeEvents::verify_labels,
    crate = swarm_bus
)]
pub struct NodeEvents {
    /// Of which node.
    pub node: Token,
}

impl NodeEvents {
    /// An alert is routed by its labels, and whose it is, is told by the label `node`: it must not
    /// name another node than the one that may publish here.
    fn verify_labels(&self, event: &NodeEvent, _: &Headers) -> Result<(), ForgedIdentity> {
        let Occurrence::Alert(alert) = &event.event else {
            return Ok(());
        };
        match alert.labels.get("node") {
            Some(claimed) if self.node != claimed.as_str() => Err(ForgedIdentity {
                claimed: claimed.clone(),
                proven: self.node.clone(),
            }),
            _ => Ok(()),
        }
    }
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
    /// What to route and group by. The label `node`, where there is one, is the node that the
    /// subject names; a message in which it is another is refused.
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
    fn an_alert_of_another_node_than_its_subject_names_is_forged() {
        let topic = NodeEvents {
            node: Token::from_static("n1"),
        };
        let alert = |node: Option<&str>| {
            let labels = node.map(|node| ("node".to_owned(), node.to_owned()));
            NodeEvent {
                at: Timestamp(1),
                event: Occurrence::Alert(Alert {
                    severity: Severity::Critical,
                    key: "disk".into(),
                    summary: "full".into(),
                    detail: None,
                    resolved: false,
                    labels: labels.into_iter().collect(),
                }),
            }
        };
        let headers = Headers::new();
        assert_eq!(topic.verify(&alert(None), &headers), Ok(()));
        assert_eq!(topic.verify(&alert(Some("n1")), &headers), Ok(()));
        let forged = topic.verify(&alert(Some("n2")), &headers).unwrap_err();
        assert_eq!((forged.claimed.as_str(), forged.proven), ("n2", topic.node));
    }

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
