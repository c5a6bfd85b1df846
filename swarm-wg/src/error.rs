//! Why a call on the tunnel fails.

use thiserror::Error;

use crate::key::PublicKey;

/// Why a call on the tunnel fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer is configured already.
    #[error("peer {peer} exists already")]
    PeerExists {
        /// The peer's name.
        peer: PublicKey,
    },
    /// No such peer is configured.
    #[error("no peer {peer}")]
    UnknownPeer {
        /// The name asked for.
        peer: PublicKey,
    },
    /// A peer with the tunnel's own public key.
    #[error("a tunnel cannot be its own peer")]
    PeerIsSelf,
    /// The table of peers is full.
    #[error("more than {limit} peers")]
    TooManyPeers {
        /// The most peers a tunnel takes.
        limit: usize,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    #[cfg(feature = "tun")]
    Randomness(#[source] std::io::Error),
    /// The TUN device could not be made or set up.
    #[error("cannot {action} the interface {interface}")]
    #[cfg(feature = "tun")]
    Interface {
        /// Name of the interface.
        interface: String,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The UDP port could not be bound.
    #[error("cannot bind UDP port {port}")]
    #[cfg(feature = "tun")]
    Bind {
        /// The port asked for; 0 is any.
        port: u16,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// An address or route could not be set.
    #[error("cannot {action} {prefix}")]
    #[cfg(feature = "tun")]
    Network {
        /// What was tried.
        action: &'static str,
        /// The address or route.
        prefix: ipnet::IpNet,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The configuration socket could not be made.
    #[error("cannot listen on the configuration socket {}", path.display())]
    #[cfg(feature = "uapi")]
    Uapi {
        /// Path of the socket.
        path: std::path::PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread")]
    #[cfg(feature = "tun")]
    Thread(#[source] std::io::Error),
    /// The tunnel is shutting down.
    #[error("the tunnel is shutting down")]
    #[cfg(feature = "tun")]
    Closed,
}
