//! From what was written to the [`Plan`]: defaults, addresses, and the checks of one value
//! against another.

mod checks;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;

use crate::address::{Addresses, MeshNetwork, default_network6};
use crate::error::{ProblemKind, Problems};
use crate::model::{NodeSection, SwarmFile};
use crate::parse::{At, Draft, tell};
use crate::plan::{
    CaPlan, HealthPlan, LeafPlan, MatrixPlan, NatsPlan, NodePlan, Plan, WireGuardPlan,
};
use crate::value::{ByteSize, NodeId, Role, Span};

const DEFAULT_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 16);
pub(crate) const DEFAULT_ENROLL_PORT: u16 = 7443;

impl Plan {
    /// Reads a `swarm.toml` and resolves it, with no node's address known from before.
    ///
    /// # Errors
    /// [`Problems`], of [`SwarmFile::parse`] or [`SwarmFile::resolve`].
    pub fn parse(text: &str) -> Result<Self, Problems> {
        SwarmFile::parse(text)?.resolve(&BTreeMap::new())
    }
}

impl SwarmFile {
    /// Makes the plan.
    ///
    /// A node's address is the one it states; else the one in `known`, which is what its
    /// certificate says already; else the lowest one that is free, hubs first, in the order of
    /// the text. With `known` filled from the certificates, a new line in the file moves
    /// nobody. Nodes in `known` that the file does not list keep their addresses from being
    /// given to others, and are not part of the plan.
    ///
    /// # Errors
    /// [`Problems`]: every check that fails.
    pub fn resolve(&self, known: &BTreeMap<NodeId, Ipv4Addr>) -> Result<Plan, Problems> {
        let mut found = Vec::new();
        let plan = self.plan(known, &mut found);
        match (plan, tell(&self.text, found)) {
            (_, Some(problems)) => Err(problems),
            (Some(plan), None) => Ok(plan),
            (None, None) => unreachable!("a plan that is not made has a problem"),
        }
    }

    fn plan(&self, known: &BTreeMap<NodeId, Ipv4Addr>, found: &mut Vec<Draft>) -> Option<Plan> {
        self.check_lifetimes(found);
        self.check_ports(found);
        let primary = self.nodes.iter().find(|node| node.is_hub());
        if primary.is_none() {
            let problem = self
                .name
                .place
                .problem("nodes", ProblemKind::NoHub)
                .without_text();
            found.push(problem.hint(
                "add [nodes.<id>] with roles = [\"hub\"] and endpoint = \"<public address>:51820\"",
            ));
        }
        let mesh = self.mesh(found)?;
        self.check_endpoints(&mesh, found);
        let nodes = self.place_nodes(&mesh, known, found);
        let primary = primary?.id.value.clone();
        let name = self.name.value.clone();
        // The primary's own entry is missing when it could get no address.
        nodes.contains_key(&primary).then(|| Plan {
            domain: value(&self.domain).unwrap_or_else(|| name.default_domain()),
            name,
            mesh,
            nodes,
            primary,
            wireguard: self.wireguard_plan(),
            nats: self.nats_plan(),
            matrix: self.matrix_plan(),
            health: self.health_plan(),
            ca: self.ca_plan(),
        })
    }

    /// The mesh networks, when both are good.
    fn mesh(&self, found: &mut Vec<Draft>) -> Option<MeshNetwork> {
        let before = found.len();
        self.check_networks(found);
        let v4 = or(&self.network, DEFAULT_NETWORK);
        let v6 = or(&self.network6, default_network6(&self.name.value));
        if found.len() > before {
            None
        } else {
            MeshNetwork::new(v4, v6)
        }
    }

    fn wireguard_plan(&self) -> WireGuardPlan {
        let keepalive = or(&self.wireguard.keepalive, Span::from_secs(25));
        WireGuardPlan {
            port: or(&self.wireguard.port, 51_820),
            mtu: or(&self.wireguard.mtu, 1420),
            keepalive: Some(keepalive).filter(|span| *span > Span::from_secs(0)),
        }
    }

    fn nats_plan(&self) -> NatsPlan {
        let nats = &self.nats;
        NatsPlan {
            port: or(&nats.port, 4222),
            monitor_port: or(&nats.monitor_port, 8222),
            max_payload: or(&nats.max_payload, ByteSize::from_mib(1)),
            max_connections: or(&nats.max_connections, 10_000),
            write_deadline: or(&nats.write_deadline, Span::from_secs(10)),
            ping_interval: or(&nats.ping_interval, Span::from_secs(20)),
            jetstream_max_memory: or(&nats.jetstream.max_memory, ByteSize::from_mib(256)),
            jetstream_max_file: or(&nats.jetstream.max_file, ByteSize::from_mib(10 << 10)),
            leaf: LeafPlan {
                link_port: or(&nats.leaf.link_port, 7422),
                port: or(&nats.leaf.port, 4322),
                monitor_port: or(&nats.leaf.monitor_port, 8322),
                max_memory: or(&nats.leaf.max_memory, ByteSize::from_mib(64)),
                max_file: or(&nats.leaf.max_file, ByteSize::from_mib(1 << 10)),
            },
        }
    }

    fn matrix_plan(&self) -> MatrixPlan {
        MatrixPlan {
            port: or(&self.matrix.port, 8448),
            client_port: or(&self.matrix.client_port, 8008),
            metrics_port: or(&self.matrix.metrics_port, 9009),
            max_upload: or(&self.matrix.max_upload, ByteSize::from_mib(50)),
        }
    }

    fn health_plan(&self) -> HealthPlan {
        HealthPlan {
            port: or(&self.health.port, 9464),
        }
    }

    fn ca_plan(&self) -> CaPlan {
        CaPlan {
            root_lifetime: or(&self.ca.root_lifetime, Span::from_days(3650)),
            issuing_lifetime: or(&self.ca.issuing_lifetime, Span::from_days(730)),
            node_lifetime: or(&self.ca.node_lifetime, Span::from_days(30)),
            crl_lifetime: or(&self.ca.crl_lifetime, Span::from_days(30)),
            invite_lifetime: or(&self.ca.invite_lifetime, Span::from_days(1)),
        }
    }
}

impl NodeSection {
    fn plan(&self, addresses: Addresses) -> NodePlan {
        let roles: BTreeSet<Role> = self
            .roles
            .iter()
            .flatten()
            .map(|r| r.value.clone())
            .collect();
        let endpoint = value(&self.endpoint);
        let enroll = || endpoint.map(|at| SocketAddr::new(at.ip(), DEFAULT_ENROLL_PORT));
        NodePlan {
            id: self.id.value.clone(),
            roles: if roles.is_empty() {
                [Role::edge()].into()
            } else {
                roles
            },
            addresses,
            endpoint,
            leaf: or(&self.leaf, false) && !self.is_hub(),
            enroll: if self.is_hub() {
                value(&self.enroll).or_else(enroll)
            } else {
                None
            },
        }
    }
}

/// The value, or its default.
fn or<T: Clone>(at: &Option<At<T>>, default: T) -> T {
    value(at).unwrap_or(default)
}

fn value<T: Clone>(at: &Option<At<T>>) -> Option<T> {
    at.as_ref().map(|at| at.value.clone())
}

/// The path of a node's key.
fn key(id: &NodeId, name: &str) -> String {
    format!("nodes.{id}.{name}")
}
