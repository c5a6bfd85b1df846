//! Nodes with a bus of their own: both ends of the link, as rendered. How they behave is tried where
//! certificates and permissions come from, in swarm-cli.

use std::process::Command;

use swarm_config::{
    AllowResponses, Member, NatsAsked, NatsLeaf, NatsSubject, Plan, RenderError, Renderer, Span,
    lint,
};

use crate::fixture::{SWARM_TOML, id, layout, members, plan};
use crate::programs::{find, skip, succeed, write};

fn leaf_plan() -> Plan {
    Plan::parse(&format!(
        "{SWARM_TOML}leaf = true\n[nodes.edge2]\nleaf = true\n"
    ))
    .unwrap()
}

fn subject(text: &str) -> NatsSubject {
    NatsSubject::parse(text).unwrap()
}

/// The members, of which the edges have what crosses their links.
fn leaf_members(plan: &Plan) -> Vec<Member> {
    let mut members = members(plan);
    for member in &mut members {
        let name = member.id.as_str().to_owned();
        let own = |text: &str| subject(&text.replace('#', &name));
        let mut leaf = NatsLeaf::default();
        leaf.up
            .extend([own("swarm.telemetry.#.*"), own("_LEAF.#.>")]);
        leaf.down
            .extend([own("_INBOX_#.>"), subject("swarm.trust.bundle")]);
        leaf.serves
            .extend([own("swarm.commands.#.*"), own("$JS.FC.LEAF_#.>")]);
        let next = "API.CONSUMER.MSG.NEXT.SWARM_EVENTS.#";
        leaf.asks.extend([
            NatsAsked {
                subject: own(&format!("$JS.{next}")),
                at_leaf: own(&format!("$JS.hub.{next}")),
                several: true,
            },
            NatsAsked {
                subject: own("$JS.ACK.SWARM_EVENTS.#.>"),
                at_leaf: own("$JS.ACK.SWARM_EVENTS.#.>"),
                several: false,
            },
        ]);
        leaf.link.publish.allow = leaf.up.clone();
        leaf.link.subscribe.allow = leaf.down.clone();
        leaf.link.subscribe.deny = [own("swarm.events.node.#")].into();
        member.leaf = Some(leaf);
    }
    members
}

#[test]
fn both_ends_of_a_link_are_these_and_have_no_warning() {
    let (plan, layout) = (leaf_plan(), layout("/opt/sovereign-swarm"));
    let members = leaf_members(&plan);
    for (node, name) in [("command0", "leaf-hub.conf"), ("edge1", "leaf-edge.conf")] {
        let node = id(node);
        let files = Renderer::new(&plan, &layout, &node, &members)
            .all(None)
            .unwrap();
        let conf = files
            .iter()
            .find(|file| file.path == "nats/nats-server.conf");
        let conf = conf.unwrap();
        assert_eq!(lint::file(conf), [], "{name}");
        insta::assert_snapshot!(name, conf.contents);
    }
}

#[test]
fn nats_server_accepts_both_ends() {
    let Some(program) = find("nats-server") else {
        return skip("leaf::nats_server_accepts_both_ends", "no nats-server");
    };
    let plan = leaf_plan();
    let members = leaf_members(&plan);
    for node in ["command0", "edge1"].map(id) {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(directory.path().to_str().unwrap());
        let certificate = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let own = directory.path().join(format!("nodes/{node}"));
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("tls.key"), certificate.signing_key.serialize_pem()).unwrap();
        for name in ["tls.crt", "trust.pem"] {
            std::fs::write(own.join(name), certificate.cert.pem()).unwrap();
        }
        let renderer = Renderer::new(&plan, &layout, &node, &members);
        let conf = match node.as_str() {
            "command0" => renderer.nats(),
            _ => renderer.nats_leaf(),
        };
        write(directory.path(), &[conf.unwrap()]);
        let said = succeed(Command::new(&program).args(["-t", "-c", &layout.nats_conf()]));
        assert!(said.contains("is valid"), "{said}");
    }
}

#[test]
fn the_listener_stays_when_the_last_leaf_node_is_taken_out() {
    let (plan, layout, hub) = (leaf_plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let mut members = leaf_members(&plan);
    members.retain(|member| !plan.is_leaf(&member.id));
    let conf = Renderer::new(&plan, &layout, &hub, &members)
        .nats()
        .unwrap();
    assert!(
        conf.contents.contains("listen: \"10.77.0.1:7422\""),
        "else a reload is refused"
    );
    assert!(!conf.contents.contains("LEAF_"));
    assert_eq!(lint::file(&conf), []);
}

#[test]
fn a_plan_without_leaf_nodes_renders_what_it_always_did() {
    let (without, layout, hub) = (plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let plain = Renderer::new(&without, &layout, &hub, &members(&without)).nats();
    let known = Renderer::new(&without, &layout, &hub, &leaf_members(&without)).nats();
    assert_eq!(plain, known);
    assert!(!plain.unwrap().contents.contains("leafnodes"));
    let edge = id("edge1");
    let renderer = Renderer::new(&without, &layout, &edge, &[]);
    assert_eq!(
        renderer.nats_leaf(),
        Err(RenderError::NotALeaf { id: edge.clone() })
    );
}

#[test]
fn what_would_go_wrong_over_a_link_is_not_rendered() {
    let (plan, layout, node) = (leaf_plan(), layout("/opt/sovereign-swarm"), id("command0"));
    let refuse = |change: fn(&mut Member)| {
        let mut members = leaf_members(&plan);
        change(
            members
                .iter_mut()
                .find(|member| member.id == id("edge1"))
                .unwrap(),
        );
        let renderer = Renderer::new(&plan, &layout, &node, &members);
        renderer.nats().unwrap_err().to_string()
    };
    assert_eq!(
        refuse(|member| member.leaf = None),
        "the bus permissions of edge1 cannot be written: what may cross its link is not said"
    );
    assert_eq!(
        refuse(|member| {
            let leaf = member.leaf.as_mut().unwrap();
            leaf.serves.insert(subject("swarm.commands.*.ping"));
        }),
        "edge1 and edge2 both answer swarm.commands.edge2.* over their links"
    );
    assert_eq!(
        refuse(|member| {
            let leaf = member.leaf.as_mut().unwrap();
            leaf.down.insert(subject("swarm.telemetry.>"));
        }),
        "the bus permissions of edge1 cannot be written: what it sends over its link would come \
         back by it"
    );
    assert_eq!(
        refuse(|member| {
            let leaf = member.leaf.as_mut().unwrap();
            leaf.link.allow_responses = Some(AllowResponses {
                max: 1,
                expires: Span::from_secs(20),
            });
        }),
        "the bus permissions of edge1 cannot be written: a link is given no leave by request"
    );
    let hub = format!(
        "{SWARM_TOML}[nodes.hub2]\nroles = [\"hub\"]\nendpoint = \"203.0.113.11:1\"\nleaf = true"
    );
    let problems = Plan::parse(&hub).unwrap_err().to_string();
    assert!(
        problems.contains("nodes.hub2.leaf: a node with the role \"hub\""),
        "{problems}"
    );
}
