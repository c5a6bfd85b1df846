//! A hub from nothing, and again.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::program::Swarm;

#[test]
fn a_second_bootstrap_changes_nothing() {
    let swarm = Swarm::bootstrapped();
    let before = swarm.files();
    let again: Value =
        serde_json::from_str(&swarm.run(&["--json", "bootstrap"]).success()).unwrap();
    assert_eq!(again["changed"], serde_json::json!([]));
    assert!(before == swarm.files());
}

#[test]
fn a_changed_plan_changes_only_what_follows_from_it() {
    let swarm = Swarm::new();
    swarm.write_plan("");
    swarm.run(&["bootstrap"]).success();
    swarm.write_plan("[nats]\nport = 4333\n");
    let again: Value =
        serde_json::from_str(&swarm.run(&["--json", "bootstrap"]).success()).unwrap();
    assert_eq!(
        again["changed"],
        serde_json::json!([swarm.path("nats/nats-server.conf")])
    );
    let rendered = std::fs::read_to_string(swarm.path("nats/nats-server.conf")).unwrap();
    assert!(rendered.contains("4333"));
}

#[test]
fn secrets_are_for_their_owner_alone() {
    let swarm = Swarm::bootstrapped();
    for secret in [
        "nodes/command0/identity.pem",
        "nodes/command0/wireguard.key",
        "matrix/token.seed",
        "matrix/registration.secret",
        "matrix/signing.key",
        "matrix/homeserver.yaml",
    ] {
        let mode = std::fs::metadata(swarm.path(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{secret} has mode {mode:o}");
    }
}

#[test]
fn an_invite_names_the_root_that_the_authority_shows() {
    let swarm = Swarm::bootstrapped();
    let shown: Value =
        serde_json::from_str(&swarm.run(&["--json", "ca", "show"]).success()).unwrap();
    let made: Value = serde_json::from_str(&swarm.run(&["--json", "bootstrap"]).success()).unwrap();
    assert_eq!(shown["root"]["fingerprint"], made["root_fingerprint"]);
    let invite: Value =
        serde_json::from_str(&swarm.run(&["--json", "invite", "edge1"]).success()).unwrap();
    let invite: swarm_pki::enroll::Invite = invite["invite"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        invite.root().to_string(),
        made["root_fingerprint"].as_str().unwrap()
    );
    assert_eq!(invite.node().as_str(), "edge1");
}

#[test]
fn two_open_invites_get_two_addresses() {
    let swarm = Swarm::bootstrapped();
    for id in ["edge1", "edge2"] {
        swarm.run(&["invite", id]).success();
    }
    let store = swarm_pki::store::Store::open(swarm.path("ca/state")).unwrap();
    let open = store.open_invites(swarm_pki::Timestamp::now()).unwrap();
    assert_eq!(open.len(), 2);
    assert_ne!(open[0].grant.addresses, open[1].grant.addresses);
}

#[test]
fn an_encrypted_root_key_needs_its_passphrase_only_for_the_root() {
    let swarm = Swarm::new();
    let passphrase = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(passphrase.path(), "correct horse\n").unwrap();
    let path = passphrase.path().to_str().unwrap();
    swarm
        .run(&[
            "bootstrap",
            "--endpoint",
            "127.0.0.1:1",
            "--passphrase-file",
            path,
        ])
        .success();
    let shown: Value =
        serde_json::from_str(&swarm.run(&["--json", "ca", "show"]).success()).unwrap();
    assert_eq!(shown["root_key"], "here, encrypted");
    swarm.run(&["invite", "edge1"]).success();
}
