//! From topics and roles to the exact permissions of each NATS user.
//!
//! ```
//! # #[cfg(feature = "derive")] {
//! use swarm_bus::Token;
//! use swarm_bus::permissions::{Policy, Role};
//!
//! let edge = Policy::mesh().permissions(&Token::from_static("edge-7"), &[Role::Edge]);
//! assert!(edge.publish_allow.contains(&"swarm.events.node.edge-7".to_owned()));
//! assert!(!edge.publish_allow.contains(&"swarm.events.node.*".to_owned()));
//! assert!(edge.subscribe_allow.contains(&"_INBOX_edge-7.>".to_owned()));
//! # }
//! ```

mod domain;
mod grants;
mod leaf;
#[cfg(feature = "derive")]
mod mesh;
mod objects;
mod policy;

pub use grants::{Direction, Explanation, Grant, Reason};
pub use leaf::{Asked, Crossing, HUB_DOMAIN, Leaf};
pub use objects::ObjectRight;
pub use policy::{Policy, Right, Role, Rule, Scope, UnknownRole};

use crate::{Pattern, Token};
use serde::Serialize;
use std::time::Duration;

/// What one NATS user may do, as the server's configuration says it: plain data.
///
/// To NATS an empty allow list means *everything*. These lists are never empty where nothing is
/// allowed: the deny list holds `>` then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Permissions {
    /// What may be published to.
    pub publish_allow: Vec<String>,
    /// What may not be published to; wins over the allow list.
    pub publish_deny: Vec<String>,
    /// What may be subscribed to.
    pub subscribe_allow: Vec<String>,
    /// What may not be subscribed to; wins over the allow list.
    pub subscribe_deny: Vec<String>,
    /// Whether, and how often, a received request may be answered wherever its answer belongs.
    pub allow_responses: Option<AllowResponses>,
}

/// How requests may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AllowResponses {
    /// How many messages may answer one request.
    pub max: u32,
    /// How long after the request, written as `20s`.
    #[serde(serialize_with = "seconds")]
    pub expires: Duration,
}

impl Default for AllowResponses {
    /// One message within twenty seconds: longer than anybody waits by default, and no longer than
    /// it must be, since until then the answerer may publish to the asker's inbox.
    fn default() -> Self {
        Self {
            max: 1,
            expires: Duration::from_secs(20),
        }
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{}s", duration.as_secs()))
}

/// Returns the subjects to which answers to a node's own requests come: `_INBOX_<node>.>`.
///
/// With the usual `_INBOX.>` every node could read every other's answers.
#[must_use]
pub fn inbox(node: &Token) -> Pattern {
    Pattern::from_checked(format!("_INBOX_{node}.>"))
}

/// Drops what another entry covers, and sorts.
fn reduce(mut patterns: Vec<Pattern>) -> Vec<String> {
    patterns.sort();
    patterns.dedup();
    let covered = |pattern: &Pattern| {
        patterns
            .iter()
            .any(|other| other != pattern && other.contains(pattern))
    };
    patterns
        .iter()
        .filter(|pattern| !covered(pattern))
        .map(ToString::to_string)
        .collect()
}
