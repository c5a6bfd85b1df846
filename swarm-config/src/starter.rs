//! The `swarm.toml` that a new swarm begins with.

use std::net::SocketAddr;

use crate::value::{NodeId, Role, SwarmName};

/// What the first `swarm.toml` has to say; everything else is a default, and shown as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starter {
    name: SwarmName,
    hub: NodeId,
    endpoint: SocketAddr,
}

impl Starter {
    /// Makes a starter for a swarm with one hub and the hub's public WireGuard address.
    #[must_use]
    pub fn new(name: SwarmName, hub: NodeId, endpoint: SocketAddr) -> Self {
        Self {
            name,
            hub,
            endpoint,
        }
    }

    /// The text: short, commented, and accepted by [`Plan::parse`](crate::Plan::parse).
    #[must_use]
    pub fn to_toml(&self) -> String {
        let (name, hub, endpoint, role) = (&self.name, &self.hub, self.endpoint, Role::HUB);
        let network6 = crate::address::default_network6(name);
        let enroll = SocketAddr::new(endpoint.ip(), crate::resolve::DEFAULT_ENROLL_PORT);
        format!(
            r#"# One file describes the swarm. What stands behind a '#' at the beginning of a line is a
# default or an example: take the '#' away to change it.

[swarm]
name = "{name}"
#domain = "{name}.internal"
#network = "10.77.0.0/16"
#network6 = "{network6}"

# The hub: a public WireGuard address, the bus, the rooms, and the place to enrol.
[nodes.{hub}]
roles = ["{role}"]
endpoint = "{endpoint}"
#enroll = "{enroll}"

# Other nodes join by invite and need not be listed. A listed one keeps its address.
#[nodes.edge1]
#roles = ["edge"]
#address = "10.77.0.21"
#leaf = true

[wireguard]
#port = 51820
#mtu = 1420
#keepalive = "25s"

[nats]
#port = 4222
#monitor_port = 8222
#max_payload = "1MiB"
#max_connections = 10000
#write_deadline = "10s"
#ping_interval = "20s"

[nats.jetstream]
#max_memory = "256MiB"
#max_file = "10GiB"

# Nodes with leaf = true have a bus of their own, which keeps what they say through any outage.
[nats.leaf]
#link_port = 7422
#port = 4322
#monitor_port = 8322
#max_memory = "64MiB"
#max_file = "1GiB"

[matrix]
#port = 8448
#client_port = 8008
#metrics_port = 9009
#max_upload = "50MiB"

[health]
#port = 9464

[ca]
#root_lifetime = "3650d"
#issuing_lifetime = "730d"
#node_lifetime = "30d"
#crl_lifetime = "30d"
#invite_lifetime = "1d"
"#
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Plan;

    fn starter() -> Starter {
        let at = "203.0.113.10:51820".parse().unwrap();
        Starter::new(
            SwarmName::parse("swarm").unwrap(),
            NodeId::parse("command0").unwrap(),
            at,
        )
    }

    #[test]
    fn the_starter_is_accepted() {
        let plan = Plan::parse(&starter().to_toml()).unwrap();
        assert_eq!(plan.primary().id.as_str(), "command0");
    }

    #[test]
    fn every_default_that_the_starter_shows_is_the_default() {
        let text = starter().to_toml();
        let shown: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                // Sentences begin with a space, settings do not.
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let mut plan = Plan::parse(&shown).unwrap();
        plan.nodes.retain(|id, _| id.as_str() != "edge1");
        assert_eq!(plan, Plan::parse(&text).unwrap());
    }

    proptest! {
        #[test]
        fn every_starter_is_accepted(
            name in "[a-z][a-z0-9]{0,20}(\\.[a-z]{1,9})?",
            hub in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
            port in 1u16..,
            host in any::<[u8; 2]>(),
        ) {
            let at = SocketAddr::new(std::net::Ipv4Addr::new(198, 51, host[0], host[1]).into(), port);
            let starter = Starter::new(
                SwarmName::parse(&name).unwrap(),
                NodeId::parse(&hub).unwrap(),
                at,
            );
            let plan = Plan::parse(&starter.to_toml()).unwrap();
            prop_assert_eq!(plan.name().as_str(), name);
            prop_assert_eq!(plan.primary().endpoint, Some(at));
        }
    }
}
