//! Joining without a connection: what is carried there and back, and what a carrier cannot do.

use serde_json::Value;

use crate::program::{Swarm, file};

/// A request that was made on a new machine, in a file.
fn request(edge: &Swarm, id: &str) -> std::path::PathBuf {
    let text = edge.run(&["request", id]).success();
    assert!(
        text.starts_with("-----BEGIN CERTIFICATE REQUEST-----"),
        "{text}"
    );
    file(&edge.path(""), "request", &text)
}

fn fingerprint(hub: &Swarm) -> String {
    let shown: Value = serde_json::from_str(&hub.run(&["--json", "ca", "show"]).success()).unwrap();
    shown["root"]["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn a_machine_joins_by_what_is_carried() {
    let (hub, edge) = (Swarm::bootstrapped(), Swarm::new());
    let request = request(&edge, "edge7");
    let root = fingerprint(&hub);
    let grant = hub.run(&[
        "grant",
        "edge7",
        request.to_str().unwrap(),
        "--role",
        "relay",
    ]);
    let grant = file(&edge.path(""), "grant", &grant.success());
    let grant = grant.to_str().unwrap();

    // Not without the root's fingerprint, and not with another one.
    edge.run(&["accept", grant]).failure(1, &["fingerprint"]);
    let other = "0".repeat(64);
    edge.run(&["accept", "--root", &other, grant])
        .failure(1, &["another authority", &root]);
    assert!(!edge.path("nodes/edge7/identity.pem").exists());

    let said = edge.run(&["accept", "--root", &root, grant]).success();
    assert!(said.contains("edge7 joined the swarm"), "{said}");
    assert_eq!(
        std::fs::read(edge.path("swarm.toml")).unwrap(),
        std::fs::read(hub.path("swarm.toml")).unwrap()
    );
    let identity = std::fs::read_to_string(edge.path("nodes/edge7/identity.pem")).unwrap();
    assert_eq!(identity.matches("BEGIN CERTIFICATE").count(), 2);
    // A grant is good for one request.
    edge.run(&["accept", "--root", &root, grant])
        .failure(1, &["no request waits"]);
    // The node is in the hub's inventory, with the role that it was granted.
    let listed: Value =
        serde_json::from_str(&hub.run(&["--json", "ca", "list"]).success()).unwrap();
    let node = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["node"] == "edge7")
        .unwrap();
    assert_eq!(node["roles"], serde_json::json!(["relay"]));
}

#[test]
fn a_carrier_cannot_change_what_the_grant_says() {
    let (hub, edge) = (Swarm::bootstrapped(), Swarm::new());
    let request = request(&edge, "edge7");
    let root = fingerprint(&hub);
    let grant = hub
        .run(&["grant", "edge7", request.to_str().unwrap()])
        .success();

    let without_plan = &grant[..grant.find("-----BEGIN SWARM ATTACHMENT").unwrap()];
    let path = file(&edge.path(""), "without", without_plan);
    edge.run(&["accept", "--root", &root, path.to_str().unwrap()])
        .failure(1, &["swarm.toml"]);

    // Another swarm's hub signs a plan of its own.
    let other = Swarm::bootstrapped();
    let foreign = other
        .run(&["grant", "edge7", request.to_str().unwrap()])
        .success();
    let foreign_plan = &foreign[foreign.find("-----BEGIN SWARM ATTACHMENT").unwrap()..];
    let path = file(
        &edge.path(""),
        "foreign",
        &format!("{without_plan}{foreign_plan}"),
    );
    edge.run(&["accept", "--root", &root, path.to_str().unwrap()])
        .failure(1, &["swarm.toml"]);

    let path = file(&edge.path(""), "cut", &grant[..grant.len() / 2]);
    edge.run(&["accept", "--root", &root, path.to_str().unwrap()])
        .failure(1, &[]);
    assert!(!edge.path("swarm.toml").exists());
    assert!(!edge.path("nodes/edge7/identity.pem").exists());

    // What the hub made is good all the same.
    let path = file(&edge.path(""), "whole", &grant);
    edge.run(&["accept", "--root", &root, path.to_str().unwrap()])
        .success();
}

#[test]
fn the_request_decides_nothing() {
    let (hub, edge) = (Swarm::bootstrapped(), Swarm::new());
    let request = request(&edge, "command0");
    hub.run(&["grant", "command0", request.to_str().unwrap()])
        .failure(1, &["command0", "live certificate"]);
    hub.run(&["grant", "edge8", "/proc/version"])
        .failure(2, &["no request"]);
    edge.run(&["grant", "edge8", request.to_str().unwrap()])
        .failure(2, &["no authority"]);
}
