//! What is known of a peer at this moment.

use std::net::SocketAddr;
use std::time::SystemTime;

use ipnet::IpNet;

use crate::key::PublicKey;

/// What is known of a peer at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// The peer's name.
    pub public_key: PublicKey,
    /// Where the peer is reached: configured, or learnt from its last authenticated packet.
    pub endpoint: Option<SocketAddr>,
    /// The inner addresses that belong to the peer, sorted.
    pub allowed_ips: Vec<IpNet>,
    /// When the last handshake was completed.
    pub latest_handshake: Option<SystemTime>,
    /// Bytes of WireGuard messages received from the peer and found authentic.
    pub rx_bytes: u64,
    /// Bytes of WireGuard messages sent to the peer.
    pub tx_bytes: u64,
    /// Seconds of silence after which an empty packet is sent.
    pub persistent_keepalive: Option<u16>,
    /// Whether a pre-shared key is mixed into the handshake.
    pub has_preshared_key: bool,
    /// Whether there is a session that packets to the peer can use now.
    pub session: bool,
}
