//! From text to a [`SwarmFile`]: every key known, every value of its own form, every mistake
//! with its place.

mod hint;
mod section;
mod source;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};
use toml::de::DeTable;

pub(crate) use hint::closest;
use section::{Found, Section};
pub(crate) use source::{At, Draft, Place, tell};

use crate::error::{ProblemKind, Problems};
use crate::model::{
    CaSection, HealthSection, JetStreamSection, LeafSection, MatrixSection, NatsSection,
    NodeSection, SwarmFile, WireGuardSection,
};
use crate::value::{ByteSize, Domain, NodeId, Role, Span, SwarmName, ValueError};

impl SwarmFile {
    /// The longest text that is read, in bytes: about ten thousand nodes.
    pub const TEXT_LIMIT: usize = 1 << 20;

    /// Reads a `swarm.toml`.
    ///
    /// # Errors
    /// [`Problems`]: everything wrong in the text that can be told at once. A text that is not
    /// TOML is told by its syntax alone.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let mut found = Vec::new();
        let file = read(text, &mut found);
        match (file, tell(text, found)) {
            (Some(file), None) => Ok(file),
            (None, None) => unreachable!("a text without a problem is a file"),
            (_, Some(problems)) => Err(problems),
        }
    }
}

impl FromStr for SwarmFile {
    type Err = Problems;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

fn read(text: &str, found: &mut Found) -> Option<SwarmFile> {
    if text.len() > SwarmFile::TEXT_LIMIT {
        let kind = ProblemKind::TooLong {
            length: text.len(),
            limit: SwarmFile::TEXT_LIMIT,
        };
        found.push(Place::START.problem("", kind));
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        found.extend(errors.iter().map(|error| {
            let place = error.span().map_or(Place::START, Place::from);
            let message = error.message().to_owned();
            place.problem("", ProblemKind::Syntax { message })
        }));
        return None;
    }

    let mut root = Section::root(&document);
    let swarm = root
        .table("swarm", found)
        .map(|section| read_swarm(section, found));
    if swarm.is_none() && !document.get_ref().contains_key("swarm") {
        root.missing("swarm", "begin with [swarm] and name = \"…\"", found);
    }
    let mut nodes = Vec::new();
    if let Some(section) = root.table("nodes", found) {
        for (id, section) in section.entries(NodeId::parse, found) {
            nodes.push(read_node(id, section, found));
        }
    }
    let wireguard = root
        .table("wireguard", found)
        .map(|s| read_wireguard(s, found));
    let nats = root.table("nats", found).map(|s| read_nats(s, found));
    let matrix = root.table("matrix", found).map(|s| read_matrix(s, found));
    let health = root.table("health", found).map(|mut s| {
        let health = HealthSection {
            port: port(&mut s, "port", found),
        };
        s.finish(found);
        health
    });
    let ca = root.table("ca", found).map(|s| read_ca(s, found));
    root.finish(found);

    let (name, domain, network, network6) = swarm?;
    Some(SwarmFile {
        text: text.to_owned(),
        name: name?,
        domain,
        network,
        network6,
        nodes,
        wireguard: wireguard.unwrap_or_default(),
        nats: nats.unwrap_or_default(),
        matrix: matrix.unwrap_or_default(),
        health: health.unwrap_or_default(),
        ca: ca.unwrap_or_default(),
    })
}

type SwarmSection = (
    Option<At<SwarmName>>,
    Option<At<Domain>>,
    Option<At<Ipv4Net>>,
    Option<At<Ipv6Net>>,
);

fn read_swarm(mut section: Section<'_>, found: &mut Found) -> SwarmSection {
    let before = found.len();
    let name = section.text("name", SwarmName::parse, found);
    if name.is_none() && found.len() == before {
        section.missing("name", "a short lower-case name, such as \"swarm\"", found);
    }
    let domain = section.text("domain", Domain::parse, found);
    let network = section.text(
        "network",
        network_text::<Ipv4Net>("one such as 10.77.0.0/16"),
        found,
    );
    let network6 = section.text(
        "network6",
        network_text::<Ipv6Net>("one such as fd12:3456:789a::/64"),
        found,
    );
    section.finish(found);
    (name, domain, network, network6)
}

fn read_node(id: At<NodeId>, mut section: Section<'_>, found: &mut Found) -> NodeSection {
    let node = NodeSection {
        id,
        roles: section.list("roles", Role::parse, found),
        address: section.text("address", mesh_address, found),
        endpoint: section.text("endpoint", public_address, found),
        enroll: section.text("enroll", public_address, found),
        leaf: section.flag("leaf", found),
    };
    section.finish(found);
    node
}

fn read_wireguard(mut section: Section<'_>, found: &mut Found) -> WireGuardSection {
    let read = WireGuardSection {
        port: port(&mut section, "port", found),
        mtu: section.number("mtu", "the MTU", 1280..=9000, found),
        keepalive: section.text("keepalive", within("the keepalive", 0, 65_535), found),
    };
    section.finish(found);
    read
}

fn read_nats(mut section: Section<'_>, found: &mut Found) -> NatsSection {
    // nats-server itself refuses a payload above 64 MiB, and every connection may hold several.
    let payload = size_within("the largest payload", 1 << 10, 64 << 20);
    let mut read = NatsSection {
        port: port(&mut section, "port", found),
        monitor_port: port(&mut section, "monitor_port", found),
        max_payload: section.text("max_payload", payload, found),
        max_connections: section.number("max_connections", "the limit", 1..=1_000_000, found),
        write_deadline: section.text("write_deadline", within("the deadline", 1, 600), found),
        ping_interval: section.text("ping_interval", within("the interval", 1, 3600), found),
        jetstream: JetStreamSection::default(),
        leaf: LeafSection::default(),
    };
    let size = size_within("the limit", 1 << 20, 1 << 50);
    if let Some(mut jetstream) = section.table("jetstream", found) {
        read.jetstream = JetStreamSection {
            max_memory: jetstream.text("max_memory", &size, found),
            max_file: jetstream.text("max_file", &size, found),
        };
        jetstream.finish(found);
    }
    if let Some(mut leaf) = section.table("leaf", found) {
        read.leaf = LeafSection {
            link_port: port(&mut leaf, "link_port", found),
            port: port(&mut leaf, "port", found),
            monitor_port: port(&mut leaf, "monitor_port", found),
            max_memory: leaf.text("max_memory", &size, found),
            max_file: leaf.text("max_file", &size, found),
        };
        leaf.finish(found);
    }
    section.finish(found);
    read
}

fn read_matrix(mut section: Section<'_>, found: &mut Found) -> MatrixSection {
    let upload = size_within("the largest upload", 1 << 10, 1 << 40);
    let read = MatrixSection {
        port: port(&mut section, "port", found),
        client_port: port(&mut section, "client_port", found),
        metrics_port: port(&mut section, "metrics_port", found),
        max_upload: section.text("max_upload", upload, found),
    };
    section.finish(found);
    read
}

fn read_ca(mut section: Section<'_>, found: &mut Found) -> CaSection {
    const DAY: u64 = 86_400;
    // A certificate that outlives a century outlives its format's dates and its algorithms.
    let lifetime = within("a lifetime", 60, 36_525 * DAY);
    let read = CaSection {
        root_lifetime: section.text("root_lifetime", &lifetime, found),
        issuing_lifetime: section.text("issuing_lifetime", &lifetime, found),
        node_lifetime: section.text("node_lifetime", &lifetime, found),
        crl_lifetime: section.text("crl_lifetime", &lifetime, found),
        invite_lifetime: section.text(
            "invite_lifetime",
            within("a lifetime", 60, 365 * DAY),
            found,
        ),
    };
    section.finish(found);
    read
}

fn port(section: &mut Section<'_>, name: &'static str, found: &mut Found) -> Option<At<u16>> {
    section.number(name, "a port", 1..=65_535, found)
}

fn within(what: &'static str, least: u64, most: u64) -> impl Fn(&str) -> Result<Span, ValueError> {
    move |text| {
        let span = Span::parse(text)?;
        let (least, most) = (Span::from_secs(least), Span::from_secs(most));
        if (least..=most).contains(&span) {
            return Ok(span);
        }
        Err(ValueError::Range {
            what,
            least: least.to_string(),
            most: most.to_string(),
        })
    }
}

fn size_within(
    what: &'static str,
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<ByteSize, ValueError> {
    move |text| {
        let size = ByteSize::parse(text)?;
        let (least, most) = (ByteSize::from_bytes(least), ByteSize::from_bytes(most));
        if (least..=most).contains(&size) {
            return Ok(size);
        }
        Err(ValueError::Range {
            what,
            least: least.to_string(),
            most: most.to_string(),
        })
    }
}

fn network_text<N: FromStr>(example: &'static str) -> impl Fn(&str) -> Result<N, ValueError> {
    move |text| {
        text.parse().map_err(|_| ValueError::Form {
            what: "a network",
            expected: example,
        })
    }
}

fn mesh_address(text: &str) -> Result<Ipv4Addr, ValueError> {
    let expected = "an IPv4 address such as 10.77.0.21";
    text.parse().map_err(|_| ValueError::Form {
        what: "an address in the mesh",
        expected,
    })
}

fn public_address(text: &str) -> Result<SocketAddr, ValueError> {
    let expected = match text.parse() {
        Ok(address) if is_written_plainly(&address) => return Ok(address),
        Ok(_) => "a port from 1 and no scope",
        Err(_) if text.parse::<IpAddr>().is_ok() => {
            "a port behind the address, as in 203.0.113.10:51820"
        }
        Err(_) if text.contains(|c: char| c.is_ascii_alphabetic()) && !text.starts_with('[') => {
            "an address and no name, which would need an outside DNS server"
        }
        Err(_) => "an address with a port, as in 203.0.113.10:51820 or [2001:db8::10]:51820",
    };
    Err(ValueError::Form {
        what: "a public address",
        expected,
    })
}

/// Whether the address has a port, and neither scope nor flow label, which say nothing elsewhere.
fn is_written_plainly(address: &SocketAddr) -> bool {
    let plain = match address {
        SocketAddr::V4(_) => true,
        SocketAddr::V6(v6) => v6.scope_id() == 0 && v6.flowinfo() == 0,
    };
    plain && address.port() != 0
}
