//! What is consistent and still asks for trouble.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;

use super::Warning;
use crate::parse::closest;
use crate::plan::Plan;
use crate::value::{ByteSize, Role, Span};

/// Networks that other people's routers and programs use without being asked.
const COMMON: [(Ipv4Net, &str); 7] = [
    (net([192, 168, 0, 0], 24), "home routers"),
    (net([192, 168, 1, 0], 24), "home routers"),
    (net([192, 168, 178, 0], 24), "home routers"),
    (net([10, 0, 0, 0], 24), "home routers"),
    (net([172, 17, 0, 0], 16), "Docker"),
    (net([192, 168, 122, 0], 24), "libvirt"),
    (net([100, 64, 0, 0], 10), "carriers' address translation"),
];

/// Networks that documentation uses, and nobody else (RFC 5737).
const EXAMPLES: [Ipv4Net; 3] = [
    net([192, 0, 2, 0], 24),
    net([198, 51, 100, 0], 24),
    net([203, 0, 113, 0], 24),
];

/// Domains that no public DNS server is asked for, or that one answers for nobody.
const PRIVATE_DOMAINS: [&str; 5] = ["internal", "home.arpa", "test", "invalid", "localhost"];

const fn net([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// Warnings about a plan.
#[must_use]
pub fn plan(plan: &Plan) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |rule, subject: String, message: String| {
        found.push(Warning::new(rule, subject, None, message));
    };
    let network = plan.mesh().v4();
    for (common, who) in COMMON {
        if network.contains(&common) || common.contains(&network) {
            let message =
                format!("{who} use {common} as well: such an uplink and the mesh collide");
            warn("common-network", "swarm.network".to_owned(), message);
        }
    }
    let domain = plan.domain().as_str();
    if !PRIVATE_DOMAINS
        .iter()
        .any(|p| domain == *p || domain.ends_with(&format!(".{p}")))
    {
        let message = "not under a domain kept private (such as .internal): a resolver may ask the \
                       public DNS for nodes' names";
        warn(
            "public-domain",
            "swarm.domain".to_owned(),
            message.to_owned(),
        );
    }
    for node in plan.nodes() {
        for (name, at) in [("endpoint", node.endpoint), ("enroll", node.enroll)] {
            if let Some((rule, message)) = at.and_then(doubtful_address) {
                warn(
                    rule,
                    format!("nodes.{}.{name}", node.id),
                    message.to_owned(),
                );
            }
        }
        for role in node
            .roles
            .iter()
            .filter(|role| role.as_str() != Role::EDGE && !role.is_hub())
        {
            if let Some(meant) = closest(role.as_str(), [Role::HUB, Role::EDGE]) {
                let message = format!(
                    "the role {role:?} means nothing here; did you mean {meant:?}?",
                    role = role.as_str()
                );
                warn("mistyped-role", format!("nodes.{}.roles", node.id), message);
            }
        }
    }
    let wireguard = plan.wireguard();
    match wireguard.keepalive {
        None => {
            let message = "nodes behind address translation cannot be reached once it forgets them";
            warn(
                "no-keepalive",
                "wireguard.keepalive".to_owned(),
                message.to_owned(),
            );
        }
        Some(span) if span > Span::from_secs(120) => {
            let message =
                "address translation commonly forgets a silent flow after 30 to 120 seconds";
            warn(
                "slow-keepalive",
                "wireguard.keepalive".to_owned(),
                message.to_owned(),
            );
        }
        Some(_) => {}
    }
    // 60 bytes of IPv4, UDP and WireGuard around each packet of at most 1500.
    if wireguard.mtu > 1440 {
        let message =
            "packets of this size do not fit into an Ethernet frame of 1500 bytes once sealed";
        warn("large-mtu", "wireguard.mtu".to_owned(), message.to_owned());
    }
    if plan.nats().max_payload > ByteSize::from_mib(8) {
        let message = "messages above 8MiB make every subscriber's connection stall behind them";
        warn(
            "large-payload",
            "nats.max_payload".to_owned(),
            message.to_owned(),
        );
    }
    lifetimes(plan, &mut warn);
    found
}

fn lifetimes(plan: &Plan, warn: &mut impl FnMut(&'static str, String, String)) {
    let ca = plan.ca();
    if ca.node_lifetime > Span::from_days(398) {
        let message =
            "a stolen key stays good for this long wherever the revocation list does not reach";
        warn(
            "long-node-lifetime",
            "ca.node_lifetime".to_owned(),
            message.to_owned(),
        );
    }
    if ca.node_lifetime < Span::from_days(1) {
        let message = "a node that is off-line longer than this cannot come back by itself";
        warn(
            "short-node-lifetime",
            "ca.node_lifetime".to_owned(),
            message.to_owned(),
        );
    }
    if ca.crl_lifetime < Span::from_days(2) {
        let message = "an authority that is away longer than this locks everybody out";
        warn(
            "short-crl-lifetime",
            "ca.crl_lifetime".to_owned(),
            message.to_owned(),
        );
    }
    if ca.invite_lifetime > Span::from_days(7) {
        let message = "an invite that is found later than this is still good for joining";
        warn(
            "long-invite-lifetime",
            "ca.invite_lifetime".to_owned(),
            message.to_owned(),
        );
    }
}

fn doubtful_address(at: SocketAddr) -> Option<(&'static str, &'static str)> {
    match at.ip() {
        ip if ip.is_loopback() => Some((
            "loopback-endpoint",
            "only this machine itself reaches a loopback address",
        )),
        IpAddr::V4(ip) if EXAMPLES.iter().any(|example| example.contains(&ip)) => Some((
            "example-endpoint",
            "an address of the documentation, which nobody has",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(more: &str) -> Vec<&'static str> {
        let text = format!(
            "swarm.name = \"swarm\"\nnodes.a.roles = [\"hub\"]\nnodes.a.endpoint = \"1.2.3.4:51820\"\n{more}"
        );
        super::plan(&Plan::parse(&text).unwrap())
            .into_iter()
            .map(|w| w.rule)
            .collect()
    }

    #[test]
    fn the_defaults_have_no_warning() {
        assert_eq!(rules(""), [] as [&str; 0]);
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        for (more, rule) in [
            ("swarm.network = \"192.168.0.0/16\"", "common-network"),
            ("swarm.network = \"100.80.0.0/16\"", "common-network"),
            ("swarm.domain = \"example.com\"", "public-domain"),
            ("nodes.b.endpoint = \"203.0.113.10:1\"", "example-endpoint"),
            ("nodes.a.enroll = \"127.0.0.1:7443\"", "loopback-endpoint"),
            ("nodes.b.roles = [\"hbu\"]", "mistyped-role"),
            ("wireguard.keepalive = \"0s\"", "no-keepalive"),
            ("wireguard.keepalive = \"10m\"", "slow-keepalive"),
            ("wireguard.mtu = 1500", "large-mtu"),
            ("nats.max_payload = \"9MiB\"", "large-payload"),
            ("ca.node_lifetime = \"399d\"", "long-node-lifetime"),
            ("ca.node_lifetime = \"1h\"", "short-node-lifetime"),
            ("ca.crl_lifetime = \"1d\"", "short-crl-lifetime"),
            ("ca.invite_lifetime = \"8d\"", "long-invite-lifetime"),
        ] {
            let found = rules(more);
            assert!(
                !found.is_empty() && found.iter().all(|r| *r == rule),
                "{more}: {found:?}"
            );
        }
        assert_eq!(rules("nodes.b.roles = [\"camera\"]"), [] as [&str; 0]);
    }
}
