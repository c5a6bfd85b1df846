//! The interface's addresses, and a route for each allowed IP outside their subnets.

use std::collections::BTreeSet;
use std::io;

use ipnet::IpNet;

use super::netlink::Netlink;
use super::tun::QUEUE_LEN;
use crate::core::{DATA_OVERHEAD, MAX_RUN, MAX_RUN_BYTES};
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
        mtu: u16,
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
        // Older kernels do not have it, and hand over what takes two sends.
        if let Err(error) = netlink.set_gso_max_size(interface, gso_max_size(mtu)) {
            tracing::debug!(%error, "super-packets are as long as the kernel likes");
        }
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

/// The length of a super-packet, in bytes, whose segments one send takes once they are sealed.
///
/// The kernel leaves room for the longest headers (`MAX_TCP_HEADER`, 320 bytes) and fills the
/// rest with whole segments, whose headers take 40 to 72 bytes of the MTU.
fn gso_max_size(mtu: u16) -> u32 {
    const RESERVED: usize = 320 + 80;
    const HEADERS: usize = 52;
    let mtu = usize::from(mtu).max(576);
    let segments = (MAX_RUN_BYTES / (mtu + DATA_OVERHEAD)).min(MAX_RUN);
    let size = segments * (mtu - HEADERS) + RESERVED;
    u32::try_from(size.min(65_536)).unwrap_or(65_536)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segments_of_a_super_packet_fit_one_send_and_nearly_fill_it() {
        for mtu in [1280, 1420, 1500, 9000] {
            for headers in [40, 52, 72] {
                let segment = usize::from(mtu) - headers;
                let segments = (gso_max_size(mtu) as usize - 321) / segment;
                let sealed = segments * (usize::from(mtu) + DATA_OVERHEAD);
                assert!(
                    segments <= MAX_RUN && sealed <= MAX_RUN_BYTES,
                    "{mtu} {headers}"
                );
                let most = (MAX_RUN_BYTES / (usize::from(mtu) + DATA_OVERHEAD)).min(MAX_RUN);
                assert!(
                    segments + 2 >= most,
                    "{mtu} {headers}: {segments} of {most}"
                );
            }
        }
    }
}
