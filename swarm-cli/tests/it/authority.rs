//! `swarm ca`: the authority from its making to its replacement, by the command line alone.

use std::path::Path;

use serde_json::Value;

use crate::program::{Swarm, file};

fn json(swarm: &Swarm, arguments: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend(arguments);
    serde_json::from_str(&swarm.run(&all).success()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A request that some machine made, in a file of this swarm's directory.
fn request(swarm: &Swarm, id: &str, name: &str) -> std::path::PathBuf {
    let machine = Swarm::new();
    let request = machine.run(&["request", id, "--swarm", name]).success();
    file(&swarm.path(""), &format!("{id}.request"), &request)
}

/// An authority without a hub, its root's key on a "stick".
struct Alone {
    swarm: Swarm,
    stick: tempfile::TempDir,
}

impl Alone {
    fn new() -> Self {
        let (swarm, stick) = (Swarm::new(), tempfile::tempdir().unwrap());
        let pass = file(stick.path(), "pass", "correct horse\n");
        let key = stick.path().join("root.key");
        let said = swarm.run(&[
            "ca",
            "init",
            "--name",
            "cabins",
            "--root-key",
            text(&key),
            "--passphrase-file",
            text(&pass),
        ]);
        assert!(said.success().contains("root fingerprint"));
        Self { swarm, stick }
    }

    fn key(&self) -> String {
        text(&self.stick.path().join("root.key")).to_owned()
    }

    fn pass(&self) -> String {
        text(&self.stick.path().join("pass")).to_owned()
    }

    /// Adds what opens the root's key.
    fn with_root<'a>(&self, arguments: &[&'a str], held: &'a [String; 2]) -> Vec<&'a str> {
        let mut all = arguments.to_vec();
        all.extend([
            "--root-key",
            held[0].as_str(),
            "--passphrase-file",
            held[1].as_str(),
        ]);
        all
    }
}

#[test]
fn a_root_on_a_stick_is_needed_for_its_own_work_alone() {
    let alone = Alone::new();
    let swarm = &alone.swarm;
    assert!(!swarm.path("ca/state/root-1.key").exists());
    let key = std::fs::read_to_string(alone.key()).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));

    let request = request(swarm, "edge1", "cabins");
    let chain = swarm.run(&[
        "ca",
        "issue",
        "edge1",
        text(&request),
        "--role",
        "edge",
        "--address",
        "10.44.0.7",
    ]);
    assert_eq!(chain.success().matches("BEGIN CERTIFICATE").count(), 2);
    let listed = json(swarm, &["ca", "list"]);
    assert_eq!(listed[0]["addresses"][0], "10.44.0.7");

    // Only the root signs the root's list.
    swarm.run(&["ca", "crl", "--root"]).failure(1, &["root"]);
    let held = [alone.key(), alone.pass()];
    let lists = swarm
        .run(&alone.with_root(&["ca", "crl", "--root"], &held))
        .success();
    assert_eq!(lists.matches("BEGIN X509 CRL").count(), 2);
    let wrong = file(alone.stick.path(), "wrong", "battery staple\n");
    swarm
        .run(&[
            "ca",
            "crl",
            "--root",
            "--root-key",
            &held[0],
            "--passphrase-file",
            text(&wrong),
        ])
        .failure(1, &["passphrase"]);
    let shown = swarm.run(&["ca", "show"]).success();
    assert!(shown.contains(&format!("key in {}", held[0])), "{shown}");
}

#[test]
fn one_certificate_is_renewed_and_revoked_and_the_log_tells_of_it() {
    let swarm = Swarm::new();
    swarm.run(&["ca", "init", "--name", "cabins"]).success();
    let first = request(&swarm, "edge1", "cabins");
    swarm.run(&["ca", "issue", "edge1", text(&first)]).success();
    let renewed = json(&swarm, &["ca", "renew", "edge1", text(&first)]);
    assert_eq!(json(&swarm, &["ca", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(
        json(&swarm, &["ca", "list", "--all"])
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let serial = renewed["serial"].as_str().unwrap();
    swarm
        .run(&["ca", "revoke", "--serial", serial, "--reason", "superseded"])
        .success();
    swarm
        .run(&["ca", "revoke", "--serial", serial])
        .failure(1, &["revoked"]);
    swarm.run(&["ca", "revoke", "edge2"]).failure(1, &["edge2"]);
    assert_eq!(swarm.run(&["ca", "revoke"]).code, Some(2));
    swarm
        .run(&["ca", "revoke", "--authority", "root-1"])
        .failure(2, &["retires"]);

    let log = json(&swarm, &["ca", "audit"]);
    let kinds: Vec<_> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "initialized",
            "issued",
            "renewed",
            "revoked",
            "refused",
            "refused"
        ]
    );
    let csv = swarm.run(&["ca", "export", "inventory"]).success();
    assert!(csv.starts_with("node,serial,status"), "{csv}");
    assert_eq!(csv.matches("superseded").count(), 1, "{csv}");
    let rows: Value = serde_json::from_str(
        &swarm
            .run(&["ca", "export", "audit", "--format", "json"])
            .success(),
    )
    .unwrap();
    assert_eq!(rows.as_array().unwrap().len(), kinds.len());

    // An edited log is named, and nothing goes on from it.
    let journal = swarm.path("ca/state/journal");
    let edited = std::fs::read_to_string(&journal)
        .unwrap()
        .replacen("superseded", "unspecifie", 1);
    std::fs::write(&journal, edited).unwrap();
    swarm
        .run(&["ca", "audit"])
        .failure(1, &["journal", "damaged"]);
}

#[test]
fn an_authority_comes_back_from_its_backup_and_takes_nothing_back() {
    let hub = Swarm::bootstrapped();
    let request_1 = request(&hub, "edge1", "swarm");
    hub.run(&[
        "ca",
        "issue",
        "edge1",
        text(&request_1),
        "--address",
        "10.44.0.7",
    ])
    .success();
    let pass = file(&hub.path(""), "pass", "correct horse\n");
    let backup = hub.path("ca.backup");
    hub.run(&[
        "ca",
        "backup",
        "--passphrase-file",
        text(&pass),
        text(&backup),
    ])
    .success();
    // Not over a file that is there.
    hub.run(&[
        "ca",
        "backup",
        "--passphrase-file",
        text(&pass),
        text(&backup),
    ])
    .failure(2, &["ca.backup"]);
    hub.run(&["ca", "revoke", "edge1", "--reason", "key-compromise"])
        .success();
    let bundle = {
        let store = swarm_pki::store::Store::open(hub.path("ca/state")).unwrap();
        let bundle = store
            .bundle(swarm_pki::Timestamp::now())
            .unwrap()
            .to_pem()
            .unwrap();
        file(&hub.path(""), "bundle", &bundle)
    };
    let number = |swarm: &Swarm| -> u64 {
        let lists = json(swarm, &["ca", "crl"]);
        let list = lists
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["issuer"].as_str().unwrap().contains("issuing"));
        list.unwrap()["number"].as_str().unwrap().parse().unwrap()
    };
    let before = number(&hub);

    let restored = Swarm::new();
    let wrong = file(&hub.path(""), "wrong", "battery staple\n");
    restored
        .run(&[
            "ca",
            "restore",
            "--passphrase-file",
            text(&wrong),
            text(&backup),
        ])
        .failure(1, &["passphrase"]);
    let said = restored
        .run(&[
            "ca",
            "restore",
            "--passphrase-file",
            text(&pass),
            text(&backup),
        ])
        .success();
    assert!(said.contains("signs nothing"), "{said}");
    let request_2 = request(&restored, "edge2", "swarm");
    restored
        .run(&["ca", "issue", "edge2", text(&request_2)])
        .failure(1, &["restored", "swarm ca adopt"]);

    let learnt = json(&restored, &["ca", "adopt", text(&bundle)]);
    assert_eq!(learnt["settled"], true);
    assert_eq!(learnt["revocations"], 1);
    restored
        .run(&["ca", "issue", "edge2", text(&request_2)])
        .success();
    let listed = json(&restored, &["ca", "list"]);
    let edge1 = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["node"] == "edge1")
        .unwrap();
    assert_eq!(edge1["status"], "revoked");
    assert_eq!(number(&restored), before);
    restored.run(&["ca", "revoke", "edge2"]).success();
    assert!(number(&restored) > before);
}

#[test]
fn a_region_issues_below_the_root_of_another_machine() {
    let alone = Alone::new();
    let root = json(&alone.swarm, &["ca", "show"])["root"]["fingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    let north = Swarm::new();
    let request_text = north
        .run(&["ca", "init", "--name", "cabins", "--below", &root])
        .success();
    let pending = file(&north.path(""), "north.request", &request_text);
    let edge = request(&north, "edge5", "cabins");
    north
        .run(&["ca", "issue", "edge5", text(&edge)])
        .failure(1, &["root"]);
    assert!(north.run(&["ca", "show"]).success().contains("waits"));

    let held = [alone.key(), alone.pass()];
    let grant = alone
        .swarm
        .run(&alone.with_root(
            &[
                "ca",
                "subordinate",
                "sign",
                "--label",
                "north",
                text(&pending),
            ],
            &held,
        ))
        .success();
    let grant = file(&north.path(""), "north.grant", &grant);
    north
        .run(&["ca", "subordinate", "accept", text(&grant)])
        .success();
    let chain = north.run(&["ca", "issue", "edge5", text(&edge)]).success();

    // Whoever trusts the root trusts what the region issues, until the root takes it back.
    let shown = json(&alone.swarm, &["ca", "show"]);
    let files = tempfile::tempdir().unwrap();
    let root_pem = file(
        files.path(),
        "root.pem",
        shown["root"]["pem"].as_str().unwrap(),
    );
    let leaf = file(files.path(), "chain.pem", &chain);
    let crl = |swarm: &Swarm, name: &str| {
        let lists = json(swarm, &["ca", "crl"]);
        let all = lists.as_array().unwrap().iter().enumerate();
        all.map(|(n, one)| {
            file(
                files.path(),
                &format!("{name}{n}.crl"),
                one["pem"].as_str().unwrap(),
            )
        })
        .collect::<Vec<_>>()
    };
    let verify = |lists: &[std::path::PathBuf]| {
        let mut arguments = vec!["ca", "verify", "--root", text(&root_pem)];
        for list in lists {
            arguments.extend(["--crl", text(list)]);
        }
        arguments.push(text(&leaf));
        north.run(&arguments)
    };
    let mut lists = crl(&north, "north");
    verify(&lists).success();
    alone
        .swarm
        .run(&alone.with_root(
            &[
                "ca",
                "revoke",
                "--authority",
                "issuing-2",
                "--reason",
                "ca-compromise",
            ],
            &held,
        ))
        .success();
    lists.extend(crl(&alone.swarm, "root"));
    let said = verify(&lists);
    said.refusal(1, &["revoked"]);
}

#[test]
fn an_issuing_authority_is_replaced_when_every_live_node_is_ready() {
    let alone = Alone::new();
    let swarm = &alone.swarm;
    let edge = request(swarm, "edge1", "cabins");
    swarm.run(&["ca", "issue", "edge1", text(&edge)]).success();
    let held = [alone.key(), alone.pass()];
    assert!(
        swarm
            .run(&["ca", "rollover", "status"])
            .success()
            .contains("no roll-over")
    );
    swarm
        .run(&["ca", "rollover", "begin", "issuing"])
        .failure(1, &["root"]);
    swarm
        .run(&alone.with_root(&["ca", "rollover", "begin", "issuing"], &held))
        .success();

    swarm
        .run(&["ca", "rollover", "advance"])
        .failure(1, &["edge1"]);
    let status = json(swarm, &["ca", "rollover", "status"]);
    assert_eq!(status["phase"], "announced");
    assert_eq!(status["waiting"], serde_json::json!(["edge1"]));
    swarm
        .run(&["ca", "rollover", "advance", "--leave-behind", "edge1"])
        .success();
    let mut phases = vec![];
    for _ in 0..4 {
        let arguments = alone.with_root(&["--json", "ca", "rollover", "advance"], &held);
        let status: Value = serde_json::from_str(&swarm.run(&arguments).success()).unwrap();
        phases.push(status["phase"].clone());
        if status["under_way"] == false {
            break;
        }
    }
    assert!(
        phases.len() < 4 && phases.last() == Some(&Value::Null),
        "{phases:?}"
    );
    let shown = json(swarm, &["ca", "show"]);
    assert_eq!(shown["issuing_generation"], 2);
    // What was issued before does not come back to life, but may ask.
    swarm
        .run(&["ca", "approve", "edge1"])
        .failure(1, &["edge1"]);
    assert!(
        swarm
            .run(&["ca", "pending"])
            .success()
            .contains("no node asks")
    );
}

#[test]
fn policies_of_roles_bind_whoever_issues() {
    let swarm = Swarm::new();
    swarm.run(&["ca", "init", "--name", "cabins"]).success();
    let mut settings: Value =
        serde_json::from_str(&swarm.run(&["ca", "settings"]).success()).unwrap();
    settings["roles"] = serde_json::json!({
        "edge": { "lifetime": 3600, "addresses": ["10.44.0.0/24"], "usages": ["client"] }
    });
    let path = file(&swarm.path(""), "settings.json", &settings.to_string());
    swarm.run(&["ca", "settings", text(&path)]).success();
    let edge = request(&swarm, "edge1", "cabins");
    let issue = |more: &[&str]| {
        let mut arguments = vec!["ca", "issue", "edge1", text(&edge), "--role", "edge"];
        arguments.extend(more);
        swarm.run(&arguments)
    };
    issue(&["--address", "10.45.0.1"]).failure(1, &["10.45.0.1", "edge"]);
    issue(&["--lifetime", "2h"]).failure(1, &["3600 s"]);
    let chain = file(
        &swarm.path(""),
        "chain.pem",
        &issue(&["--address", "10.44.0.1"]).success(),
    );
    let root = file(
        &swarm.path(""),
        "root.pem",
        json(&swarm, &["ca", "show"])["root"]["pem"]
            .as_str()
            .unwrap(),
    );
    let verify = |purpose| {
        swarm.run(&[
            "ca",
            "verify",
            "--root",
            text(&root),
            "--purpose",
            purpose,
            text(&chain),
        ])
    };
    verify("client").success();
    verify("server").refusal(1, &["purpose"]);

    settings["swarm"] = "others".into();
    let path = file(&swarm.path(""), "others.json", &settings.to_string());
    swarm
        .run(&["ca", "settings", text(&path)])
        .failure(1, &["swarm"]);
    swarm
        .run(&["ca", "settings", text(&edge)])
        .failure(2, &["edge1.request"]);
}
