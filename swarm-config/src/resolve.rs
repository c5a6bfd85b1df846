//! From what was written to the [`Plan`]: defaults, addresses, and the checks of one value
//! against another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::address::{AddressError, Addresses, MeshNetwork, default_network6};
use crate::error::{Problem, ProblemKind, Problems};
use crate::model::{NodeSection, SwarmFile};
use crate::parse::At;
use crate::plan::{CaPlan, HealthPlan, MatrixPlan, NatsPlan, NodePlan, Plan, WireGuardPlan};
use crate::value::{ByteSize, NodeId, Role, Span};

const DEFAULT_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 16);
pub(crate) const DEFAULT_ENROLL_PORT: u16 = 7443;
const PRIVATE_V4: &str = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10";
const PRIVATE_V6: &str = "fc00::/7";

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
        let mut problems = Vec::new();
        let plan = self.plan(known, &mut problems);
        match (plan, Problems::collect(problems)) {
            (_, Some(problems)) => Err(problems),
            (Some(plan), None) => Ok(plan),
            (None, None) => unreachable!("a plan that is not made has a problem"),
        }
    }

    fn plan(
        &self,
        known: &BTreeMap<NodeId, Ipv4Addr>,
        problems: &mut Vec<Problem>,
    ) -> Option<Plan> {
        self.check_lifetimes(problems);
        self.check_ports(problems);
        let primary = self.nodes.iter().find(|node| node.is_hub());
        if primary.is_none() {
            let mut problem = self.name.place.problem("nodes", ProblemKind::NoHub);
            problem.found = None;
            problem.hint = Some(
                "add [nodes.<id>] with roles = [\"hub\"] and endpoint = \"<public address>:51820\""
                    .to_owned(),
            );
            problems.push(problem);
        }
        let mesh = self.mesh(problems);
        if let Some(mesh) = &mesh {
            self.check_endpoints(mesh, problems);
        }
        let nodes = self.place_nodes(&mesh?, known, problems);
        let primary = primary?.id.value.clone();
        let name = self.name.value.clone();
        // The primary's own entry is missing when it could get no address.
        nodes.contains_key(&primary).then(|| Plan {
            domain: self
                .domain
                .as_ref()
                .map_or_else(|| name.default_domain(), |at| at.value.clone()),
            name,
            mesh: mesh.expect("checked above"),
            nodes,
            primary,
            wireguard: self.wireguard_plan(),
            nats: self.nats_plan(),
            matrix: self.matrix_plan(),
            health: HealthPlan {
                port: or(&self.health.port, 9464),
            },
            ca: self.ca_plan(),
        })
    }

    fn mesh(&self, problems: &mut Vec<Problem>) -> Option<MeshNetwork> {
        let before = problems.len();
        let v4 = or(&self.network, DEFAULT_NETWORK);
        if let Some(at) = &self.network {
            let private = PRIVATE_V4
                .split(", ")
                .map(net::<Ipv4Net>)
                .any(|p| p.contains(&v4));
            let facts = (
                v4.trunc() == v4,
                private,
                v4.prefix_len() <= MeshNetwork::LONGEST_V4,
            );
            check_network(at, "swarm.network", facts, v4.trunc().to_string(), problems);
        }
        let v6 = or(&self.network6, default_network6(&self.name.value));
        if let Some(at) = &self.network6 {
            let private = net::<Ipv6Net>(PRIVATE_V6).contains(&v6);
            let facts = (
                v6.trunc() == v6,
                private,
                v6.prefix_len() <= MeshNetwork::LONGEST_V6,
            );
            check_network(
                at,
                "swarm.network6",
                facts,
                v6.trunc().to_string(),
                problems,
            );
        }
        if problems.len() > before {
            return None;
        }
        Some(MeshNetwork::new(v4, v6).expect("both prefixes are checked above"))
    }

    /// Gives every node its address: stated, then known, then free ones.
    fn place_nodes(
        &self,
        mesh: &MeshNetwork,
        known: &BTreeMap<NodeId, Ipv4Addr>,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<NodeId, NodePlan> {
        let mut owners: BTreeMap<Ipv4Addr, NodeId> = BTreeMap::new();
        let mut placed = BTreeMap::new();
        for node in &self.nodes {
            let Some(at) = &node.address else { continue };
            let id = &node.id.value;
            let fits = mesh.addresses(at.value).and_then(|addresses| {
                match owners.insert(at.value, id.clone()) {
                    Some(other) => Err(AddressError::Taken {
                        address: at.value,
                        other,
                    }),
                    None => Ok(addresses),
                }
            });
            match fits {
                Ok(addresses) => {
                    placed.insert(id.clone(), addresses);
                }
                Err(error) => {
                    problems.push(
                        at.place
                            .problem(key(id, "address"), ProblemKind::Address(error)),
                    );
                }
            }
        }
        for (id, address) in known {
            let listed = self.nodes.iter().find(|node| node.id.value == *id);
            if listed.is_some_and(|node| node.address.is_some()) {
                continue;
            }
            if let Some(other) = owners.get(address) {
                let error = AddressError::Taken {
                    address: *address,
                    other: id.clone(),
                };
                if let Some(at) = self.pin_of(other) {
                    let kind = ProblemKind::Address(error);
                    problems.push(at.place.problem(key(other, "address"), kind));
                }
                continue;
            }
            owners.insert(*address, id.clone());
            // A known address outside a network that has changed is given up.
            if let (Some(_), Ok(addresses)) = (listed, mesh.addresses(*address)) {
                placed.insert(id.clone(), addresses);
            }
        }
        let mut taken: BTreeSet<Ipv4Addr> = owners.into_keys().collect();
        let (hubs, others): (Vec<_>, Vec<_>) = self.nodes.iter().partition(|node| node.is_hub());
        for node in hubs.into_iter().chain(others) {
            let id = &node.id.value;
            if node.address.is_some() || placed.contains_key(id) {
                continue;
            }
            match mesh.allocate(&taken, id) {
                Ok(addresses) => {
                    taken.insert(addresses.v4);
                    placed.insert(id.clone(), addresses);
                }
                Err(error) => {
                    let kind = ProblemKind::Address(error);
                    problems.push(node.id.place.problem(format!("nodes.{id}"), kind));
                }
            }
        }
        let sections: BTreeMap<_, _> = self
            .nodes
            .iter()
            .map(|node| (&node.id.value, node))
            .collect();
        let plan = |(id, addresses): (NodeId, Addresses)| {
            let node = sections.get(&id)?;
            let roles: BTreeSet<Role> = node
                .roles
                .iter()
                .flatten()
                .map(|r| r.value.clone())
                .collect();
            let endpoint = value(&node.endpoint);
            let default_enroll = endpoint.map(|at| SocketAddr::new(at.ip(), DEFAULT_ENROLL_PORT));
            let enroll = if node.is_hub() {
                value(&node.enroll).or(default_enroll)
            } else {
                None
            };
            let roles = if roles.is_empty() {
                [Role::edge()].into()
            } else {
                roles
            };
            Some((
                id.clone(),
                NodePlan {
                    id,
                    roles,
                    addresses,
                    endpoint,
                    enroll,
                },
            ))
        };
        placed.into_iter().filter_map(plan).collect()
    }

    fn pin_of(&self, id: &NodeId) -> Option<&At<Ipv4Addr>> {
        self.nodes
            .iter()
            .find(|node| node.id.value == *id)?
            .address
            .as_ref()
    }

    fn check_endpoints(&self, mesh: &MeshNetwork, problems: &mut Vec<Problem>) {
        let mut seen: BTreeMap<(SocketAddr, bool), String> = BTreeMap::new();
        for node in &self.nodes {
            let id = &node.id.value;
            match (&node.endpoint, &node.enroll) {
                (None, _) if node.is_hub() => {
                    let key = key(id, "endpoint");
                    let mut problem = node.id.place.problem(key, ProblemKind::Missing);
                    problem.found = None;
                    problem.hint = Some(
                        "a hub states the public address at which nodes reach it, \
                         such as endpoint = \"203.0.113.10:51820\""
                            .to_owned(),
                    );
                    problems.push(problem);
                }
                (_, Some(at)) if !node.is_hub() => {
                    problems.push(
                        at.place
                            .problem(key(id, "enroll"), ProblemKind::OnlyForHubs),
                    );
                }
                _ => {}
            }
            check_public(node, "endpoint", &node.endpoint, mesh, &mut seen, problems);
            check_public(node, "enroll", &node.enroll, mesh, &mut seen, problems);
        }
    }

    /// The listeners of the primary hub, where all of them meet. Each TCP port is asked for once
    /// even though some listen on loopback and others on the mesh: a port then says which
    /// service is meant, and moving a listener to all addresses collides with nothing.
    fn check_ports(&self, problems: &mut Vec<Problem>) {
        let (nats, matrix) = (self.nats_plan(), self.matrix_plan());
        let listeners = [
            ("nats.port", nats.port, &self.nats.port),
            (
                "nats.monitor_port",
                nats.monitor_port,
                &self.nats.monitor_port,
            ),
            ("matrix.port", matrix.port, &self.matrix.port),
            (
                "matrix.client_port",
                matrix.client_port,
                &self.matrix.client_port,
            ),
            (
                "matrix.metrics_port",
                matrix.metrics_port,
                &self.matrix.metrics_port,
            ),
            (
                "health.port",
                or(&self.health.port, 9464),
                &self.health.port,
            ),
        ];
        for (index, (key, port, written)) in listeners.iter().enumerate() {
            for (other, other_port, other_written) in &listeners[..index] {
                if port == other_port {
                    // Two defaults never collide, so one of both was written.
                    let (at, key, other) = match (written, other_written) {
                        (Some(at), _) => (at, key, other),
                        (None, Some(at)) => (at, other, key),
                        (None, None) => continue,
                    };
                    let kind = ProblemKind::PortTaken {
                        port: *port,
                        other: (*other).to_owned(),
                    };
                    problems.push(at.place.problem(*key, kind));
                }
            }
        }
        for node in self.nodes.iter().filter(|node| node.is_hub()) {
            let at = node.enroll.as_ref().or(node.endpoint.as_ref());
            let port = value(&node.enroll).map_or(DEFAULT_ENROLL_PORT, |enroll| enroll.port());
            let Some((other, _, written)) = listeners.iter().find(|(_, p, _)| *p == port) else {
                continue;
            };
            let key = key(&node.id.value, "enroll");
            let (place, key, other) = match (&node.enroll, written, at) {
                (None, Some(written), _) => (&written.place, (*other).to_owned(), key),
                (_, _, Some(at)) => (&at.place, key, (*other).to_owned()),
                (_, _, None) => continue,
            };
            problems.push(place.problem(key, ProblemKind::PortTaken { port, other }));
        }
    }

    fn check_lifetimes(&self, problems: &mut Vec<Problem>) {
        let ca = self.ca_plan();
        let chain = [
            (
                "ca.issuing_lifetime",
                ca.issuing_lifetime,
                &self.ca.issuing_lifetime,
            ),
            ("ca.node_lifetime", ca.node_lifetime, &self.ca.node_lifetime),
        ];
        let mut above = ("ca.root_lifetime", ca.root_lifetime, &self.ca.root_lifetime);
        for below in chain {
            if below.1 > above.1 {
                let at = below.2.as_ref().or(above.2.as_ref());
                let kind = ProblemKind::Exceeds {
                    other: above.0,
                    limit: above.1.to_string(),
                };
                if let Some(at) = at {
                    problems.push(at.place.problem(below.0, kind));
                }
            }
            above = below;
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

/// The value, or its default.
fn or<T: Clone>(at: &Option<At<T>>, default: T) -> T {
    value(at).unwrap_or(default)
}

fn value<T: Clone>(at: &Option<At<T>>) -> Option<T> {
    at.as_ref().map(|at| at.value.clone())
}

fn key(id: &NodeId, name: &str) -> String {
    format!("nodes.{id}.{name}")
}

fn net<N: std::str::FromStr>(text: &str) -> N {
    let Ok(network) = text.parse() else {
        unreachable!("a network of this file's own")
    };
    network
}

/// Reports what a written network lacks: no host bits, private, large enough.
fn check_network<N>(
    at: &At<N>,
    key: &'static str,
    (truncated, private, large): (bool, bool, bool),
    trunc: String,
    problems: &mut Vec<Problem>,
) {
    let v6 = key.ends_with('6');
    if !truncated {
        let mut problem = at.place.problem(key, ProblemKind::HostBits);
        problem.hint = Some(format!("did you mean `{trunc}`?"));
        problems.push(problem);
    }
    if !private {
        let allowed = if v6 { PRIVATE_V6 } else { PRIVATE_V4 };
        problems.push(at.place.problem(key, ProblemKind::NotPrivate { allowed }));
    }
    if !large {
        let longest = if v6 {
            MeshNetwork::LONGEST_V6
        } else {
            MeshNetwork::LONGEST_V4
        };
        problems.push(
            at.place
                .problem(key, ProblemKind::NetworkTooSmall { longest }),
        );
    }
}

/// Checks a public address: reachable, outside the mesh, and nobody else's.
fn check_public(
    node: &NodeSection,
    name: &'static str,
    address: &Option<At<SocketAddr>>,
    mesh: &MeshNetwork,
    seen: &mut BTreeMap<(SocketAddr, bool), String>,
    problems: &mut Vec<Problem>,
) {
    let Some(at) = address else { return };
    let key = key(&node.id.value, name);
    let (reachable, network) = match at.value.ip() {
        IpAddr::V4(ip) => (
            !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
            mesh.v4().contains(&ip).then(|| mesh.v4().to_string()),
        ),
        IpAddr::V6(ip) => (
            !ip.is_unspecified() && !ip.is_multicast(),
            mesh.v6().contains(&ip).then(|| mesh.v6().to_string()),
        ),
    };
    if !reachable {
        problems.push(at.place.problem(key.clone(), ProblemKind::NotReachable));
    }
    if let Some(network) = network {
        problems.push(
            at.place
                .problem(key.clone(), ProblemKind::InsideMesh { network }),
        );
    }
    // The endpoint is UDP and the enrolment TCP: they do not meet.
    if let Some(other) = seen.insert((at.value, name == "enroll"), key.clone()) {
        problems.push(at.place.problem(key, ProblemKind::SameEndpoint { other }));
    }
}
