//! Replays the fuzzers' corpora of the store's files, and the means to make them anew.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use swarm_pki::store::{
    AuthorityRequest, InviteSpec, RolloverSpec, RootAccess, RootKey, Store, Target,
};
use swarm_pki::testing::{fuzz_authority, fuzz_backup, fuzz_store};
use swarm_pki::{KeyAlgorithm, PrivateKey, RevocationReason};

use crate::store_fixture::{DAY, grant, id, make, now, request, spec};

type Named = (&'static str, fn(&[u8]));

const TARGETS: [Named; 3] = [
    ("pki_authority", fuzz_authority),
    ("pki_backup", fuzz_backup),
    ("pki_store", fuzz_store),
];

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

#[test]
fn the_corpora_of_the_store_hold() {
    if !corpora().is_dir() {
        #[allow(clippy::print_stderr, reason = "tests say what they skip")]
        {
            eprintln!("SKIPPED: no corpora beside the crate");
        }
        return;
    }
    for (target, run) in TARGETS {
        let mut count = 0;
        for seed in fs::read_dir(corpora().join(target)).unwrap() {
            let seed = fs::read(seed.unwrap().path()).unwrap();
            run(&seed);
            // Cut off, and with one byte changed, at places all over it.
            for at in (0..seed.len()).step_by((seed.len() / 24).max(1)) {
                run(&seed[..at]);
                let mut changed = seed.clone();
                changed[at] ^= 1;
                run(&changed);
            }
            count += 1;
        }
        assert!(count > 2, "{target} has {count} seeds");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_lies_in_the_directory_is_read_or_refused(
        data in prop::collection::vec(any::<u8>(), 0..400)
    ) {
        for (_, run) in TARGETS {
            run(&data);
        }
    }
}

/// Everything that a journal can say.
fn eventful() -> (tempfile::TempDir, Store, String) {
    let (dir, store) = make();
    let stored = RootAccess::Stored;
    let one = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let invite = InviteSpec {
        grant: grant("edge2", 2),
        expires: now() + DAY,
    };
    let secret = store.invite(&invite, "tester", now()).unwrap();
    store.redeem(&secret, &request(2), "edge2", now()).unwrap();
    let reason = RevocationReason::KeyCompromise;
    store
        .revoke(&Target::Node(id("edge2")), reason, "tester", now())
        .unwrap();
    store
        .record_refusal("enroll", None, "no such path", "192.0.2.1", now())
        .unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
    let asked = AuthorityRequest::build(&key, &"testers".parse().unwrap()).unwrap();
    let granted = store
        .sign_subordinate(&asked, "north", &stored, "tester", now())
        .unwrap();
    store
        .begin_rollover(
            &RolloverSpec::root(RootKey::default()),
            &stored,
            "tester",
            now(),
        )
        .unwrap();
    store.report_trust(&one.certificate, &[], now()).unwrap();
    store.abort_rollover(&stored, "tester", now()).unwrap();
    store.refresh_crls(now() + 5 * DAY).unwrap();
    store
        .update_settings(&store.settings().unwrap(), "tester", now())
        .unwrap();
    (dir, store, granted.to_pem().unwrap())
}

#[test]
#[ignore = "writes the corpora anew"]
fn write_the_corpora_of_the_store() {
    let write = |target: &str, name: &str, content: &[u8]| {
        let directory = corpora().join(target);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), content).unwrap();
    };
    let (dir, store, granted) = eventful();
    let journal = fs::read_to_string(store.directory().join("journal")).unwrap();
    let head = fs::read_to_string(store.directory().join("head")).unwrap();
    let lines: String = journal
        .lines()
        .map(|line| format!("{}\n", &line[65..]))
        .collect();
    write(
        "pki_store",
        "whole",
        format!("{head}\n{journal}").as_bytes(),
    );
    write("pki_store", "lines", lines.as_bytes());
    let first = lines.lines().next().unwrap();
    write(
        "pki_store",
        "twice_begun",
        format!("{first}\n{first}\n").as_bytes(),
    );
    let others: String = lines.lines().skip(1).collect::<Vec<_>>().join("\n");
    write("pki_store", "without_beginning", others.as_bytes());
    let pin = store.root().unwrap().fingerprint();
    let path = dir.path().join("north");
    let (north, asked) = Store::init_subordinate(path, spec(), pin, "tester", now()).unwrap();
    let journal = fs::read_to_string(north.directory().join("journal")).unwrap();
    write("pki_store", "subordinate", &journal.as_bytes()[65..]);
    write("pki_authority", "request", asked.to_pem().as_bytes());
    write("pki_authority", "grant", granted.as_bytes());
    let cut = &granted[..granted.len() / 2];
    write("pki_authority", "grant_cut_off", cut.as_bytes());
    let backup = north.backup(b"other", now()).unwrap();
    write("pki_backup", "subordinate", backup.as_bytes());
    write(
        "pki_backup",
        "whole",
        store.backup(b"other", now()).unwrap().as_bytes(),
    );
    let many = backup.replacen("\"files\":1", "\"files\":4000000000", 1);
    write("pki_backup", "too_many_files", many.as_bytes());
}
