//! One clear line, an exit code, and the state as it was.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use swarm_pki::Timestamp;

use crate::program::{Ended, Swarm, file};

/// Joins with some text as the invite.
fn join(swarm: &Swarm, invite: &str) -> Ended {
    let mut child = swarm
        .command(&["join"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(invite.as_bytes())
        .unwrap();
    Ended::of(child.wait_with_output().unwrap())
}

#[test]
fn what_is_no_invite_is_refused() {
    let swarm = Swarm::new();
    join(&swarm, "hello").failure(2, &["this is no invite", "swarm invite"]);
    join(&swarm, "").failure(2, &["this is no invite"]);
    assert!(swarm.files().is_empty());
}

#[test]
fn an_unreachable_hub_is_named_and_leaves_nothing_behind() {
    let hub = Swarm::bootstrapped();
    let invite = hub.run(&["invite", "edge1"]).success();
    let edge = Swarm::new();
    let start = Instant::now();
    join(&edge, &invite).failure(1, &["127.0.0.1:7443"]);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(edge.files().is_empty());
    assert!(!edge.path("").exists());
}

#[test]
fn a_taken_id_is_not_invited() {
    let hub = Swarm::bootstrapped();
    let before = hub.files();
    hub.run(&["invite", "command0"])
        .failure(1, &["command0", "already exists"]);
    assert!(before == hub.files());
    hub.run(&["invite", "Not_An_Id"])
        .code
        .filter(|code| *code == 2)
        .unwrap();
}

#[test]
fn a_broken_plan_is_told_by_line_and_column() {
    let hub = Swarm::bootstrapped();
    let before = hub.files();
    let directory = tempfile::tempdir().unwrap();
    for (text, words) in [
        ("[swarm]\nname = \"a\nb", &["line 2", "column"][..]),
        (
            "[swarm]\nname = \"a\"\nnetwrk = \"10.0.0.0/8\"\n",
            &["line 3", "column 1", "netwrk", "network"],
        ),
        ("[swarm]\nname = 7\n", &["line 2", "column 8"]),
    ] {
        let path = file(directory.path(), "swarm.toml", text);
        hub.run(&["config", "check", path.to_str().unwrap()])
            .failure(2, words);
    }
    assert!(before == hub.files());
}

#[test]
fn a_bootstrap_with_a_broken_plan_leaves_the_state_as_it_was() {
    let hub = Swarm::bootstrapped();
    std::fs::write(hub.path("swarm.toml"), "[swarm]\nnam = \"a\"\n").unwrap();
    let before = hub.files();
    hub.run(&["bootstrap"]).failure(2, &["line 2", "nam"]);
    hub.run(&["up"]).failure(2, &["line 2", "nam"]);
    assert!(before == hub.files());
}

#[test]
fn a_first_bootstrap_needs_an_endpoint() {
    let swarm = Swarm::new();
    swarm.run(&["bootstrap"]).failure(2, &["--endpoint"]);
    assert!(swarm.files().is_empty());
}

#[test]
fn a_node_that_runs_is_not_run_twice() {
    let hub = Swarm::bootstrapped();
    let path = hub.path("nodes/command0/lock");
    let mut lock = File::create(&path).unwrap();
    writeln!(lock, "{}", std::process::id()).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    hub.run(&["up"])
        .failure(1, &["held by process", &std::process::id().to_string()]);
}

#[test]
fn a_missing_server_is_named_with_how_to_get_it() {
    let hub = Swarm::bootstrapped();
    let before = hub.files();
    let empty = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/usr/bin/setpriv", empty.path().join("setpriv")).unwrap();
    let ended = hub
        .command(&["up"])
        .env("PATH", empty.path())
        .output()
        .unwrap();
    Ended::of(ended).failure(
        3,
        &["nats-server is not in PATH", "apt-get install nats-server"],
    );
    let without_locks = |files: Vec<(PathBuf, Vec<u8>)>| {
        files
            .into_iter()
            .filter(|(path, _)| !path.ends_with("lock"))
            .collect::<Vec<_>>()
    };
    assert!(without_locks(before) == without_locks(hub.files()));
}

#[test]
fn a_port_in_use_is_named() {
    let hub = Swarm::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    hub.write_plan(&format!("[health]\nport = {port}\n"));
    hub.run(&["bootstrap"]).success();
    let programs = tempfile::tempdir().unwrap();
    for program in ["nats-server", "synapse_homeserver", "setpriv"] {
        file(programs.path(), program, "");
    }
    let ended = hub
        .command(&["up"])
        .env("PATH", programs.path())
        .output()
        .unwrap();
    Ended::of(ended).failure(3, &[&format!("127.0.0.1:{port}"), "health", "in use"]);
}

#[test]
fn a_clock_outside_the_certificate_is_named() {
    let hub = Swarm::bootstrapped();
    let in_three_hours = Timestamp::now() + Duration::from_secs(3 * 3_600);
    hub.add_node("future", in_three_hours, Duration::from_secs(60));
    hub.run(&["up", "--node", "future"]).failure(
        1,
        &["certificate of future begins at", "the clock is wrong"],
    );
}

#[test]
fn an_expired_node_comes_back_by_itself_where_the_authority_is() {
    let hub = Swarm::bootstrapped();
    let minute = Duration::from_secs(60);
    hub.add_node("past", Timestamp::now() - 40 * minute, minute);
    let ended = hub.run(&["up", "--node", "past"]);
    assert!(
        ended.said.contains("the certificate has expired"),
        "{}",
        ended.said
    );
    // It has a certificate again, and gets as far as the tunnel's key, which this one never had.
    assert!(ended.said.contains("wireguard.key"), "{}", ended.said);
    let listed = hub.run(&["--json", "ca", "list", "--all"]).success();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let of_past = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["node"] == "past");
    let states: Vec<_> = of_past.map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(states.len(), 2, "{listed}");
    assert!(
        states.contains(&"live") && states.contains(&"expired"),
        "{listed}"
    );
}

#[test]
fn a_node_that_does_not_run_is_not_asked() {
    let hub = Swarm::bootstrapped();
    hub.run(&["status"])
        .failure(1, &["cannot connect", "swarm up"]);
    Swarm::new()
        .run(&["status"])
        .failure(2, &["there is no node", "swarm join"]);
}

#[test]
fn a_damaged_identity_is_named() {
    let hub = Swarm::bootstrapped();
    std::fs::write(
        hub.path("nodes/command0/identity.pem"),
        "-----BEGIN NOTHING-----\n",
    )
    .unwrap();
    hub.run(&["up"]).failure(2, &["identity.pem"]);
}
