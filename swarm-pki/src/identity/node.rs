//! Who a node is.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::extension::write_swarm_extension;
use super::names::{check_names, write_subject_alternative_name};
use super::usage::check_usages;
use super::{IdentityError, MAX_ROLES, SWARM_EXTENSION, Usage};
use crate::asn1::Writer;
use crate::{DnsName, NodeId, Role, SpiffeId, SwarmName};

/// Who a node is: all that its certificate says about it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeIdentity {
    /// The swarm that the node belongs to.
    pub swarm: SwarmName,
    /// The node's name within the swarm.
    pub id: NodeId,
    /// DNS names, the node's own first; at most [`MAX_DNS_NAMES`](crate::MAX_DNS_NAMES), none twice.
    pub dns: Vec<DnsName>,
    /// Addresses inside the mesh, the node's own first; at most [`MAX_ADDRESSES`](crate::MAX_ADDRESSES), none twice.
    pub addresses: Vec<IpAddr>,
    /// The X25519 public key of the node's tunnel.
    pub wireguard_public_key: [u8; 32],
    /// What the node is for; at most [`MAX_ROLES`].
    pub roles: BTreeSet<Role>,
    /// The sides of TLS that the node may take; at least one, both by default.
    pub usages: BTreeSet<Usage>,
}

impl NodeIdentity {
    /// Makes an identity without DNS names, addresses and roles; fill in the fields.
    pub fn new(swarm: SwarmName, id: NodeId, wireguard_public_key: [u8; 32]) -> Self {
        Self {
            swarm,
            id,
            dns: Vec::new(),
            addresses: Vec::new(),
            wireguard_public_key,
            roles: BTreeSet::new(),
            usages: Usage::ALL.into(),
        }
    }

    /// Returns the URI that names the node: `spiffe://<swarm>/node/<id>`.
    pub fn spiffe_id(&self) -> SpiffeId {
        SpiffeId::new(self.swarm.clone(), self.id.clone())
    }

    /// Tells whether the node may take this side of TLS.
    pub fn allows(&self, usage: Usage) -> bool {
        self.usages.contains(&usage)
    }

    /// Tells whether the node has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own.as_str() == role)
    }

    /// Checks the limits that the types alone do not hold.
    pub(crate) fn check(&self) -> Result<(), IdentityError> {
        check_names(&self.dns, &self.addresses)?;
        check_usages(&self.usages)?;
        if self.roles.len() > MAX_ROLES {
            return Err(IdentityError::TooMany {
                what: "roles",
                most: MAX_ROLES,
            });
        }
        if self.wireguard_public_key == [0; 32] {
            return Err(IdentityError::WireguardKey);
        }
        Ok(())
    }

    /// Writes the subject alternative name and the swarm extension.
    pub(crate) fn write_extensions(&self, writer: &mut Writer) {
        let uri = self.spiffe_id().to_string();
        write_subject_alternative_name(writer, &uri, &self.dns, &self.addresses);
        writer.extension(SWARM_EXTENSION.as_bytes(), false, |value| {
            write_swarm_extension(value, &self.wireguard_public_key, &self.roles);
        });
    }
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeIdentity")
            .field("spiffe_id", &self.spiffe_id().to_string())
            .field("dns", &self.dns)
            .field("addresses", &self.addresses)
            .field(
                "wireguard_public_key",
                &hex::encode(self.wireguard_public_key),
            )
            .field("roles", &self.roles)
            .field("usages", &self.usages)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_overlong_lists_are_refused() {
        let mut identity = NodeIdentity::new(
            "testers".parse().unwrap(),
            "edge1".parse().unwrap(),
            [7; 32],
        );
        assert_eq!(identity.check(), Ok(()));
        identity.addresses = vec![[10, 0, 0, 1].into(); 2];
        assert_eq!(identity.check(), Err(IdentityError::Order("addresses")));
        identity.addresses = (0..=crate::MAX_ADDRESSES as u8)
            .map(|n| [10, 0, 0, n].into())
            .collect();
        assert!(matches!(
            identity.check(),
            Err(IdentityError::TooMany { .. })
        ));
    }
}
