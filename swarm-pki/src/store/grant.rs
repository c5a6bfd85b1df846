//! What an operator decides for one node: what it is certified as.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Settings;
use super::settings::optional_seconds;
use crate::{DnsName, NodeId, NodeIdentity, Role};

/// What a node is certified as: the operator's decision, whatever its request asks for.
///
/// The DNS name `<id>.<domain>` is always added, as the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grant {
    /// The node's name.
    pub id: NodeId,
    /// What the node is for.
    #[serde(default)]
    pub roles: BTreeSet<Role>,
    /// Addresses inside the mesh, the node's own first.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// DNS names beside `<id>.<domain>`.
    #[serde(default)]
    pub dns: Vec<DnsName>,
    /// How long the certificate lives, at most what the policy of its roles allows; `None` for the
    /// policy's own lifetime.
    #[serde(
        default,
        with = "optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub lifetime: Option<Duration>,
}

impl Grant {
    /// Makes a grant without roles and addresses; fill in the fields.
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            roles: BTreeSet::new(),
            addresses: Vec::new(),
            dns: Vec::new(),
            lifetime: None,
        }
    }

    pub(super) fn identity(&self, settings: &Settings, wireguard_key: [u8; 32]) -> NodeIdentity {
        let own = settings.domain.host(&self.id);
        let mut identity =
            NodeIdentity::new(settings.swarm.clone(), self.id.clone(), wireguard_key);
        identity.dns = vec![own.clone()];
        identity
            .dns
            .extend(self.dns.iter().filter(|name| **name != own).cloned());
        identity.addresses = self.addresses.clone();
        identity.roles = self.roles.clone();
        identity
    }
}
