use crate::raw::any;
use crate::rig::{Rig, token};
use swarm_bus::client::{Client, PublishError, SubscribeError};
use swarm_bus::permissions::Role;
use swarm_bus::{Raw, Token, Topic};

/// For hub, edge and operator, of which the node is `n1`: p(ublish), s(ubscribe), both or neither.
const TABLE: &[(&str, [&str; 3])] = &[
    ("swarm.events.node.n1", ["ps", "ps", "ps"]),
    ("swarm.events.node.n2", ["ps", "s", "s"]),
    ("swarm.commands.n1.reboot", ["ps", "s", "ps"]),
    ("swarm.commands.n1.ping", ["ps", "ps", "ps"]),
    ("swarm.commands.n2.reboot", ["ps", "", "p"]),
    ("swarm.commands.n2.ping", ["ps", "p", "p"]),
    ("swarm.telemetry.n1.host", ["ps", "p", "ps"]),
    ("swarm.telemetry.n2.host", ["ps", "", "s"]),
    ("swarm.endpoints.n1", ["ps", "s", "s"]),
    ("swarm.endpoints.n2", ["ps", "s", "s"]),
    ("swarm.trust.bundle", ["ps", "s", "s"]),
    ("swarm.events.node.n1.more", ["", "", ""]),
    ("swarm.unknown", ["", "", ""]),
    ("elsewhere", ["", "", ""]),
    ("_INBOX.x", ["", "", ""]),
    ("_INBOX_n1.x", ["s", "s", "s"]),
    ("_INBOX_n2.x", ["", "", ""]),
    ("$SYS.REQ.SERVER.PING", ["", "", ""]),
    ("$JS.API.STREAM.DELETE.NONE", ["p", "", ""]),
    ("$JS.API.STREAM.INFO.SWARM_EVENTS", ["p", "", ""]),
    ("$JS.API.STREAM.MSG.GET.SWARM_EVENTS", ["p", "", ""]),
    (
        "$JS.API.CONSUMER.DURABLE.CREATE.SWARM_EVENTS.n1",
        ["p", "", ""],
    ),
    ("$JS.API.CONSUMER.CREATE.SWARM_EVENTS", ["p", "", ""]),
    ("$JS.API.CONSUMER.INFO.SWARM_EVENTS.n1", ["p", "p", "p"]),
    ("$JS.API.CONSUMER.INFO.SWARM_EVENTS.n2", ["p", "", ""]),
    ("$JS.API.CONSUMER.MSG.NEXT.SWARM_EVENTS.n1", ["p", "p", "p"]),
    ("$JS.API.CONSUMER.MSG.NEXT.SWARM_EVENTS.n2", ["p", "", ""]),
    ("$JS.ACK.SWARM_EVENTS.n1.1.1.1.1.1", ["p", "p", "p"]),
    ("$JS.ACK.SWARM_EVENTS.n2.1.1.1.1.1", ["p", "", ""]),
    (
        "$JS.API.DIRECT.GET.SWARM_TRUST.swarm.trust.bundle",
        ["p", "p", "p"],
    ),
    (
        "$JS.API.DIRECT.GET.SWARM_ENDPOINTS.swarm.endpoints.n2",
        ["p", "p", "p"],
    ),
    (
        "$JS.API.DIRECT.GET.SWARM_EVENTS.swarm.events.node.n1",
        ["p", "p", "p"],
    ),
    (
        "$JS.API.DIRECT.GET.SWARM_EVENTS.swarm.events.node.n2",
        ["p", "", ""],
    ),
    // State: everybody's is read, one's own is written.
    ("$KV.swarm-state.n1.node", ["ps", "ps", "ps"]),
    ("$KV.swarm-state.n2.node", ["ps", "s", "s"]),
    ("$KV.swarm-state.n1", ["ps", "", ""]),
    ("$KV.swarm-state.n1.a.b", ["ps", "", ""]),
    ("$KV.other.n1.node", ["ps", "", ""]),
    ("$JS.API.STREAM.INFO.KV_swarm-state", ["p", "p", "p"]),
    ("$JS.API.STREAM.MSG.GET.KV_swarm-state", ["p", "p", "p"]),
    ("$JS.API.DIRECT.GET.KV_swarm-state", ["p", "p", "p"]),
    (
        "$JS.API.DIRECT.GET.KV_swarm-state.$KV.swarm-state.n2.node",
        ["p", "p", "p"],
    ),
    ("$JS.API.STREAM.PURGE.KV_swarm-state", ["p", "", ""]),
    ("$JS.API.STREAM.MSG.DELETE.KV_swarm-state", ["p", "", ""]),
    ("$JS.API.STREAM.UPDATE.KV_swarm-state", ["p", "", ""]),
    ("$JS.API.STREAM.INFO.KV_other", ["p", "", ""]),
    // Objects: hubs and operators write them.
    ("$O.swarm-files.M.YQ==", ["ps", "s", "ps"]),
    ("$O.swarm-files.C.upload", ["p", "", "p"]),
    ("$O.other.M.YQ==", ["p", "", ""]),
    ("$JS.API.STREAM.INFO.OBJ_swarm-files", ["p", "p", "p"]),
    ("$JS.API.STREAM.MSG.GET.OBJ_swarm-files", ["p", "p", "p"]),
    ("$JS.API.DIRECT.GET.OBJ_swarm-files", ["p", "p", "p"]),
    (
        "$JS.API.DIRECT.GET.OBJ_swarm-files.$O.swarm-files.M.YQ==",
        ["p", "p", "p"],
    ),
    ("$JS.API.STREAM.PURGE.OBJ_swarm-files", ["p", "", "p"]),
    ("$JS.API.STREAM.DELETE.OBJ_swarm-files", ["p", "", ""]),
    ("$JS.API.STREAM.PURGE.OBJ_other", ["p", "", ""]),
    // Services: each node answers for its commands, hubs and operators ask.
    ("$SRV.PING", ["ps", "s", "ps"]),
    ("$SRV.INFO.swarm-node", ["ps", "s", "ps"]),
    ("$SRV.STATS.swarm-node.1", ["ps", "s", "ps"]),
    ("$SRV.PING.other", ["p", "", "p"]),
    ("$SRV.SCHEMA", ["", "", ""]),
    // Dead letters: a hub's.
    ("dead.SWARM_EVENTS.n1.1", ["p", "", ""]),
    (
        "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.SWARM_EVENTS.n1",
        ["", "", ""],
    ),
    ("$JS.API.STREAM.MSG.GET.DEAD_LETTERS", ["p", "", ""]),
    ("$JS.API.STREAM.MSG.DELETE.DEAD_LETTERS", ["p", "", ""]),
    (
        "$JS.API.CONSUMER.MSG.NEXT.DEAD_ADVISORIES.keeper",
        ["p", "", ""],
    ),
    ("$JS.ACK.DEAD_ADVISORIES.keeper.1.1.1.1.1", ["p", "", ""]),
];

#[tokio::test]
async fn every_role_can_do_what_the_table_says_and_nothing_else() {
    for (column, role) in [Role::Hub, Role::Edge, Role::Operator]
        .into_iter()
        .enumerate()
    {
        let Some(rig) = Rig::start("permissions::table", &[("n1", role)]) else {
            return;
        };
        let client = rig.client("n1").await;
        for (subject, rights) in TABLE {
            let found = try_subject(&client, subject).await;
            assert_eq!(found, rights[column], "{role}: {subject}");
        }
        // Wider than any grant.
        let all = client.subscribe(Wide::any()).unwrap().barrier().await;
        assert!(matches!(all, Err(SubscribeError::Denied { .. })), "{role}");
    }
}

#[derive(Topic)]
#[topic("swarm.{a}.{b}.{c}", payload = bytes::Bytes, codec = Raw)]
struct Wide {
    a: Token,
    b: Token,
    c: Token,
}

async fn try_subject(client: &Client, subject: &str) -> String {
    let topic = any(subject);
    let mut found = String::new();
    match client.publish_flushed(&topic, &bytes::Bytes::new()).await {
        Ok(_) => found.push('p'),
        Err(PublishError::Denied { .. }) => {}
        Err(other) => panic!("{subject}: {other}"),
    }
    for group in [None, Some(token("group"))] {
        let subscription = match &group {
            None => client.subscribe(&topic),
            Some(group) => client.queue_subscribe(&topic, group.clone()),
        };
        let may = match subscription.unwrap().barrier().await {
            Ok(()) => true,
            Err(SubscribeError::Denied { .. }) => false,
            Err(other) => panic!("{subject}: {other}"),
        };
        match (group, may) {
            (None, true) => found.push('s'),
            (Some(_), may) => assert_eq!(may, found.contains('s'), "{subject} in a group"),
            (None, false) => {}
        }
    }
    found
}
