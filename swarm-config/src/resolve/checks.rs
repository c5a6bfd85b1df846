//! Checks of what was written against the rest of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::{DEFAULT_ENROLL_PORT, key, or, value};
use crate::address::MeshNetwork;
use crate::error::ProblemKind;
use crate::model::SwarmFile;
use crate::parse::{At, Draft, Place};

const PRIVATE_V4: &str = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10";
const PRIVATE_V6: &str = "fc00::/7";

/// What a written network has.
struct Facts {
    truncated: String,
    has_host_bits: bool,
    is_private: bool,
    prefix: u8,
}

impl SwarmFile {
    pub(super) fn check_networks(&self, found: &mut Vec<Draft>) {
        if let Some(At { value: net, place }) = &self.network {
            let mut private = PRIVATE_V4.split(", ").map(own_network::<Ipv4Net>);
            let facts = Facts {
                truncated: net.trunc().to_string(),
                has_host_bits: net.trunc() != *net,
                is_private: private.any(|private| private.contains(net)),
                prefix: net.prefix_len(),
            };
            let limits = (PRIVATE_V4, MeshNetwork::LONGEST_V4);
            check_network("swarm.network", *place, &facts, limits, found);
        }
        if let Some(At { value: net, place }) = &self.network6 {
            let facts = Facts {
                truncated: net.trunc().to_string(),
                has_host_bits: net.trunc() != *net,
                is_private: own_network::<Ipv6Net>(PRIVATE_V6).contains(net),
                prefix: net.prefix_len(),
            };
            let limits = (PRIVATE_V6, MeshNetwork::LONGEST_V6);
            check_network("swarm.network6", *place, &facts, limits, found);
        }
    }

    /// Public addresses: a hub has one, and each is reachable and nobody else's.
    pub(super) fn check_endpoints(&self, mesh: &MeshNetwork, found: &mut Vec<Draft>) {
        let mut seen: BTreeMap<(SocketAddr, bool), String> = BTreeMap::new();
        for node in &self.nodes {
            let id = &node.id.value;
            if node.is_hub() && node.endpoint.is_none() {
                let problem = node
                    .id
                    .place
                    .problem(key(id, "endpoint"), ProblemKind::Missing);
                found.push(problem.without_text().hint(
                    "a hub states the public address at which nodes reach it, such as \
                     endpoint = \"203.0.113.10:51820\"",
                ));
            }
            if let (Some(at), false) = (&node.enroll, node.is_hub()) {
                found.push(
                    at.place
                        .problem(key(id, "enroll"), ProblemKind::OnlyForHubs),
                );
            }
            if let (Some(at), true) = (&node.leaf, node.is_hub() && or(&node.leaf, false)) {
                let problem = at.place.problem(key(id, "leaf"), ProblemKind::NotForHubs);
                found.push(problem.hint("a hub has the bus that others are leaf nodes of"));
            }
            for (name, at) in [("endpoint", &node.endpoint), ("enroll", &node.enroll)] {
                let Some(at) = at else { continue };
                check_public(&key(id, name), at, mesh, found);
                // The endpoint is UDP and the enrolment TCP: they do not meet.
                if let Some(other) = seen.insert((at.value, name == "enroll"), key(id, name)) {
                    found.push(
                        at.place
                            .problem(key(id, name), ProblemKind::SameEndpoint { other }),
                    );
                }
            }
        }
    }

    /// The listeners of the primary hub, where all of them meet. Each TCP port is asked for once
    /// even though some listen on loopback and others on the mesh: a port then says which
    /// service is meant, and moving a listener to all addresses collides with nothing.
    pub(super) fn check_ports(&self, found: &mut Vec<Draft>) {
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
                "nats.leaf.link_port",
                nats.leaf.link_port,
                &self.nats.leaf.link_port,
            ),
            ("nats.leaf.port", nats.leaf.port, &self.nats.leaf.port),
            (
                "nats.leaf.monitor_port",
                nats.leaf.monitor_port,
                &self.nats.leaf.monitor_port,
            ),
            ("health.port", self.health_plan().port, &self.health.port),
        ];
        for (index, (key, port, written)) in listeners.iter().enumerate() {
            for (other, other_port, other_written) in &listeners[..index] {
                // Two defaults never collide, so one of both was written.
                let (at, key, other) = match (written, other_written) {
                    _ if port != other_port => continue,
                    (Some(at), _) => (at, key, other),
                    (None, Some(at)) => (at, other, key),
                    (None, None) => continue,
                };
                found.push(taken(at.place, *key, *port, other));
            }
        }
        for node in self.nodes.iter().filter(|node| node.is_hub()) {
            let port = value(&node.enroll).map_or(DEFAULT_ENROLL_PORT, |enroll| enroll.port());
            let enroll = key(&node.id.value, "enroll");
            for (listener, _, written) in listeners.iter().filter(|(_, other, _)| *other == port) {
                match (&node.enroll, written) {
                    (Some(at), _) => found.push(taken(at.place, enroll.clone(), port, listener)),
                    (None, Some(at)) => found.push(taken(at.place, *listener, port, &enroll)),
                    (None, None) => {}
                }
            }
        }
    }

    pub(super) fn check_lifetimes(&self, found: &mut Vec<Draft>) {
        let (ca, written) = (self.ca_plan(), &self.ca);
        let chain = [
            ("ca.root_lifetime", ca.root_lifetime, &written.root_lifetime),
            (
                "ca.issuing_lifetime",
                ca.issuing_lifetime,
                &written.issuing_lifetime,
            ),
            ("ca.node_lifetime", ca.node_lifetime, &written.node_lifetime),
        ];
        for pair in chain.windows(2) {
            let [(other, limit, above), (key, span, below)] = pair else {
                continue;
            };
            // The defaults do not exceed each other, so one of both was written.
            let Some(at) = below.as_ref().or(above.as_ref()).filter(|_| span > limit) else {
                continue;
            };
            let kind = ProblemKind::Exceeds {
                other,
                limit: limit.to_string(),
            };
            found.push(at.place.problem(*key, kind));
        }
    }
}

fn taken(place: Place, key: impl Into<String>, port: u16, other: &str) -> Draft {
    place.problem(
        key,
        ProblemKind::PortTaken {
            port,
            other: other.to_owned(),
        },
    )
}

/// A network that this file names itself.
fn own_network<N: std::str::FromStr>(text: &str) -> N {
    let Ok(network) = text.parse() else {
        unreachable!("{text} is a network")
    };
    network
}

/// Reports what a written network lacks: no host bits, private, large enough.
fn check_network(
    key: &'static str,
    place: Place,
    facts: &Facts,
    (allowed, longest): (&'static str, u8),
    found: &mut Vec<Draft>,
) {
    if facts.has_host_bits {
        let hint = format!("did you mean `{}`?", facts.truncated);
        found.push(place.problem(key, ProblemKind::HostBits).hint(hint));
    }
    if !facts.is_private {
        found.push(place.problem(key, ProblemKind::NotPrivate { allowed }));
    }
    if facts.prefix > longest {
        found.push(place.problem(key, ProblemKind::NetworkTooSmall { longest }));
    }
}

/// Checks that a public address can be reached, and from outside the mesh.
fn check_public(key: &str, at: &At<SocketAddr>, mesh: &MeshNetwork, found: &mut Vec<Draft>) {
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
        found.push(at.place.problem(key, ProblemKind::NotReachable));
    }
    if let Some(network) = network {
        found.push(at.place.problem(key, ProblemKind::InsideMesh { network }));
    }
}
