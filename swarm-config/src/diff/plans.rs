//! What changes between two plans, and what has to be done about it.

use std::net::SocketAddr;

use serde::Serialize;

use crate::address::Addresses;
use crate::plan::{NodePlan, Plan};
use crate::value::NodeId;

/// What changes from one plan to another, and what has to be done about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlanDiff {
    /// Changes of listed nodes, ordered by id.
    pub nodes: Vec<NodeChange>,
    /// Changes of settings, in the order of the file.
    pub settings: Vec<SettingChange>,
    /// What has to be done, each once.
    pub actions: Vec<Action>,
}

/// A change of a listed node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum NodeChange {
    /// The node is listed from now on.
    Added {
        /// The node.
        id: NodeId,
        /// Its addresses.
        addresses: Addresses,
    },
    /// The node is not listed any more. Its certificate goes on being good until it is revoked.
    Removed {
        /// The node.
        id: NodeId,
    },
    /// The node has other addresses.
    Readdressed {
        /// The node.
        id: NodeId,
        /// Its addresses so far.
        from: Addresses,
        /// Its new addresses.
        to: Addresses,
    },
    /// The node has other roles.
    Roles {
        /// The node.
        id: NodeId,
        /// Its roles so far, with commas between.
        from: String,
        /// Its new roles, with commas between.
        to: String,
    },
    /// The node has another public address.
    Endpoint {
        /// The node.
        id: NodeId,
        /// So far.
        from: Option<SocketAddr>,
        /// From now on.
        to: Option<SocketAddr>,
    },
    /// The node has another enrolment address. Invites that name the old one are of no use.
    Enroll {
        /// The node.
        id: NodeId,
        /// So far.
        from: Option<SocketAddr>,
        /// From now on.
        to: Option<SocketAddr>,
    },
    /// The node has a bus of its own from now on, or has none any more.
    Leaf {
        /// The node.
        id: NodeId,
        /// Whether it has one from now on.
        to: bool,
    },
}

/// A change of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SettingChange {
    /// The key, such as `nats.port`.
    pub key: &'static str,
    /// The value so far.
    pub from: String,
    /// The new value.
    pub to: String,
}

/// Something that has to be done for a plan to take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum Action {
    /// It is another swarm: a new authority, new rooms, and every node joins anew.
    BeginAnew,
    /// Every node needs a new certificate: what it says has changed.
    ReissueAll,
    /// The nodes that changed need new certificates.
    ReissueChanged,
    /// The bus and the rooms run at another hub: their data has to move there.
    MoveServices,
    /// Every node takes up its tunnel anew.
    RestartTunnels,
    /// The bus has to stop and start. nats-server refuses a reload that holds such a change, and
    /// with it everything else in the file: a user taken out stays in until the restart.
    RestartBus,
    /// The bus takes the change by a reload; nobody's connection ends.
    ReloadBus,
    /// The rooms have to stop and start.
    RestartRooms,
    /// The front before the rooms has to listen elsewhere.
    RestartFront,
    /// Every node has to serve its health elsewhere.
    RestartHealth,
    /// The nodes with a bus of their own, and those that change it, have to stop and start, with
    /// their bus.
    RestartLeaves,
}

impl PlanDiff {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.settings.is_empty() && self.actions.is_empty()
    }
}

/// Compares two plans.
#[must_use]
pub fn plans(old: &Plan, new: &Plan) -> PlanDiff {
    let mut diff = PlanDiff {
        nodes: node_changes(old, new),
        ..PlanDiff::default()
    };
    for ((key, from, actions), (_, to, _)) in settings(old).into_iter().zip(settings(new)) {
        if from != to {
            diff.settings.push(SettingChange { key, from, to });
            diff.actions.extend(actions);
        }
    }
    let identity =
        |c: &NodeChange| matches!(c, NodeChange::Readdressed { .. } | NodeChange::Roles { .. });
    if diff.nodes.iter().any(identity) {
        diff.actions.push(Action::ReissueChanged);
    }
    if old.primary().id != new.primary().id {
        diff.actions.push(Action::MoveServices);
    } else if old.primary().addresses.v4 != new.primary().addresses.v4 {
        // The bus and the front listen there, and the rooms know themselves by it.
        diff.actions.extend([
            Action::RestartBus,
            Action::RestartRooms,
            Action::RestartFront,
        ]);
    }
    if diff.nodes.iter().any(|c| {
        matches!(
            c,
            NodeChange::Endpoint { .. } | NodeChange::Readdressed { .. }
        )
    }) {
        diff.actions.push(Action::RestartTunnels);
    }
    leaf_actions(old, new, &mut diff);
    diff.actions.sort_unstable();
    diff.actions.dedup();
    if diff.actions.contains(&Action::RestartBus) {
        diff.actions.retain(|action| *action != Action::ReloadBus);
    }
    if diff.actions.contains(&Action::ReissueAll) {
        diff.actions
            .retain(|action| *action != Action::ReissueChanged);
    }
    diff
}

/// What changes about nodes with a bus of their own asks for.
fn leaf_actions(old: &Plan, new: &Plan, diff: &mut PlanDiff) {
    let has = |plan: &Plan| plan.leaves().next().is_some();
    let leaves = |plan: &Plan| -> Vec<_> { plan.leaves().map(|leaf| leaf.id.clone()).collect() };
    // Settings of what nobody has change nothing.
    if !has(old) && !has(new) {
        diff.actions
            .retain(|action| *action != Action::RestartLeaves);
        return;
    }
    if leaves(old) != leaves(new) {
        // A reload refuses a new listener, and of an account that comes by one nats-server 2.9.10
        // answers no request to JetStream through another account.
        diff.actions
            .extend([Action::RestartBus, Action::RestartLeaves]);
    }
    if old.nats().leaf.link_port != new.nats().leaf.link_port {
        diff.actions.push(Action::RestartBus);
    }
    let shared = |plan: &Plan| {
        let nats = plan.nats();
        (
            nats.max_payload,
            nats.max_connections,
            nats.write_deadline,
            nats.ping_interval,
        )
    };
    let moved = old.primary().addresses.v4 != new.primary().addresses.v4;
    if shared(old) != shared(new) || moved {
        diff.actions.push(Action::RestartLeaves);
    }
}

fn node_changes(old: &Plan, new: &Plan) -> Vec<NodeChange> {
    let mut ids: Vec<&NodeId> = old
        .nodes()
        .chain(new.nodes())
        .map(|node| &node.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let mut changes = Vec::new();
    for id in ids {
        match (old.node(id), new.node(id)) {
            (Some(from), Some(to)) => changed_node(from, to, &mut changes),
            (None, Some(to)) => {
                changes.push(NodeChange::Added {
                    id: id.clone(),
                    addresses: to.addresses,
                });
            }
            (Some(_), None) => changes.push(NodeChange::Removed { id: id.clone() }),
            (None, None) => {}
        }
    }
    changes
}

fn changed_node(old: &NodePlan, new: &NodePlan, changes: &mut Vec<NodeChange>) {
    let id = || new.id.clone();
    if old.addresses != new.addresses {
        let (from, to) = (old.addresses, new.addresses);
        changes.push(NodeChange::Readdressed { id: id(), from, to });
    }
    if old.roles != new.roles {
        let (from, to) = (roles(old), roles(new));
        changes.push(NodeChange::Roles { id: id(), from, to });
    }
    if old.endpoint != new.endpoint {
        let (from, to) = (old.endpoint, new.endpoint);
        changes.push(NodeChange::Endpoint { id: id(), from, to });
    }
    if old.enroll != new.enroll {
        let (from, to) = (old.enroll, new.enroll);
        changes.push(NodeChange::Enroll { id: id(), from, to });
    }
    if old.leaf != new.leaf {
        changes.push(NodeChange::Leaf {
            id: id(),
            to: new.leaf,
        });
    }
}

fn roles(node: &NodePlan) -> String {
    let roles: Vec<&str> = node.roles.iter().map(|role| role.as_str()).collect();
    roles.join(", ")
}

/// Every setting of a plan as text, with what a change of it asks for. What the bus reloads and
/// what it refuses to is as nats-server 2.9.10 says itself.
fn settings(plan: &Plan) -> Vec<(&'static str, String, Vec<Action>)> {
    use Action::*;
    let (wireguard, nats, matrix) = (plan.wireguard(), plan.nats(), plan.matrix());
    let ca = plan.ca();
    let keepalive = wireguard
        .keepalive
        .map_or_else(|| "0s".to_owned(), |span| span.to_string());
    vec![
        ("swarm.name", plan.name().to_string(), vec![BeginAnew]),
        ("swarm.domain", plan.domain().to_string(), vec![ReissueAll]),
        (
            "swarm.network",
            plan.mesh().v4().to_string(),
            vec![ReissueAll, RestartTunnels],
        ),
        (
            "swarm.network6",
            plan.mesh().v6().to_string(),
            vec![ReissueAll, RestartTunnels],
        ),
        (
            "wireguard.port",
            wireguard.port.to_string(),
            vec![RestartTunnels],
        ),
        (
            "wireguard.mtu",
            wireguard.mtu.to_string(),
            vec![RestartTunnels],
        ),
        ("wireguard.keepalive", keepalive, vec![RestartTunnels]),
        ("nats.port", nats.port.to_string(), vec![RestartBus]),
        (
            "nats.monitor_port",
            nats.monitor_port.to_string(),
            vec![RestartBus],
        ),
        (
            "nats.max_payload",
            nats.max_payload.to_string(),
            vec![ReloadBus],
        ),
        (
            "nats.max_connections",
            nats.max_connections.to_string(),
            vec![ReloadBus],
        ),
        (
            "nats.write_deadline",
            nats.write_deadline.to_string(),
            vec![ReloadBus],
        ),
        (
            "nats.ping_interval",
            nats.ping_interval.to_string(),
            vec![ReloadBus],
        ),
        (
            "nats.jetstream.max_memory",
            nats.jetstream_max_memory.to_string(),
            vec![RestartBus],
        ),
        (
            "nats.jetstream.max_file",
            nats.jetstream_max_file.to_string(),
            vec![RestartBus],
        ),
        (
            "nats.leaf.link_port",
            nats.leaf.link_port.to_string(),
            vec![RestartLeaves],
        ),
        (
            "nats.leaf.port",
            nats.leaf.port.to_string(),
            vec![RestartLeaves],
        ),
        (
            "nats.leaf.monitor_port",
            nats.leaf.monitor_port.to_string(),
            vec![RestartLeaves],
        ),
        (
            "nats.leaf.max_memory",
            nats.leaf.max_memory.to_string(),
            vec![RestartLeaves],
        ),
        (
            "nats.leaf.max_file",
            nats.leaf.max_file.to_string(),
            vec![RestartLeaves],
        ),
        (
            "matrix.port",
            matrix.port.to_string(),
            vec![RestartFront, RestartRooms],
        ),
        (
            "matrix.client_port",
            matrix.client_port.to_string(),
            vec![RestartFront, RestartRooms],
        ),
        (
            "matrix.metrics_port",
            matrix.metrics_port.to_string(),
            vec![RestartRooms],
        ),
        (
            "matrix.max_upload",
            matrix.max_upload.to_string(),
            vec![RestartRooms],
        ),
        (
            "health.port",
            plan.health().port.to_string(),
            vec![RestartHealth],
        ),
        ("ca.root_lifetime", ca.root_lifetime.to_string(), vec![]),
        (
            "ca.issuing_lifetime",
            ca.issuing_lifetime.to_string(),
            vec![],
        ),
        ("ca.node_lifetime", ca.node_lifetime.to_string(), vec![]),
        ("ca.crl_lifetime", ca.crl_lifetime.to_string(), vec![]),
        ("ca.invite_lifetime", ca.invite_lifetime.to_string(), vec![]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(more: &str) -> Plan {
        let text = "swarm.name = \"swarm\"\nnodes.hub0.roles = [\"hub\"]\nnodes.hub0.endpoint = \
                    \"192.0.2.1:51820\"\n"
            .to_owned();
        Plan::parse(&(text + more)).unwrap()
    }

    #[test]
    fn equal_plans_do_not_differ() {
        assert!(plans(&plan(""), &plan("wireguard.port = 51820")).is_empty());
    }

    #[test]
    fn each_change_asks_for_what_it_needs() {
        use Action::*;
        for (more, actions) in [
            ("swarm.domain = \"x.internal\"", vec![ReissueAll]),
            ("nats.max_payload = \"2MiB\"", vec![ReloadBus]),
            (
                "nats.max_payload = \"2MiB\"\nnats.port = 4223",
                vec![RestartBus],
            ),
            ("matrix.port = 8449", vec![RestartRooms, RestartFront]),
            ("ca.node_lifetime = \"10d\"", vec![]),
            ("wireguard.mtu = 1400", vec![RestartTunnels]),
            (
                "nodes.hub0.address = \"10.77.0.9\"",
                vec![
                    ReissueChanged,
                    RestartTunnels,
                    RestartBus,
                    RestartRooms,
                    RestartFront,
                ],
            ),
            ("nodes.edge1 = {}", vec![]),
            ("nodes.edge1.leaf = true", vec![RestartBus, RestartLeaves]),
            ("nats.leaf.port = 4300", vec![]),
        ] {
            let diff = plans(&plan(""), &plan(more));
            assert!(!diff.is_empty(), "{more}");
            assert_eq!(diff.actions, actions, "{more}");
        }
    }

    #[test]
    fn another_leaf_node_needs_a_restart_and_another_setting_a_reload() {
        use Action::*;
        let one = plan("nodes.a.leaf = true\nnodes.b = {}");
        let two = plan("nodes.a.leaf = true\nnodes.b.leaf = true");
        let diff = plans(&one, &two);
        assert_eq!(diff.actions, [RestartBus, RestartLeaves]);
        let b = NodeId::parse("b").unwrap();
        assert_eq!(diff.nodes, [NodeChange::Leaf { id: b, to: true }]);
        let moved = plan("nodes.a.leaf = true\nnodes.b = {}\nnats.leaf.link_port = 7423");
        assert_eq!(plans(&one, &moved).actions, [RestartBus, RestartLeaves]);
        let payload = plan("nodes.a.leaf = true\nnodes.b = {}\nnats.max_payload = \"2MiB\"");
        assert_eq!(plans(&one, &payload).actions, [ReloadBus, RestartLeaves]);
    }

    #[test]
    fn nodes_come_go_and_change() {
        let old = plan("nodes.a.roles = [\"edge\"]\nnodes.b.roles = [\"edge\"]");
        let new = plan("nodes.b = { roles = [\"camera\"], address = \"10.77.0.3\" }\nnodes.c = {}");
        let diff = plans(&old, &new);
        let (a, b, c) = ("a", "b", "c");
        let id = |text: &str| NodeId::parse(text).unwrap();
        let addresses = new.node(&id(c)).unwrap().addresses;
        assert_eq!(
            diff.nodes,
            [
                NodeChange::Removed { id: id(a) },
                NodeChange::Roles {
                    id: id(b),
                    from: "edge".into(),
                    to: "camera".into()
                },
                NodeChange::Added {
                    id: id(c),
                    addresses
                },
            ]
        );
    }
}
