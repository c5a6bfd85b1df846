//! Configuration: of a peer, and of the tunnel on this machine.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::key::{PresharedKey, PublicKey};

/// A peer: whose packets come in, and what goes out to it.
///
/// # Defaults
/// No pre-shared key, no endpoint (it is learnt from the peer's first authenticated
/// handshake), no allowed IPs, no persistent keepalive.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeerConfig {
    /// The peer's name.
    pub public_key: PublicKey,
    /// A symmetric key shared beforehand, mixed into the handshake.
    pub preshared_key: Option<PresharedKey>,
    /// Where the peer is believed to be.
    pub endpoint: Option<SocketAddr>,
    /// The inner addresses that belong to the peer: packets to them go to it, and only
    /// packets from them are accepted from it. A prefix belongs to one peer at a time, the
    /// last to claim it.
    pub allowed_ips: Vec<IpNet>,
    /// Seconds of silence after which an empty packet is sent, to hold a NAT mapping open.
    /// 0 means the same as `None`.
    pub persistent_keepalive: Option<u16>,
}

impl PeerConfig {
    /// A peer with nothing but its name.
    pub fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            preshared_key: None,
            endpoint: None,
            allowed_ips: Vec::new(),
            persistent_keepalive: None,
        }
    }
}

#[cfg(feature = "tun")]
pub use tunnel::{InterfaceName, InvalidInterfaceName, TunnelConfig};

#[cfg(feature = "tun")]
mod tunnel {
    use std::fmt;
    use std::num::NonZeroU16;
    use std::str::FromStr;
    use std::time::SystemTime;

    use ipnet::IpNet;
    use thiserror::Error;

    use super::PeerConfig;
    use crate::key::PrivateKey;

    /// The tunnel on this machine.
    ///
    /// # Defaults
    /// | field | default |
    /// |---|---|
    /// | `interface` | `swarm0` |
    /// | `listen_port` | 0: any free port |
    /// | `addresses` | none |
    /// | `mtu` | 1420: what fits an IPv6 path of 1500 bytes |
    /// | `fwmark` | 0: none |
    /// | `up` | `true` |
    /// | `routes` | `true` |
    /// | `uapi` | `true` |
    /// | `peers` | none |
    /// | `handshake_floor` | none |
    /// | `workers` | one for every two processors, eight at most |
    #[derive(Debug, Clone)]
    #[non_exhaustive]
    pub struct TunnelConfig {
        /// The tunnel's private key.
        pub private_key: PrivateKey,
        /// Name of the TUN interface that is made.
        pub interface: InterfaceName,
        /// UDP port, IPv4 and IPv6 alike; 0 is any free one.
        pub listen_port: u16,
        /// Addresses of the interface, each with the length of its own subnet.
        pub addresses: Vec<IpNet>,
        /// Largest inner packet, in bytes.
        pub mtu: u16,
        /// Mark on outgoing datagrams, for policy routing; 0 is none.
        pub fwmark: u32,
        /// Whether the interface is brought up.
        pub up: bool,
        /// Whether a route is set for every allowed IP that lies outside the subnets of
        /// `addresses`. Default routes (`0.0.0.0/0`, `::/0`) are never touched: they would
        /// swallow the tunnel's own datagrams.
        pub routes: bool,
        /// Whether `wg` may configure the tunnel, by `/var/run/wireguard/<interface>.sock`.
        #[cfg(feature = "uapi")]
        pub uapi: bool,
        /// The peers to begin with.
        pub peers: Vec<PeerConfig>,
        /// What `Tunnel::handshake_floor` said when it was last persisted. Peers refuse
        /// handshakes dated before the last one they saw, so a machine that boots with its
        /// clock set back cannot begin a handshake; told the floor, the tunnel says so with
        /// `Event::ClockBehind` in place of failing silently.
        pub handshake_floor: Option<SystemTime>,
        /// Threads that carry packets in each direction. A flow, and all that one peer sends
        /// from one address, stays with one of them.
        pub workers: Option<NonZeroU16>,
    }

    impl TunnelConfig {
        /// A tunnel with this key, no address and no peer.
        pub fn new(private_key: PrivateKey) -> Self {
            Self {
                private_key,
                interface: InterfaceName("swarm0".to_owned()),
                listen_port: 0,
                addresses: Vec::new(),
                mtu: 1420,
                fwmark: 0,
                up: true,
                routes: true,
                #[cfg(feature = "uapi")]
                uapi: true,
                peers: Vec::new(),
                handshake_floor: None,
                workers: None,
            }
        }
    }

    impl TunnelConfig {
        /// A tunnel that others set up, as `wg` and `ip` do: without a key, an address, a route
        /// or a peer, its interface not yet up.
        pub fn bare(interface: InterfaceName) -> Self {
            Self {
                interface,
                up: false,
                routes: false,
                ..Self::new(PrivateKey::none())
            }
        }
    }

    /// What is wrong with the name of an interface.
    #[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
    #[error(
        "an interface name is 1 to 15 letters, digits, '_', '-', '=', '+' or '.', and not '.' or '..'"
    )]
    #[non_exhaustive]
    pub struct InvalidInterfaceName;

    /// The name of a network interface: 1 to 15 characters that the kernel, `wg` and a file
    /// system take alike.
    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    pub struct InterfaceName(String);

    impl InterfaceName {
        /// The name as text.
        pub fn as_str(&self) -> &str {
            &self.0
        }
    }

    impl FromStr for InterfaceName {
        type Err = InvalidInterfaceName;

        fn from_str(text: &str) -> Result<Self, InvalidInterfaceName> {
            let fits = (1..=15).contains(&text.len()) && text != "." && text != "..";
            let plain = text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-=+.".contains(&b));
            if fits && plain {
                Ok(Self(text.to_owned()))
            } else {
                Err(InvalidInterfaceName)
            }
        }
    }

    impl fmt::Display for InterfaceName {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn interface_names_cannot_leave_their_directory() {
            for bad in [
                "",
                ".",
                "..",
                "a/b",
                "sixteen-letters-",
                "wg%d",
                "wg 0",
                "wg\n",
            ] {
                assert!(bad.parse::<InterfaceName>().is_err(), "{bad:?}");
            }
            for good in ["wg0", "swarm0", "a", "fifteen-letters", "eth0.1"] {
                assert_eq!(good.parse::<InterfaceName>().unwrap().as_str(), good);
            }
        }
    }
}
