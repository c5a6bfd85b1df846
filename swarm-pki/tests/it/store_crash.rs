//! A process that dies at any file operation whatever: nothing half done, nothing lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};

use swarm_pki::store::{
    Error, InviteSpec, NodeStatus, RolloverSpec, RootAccess, RootKey, Store, Target,
};
use swarm_pki::testing::{Interruption, file_operations, interrupt_file_operation};
use swarm_pki::{KeyAlgorithm, PrivateKey, RevocationReason, TrustBundle};
use tempfile::TempDir;

use crate::store_fixture::{DAY, grant, id, knows, live, make, now, request, request_with, spec};

const WHERE: &str = "SWARM_PKI_TEST_CRASH_DIR";
const AT: &str = "SWARM_PKI_TEST_CRASH_AT";
const STORED: RootAccess<'static> = RootAccess::Stored;

/// Notes in `answers` what was answered "done", so that the parent can hold the store to it.
fn done(directory: &Path, what: &str) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(directory.join("answers"))
        .unwrap();
    writeln!(file, "{what}").unwrap();
}

/// Init, issue, redeem, revoke, refresh, rotate, a whole roll-over of each kind, restore.
fn scenario(directory: &Path) {
    let store = Store::init(directory.join("state"), spec(), "tester", now()).unwrap();
    done(directory, "init");
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let one = store
        .issue(&request_with(&key, 1), &grant("edge1", 1), "tester", now())
        .unwrap();
    done(directory, "live edge1");
    let spec = InviteSpec {
        grant: grant("edge2", 2),
        expires: now() + DAY,
    };
    let secret = store.invite(&spec, "tester", now()).unwrap();
    store.redeem(&secret, &request(2), "edge2", now()).unwrap();
    done(directory, "live edge2");
    let reason = RevocationReason::KeyCompromise;
    store
        .revoke(&Target::Node(id("edge2")), reason, "tester", now())
        .unwrap();
    done(directory, "revoked edge2");
    store.refresh_crls(now() + 5 * DAY).unwrap();
    store.rotate_issuing(&STORED, "tester", now()).unwrap();
    done(directory, "issues 2");
    let mut current = one;
    for (turn, spec) in [
        RolloverSpec::issuing(),
        RolloverSpec::root(RootKey::default()),
    ]
    .iter()
    .enumerate()
    {
        store
            .begin_rollover(spec, &STORED, "tester", now())
            .unwrap();
        let trust = store.trust(now()).unwrap();
        store
            .report_trust(&current.certificate, &knows(&trust), now())
            .unwrap();
        // A second renewal in the same second would be no newer than the first.
        let later = now() + DAY * (turn as u32 + 1);
        let go = || {
            let trust = store.trust(later).unwrap();
            store.advance_rollover(&live(&trust), &BTreeSet::new(), &STORED, "tester", later)
        };
        go().unwrap();
        go().unwrap();
        done(directory, &format!("issues {}", 3 + turn));
        current = store
            .renew(&current.certificate, &request_with(&key, 1), "edge1", later)
            .unwrap();
        go().unwrap();
        assert_eq!(go().unwrap(), None);
        done(directory, &format!("rolled {turn}"));
    }
    let stick = directory.join("stick.key");
    store.detach_root(2, &stick, None, "tester", now()).unwrap();
    done(directory, "detached");
}

/// Not a test by itself: the one below starts it as a process of its own.
#[test]
#[ignore = "started by another test as a process of its own"]
fn a_child_that_dies_at_a_file_operation() {
    let Some(directory) = std::env::var_os(WHERE) else {
        return;
    };
    let directory = Path::new(&directory);
    let at: u64 = std::env::var_os(AT)
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    if at > 0 {
        interrupt_file_operation(at, Interruption::Abort);
    }
    if directory.join("backup").exists() {
        let backup = fs::read_to_string(directory.join("backup")).unwrap();
        let bundle = fs::read(directory.join("bundle")).unwrap();
        let bundle = TrustBundle::from_der(&bundle).unwrap();
        Store::restore(
            directory.join("restored"),
            &backup,
            b"pass",
            &[bundle],
            "tester",
            now(),
        )
        .unwrap();
        done(directory, "restored");
    } else {
        scenario(directory);
    }
    fs::write(directory.join("operations"), file_operations().to_string()).unwrap();
}

/// Runs the child, and tells whether it came to its end.
fn run(directory: &Path, at: u64) -> bool {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store_crash::a_child_that_dies_at_a_file_operation",
            "--ignored",
        ])
        .env(WHERE, directory)
        .env(AT, at.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    child.success()
}

fn operations(directory: &Path) -> u64 {
    let text = fs::read_to_string(directory.join("operations")).unwrap();
    text.parse().unwrap()
}

/// Holds the store to every answer that was given.
fn hold_to(directory: &Path, at: u64) {
    let answers = fs::read_to_string(directory.join("answers")).unwrap_or_default();
    let state = directory.join("state");
    let store = match Store::open(&state) {
        Ok(store) => store,
        Err(Error::NotInitialized(_)) if answers.is_empty() => {
            // It was not made; then it can be made now.
            Store::init(&state, spec(), "tester", now()).unwrap()
        }
        Err(fault) => panic!("after operation {at}: {fault}"),
    };
    store
        .verify()
        .unwrap_or_else(|fault| panic!("after operation {at}: {fault}"));
    let later = now() + DAY;
    let revoked = answers.contains("revoked edge2");
    for answer in answers.lines() {
        match answer.split_once(' ') {
            Some(("live", node)) => {
                let record = store.node(&id(node), later).unwrap().unwrap();
                let live = record.status == NodeStatus::Live;
                assert!(live || node == "edge2", "{at}: {answer}");
            }
            Some(("revoked", node)) => {
                let record = store.node(&id(node), later).unwrap().unwrap();
                assert!(matches!(record.status, NodeStatus::Revoked(_)), "{at}");
            }
            Some(("issues", generation)) => {
                let generation: u32 = generation.parse().unwrap();
                assert!(store.issuing().unwrap().0 >= generation, "{at}: {answer}");
            }
            Some(("rolled", turn)) => {
                let ends = store.audit().unwrap();
                let ends = ends.iter().filter(|e| e.detail.starts_with("done")).count();
                assert!(ends > turn.parse::<usize>().unwrap(), "{at}: {answer}");
            }
            _ => {}
        }
    }
    // The bundle says what the inventory says, and the store goes on working.
    let trust = store.trust(later).unwrap();
    assert!(!revoked || trust.node(&id("edge2")).is_none(), "{at}");
    store
        .issue(&request(9), &grant("edge9", 9), "tester", later)
        .unwrap_or_else(|fault| panic!("after operation {at}: {fault}"));
    let root_key = state.join("root-2.key");
    let moved = directory.join("stick.key");
    assert!(
        !answers.contains("rolled 1") || root_key.exists() || moved.exists(),
        "{at}: the root's key is gone"
    );
}

#[test]
fn a_process_that_dies_at_any_file_operation_leaves_a_whole_store() {
    let whole = TempDir::new().unwrap();
    assert!(run(whole.path(), 0));
    let count = operations(whole.path());
    assert!(count > 100, "only {count} operations are counted");
    hold_to(whole.path(), 0);
    for at in 1..=count {
        let directory = TempDir::new().unwrap();
        assert!(!run(directory.path(), at), "it did not die at {at}");
        hold_to(directory.path(), at);
    }
}

#[test]
fn a_restore_that_dies_leaves_nothing_or_all() {
    // A root's key elsewhere: every key in a backup costs each child an scrypt.
    let dir = TempDir::new().unwrap();
    let mut spec = spec();
    spec.root_key = RootKey::Signer(Arc::new(PrivateKey::generate(KeyAlgorithm::P256).unwrap()));
    let store = Store::init(dir.path().join("state"), spec, "tester", now()).unwrap();
    store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let backup = store.backup(b"pass", now()).unwrap();
    let reason = RevocationReason::KeyCompromise;
    store
        .revoke(&Target::Node(id("edge1")), reason, "tester", now())
        .unwrap();
    let bundle = store.bundle(now()).unwrap().to_der().unwrap();
    let prepare = || {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("backup"), &backup).unwrap();
        fs::write(directory.path().join("bundle"), &bundle).unwrap();
        directory
    };
    let whole = prepare();
    assert!(run(whole.path(), 0));
    for at in 1..=operations(whole.path()) {
        let directory = prepare();
        assert!(!run(directory.path(), at), "it did not die at {at}");
        let path = directory.path().join("restored");
        let restored = match Store::open(&path) {
            Ok(store) => store,
            Err(Error::NotInitialized(_)) => continue,
            Err(fault) => panic!("after operation {at}: {fault}"),
        };
        restored.verify().unwrap();
        // Either it has taken over what the bundle says, or it signs nothing until it has.
        let bundle = TrustBundle::from_der(&bundle).unwrap();
        assert_eq!(
            restored.is_settled().unwrap(),
            restored.node(&id("edge1"), now()).unwrap().unwrap().status != NodeStatus::Live,
            "{at}"
        );
        restored.adopt(&bundle, now()).unwrap();
        restored
            .issue(&request(9), &grant("edge2", 1), "tester", now())
            .unwrap();
        restored.verify().unwrap();
    }
}

#[test]
fn a_write_that_fails_changes_nothing_and_is_said() {
    let (_dir, store) = make();
    let secret = store
        .invite(
            &InviteSpec {
                grant: grant("edge1", 1),
                expires: now() + DAY,
            },
            "tester",
            now(),
        )
        .unwrap();
    let mine = request(1);
    let mut nth = 0;
    loop {
        nth += 1;
        let before = file_operations();
        interrupt_file_operation(nth, Interruption::Fail);
        let result = store.redeem(&secret, &mine, "tester", now());
        if file_operations() - before < nth {
            result.unwrap();
            break;
        }
        assert!(matches!(result, Err(Error::Io { .. })), "{nth}: {result:?}");
        // The memory says what the disk says, before the change or after it.
        let nodes = store.nodes(now()).unwrap().len();
        Store::open(store.directory()).unwrap().verify().unwrap();
        match store.check_invite(&secret, now()) {
            Ok(_) => assert_eq!(nodes, 0),
            // Replacing the head was the commit; what failed came after it.
            Err(Error::InviteSpent { .. }) => assert_eq!(nodes, 1),
            Err(fault) => panic!("{nth}: {fault}"),
        }
        if nodes == 1 {
            // Asked again, the same keys get the same answer.
            store.redeem(&secret, &mine, "tester", now()).unwrap();
            break;
        }
    }
    assert!(nth > 3, "only {nth} operations could fail");
    assert_eq!(store.nodes(now()).unwrap().len(), 1);
}

#[test]
fn many_threads_are_written_together_and_none_is_lost() {
    let (_dir, store) = make();
    let start = Arc::new(Barrier::new(16));
    let threads: Vec<_> = (0..16u8)
        .map(|thread| {
            let (store, start) = (store.clone(), Arc::clone(&start));
            std::thread::spawn(move || {
                let wanted: Vec<_> = (0..4u8)
                    .map(|turn| {
                        let number = thread * 4 + turn + 1;
                        (request(number), grant(&format!("n{number}"), number))
                    })
                    .collect();
                start.wait();
                for (request, grant) in &wanted {
                    store.issue(request, grant, "tester", now()).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(store.nodes(now()).unwrap().len(), 64);
    store.verify().unwrap();
    let many: Vec<_> = (100..120u8)
        .map(|number| (request(number), grant(&format!("m{number}"), number)))
        .chain([(request(200), grant("n1", 200))])
        .collect();
    let results = store.issue_many(&many, "tester", now()).unwrap();
    assert!(results[..20].iter().all(Result::is_ok));
    assert!(matches!(results[20], Err(Error::IdInUse { .. })));
    let reopened = Store::open(store.directory()).unwrap();
    assert_eq!(reopened.nodes(now()).unwrap().len(), 84);
    reopened.verify().unwrap();
}
