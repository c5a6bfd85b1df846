//! One store, several processes; and a process that is killed in the middle.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use swarm_pki::store::{Grant, NodeStatus, Store, StoreSpec, Target};
use swarm_pki::{
    CertificateRequest, KeyAlgorithm, PrivateKey, RevocationReason, SwarmName, Timestamp,
};
use tempfile::TempDir;

const STORE: &str = "SWARM_PKI_TEST_STORE";
const NUMBER: &str = "SWARM_PKI_TEST_NUMBER";
const COUNT: &str = "SWARM_PKI_TEST_COUNT";

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn make() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let spec = StoreSpec::new("testers".parse().unwrap(), "test.internal".parse().unwrap());
    let store = Store::init(dir.path().join("state"), spec, "tester", now()).unwrap();
    (dir, store)
}

/// A child that does not outlive the test, however the test ends.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(directory: &Path, number: usize, count: usize) -> Guarded {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "processes::a_child_that_issues_and_revokes",
            "--ignored",
        ])
        .env(STORE, directory)
        .env(NUMBER, number.to_string())
        .env(COUNT, count.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Guarded(child)
}

/// Not a test by itself: the others start it as a process of its own.
#[test]
#[ignore = "started by other tests as a process of its own"]
fn a_child_that_issues_and_revokes() {
    let Some(directory) = std::env::var_os(STORE) else {
        return;
    };
    let number = std::env::var_os(NUMBER).unwrap().into_string().unwrap();
    let count: usize = std::env::var_os(COUNT)
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let store = Store::open(directory)
        .unwrap()
        .with_lock_wait(Duration::from_secs(60));
    let swarm: SwarmName = "testers".parse().unwrap();
    for turn in 0..count {
        let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let id: swarm_pki::NodeId = format!("p{number}-{turn}").parse().unwrap();
        let mut wireguard_key = [7; 32];
        wireguard_key[..4].copy_from_slice(&(turn as u32).to_be_bytes());
        wireguard_key[4] = number.as_bytes()[0];
        let request = CertificateRequest::build(&key, &swarm, &id, wireguard_key).unwrap();
        store
            .issue(&request, &Grant::new(id.clone()), "child", now())
            .unwrap();
        if turn % 3 == 0 {
            let reason = RevocationReason::CessationOfOperation;
            store
                .revoke(&Target::Node(id), reason, "child", now())
                .unwrap();
        }
    }
}

#[test]
fn several_processes_work_on_one_store_at_once() {
    let (_dir, store) = make();
    let children: Vec<Guarded> = (0..4)
        .map(|number| spawn(store.directory(), number, 12))
        .collect();
    for mut child in children {
        assert!(child.0.wait().unwrap().success());
    }
    assert_eq!(store.nodes(now()).unwrap().len(), 48);
    let trust = store.trust(now()).unwrap();
    assert_eq!(trust.roster().count(), 4 * 8);
    assert_eq!(trust.crls().map(|crl| crl.len()).sum::<usize>(), 4 * 4);
    assert_eq!(store.audit().unwrap().len(), 1 + 48 + 16);
    store.verify().unwrap();
}

#[test]
fn a_process_that_is_killed_leaves_the_store_whole() {
    let (_dir, store) = make();
    for round in 0..8 {
        let child = spawn(store.directory(), round, 100_000);
        // Kill it while it works: after some changes, at another point of a change each time.
        let enough = store.generation().unwrap() + 3 + round as u64;
        let mut waited = Duration::ZERO;
        while store.generation().unwrap() < enough {
            assert!(waited < Duration::from_secs(60), "the child does nothing");
            std::thread::sleep(Duration::from_millis(2));
            waited += Duration::from_millis(2);
        }
        std::thread::sleep(Duration::from_micros(700 * round as u64));
        drop(child);
        let reopened = Store::open(store.directory()).unwrap();
        reopened.verify().unwrap();
        // What the bundle says and what the inventory says is one.
        let nodes = reopened.nodes(now()).unwrap();
        let trust = reopened.trust(now()).unwrap();
        let live = nodes
            .iter()
            .filter(|node| node.status == NodeStatus::Live)
            .count();
        assert_eq!(trust.roster().count(), live);
    }
}
