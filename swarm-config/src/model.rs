//! What the operator writes: everything may be left out but the swarm's name and one hub.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::parse::At;
use crate::value::{ByteSize, Domain, NodeId, Role, Span, SwarmName};

/// A `swarm.toml` as it was written: known keys only, each with a value of its own form, and
/// the place where it stands. Defaults and the checks of one value against another come with
/// [`resolve`](SwarmFile::resolve).
///
/// It displays as a `swarm.toml` without comments that reads back as an equal value.
///
/// Two are equal when they say the same, wherever they say it.
#[derive(Debug, Clone)]
pub struct SwarmFile {
    /// What was read, to tell places in it.
    pub(crate) text: String,
    pub(crate) name: At<SwarmName>,
    pub(crate) domain: Option<At<Domain>>,
    pub(crate) network: Option<At<Ipv4Net>>,
    pub(crate) network6: Option<At<Ipv6Net>>,
    /// In the order of the text: that is the order in which addresses are given.
    pub(crate) nodes: Vec<NodeSection>,
    pub(crate) wireguard: WireGuardSection,
    pub(crate) nats: NatsSection,
    pub(crate) matrix: MatrixSection,
    pub(crate) health: HealthSection,
    pub(crate) ca: CaSection,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeSection {
    pub(crate) id: At<NodeId>,
    pub(crate) roles: Option<Vec<At<Role>>>,
    pub(crate) address: Option<At<Ipv4Addr>>,
    pub(crate) endpoint: Option<At<SocketAddr>>,
    pub(crate) enroll: Option<At<SocketAddr>>,
    pub(crate) leaf: Option<At<bool>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct WireGuardSection {
    pub(crate) port: Option<At<u16>>,
    pub(crate) mtu: Option<At<u16>>,
    pub(crate) keepalive: Option<At<Span>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NatsSection {
    pub(crate) port: Option<At<u16>>,
    pub(crate) monitor_port: Option<At<u16>>,
    pub(crate) max_payload: Option<At<ByteSize>>,
    pub(crate) max_connections: Option<At<u32>>,
    pub(crate) write_deadline: Option<At<Span>>,
    pub(crate) ping_interval: Option<At<Span>>,
    pub(crate) jetstream: JetStreamSection,
    pub(crate) leaf: LeafSection,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LeafSection {
    pub(crate) link_port: Option<At<u16>>,
    pub(crate) port: Option<At<u16>>,
    pub(crate) monitor_port: Option<At<u16>>,
    pub(crate) max_memory: Option<At<ByteSize>>,
    pub(crate) max_file: Option<At<ByteSize>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct JetStreamSection {
    pub(crate) max_memory: Option<At<ByteSize>>,
    pub(crate) max_file: Option<At<ByteSize>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MatrixSection {
    pub(crate) port: Option<At<u16>>,
    pub(crate) client_port: Option<At<u16>>,
    pub(crate) metrics_port: Option<At<u16>>,
    pub(crate) max_upload: Option<At<ByteSize>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HealthSection {
    pub(crate) port: Option<At<u16>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CaSection {
    pub(crate) root_lifetime: Option<At<Span>>,
    pub(crate) issuing_lifetime: Option<At<Span>>,
    pub(crate) node_lifetime: Option<At<Span>>,
    pub(crate) crl_lifetime: Option<At<Span>>,
    pub(crate) invite_lifetime: Option<At<Span>>,
}

impl SwarmFile {
    /// The name of the swarm.
    #[must_use]
    pub fn name(&self) -> &SwarmName {
        &self.name.value
    }

    /// The nodes listed in the file, in its order. Nodes that join by invite need no entry.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.nodes.iter().map(|node| &node.id.value)
    }
}

impl PartialEq for SwarmFile {
    fn eq(&self, other: &Self) -> bool {
        // Taken apart, so that a new field cannot be forgotten.
        let Self {
            text: _,
            name,
            domain,
            network,
            network6,
            nodes,
            wireguard,
            nats,
            matrix,
            health,
            ca,
        } = self;
        (name, domain, network, network6)
            == (&other.name, &other.domain, &other.network, &other.network6)
            && *nodes == other.nodes
            && (wireguard, nats) == (&other.wireguard, &other.nats)
            && (matrix, health, ca) == (&other.matrix, &other.health, &other.ca)
    }
}

impl NodeSection {
    pub(crate) fn is_hub(&self) -> bool {
        self.roles.iter().flatten().any(|role| role.value.is_hub())
    }
}

/// Writes tables with the keys that have a value, and no table without any.
struct Writer<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    header: String,
    /// Whether the header is still to be written, and whether anything was.
    pending: bool,
    begun: bool,
}

impl<'a, 'f> Writer<'a, 'f> {
    fn table(&mut self, header: &str) {
        header.clone_into(&mut self.header);
        self.pending = true;
    }

    fn header(&mut self) -> fmt::Result {
        if std::mem::take(&mut self.pending) {
            if std::mem::replace(&mut self.begun, true) {
                writeln!(self.out)?;
            }
            writeln!(self.out, "[{}]", self.header)?;
        }
        Ok(())
    }

    fn text<T: fmt::Display>(&mut self, key: &str, value: Option<&At<T>>) -> fmt::Result {
        let Some(at) = value else { return Ok(()) };
        self.header()?;
        writeln!(self.out, "{key} = \"{}\"", at.value)
    }

    /// Writes what stands without quotes.
    fn number<T: fmt::Display>(&mut self, key: &str, value: Option<&At<T>>) -> fmt::Result {
        let Some(at) = value else { return Ok(()) };
        self.header()?;
        writeln!(self.out, "{key} = {}", at.value)
    }
}

impl fmt::Display for SwarmFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut w = Writer {
            out: f,
            header: String::new(),
            pending: false,
            begun: false,
        };
        w.table("swarm");
        w.text("name", Some(&self.name))?;
        w.text("domain", self.domain.as_ref())?;
        w.text("network", self.network.as_ref())?;
        w.text("network6", self.network6.as_ref())?;
        for node in &self.nodes {
            w.table(&format!("nodes.{}", node.id.value));
            w.header()?;
            if let Some(roles) = &node.roles {
                let roles: Vec<String> = roles
                    .iter()
                    .map(|role| format!("\"{}\"", role.value))
                    .collect();
                writeln!(w.out, "roles = [{}]", roles.join(", "))?;
            }
            w.text("address", node.address.as_ref())?;
            w.text("endpoint", node.endpoint.as_ref())?;
            w.text("enroll", node.enroll.as_ref())?;
            w.number("leaf", node.leaf.as_ref())?;
        }
        w.table("wireguard");
        w.number("port", self.wireguard.port.as_ref())?;
        w.number("mtu", self.wireguard.mtu.as_ref())?;
        w.text("keepalive", self.wireguard.keepalive.as_ref())?;
        w.table("nats");
        w.number("port", self.nats.port.as_ref())?;
        w.number("monitor_port", self.nats.monitor_port.as_ref())?;
        w.text("max_payload", self.nats.max_payload.as_ref())?;
        w.number("max_connections", self.nats.max_connections.as_ref())?;
        w.text("write_deadline", self.nats.write_deadline.as_ref())?;
        w.text("ping_interval", self.nats.ping_interval.as_ref())?;
        w.table("nats.jetstream");
        w.text("max_memory", self.nats.jetstream.max_memory.as_ref())?;
        w.text("max_file", self.nats.jetstream.max_file.as_ref())?;
        w.table("nats.leaf");
        let leaf = &self.nats.leaf;
        w.number("link_port", leaf.link_port.as_ref())?;
        w.number("port", leaf.port.as_ref())?;
        w.number("monitor_port", leaf.monitor_port.as_ref())?;
        w.text("max_memory", leaf.max_memory.as_ref())?;
        w.text("max_file", leaf.max_file.as_ref())?;
        w.table("matrix");
        w.number("port", self.matrix.port.as_ref())?;
        w.number("client_port", self.matrix.client_port.as_ref())?;
        w.number("metrics_port", self.matrix.metrics_port.as_ref())?;
        w.text("max_upload", self.matrix.max_upload.as_ref())?;
        w.table("health");
        w.number("port", self.health.port.as_ref())?;
        w.table("ca");
        w.text("root_lifetime", self.ca.root_lifetime.as_ref())?;
        w.text("issuing_lifetime", self.ca.issuing_lifetime.as_ref())?;
        w.text("node_lifetime", self.ca.node_lifetime.as_ref())?;
        w.text("crl_lifetime", self.ca.crl_lifetime.as_ref())?;
        w.text("invite_lifetime", self.ca.invite_lifetime.as_ref())
    }
}
