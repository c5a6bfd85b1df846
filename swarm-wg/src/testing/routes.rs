//! The table of prefixes, to be measured alone.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::core::peers::Slot;
use crate::core::routes::Routes;

/// The table by which a core finds the peer that an inner address belongs to.
#[derive(Default)]
pub struct RoutingTable(Routes);

impl RoutingTable {
    /// Gives a prefix to an owner.
    pub fn insert(&mut self, prefix: IpNet, owner: u32) {
        self.0.insert(prefix, Slot(owner));
    }

    /// The owner of the longest prefix that an address lies in.
    pub fn lookup(&self, address: IpAddr) -> Option<u32> {
        self.0.lookup(address).map(|slot| slot.0)
    }
}

impl std::fmt::Debug for RoutingTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoutingTable").finish_non_exhaustive()
    }
}
