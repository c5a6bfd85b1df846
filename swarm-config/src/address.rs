//! Addresses in the mesh network: which node has which, always the same way.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use sha2::{Digest, Sha256};

use crate::value::{NodeId, SwarmName};

/// The mesh networks of a swarm. Every node has one address in each, and the IPv6 address
/// follows from the IPv4 address: both have the same host part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct MeshNetwork {
    v4: Ipv4Net,
    v6: Ipv6Net,
}

/// The addresses of one node in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[non_exhaustive]
pub struct Addresses {
    /// IPv4 address in the mesh.
    pub v4: Ipv4Addr,
    /// IPv6 address in the mesh.
    pub v6: Ipv6Addr,
}

/// The reason why a node cannot have an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Every address of the network is taken.
    #[error("no free address for {id} in {network}")]
    Exhausted {
        /// The node that got none.
        id: NodeId,
        /// The network that is full.
        network: Ipv4Net,
    },
    /// The address is outside the mesh network.
    #[error("{address} is not inside {network}")]
    Outside {
        /// The address.
        address: Ipv4Addr,
        /// The mesh network.
        network: Ipv4Net,
    },
    /// The address is that of the network itself or its broadcast address.
    #[error("{address} is the network's own or its broadcast address")]
    Reserved {
        /// The address.
        address: Ipv4Addr,
    },
    /// Another node has the address.
    #[error("{address} is the address of {other}")]
    Taken {
        /// The address.
        address: Ipv4Addr,
        /// The node that has it.
        other: NodeId,
    },
}

impl MeshNetwork {
    /// The longest prefix of an IPv4 mesh network: six addresses for nodes.
    pub const LONGEST_V4: u8 = 29;
    /// The longest prefix of an IPv6 mesh network: every IPv4 host part fits behind it.
    pub const LONGEST_V6: u8 = 96;

    /// Joins an IPv4 and an IPv6 network; `None` when one of them is too small.
    #[must_use]
    pub fn new(v4: Ipv4Net, v6: Ipv6Net) -> Option<Self> {
        let fits = v4.prefix_len() <= Self::LONGEST_V4 && v6.prefix_len() <= Self::LONGEST_V6;
        fits.then(|| Self {
            v4: v4.trunc(),
            v6: v6.trunc(),
        })
    }

    /// The IPv4 network.
    #[must_use]
    pub fn v4(&self) -> Ipv4Net {
        self.v4
    }

    /// The IPv6 network.
    #[must_use]
    pub fn v6(&self) -> Ipv6Net {
        self.v6
    }

    /// Checks that a node may have an IPv4 address, and gives both its addresses.
    ///
    /// # Errors
    /// [`AddressError::Outside`] and [`AddressError::Reserved`].
    pub fn addresses(&self, address: Ipv4Addr) -> Result<Addresses, AddressError> {
        if !self.v4.contains(&address) {
            return Err(AddressError::Outside {
                address,
                network: self.v4,
            });
        }
        if address == self.v4.network() || address == self.v4.broadcast() {
            return Err(AddressError::Reserved { address });
        }
        let host = u32::from(address) - u32::from(self.v4.network());
        let v6 = Ipv6Addr::from(u128::from(self.v6.network()) | u128::from(host));
        Ok(Addresses { v4: address, v6 })
    }

    /// Gives a node the lowest free address: the first node gets `.1`.
    ///
    /// Put into `taken` what lives: addresses of listed nodes and of every certificate that is
    /// valid still. An address given again while its old certificate is valid has two owners.
    ///
    /// # Errors
    /// [`AddressError::Exhausted`].
    pub fn allocate(
        &self,
        taken: &BTreeSet<Ipv4Addr>,
        id: &NodeId,
    ) -> Result<Addresses, AddressError> {
        self.allocate_after(self.v4.network(), taken, id)
    }

    /// Gives a node the lowest free address above another: giving many in turn looks at each
    /// taken one once.
    pub(crate) fn allocate_after(
        &self,
        floor: Ipv4Addr,
        taken: &BTreeSet<Ipv4Addr>,
        id: &NodeId,
    ) -> Result<Addresses, AddressError> {
        let mut candidate = u32::from(floor).saturating_add(1);
        for address in taken.range(Ipv4Addr::from(candidate)..) {
            if u32::from(*address) != candidate {
                break;
            }
            candidate = candidate.saturating_add(1);
        }
        if candidate >= u32::from(self.v4.broadcast()) {
            return Err(AddressError::Exhausted {
                id: id.clone(),
                network: self.v4,
            });
        }
        self.addresses(Ipv4Addr::from(candidate))
    }
}

/// The IPv6 network of a swarm that states none: a unique local prefix (RFC 4193) whose global
/// id is a hash of the swarm's name, so that every machine derives the same one.
#[must_use]
pub fn default_network6(name: &SwarmName) -> Ipv6Net {
    let mut hash = Sha256::new();
    hash.update(b"swarm-config network6 v1\0");
    hash.update(name.as_str().as_bytes());
    let digest = hash.finalize();
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&digest[..5]);
    Ipv6Net::new_assert(Ipv6Addr::from(octets), 64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mesh(v4: &str) -> MeshNetwork {
        MeshNetwork::new(v4.parse().unwrap(), "fd00:1:2:3::/64".parse().unwrap()).unwrap()
    }

    fn id() -> NodeId {
        NodeId::parse("edge1").unwrap()
    }

    #[test]
    fn the_first_node_gets_the_first_host_address_in_both_families() {
        let first = mesh("10.77.0.0/16")
            .allocate(&BTreeSet::new(), &id())
            .unwrap();
        assert_eq!(first.v4, Ipv4Addr::new(10, 77, 0, 1));
        assert_eq!(first.v6, "fd00:1:2:3::1".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn allocation_fills_gaps_and_ends_with_an_error() {
        let mesh = mesh("10.0.0.8/29");
        let mut taken: BTreeSet<_> =
            [Ipv4Addr::new(10, 0, 0, 10), Ipv4Addr::new(10, 0, 0, 1)].into();
        let mut given = Vec::new();
        while let Ok(next) = mesh.allocate(&taken, &id()) {
            given.push(next.v4.octets()[3]);
            taken.insert(next.v4);
        }
        assert_eq!(given, [9, 11, 12, 13, 14]);
        let error = mesh.allocate(&taken, &id()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no free address for edge1 in 10.0.0.8/29"
        );
    }

    #[test]
    fn an_address_belongs_to_a_node_only_inside_the_network() {
        let mesh = mesh("10.77.0.0/16");
        let of = |text: &str| mesh.addresses(text.parse().unwrap());
        assert!(matches!(of("10.78.0.1"), Err(AddressError::Outside { .. })));
        assert!(matches!(
            of("10.77.0.0"),
            Err(AddressError::Reserved { .. })
        ));
        assert!(matches!(
            of("10.77.255.255"),
            Err(AddressError::Reserved { .. })
        ));
        assert_eq!(
            of("10.77.1.2").unwrap().v6,
            "fd00:1:2:3::102".parse::<Ipv6Addr>().unwrap()
        );
    }

    #[test]
    fn the_default_ipv6_network_is_unique_local_and_never_changes() {
        let network = default_network6(&SwarmName::parse("swarm").unwrap());
        assert!(network.network().is_unique_local());
        assert_eq!(network, "fd63:366d:8de4::/64".parse().unwrap());
        assert_ne!(
            network,
            default_network6(&SwarmName::parse("swarm2").unwrap())
        );
    }

    proptest! {
        #[test]
        fn allocated_addresses_are_free_inside_and_never_reserved(
            prefix in 20u8..=29,
            taken in prop::collection::btree_set(0u32..4096, 0..600),
        ) {
            let mesh = mesh(&format!("10.77.0.0/{prefix}"));
            let base = u32::from(mesh.v4().network());
            let taken: BTreeSet<_> = taken.into_iter().map(|n| Ipv4Addr::from(base + n)).collect();
            match mesh.allocate(&taken, &id()) {
                Ok(given) => {
                    prop_assert!(!taken.contains(&given.v4));
                    prop_assert_eq!(mesh.addresses(given.v4).unwrap(), given);
                    prop_assert!(mesh.v6().contains(&given.v6));
                }
                Err(_) => {
                    let hosts = mesh.v4().hosts();
                    prop_assert!(hosts.into_iter().all(|host| taken.contains(&host)));
                }
            }
        }
    }
}
