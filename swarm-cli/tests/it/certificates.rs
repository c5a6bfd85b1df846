//! `swarm ca verify`, and OpenSSL's word on what the authority made.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use swarm_pki::{Certificate, Timestamp};

use crate::program::{Swarm, file};

/// A hub's certificates in files: root, issuing authority, leaf, both revocation lists in one.
struct Files {
    _directory: tempfile::TempDir,
    root: PathBuf,
    issuing: PathBuf,
    leaf: PathBuf,
    lists: Vec<PathBuf>,
}

impl Files {
    fn of(swarm: &Swarm) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = swarm_pki::store::Store::open(swarm.path("ca/state")).unwrap();
        let write = |name: &str, text: String| file(directory.path(), name, &text);
        let identity = std::fs::read_to_string(swarm.path("nodes/command0/identity.pem")).unwrap();
        let chain = &identity[identity.find("-----BEGIN CERTIFICATE").unwrap()..];
        let leaf = Certificate::from_pem_chain(chain).unwrap().remove(0);
        let bundle = store.bundle(Timestamp::now()).unwrap();
        let lists = bundle.crls.iter().enumerate();
        Self {
            root: write("root.pem", store.root().unwrap().to_pem()),
            issuing: write("issuing.pem", store.issuing().unwrap().1.to_pem()),
            leaf: write("leaf.pem", leaf.to_pem()),
            lists: lists
                .map(|(number, list)| write(&format!("{number}.crl"), list.to_pem()))
                .collect(),
            _directory: directory,
        }
    }

    fn arguments(&self) -> Vec<&str> {
        let mut arguments = vec![
            "ca",
            "verify",
            "--root",
            text(&self.root),
            "--intermediate",
            text(&self.issuing),
        ];
        for list in &self.lists {
            arguments.extend(["--crl", text(list)]);
        }
        arguments.push(text(&self.leaf));
        arguments
    }

    /// What `openssl verify` says of the same files.
    fn openssl(&self) -> bool {
        let mut command = Command::new("openssl");
        command.args([
            "verify",
            "-crl_check_all",
            "-CAfile",
            text(&self.root),
            "-untrusted",
            text(&self.issuing),
        ]);
        for list in &self.lists {
            command.args(["-CRLfile", text(list)]);
        }
        command.arg(&self.leaf).output().unwrap().status.success()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_good_chain_holds_here_and_with_openssl() {
    let swarm = Swarm::bootstrapped();
    let files = Files::of(&swarm);
    swarm.run(&files.arguments()).success();
    assert!(files.openssl());
}

#[test]
fn a_revoked_leaf_is_refused_here_and_by_openssl() {
    let swarm = Swarm::bootstrapped();
    swarm.run(&["revoke", "command0"]).success();
    let files = Files::of(&swarm);
    let ended = swarm.run(&files.arguments());
    assert_eq!(ended.code, Some(1));
    assert!(ended.output.contains("revoked"), "{}", ended.output);
    assert!(!files.openssl());
}

#[test]
fn a_wrong_name_a_wrong_time_and_unreadable_input_have_their_own_exit_codes() {
    let swarm = Swarm::bootstrapped();
    let files = Files::of(&swarm);
    let with = |more: &[&'static str]| [more, &[]].concat();
    let mut named = files.arguments();
    named.extend(with(&["--name", "elsewhere.example"]));
    assert_eq!(swarm.run(&named).code, Some(1));
    let mut good = files.arguments();
    good.extend(with(&[
        "--name",
        "command0.swarm.internal",
        "--purpose",
        "server",
    ]));
    assert_eq!(swarm.run(&good).code, Some(0));
    let mut past = files.arguments();
    past.extend(with(&["--at", "2001-01-01T00:00:00Z"]));
    let ended = swarm.run(&past);
    assert_eq!(ended.code, Some(1));
    assert!(ended.output.contains("refused"), "{}", ended.output);
    let garbage = swarm.path("swarm.toml");
    swarm
        .run(&["ca", "verify", "--root", text(&files.root), text(&garbage)])
        .failure(2, &["swarm.toml"]);
    swarm
        .run(&["ca", "verify", "--root", text(&files.root), "/nonexistent"])
        .failure(2, &["/nonexistent"]);
}

#[test]
fn a_revoked_node_is_listed_as_such() {
    let swarm = Swarm::bootstrapped();
    let list = |swarm: &Swarm| -> Vec<Value> {
        serde_json::from_str(&swarm.run(&["--json", "ca", "list"]).success()).unwrap()
    };
    assert_eq!(list(&swarm)[0]["status"], "live");
    swarm
        .run(&["revoke", "command0", "--reason", "superseded"])
        .success();
    assert_eq!(list(&swarm)[0]["status"], "revoked");
    swarm.run(&["revoke", "nobody"]).failure(1, &["nobody"]);
}
