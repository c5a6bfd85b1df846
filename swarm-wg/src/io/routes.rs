//! The interface's addresses, and a route for each allowed IP outside their subnets.

use std::collections::BTreeSet;
use std::io;

use ipnet::IpNet;

use super::netlink::Netlink;
use super::tun::QUEUE_LEN;
use crate::error::Error;

pub(super) struct InterfaceRoutes {
    netlink: Netlink,
    interface: u32,
    subnets: Vec<IpNet>,
    enabled: bool,
    installed: BTreeSet<IpNet>,
}

impl InterfaceRoutes {
    /// Sets the queue and the addresses of an interface.
    pub(super) fn new(
        interface: u32,
        name: &str,
        addresses: &[IpNet],
        enabled: bool,
    ) -> Result<Self, Error> {
        let mut netlink = Netlink::open().map_err(|source| Error::Interface {
            interface: name.to_owned(),
            action: "open netlink for",
            source,
        })?;
        netlink
            .set_queue_length(interface, QUEUE_LEN)
            .map_err(interface_error(name, "set the queue of"))?;
        for address in addresses {
            netlink
                .add_address(interface, *address)
                .map_err(|source| Error::Network {
                    action: "add address",
                    prefix: *address,
                    source,
                })?;
        }
        let subnets = addresses.iter().map(IpNet::trunc).collect();
        Ok(Self {
            netlink,
            interface,
            subnets,
            enabled,
            installed: BTreeSet::new(),
        })
    }

    fn is_needed(&self, prefix: &IpNet) -> bool {
        self.enabled
            && prefix.prefix_len() > 0
            && !self.subnets.iter().any(|subnet| subnet.contains(prefix))
            && !self.installed.contains(prefix)
    }

    /// Adds the routes that these prefixes need; on an error, none of them.
    pub(super) fn add(&mut self, prefixes: &[IpNet]) -> Result<(), Error> {
        let mut added = Vec::new();
        for prefix in prefixes.iter().map(IpNet::trunc) {
            if !self.is_needed(&prefix) {
                continue;
            }
            if let Err(source) = self.netlink.add_route(self.interface, prefix) {
                self.remove(&added);
                return Err(Error::Network {
                    action: "add route",
                    prefix,
                    source,
                });
            }
            self.installed.insert(prefix);
            added.push(prefix);
        }
        Ok(())
    }

    /// Removes the routes of these prefixes, where they were added here.
    pub(super) fn remove(&mut self, prefixes: &[IpNet]) {
        for prefix in prefixes.iter().map(IpNet::trunc) {
            if !self.installed.remove(&prefix) {
                continue;
            }
            match self.netlink.remove_route(self.interface, prefix) {
                // It went with an address, or by hand.
                Err(error) if error.raw_os_error() == Some(3) => {}
                Err(error) => tracing::warn!(%prefix, %error, "cannot remove route"),
                Ok(()) => {}
            }
        }
    }
}

/// Says in an error what was tried with the interface.
pub(super) fn interface_error(
    interface: &str,
    action: &'static str,
) -> impl FnOnce(io::Error) -> Error {
    let interface = interface.to_owned();
    move |source| Error::Interface {
        interface,
        action,
        source,
    }
}
