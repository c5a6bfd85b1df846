//! What a running node says of itself.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A running node, as `swarm status --json` prints it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// The swarm it belongs to.
    pub swarm: String,
    /// Its id.
    pub node: String,
    /// Its roles, as its certificate has them.
    pub roles: Vec<String>,
    /// Its addresses in the mesh.
    pub addresses: Vec<IpAddr>,
    /// The version of the program.
    pub version: String,
    /// Seconds since it was started.
    pub uptime_seconds: u64,
    /// Its certificate.
    pub certificate: CertificateStatus,
    /// Its tunnel.
    pub tunnel: TunnelStatus,
    /// Its connection to the bus.
    pub bus: LinkStatus,
    /// The link of its own bus to the hub's, on a node that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkStatus>,
    /// Its events on their way to the bus.
    #[serde(default)]
    pub events: SpoolStatus,
    /// Its session with the rooms.
    pub rooms: LinkStatus,
    /// The servers that it keeps alive: on a hub, and on a node that has a bus of its own.
    pub services: Vec<ServiceStatus>,
    /// What is wrong, one line each; empty when all is well.
    pub problems: Vec<String>,
}

impl Status {
    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The node's own certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Its end, RFC 3339, UTC.
    pub not_after: String,
    /// Seconds until its end.
    pub remaining_seconds: u64,
}

/// The node's tunnel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TunnelStatus {
    /// The network interface.
    pub interface: String,
    /// The UDP port.
    pub listen_port: u16,
    /// Every other node of the roster.
    pub peers: Vec<PeerStatus>,
}

/// One other node, seen through the tunnel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its id.
    pub node: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Its addresses in the mesh.
    pub addresses: Vec<IpAddr>,
    /// Its tunnel key, base64.
    pub public_key: String,
    /// Where it was last heard from.
    pub endpoint: Option<SocketAddr>,
    /// Seconds since the last handshake, when there was one.
    pub handshake_age_seconds: Option<u64>,
    /// Whether there is a live session.
    pub session: bool,
    /// Bytes received from it.
    pub received_bytes: u64,
    /// Bytes sent to it.
    pub sent_bytes: u64,
}

/// A connection that comes and goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkStatus {
    /// Whether it works at this moment.
    pub connected: bool,
    /// The state, in words.
    pub state: String,
}

/// The events of a node on their way to the bus, which wait on disk while it is away; counted since the
/// node was started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SpoolStatus {
    /// Events that were put on disk.
    pub put: u64,
    /// Events that the disk did not take.
    pub refused: u64,
    /// Events that the stream has.
    pub stored: u64,
    /// Events that wait now.
    pub waiting: u64,
    /// Bytes that they take on disk, at most.
    pub waiting_bytes: u64,
    /// How long the oldest of them waits at most.
    pub oldest_seconds: u64,
    /// Events that were given up: too many or too old, refused for good, or damaged on disk.
    pub dropped: u64,
    /// Subjects of which it cannot be found out what the stream has.
    pub held: u64,
}

/// A server that the node keeps alive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Whether it answered its health check since it was started.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// How it ended the last time.
    pub last_exit: Option<String>,
}
