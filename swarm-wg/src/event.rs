//! What happens to peers, for whoever wants to know.

use std::net::SocketAddr;
use std::time::Duration;

use crate::key::PublicKey;

/// Something that happened to a peer or to the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A handshake was completed: packets can pass both ways.
    HandshakeCompleted {
        /// The peer.
        peer: PublicKey,
    },
    /// Handshake attempts went unanswered for 90 seconds. They go on, more slowly, for a
    /// peer with a persistent keepalive.
    HandshakeFailed {
        /// The peer.
        peer: PublicKey,
    },
    /// An authenticated packet came from an address other than the one on record, and the
    /// peer is now reached there.
    EndpointMoved {
        /// The peer.
        peer: PublicKey,
        /// The endpoint before, if one was known.
        from: Option<SocketAddr>,
        /// The endpoint from now on.
        to: SocketAddr,
    },
    /// The peer's session ended without a successor: the peer fell silent or unreachable.
    PeerExpired {
        /// The peer.
        peer: PublicKey,
    },
    /// This machine's clock is behind the handshakes it has sent before, so peers will
    /// refuse to be called by it until the clock has caught up. They can still call.
    ClockBehind {
        /// How far the clock is behind.
        behind: Duration,
    },
}
