//! The whole of a swarm's configuration with nothing left open: every default applied, every
//! address given, every check passed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use serde::Serialize;

use crate::address::{Addresses, MeshNetwork};
use crate::value::{ByteSize, Domain, NodeId, Role, Span, SwarmName};

/// The plan of a swarm. It comes out of [`SwarmFile::resolve`](crate::SwarmFile::resolve) or
/// [`Plan::parse`] only, so a plan that exists is consistent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub(crate) name: SwarmName,
    pub(crate) domain: Domain,
    pub(crate) mesh: MeshNetwork,
    pub(crate) nodes: BTreeMap<NodeId, NodePlan>,
    pub(crate) primary: NodeId,
    pub(crate) wireguard: WireGuardPlan,
    pub(crate) nats: NatsPlan,
    pub(crate) matrix: MatrixPlan,
    pub(crate) health: HealthPlan,
    pub(crate) ca: CaPlan,
}

/// A node that the file lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NodePlan {
    /// Its name.
    pub id: NodeId,
    /// Its roles; never empty.
    pub roles: BTreeSet<Role>,
    /// Its addresses in the mesh.
    pub addresses: Addresses,
    /// Its public WireGuard address. A hub always has one.
    pub endpoint: Option<SocketAddr>,
    /// Its public enrolment address. A hub always has one, no other node has.
    pub enroll: Option<SocketAddr>,
    /// Whether it has a bus of its own, which is a leaf node of the hub's. A hub never has.
    pub leaf: bool,
}

/// The tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WireGuardPlan {
    /// UDP port that every node listens on.
    pub port: u16,
    /// Largest packet inside the tunnel, in bytes.
    pub mtu: u16,
    /// How often a node sends something to a peer that has an endpoint; `None` for never.
    pub keepalive: Option<Span>,
}

/// The bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NatsPlan {
    /// TCP port on the hub's mesh address; mutual TLS.
    pub port: u16,
    /// TCP port of the monitoring endpoint, on loopback.
    pub monitor_port: u16,
    /// Largest message.
    pub max_payload: ByteSize,
    /// Most connections at one time.
    pub max_connections: u32,
    /// How long the server waits for a slow client before it cuts it off.
    pub write_deadline: Span,
    /// How often the server pings; two pings without an answer end a connection.
    pub ping_interval: Span,
    /// Memory that all memory streams share.
    pub jetstream_max_memory: ByteSize,
    /// Disk that all file streams share.
    pub jetstream_max_file: ByteSize,
    /// The buses of nodes that have one of their own.
    pub leaf: LeafPlan,
}

/// The buses of nodes that have one of their own: leaf nodes of the hub's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeafPlan {
    /// TCP port on the hub's mesh address to which they connect; mutual TLS.
    pub link_port: u16,
    /// TCP port of such a bus, on loopback; mutual TLS.
    pub port: u16,
    /// TCP port of its monitoring endpoint, on loopback.
    pub monitor_port: u16,
    /// Memory that all its memory streams share.
    pub max_memory: ByteSize,
    /// Disk that all its file streams share.
    pub max_file: ByteSize,
}

/// The rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MatrixPlan {
    /// TCP port of the front on the hub's mesh address; mutual TLS.
    pub port: u16,
    /// TCP port of Synapse itself, on loopback.
    pub client_port: u16,
    /// TCP port of Synapse's metrics, on loopback.
    pub metrics_port: u16,
    /// Largest file that can be uploaded.
    pub max_upload: ByteSize,
}

/// Each node's own health endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HealthPlan {
    /// TCP port of `/healthz` and `/metrics`, on loopback.
    pub port: u16,
}

/// The certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CaPlan {
    /// Lifetime of the root certificate.
    pub root_lifetime: Span,
    /// Lifetime of the issuing certificate.
    pub issuing_lifetime: Span,
    /// Lifetime of a node's certificate.
    pub node_lifetime: Span,
    /// How long a revocation list is good for.
    pub crl_lifetime: Span,
    /// How long an invite can be used.
    pub invite_lifetime: Span,
}

impl Plan {
    /// The name of the swarm: the Matrix server name too.
    #[must_use]
    pub fn name(&self) -> &SwarmName {
        &self.name
    }

    /// The domain of the nodes' host names.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The mesh networks.
    #[must_use]
    pub fn mesh(&self) -> &MeshNetwork {
        &self.mesh
    }

    /// Every listed node, ordered by id.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodePlan> {
        self.nodes.values()
    }

    /// A listed node.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<&NodePlan> {
        self.nodes.get(id)
    }

    /// Every hub, the primary one first, the others ordered by id. There is at least one.
    pub fn hubs(&self) -> impl Iterator<Item = &NodePlan> {
        let others = self
            .nodes()
            .filter(|node| node.is_hub() && node.id != self.primary);
        std::iter::once(self.primary()).chain(others)
    }

    /// The hub that runs the bus and the rooms: the one written first.
    #[must_use]
    pub fn primary(&self) -> &NodePlan {
        &self.nodes[&self.primary]
    }

    /// The tunnel.
    #[must_use]
    pub fn wireguard(&self) -> &WireGuardPlan {
        &self.wireguard
    }

    /// The bus.
    #[must_use]
    pub fn nats(&self) -> &NatsPlan {
        &self.nats
    }

    /// The rooms.
    #[must_use]
    pub fn matrix(&self) -> &MatrixPlan {
        &self.matrix
    }

    /// Each node's health endpoint.
    #[must_use]
    pub fn health(&self) -> &HealthPlan {
        &self.health
    }

    /// The certificate authority.
    #[must_use]
    pub fn ca(&self) -> &CaPlan {
        &self.ca
    }

    /// The host name of a node, listed or not: `<id>.<domain>`.
    #[must_use]
    pub fn host(&self, id: &NodeId) -> String {
        self.domain.host(id)
    }

    /// Where the bus listens: the primary hub's mesh address.
    #[must_use]
    pub fn nats_address(&self) -> SocketAddr {
        SocketAddr::new(self.primary().addresses.v4.into(), self.nats.port)
    }

    /// Every listed node that has a bus of its own, ordered by id.
    pub fn leaves(&self) -> impl Iterator<Item = &NodePlan> {
        self.nodes().filter(|node| node.leaf)
    }

    /// Whether a node, listed or not, has a bus of its own.
    #[must_use]
    pub fn is_leaf(&self, id: &NodeId) -> bool {
        self.node(id).is_some_and(|node| node.leaf)
    }

    /// Where the hub's bus takes the links of leaf nodes: on the primary hub's mesh address.
    #[must_use]
    pub fn leaf_link_address(&self) -> SocketAddr {
        SocketAddr::new(self.primary().addresses.v4.into(), self.nats.leaf.link_port)
    }

    /// Where the bus of a leaf node listens: on loopback.
    #[must_use]
    pub fn leaf_address(&self) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.nats.leaf.port)
    }

    /// Where the rooms are reached: the front on the primary hub's mesh address.
    #[must_use]
    pub fn matrix_address(&self) -> SocketAddr {
        SocketAddr::new(self.primary().addresses.v4.into(), self.matrix.port)
    }

    /// The rooms' URL, `https://<address>:<port>`. It needs no DNS: the hub's certificate names
    /// its mesh addresses.
    #[must_use]
    pub fn matrix_url(&self) -> String {
        format!("https://{}", self.matrix_address())
    }

    /// The URLs at which a new node can enrol, one for each hub, the primary's first.
    #[must_use]
    pub fn enroll_urls(&self) -> Vec<String> {
        self.hubs()
            .filter_map(|hub| hub.enroll)
            .map(|at| format!("https://{at}"))
            .collect()
    }
}

impl NodePlan {
    /// Whether the node is a hub.
    #[must_use]
    pub fn is_hub(&self) -> bool {
        self.roles.iter().any(Role::is_hub)
    }
}
