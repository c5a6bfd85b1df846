//! What an operator decides: the store's settings, and what one node is certified as.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DnsName, Domain, KeyAlgorithm, Lifetimes, NodeId, NodeIdentity, Role, SwarmName};

/// What was decided when the store was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// The swarm's name.
    pub swarm: SwarmName,
    /// The domain that node names are put under.
    pub domain: Domain,
    /// The algorithm of the authorities' own keys.
    pub key_algorithm: KeyAlgorithm,
    /// How long everything lives.
    pub lifetimes: Lifetimes,
}

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
    /// How long the certificate lives; `None` for the store's own lifetime.
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

mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|duration| duration.as_secs()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<u64>::deserialize(from).map(|seconds| seconds.map(Duration::from_secs))
    }
}
