//! Cryptokey routing: one table of prefixes for the whole tunnel, asked both ways.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::peers::Slot;

/// Which peer an inner address belongs to, by longest prefix.
#[derive(Default)]
pub(crate) struct Routes {
    v4: PrefixMap<Ipv4Net, Slot>,
    v6: PrefixMap<Ipv6Net, Slot>,
}

impl Routes {
    /// Gives a prefix to a peer; returns the peer that had it.
    pub(crate) fn insert(&mut self, prefix: IpNet, slot: Slot) -> Option<Slot> {
        match prefix {
            IpNet::V4(prefix) => self.v4.insert(prefix.trunc(), slot),
            IpNet::V6(prefix) => self.v6.insert(prefix.trunc(), slot),
        }
    }

    /// Takes a prefix from a peer, if it is the peer's.
    pub(crate) fn remove(&mut self, prefix: IpNet, slot: Slot) {
        match prefix {
            IpNet::V4(prefix) => {
                if self.v4.get(&prefix.trunc()) == Some(&slot) {
                    self.v4.remove(&prefix.trunc());
                }
            }
            IpNet::V6(prefix) => {
                if self.v6.get(&prefix.trunc()) == Some(&slot) {
                    self.v6.remove(&prefix.trunc());
                }
            }
        }
    }

    /// Whether exactly this prefix belongs to a peer.
    pub(crate) fn contains(&self, prefix: IpNet) -> bool {
        match prefix {
            IpNet::V4(prefix) => self.v4.contains_key(&prefix.trunc()),
            IpNet::V6(prefix) => self.v6.contains_key(&prefix.trunc()),
        }
    }

    /// The peer that an address belongs to.
    pub(crate) fn lookup(&self, address: IpAddr) -> Option<Slot> {
        match address {
            IpAddr::V4(address) => self
                .v4
                .get_lpm(&Ipv4Net::from(address))
                .map(|(_, slot)| *slot),
            IpAddr::V6(address) => self
                .v6
                .get_lpm(&Ipv6Net::from(address))
                .map(|(_, slot)| *slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn the_longest_prefix_decides() {
        let mut routes = Routes::default();
        routes.insert("10.0.0.0/8".parse().unwrap(), Slot(1));
        routes.insert("10.1.0.0/16".parse().unwrap(), Slot(2));
        routes.insert("0.0.0.0/0".parse().unwrap(), Slot(3));
        assert_eq!(routes.lookup("10.1.2.3".parse().unwrap()), Some(Slot(2)));
        assert_eq!(routes.lookup("10.2.2.3".parse().unwrap()), Some(Slot(1)));
        assert_eq!(routes.lookup("192.0.2.1".parse().unwrap()), Some(Slot(3)));
        assert_eq!(routes.lookup("2001:db8::1".parse().unwrap()), None);
    }

    #[test]
    fn a_prefix_taken_over_is_not_removed_by_its_former_peer() {
        let mut routes = Routes::default();
        let prefix = "10.0.0.0/24".parse().unwrap();
        routes.insert(prefix, Slot(1));
        assert_eq!(routes.insert(prefix, Slot(2)), Some(Slot(1)));
        routes.remove(prefix, Slot(1));
        assert_eq!(routes.lookup("10.0.0.1".parse().unwrap()), Some(Slot(2)));
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_plain_list(
            operations in vec((any::<bool>(), 0u32..16, 0u8..=32, 0u32..4), 1..60),
            asked in vec(0u32..16, 1..20),
        ) {
            let mut routes = Routes::default();
            let mut list: Vec<(IpNet, Slot)> = Vec::new();
            for (insert, bits, length, slot) in operations {
                let address = std::net::Ipv4Addr::from(bits << 28);
                let prefix = IpNet::V4(Ipv4Net::new(address, length).unwrap().trunc());
                let slot = Slot(slot);
                if insert {
                    routes.insert(prefix, slot);
                    list.retain(|(p, _)| *p != prefix);
                    list.push((prefix, slot));
                } else {
                    routes.remove(prefix, slot);
                    list.retain(|entry| *entry != (prefix, slot));
                }
            }
            for bits in asked {
                let address = IpAddr::V4(std::net::Ipv4Addr::from(bits << 28));
                let expected = list.iter()
                    .filter(|(p, _)| p.contains(&address))
                    .max_by_key(|(p, _)| p.prefix_len())
                    .map(|(_, slot)| *slot);
                prop_assert_eq!(routes.lookup(address), expected);
            }
        }
    }
}
