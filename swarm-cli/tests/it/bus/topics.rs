//! `swarm bus topics` and `permissions`: what needs no connection.

use serde_json::json;
use swarm_bus::permissions::{Policy, Role};

use crate::program::{Swarm, json_of, words};

#[test]
fn the_topics_are_shown_without_a_node() {
    let nowhere = Swarm::new();
    let topics = json_of(nowhere.run(&["--json", "bus", "topics"]));
    let events = topics
        .as_array()
        .unwrap()
        .iter()
        .find(|topic| topic["name"] == "NodeEvents")
        .unwrap();
    assert_eq!(events["template"], "swarm.events.node.{node}");
    assert_eq!(events["streams"], json!(["SWARM_EVENTS"]));
    assert_eq!(events["payload"]["has_schema"], true);
    let table = nowhere.run(&["bus", "topics"]).success();
    let line = table.lines().find(|line| line.starts_with("NodeEvents"));
    assert!(line.unwrap().contains("hub edge* operator*"), "{table}");

    let schema = json_of(nowhere.run(&words("bus topics --schema swarm.events.node.n1")));
    assert_eq!(schema["title"], "NodeEvent");
    let reply = words("bus topics --schema PingCommand --reply");
    assert_eq!(json_of(nowhere.run(&reply))["title"], "Pong");
    let document = json_of(nowhere.run(&["bus", "topics", "--asyncapi"]));
    assert_eq!(document["asyncapi"], "3.0.0");
    assert!(document["operations"]["requestCommands"]["reply"].is_object());

    for (arguments, words) in [
        (
            &["--schema", "Nothing"][..],
            &["Nothing", "swarm bus topics"][..],
        ),
        (&["--schema", "TrustBundle"], &["application/octet-stream"]),
        (&["--schema", "NodeEvents", "--reply"], &["not answered"]),
    ] {
        let arguments = [&["bus", "topics"], arguments].concat();
        nowhere.run(&arguments).failure(2, words);
    }
}

#[test]
fn permissions_are_the_rendered_ones_and_explained() {
    let swarm = Swarm::bootstrapped();
    let node = swarm_bus::Token::from_static("edge7");
    let expected = Policy::mesh().permissions(&node, &[Role::Edge]);
    let shown = json_of(Swarm::new().run(&words("--json bus permissions edge7 --role edge")));
    assert_eq!(shown["node"], "edge7");
    assert_eq!(shown["roles"], json!(["edge"]));
    let expected = serde_json::to_value(&expected).unwrap();
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    // This machine's node, as its certificate has it, and as the server is told.
    let own = json_of(swarm.run(&["--json", "bus", "permissions"]));
    assert_eq!(own["node"], "command0");
    assert!(
        own["roles"].as_array().unwrap().contains(&json!("hub")),
        "{own}"
    );
    let rendered = std::fs::read_to_string(swarm.path("nats/nats-server.conf")).unwrap();
    for list in ["publish_allow", "subscribe_allow"] {
        for subject in own[list].as_array().unwrap() {
            assert!(rendered.contains(subject.as_str().unwrap()), "{subject}");
        }
    }
    let table = swarm.run(&["bus", "permissions"]).success();
    assert!(table.contains("hub keeps the streams"), "{table}");

    let explain = |node: &str, role: &str, subject: &str| {
        json_of(swarm.run(&[
            "--json",
            "bus",
            "permissions",
            node,
            "--role",
            role,
            "--explain",
            subject,
        ]))
    };
    let reboot = explain("edge7", "edge", "swarm.commands.edge8.reboot");
    assert_eq!(reboot["publish"], json!({"allowed": false, "rules": []}));
    let reboot = explain("edge7", "operator", "swarm.commands.edge8.reboot");
    assert_eq!(
        reboot["publish"],
        json!({
            "allowed": true,
            "rules": ["operator may publish all swarm.commands.{node}.{verb}"],
        })
    );
    assert_eq!(reboot["subscribe"]["allowed"], false);
    let said = words("bus permissions e --role edge --explain swarm.telemetry.e.x");
    let said = swarm.run(&said).success();
    assert!(
        said.contains("publish    yes: edge may publish its own"),
        "{said}"
    );
    assert!(said.contains("subscribe  no"), "{said}");

    swarm
        .run(&["bus", "permissions", "edge9"])
        .failure(2, &["edge9 is not in the roster", "--role"]);
    swarm
        .run(&words("bus permissions --explain a..b"))
        .failure(2, &["a..b"]);
    Swarm::new()
        .run(&["bus", "permissions"])
        .failure(2, &["there is no node"]);
}
