//! The tunnel on this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::{PeerConfig, TunnelConfig};
use crate::error::Error;
use crate::io::{Events, Shared, Threads, Watch};
use crate::key::{PrivateKey, PublicKey};
use crate::metrics::Metrics;
use crate::stats::PeerStats;

/// A running tunnel: an interface, a UDP port, and peers that come and go.
///
/// Calls return quickly and may come from any thread. The interface, the socket and the
/// threads are gone once the tunnel is dropped.
pub struct Tunnel {
    // Dropped first: the threads end before what they work with.
    _threads: Threads,
    shared: Arc<Shared>,
}

impl Tunnel {
    /// Makes the interface, binds the port, and begins.
    ///
    /// This needs the right to administer the network (root, or `CAP_NET_ADMIN`), and
    /// happens in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Interface`], [`Error::Network`] and [`Error::Bind`] when the operating system
    /// refuses, [`Error::Uapi`] when the configuration socket cannot be made,
    /// [`Error::Randomness`], [`Error::Thread`]; and as [`Self::add_peer`] for the peers to
    /// begin with.
    pub fn start(config: TunnelConfig) -> Result<Self, Error> {
        let shared = Shared::open(&config)?;
        for peer in &config.peers {
            shared.add_peer(peer)?;
        }
        #[allow(unused_mut, reason = "the configuration socket adds a thread")]
        let mut threads = Threads::start(&shared)?;
        #[cfg(feature = "uapi")]
        if config.uapi {
            let server = crate::uapi::Server::bind(shared.name())?;
            threads.spawn("uapi", move |shared| server.serve(shared))?;
        }
        Ok(Self {
            _threads: threads,
            shared,
        })
    }

    /// Name of the interface.
    pub fn interface(&self) -> &str {
        self.shared.name()
    }

    /// The UDP port, of IPv4 and IPv6 alike.
    pub fn listen_port(&self) -> u16 {
        self.shared.port()
    }

    /// The tunnel's own public key.
    pub fn public_key(&self) -> PublicKey {
        self.shared.read(|core| core.public_key())
    }

    /// Adds a peer. With an endpoint and a persistent keepalive a handshake begins at once.
    ///
    /// # Errors
    /// [`Error::PeerExists`], [`Error::PeerIsSelf`], [`Error::TooManyPeers`];
    /// [`Error::Network`] when a route cannot be set, and then the peer is not added.
    pub fn add_peer(&self, peer: PeerConfig) -> Result<(), Error> {
        self.shared.add_peer(&peer)
    }

    /// Makes a known peer equal to this configuration. An endpoint of `None` leaves the peer
    /// where it is; a changed pre-shared key ends the session.
    ///
    /// # Errors
    /// [`Error::UnknownPeer`]; [`Error::Network`] when a route cannot be set, and then
    /// nothing is changed.
    pub fn update_peer(&self, peer: PeerConfig) -> Result<(), Error> {
        self.shared.update_peer(&peer)
    }

    /// Tells where a peer is.
    ///
    /// Without a live session a handshake begins at once and is repeated after a second, so
    /// that two peers that are told of each other at about the same time open their NATs to
    /// each other. With one (see [`PeerStats::session`]) its packets go there from now on,
    /// until an authentic packet comes from elsewhere.
    ///
    /// # Errors
    /// [`Error::UnknownPeer`].
    pub fn set_endpoint(&self, peer: &PublicKey, endpoint: SocketAddr) -> Result<(), Error> {
        self.shared.set_endpoint(peer, endpoint)
    }

    /// Removes a peer. Once this returns, no packet to or from it passes. Returns whether it
    /// was there.
    pub fn remove_peer(&self, peer: &PublicKey) -> bool {
        self.shared.remove_peer(peer)
    }

    /// What is known of each peer, sorted by public key.
    pub fn peers(&self) -> Vec<PeerStats> {
        self.shared.peers()
    }

    /// What is known of one peer.
    pub fn peer(&self, peer: &PublicKey) -> Option<PeerStats> {
        self.shared.peer(peer)
    }

    /// Events from now on, in a queue of the caller's own.
    pub fn events(&self) -> Events {
        self.shared.events()
    }

    /// The tunnel in numbers.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// The tunnel in numbers, every so often: blocks until the next are due, and ends with the
    /// tunnel. The first come at once.
    pub fn watch(&self, interval: Duration) -> Watch {
        Watch::new(&self.shared, interval)
    }

    /// The latest date on a handshake sent so far: to be persisted now and then, and handed
    /// to the next life as [`TunnelConfig::handshake_floor`].
    pub fn handshake_floor(&self) -> SystemTime {
        self.shared.handshake_floor()
    }

    /// Takes another private key; all sessions end and begin anew.
    pub fn set_private_key(&self, private_key: PrivateKey) {
        self.shared.set_private_key(private_key);
    }

    /// Moves to another UDP port, 0 for any free one, in the network namespace of the calling
    /// thread. Returns the port.
    ///
    /// # Errors
    /// [`Error::Bind`], and then the old port stays.
    pub fn set_listen_port(&self, port: u16) -> Result<u16, Error> {
        self.shared.set_listen_port(port)
    }

    /// Sets the mark on outgoing datagrams, for policy routing; 0 is none.
    ///
    /// # Errors
    /// [`Error::Bind`] when the operating system refuses.
    pub fn set_fwmark(&self, fwmark: u32) -> Result<(), Error> {
        self.shared.set_fwmark(fwmark)
    }

    /// Waits until somebody takes the interface away, or the configuration socket, as tools do
    /// to end a tunnel in userspace; no longer than this. Returns whether it happened.
    pub fn wait_closed(&self, timeout: Duration) -> bool {
        self.shared.wait_closed(timeout)
    }

    /// Ends the tunnel: the interface, the port and the threads are gone once this returns.
    /// Dropping the tunnel does the same.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel")
            .field("interface", &self.interface())
            .field("listen_port", &self.listen_port())
            .finish_non_exhaustive()
    }
}
