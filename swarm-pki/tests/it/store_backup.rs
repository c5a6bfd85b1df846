//! A restored store takes nothing back: no revocation, no serial number, no list number.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use swarm_pki::store::{
    AuthorityId, Error, Export, ExportFormat, NodeStatus, Reenrolment, RolloverSpec, RootAccess,
    RootKey, Store, Target,
};
use swarm_pki::{KeyAlgorithm, PrivateKey, RevocationReason, Timestamp, Trust, TrustBundle};
use tempfile::TempDir;

use crate::store_fixture::{DAY, grant, id, knows, live, make, now, request, request_with, spec};

const PASS: &[u8] = b"a long passphrase";
const STORED: RootAccess<'static> = RootAccess::Stored;

fn revoke(store: &Store, node: &str, at: Timestamp) {
    let reason = RevocationReason::KeyCompromise;
    store
        .revoke(&Target::Node(id(node)), reason, "tester", at)
        .unwrap();
}

fn restore(into: &Path, backup: &str, bundles: &[TrustBundle], at: Timestamp) -> Store {
    Store::restore(into, backup, PASS, bundles, "tester", at).unwrap()
}

fn newcomer(store: &Store) -> Trust {
    Trust::new("testers".parse().unwrap(), vec![store.root().unwrap()]).unwrap()
}

fn issuing_number(store: &Store, generation: u32) -> u64 {
    let authorities = store.authorities().unwrap();
    let issuing = authorities
        .iter()
        .find(|one| one.id == AuthorityId::Issuing(generation));
    issuing.unwrap().crl.unwrap().0
}

#[test]
fn what_was_revoked_after_the_backup_stays_revoked() {
    let (dir, store) = make();
    let stolen = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let backup = store.backup(PASS, now()).unwrap();
    let later = now() + DAY;
    let newer = store
        .issue(&request(2), &grant("edge2", 2), "tester", later)
        .unwrap();
    revoke(&store, "edge1", later);
    let mut old_verifier = newcomer(&store);
    let carried = store.bundle(later).unwrap();
    old_verifier.merge(&carried, later);

    // The machine is lost; the clock of the new one stands a year back.
    let back = now() - 365 * DAY;
    let restored = restore(&dir.path().join("b"), &backup, &[carried], back);
    assert!(restored.is_settled().unwrap());
    let record = restored.certificate(&stolen.certificate.serial(), later);
    assert!(matches!(
        record.unwrap().unwrap().status,
        NodeStatus::Revoked(_)
    ));
    assert!(restored.node(&id("edge2"), later).unwrap().is_some());
    assert!(
        issuing_number(&restored, 1) > issuing_number(&store, 1) || {
            // The list that was seen names everything already; the next one is above it.
            let number = issuing_number(&restored, 1);
            revoke(&restored, "edge2", later);
            issuing_number(&restored, 1) > number
        }
    );
    let mut new_verifier = newcomer(&restored);
    for verifier in [&mut old_verifier, &mut new_verifier] {
        let changes = verifier.merge(&restored.bundle(later).unwrap(), later);
        assert!(changes.refused.is_empty(), "{changes:?}");
        assert!(verifier.is_revoked(&stolen.certificate));
    }
    // Its keys and addresses are bound as they were.
    let other = restored.issue(&request(2), &grant("edge3", 2), "tester", later);
    let bound = restored.node(&id("edge2"), later).unwrap().unwrap();
    assert_eq!(bound.certificate, newer.certificate);
    match bound.status {
        NodeStatus::Live => assert!(matches!(other, Err(Error::KeyInUse { .. }))),
        _ => assert!(matches!(other, Err(Error::CompromisedKey { .. }))),
    }
    restored.verify().unwrap();
    Store::open(restored.directory()).unwrap().verify().unwrap();
}

#[test]
fn without_a_bundle_nothing_is_signed_until_somebody_decides() {
    let (dir, store) = make();
    let issued = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let backup = store.backup(PASS, now()).unwrap();
    let restored = restore(&dir.path().join("b"), &backup, &[], now());
    assert!(!restored.is_settled().unwrap());
    let refused = restored.issue(&request(2), &grant("edge2", 2), "tester", now());
    assert!(matches!(refused, Err(Error::Unsettled)));
    let target = Target::Node(id("edge1"));
    let reason = RevocationReason::KeyCompromise;
    let refused = restored.revoke(&target, reason, "tester", now());
    assert!(matches!(refused, Err(Error::Unsettled)));
    let refused = restored.rotate_issuing(&STORED, "tester", now());
    assert!(matches!(refused, Err(Error::Unsettled)));
    // A bundle of another authority says nothing about this one.
    let (_other_dir, other) = make();
    restored
        .adopt(&other.bundle(now()).unwrap(), now())
        .unwrap();
    assert!(!restored.is_settled().unwrap());
    restored.settle_without_bundle("tester", now()).unwrap();
    restored.revoke(&target, reason, "tester", now()).unwrap();
    // With the clock set back, the number is still above what everybody has.
    let mut verifier = newcomer(&store);
    verifier.merge(&store.bundle(now()).unwrap(), now());
    let changes = verifier.merge(&restored.bundle(now()).unwrap(), now());
    assert!(changes.refused.is_empty(), "{changes:?}");
    assert!(verifier.is_revoked(&issued.certificate));
    let kinds: Vec<_> = restored.audit().unwrap().iter().map(|e| e.kind).collect();
    assert!(kinds.contains(&"restored") && kinds.contains(&"settled"));
}

#[test]
fn two_restores_from_one_backup_do_not_contradict_each_other() {
    let (dir, store) = make();
    for (number, name) in [(1, "edge1"), (2, "edge2"), (3, "edge3")] {
        store
            .issue(&request(number), &grant(name, number), "tester", now())
            .unwrap();
    }
    let backup = store.backup(PASS, now()).unwrap();
    let known = store.bundle(now()).unwrap();
    let one = restore(
        &dir.path().join("one"),
        &backup,
        std::slice::from_ref(&known),
        now() + DAY,
    );
    revoke(&one, "edge1", now() + DAY);
    revoke(&one, "edge2", now() + DAY);
    let mut verifier = newcomer(&store);
    verifier.merge(&one.bundle(now() + DAY).unwrap(), now() + DAY);
    assert_eq!(live(&verifier).len(), 1);

    // The first one is lost as well; the second knows only the old bundle, and its clock is back.
    let two = restore(&dir.path().join("two"), &backup, &[known], now() - DAY);
    let heard = verifier.to_bundle();
    let adoption = two.adopt(&heard, now()).unwrap();
    assert_eq!(adoption.revocations, 2);
    revoke(&two, "edge3", now());
    let changes = verifier.merge(&two.bundle(now()).unwrap(), now() + DAY);
    assert!(changes.refused.is_empty(), "{changes:?}");
    assert_eq!(live(&verifier).len(), 0);
    let mut late = newcomer(&two);
    late.merge(&two.bundle(now()).unwrap(), now() + DAY);
    assert_eq!(live(&late).len(), 0);
    assert_eq!(two.adopt(&heard, now()).unwrap().revocations, 0);
    two.verify().unwrap();
}

#[test]
fn a_backup_that_was_damaged_or_edited_is_refused_by_line() {
    let (dir, store) = make();
    store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let backup = store.backup(PASS, now()).unwrap();
    assert!(!backup.contains("BEGIN PRIVATE KEY"), "no key is plain");
    let refused = |text: &str, passphrase: &[u8]| {
        let into = dir.path().join("b");
        let result = Store::restore(&into, text, passphrase, &[], "tester", now());
        assert!(!into.exists(), "nothing is left behind");
        result.unwrap_err()
    };
    assert!(matches!(
        refused(&backup, b"wrong"),
        Error::BackupPassphrase
    ));
    assert!(matches!(refused("", PASS), Error::BackupDamaged(_)));
    for end in [1, backup.len() / 3, backup.len() / 2, backup.len() - 1] {
        assert!(matches!(
            refused(&backup[..end], PASS),
            Error::BackupDamaged(_)
        ));
    }
    let edited = backup.replace("\"edge1\"", "\"edge7\"");
    assert!(matches!(refused(&edited, PASS), Error::BackupDamaged(_)));
    // Whoever mends the digest as well still lacks the seal.
    let mended = mend(&edited);
    match refused(&mended, PASS) {
        Error::BackupDamaged(what) => assert!(what.contains("line 2"), "{what}"),
        other => panic!("{other:?}"),
    }
    let resealed = mend(&backup.replacen("\"created\":\"2026", "\"created\":\"2025", 1));
    assert!(matches!(refused(&resealed, PASS), Error::BackupPassphrase));
    let path = dir.path().join("b");
    restore(&path, &backup, &[], now());
    let again = Store::restore(&path, &backup, PASS, &[], "tester", now());
    assert!(matches!(again, Err(Error::NotEmpty(_))));
}

/// Puts a fitting digest under an edited backup.
fn mend(text: &str) -> String {
    let end = text.trim_end().rfind('\n').unwrap() + 1;
    let digest = swarm_pki::Fingerprint::of(&text.as_bytes()[..end]).to_string();
    let at = text.rfind("\"sha256\":\"").unwrap() + "\"sha256\":\"".len();
    format!("{}{digest}{}", &text[..at], &text[at + 64..])
}

#[test]
fn an_encrypted_root_key_and_a_pending_request_survive_the_backup() {
    let dir = TempDir::new().unwrap();
    let mut with_passphrase = spec();
    with_passphrase.root_key = RootKey::Stored {
        passphrase: Some(b"of the root".to_vec().into()),
    };
    let store = Store::init(dir.path().join("a"), with_passphrase, "tester", now()).unwrap();
    let pin = store.root().unwrap().fingerprint();
    let bundle = store.bundle(now()).unwrap();
    let backup = store.backup(PASS, now()).unwrap();
    let restored = restore(&dir.path().join("b"), &backup, &[bundle], now());
    let access = RootAccess::Passphrase(b"of the root");
    restored.rotate_issuing(&access, "tester", now()).unwrap();
    let (north, asked) =
        Store::init_subordinate(dir.path().join("n"), spec(), pin, "tester", now()).unwrap();
    let backup = north.backup(PASS, now()).unwrap();
    let north = restore(&dir.path().join("m"), &backup, &[], now());
    let granted = store
        .sign_subordinate(&asked, "north", &access, "tester", now())
        .unwrap();
    // It has signed nothing yet, so there is nothing that could be taken back.
    north.settle_without_bundle("tester", now()).unwrap();
    north.accept_authority(&granted, "tester", now()).unwrap();
    north
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
}

#[test]
fn a_node_comes_back_after_its_end_when_an_operator_says_so() {
    let (_dir, store) = make();
    let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
    let first = store
        .issue(&request_with(&key, 1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let asks = |wireguard, at| store.reenroll(&request_with(&key, wireguard), "192.0.2.1", at);
    assert!(matches!(asks(1, now()), Err(Error::StillLive(_))));
    let later = now() + 60 * DAY;
    let stranger = store.reenroll(&request(9), "192.0.2.1", later);
    assert!(matches!(stranger, Err(Error::UnknownRequester)));
    let pending = Reenrolment::Pending { since: later };
    assert_eq!(asks(2, later).unwrap(), pending);
    assert_eq!(asks(2, later + DAY).unwrap(), pending);
    let listed = store.pending_reenrolments(later).unwrap();
    assert_eq!((&listed[0].node, listed.len()), (&id("edge1"), 1));
    assert_eq!(listed[0].serial, first.certificate.serial());
    let nobody = store.approve_reenrolment(&id("edge9"), "tester", later);
    assert!(matches!(nobody, Err(Error::NoReenrolment(_))));
    store
        .deny_reenrolment(&id("edge1"), "tester", later)
        .unwrap();
    assert!(matches!(
        asks(2, later),
        Err(Error::ReenrolmentDenied(node)) if node == id("edge1")
    ));
    assert!(store.pending_reenrolments(later).unwrap().is_empty());
    store
        .approve_reenrolment(&id("edge1"), "tester", later)
        .unwrap();
    // The approval lapses, and can be given again.
    assert!(matches!(
        asks(2, later + 8 * DAY).unwrap(),
        Reenrolment::Pending { .. }
    ));
    let at = later + 8 * DAY;
    store
        .approve_reenrolment(&id("edge1"), "tester", at)
        .unwrap();
    let Reenrolment::Issued(back) = asks(2, at).unwrap() else {
        panic!("it was approved");
    };
    assert_eq!(back.certificate.identity().wireguard_public_key, [2; 32]);
    assert_eq!(
        back.certificate.identity().addresses,
        first.certificate.identity().addresses
    );
    assert!(store.pending_reenrolments(at).unwrap().is_empty());
    assert_eq!(store.audit().unwrap().last().unwrap().kind, "reenrolled");
    let too_late = at + 200 * DAY;
    assert!(matches!(asks(2, too_late), Err(Error::TooLongAgo { .. })));
    revoke(&store, "edge1", at);
    assert!(matches!(asks(2, at), Err(Error::Revoked(_))));
}

#[test]
fn a_node_that_slept_through_a_root_rollover_comes_back() {
    let (_dir, store) = make();
    let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
    store
        .issue(&request_with(&key, 1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let awake = store
        .issue(&request(2), &grant("edge2", 2), "tester", now())
        .unwrap();
    let old_root = store.root().unwrap();
    store
        .begin_rollover(
            &RolloverSpec::root(RootKey::default()),
            &STORED,
            "tester",
            now(),
        )
        .unwrap();
    let trust = store.trust(now()).unwrap();
    store
        .report_trust(&awake.certificate, &knows(&trust), now())
        .unwrap();
    let behind = BTreeSet::from([id("edge1")]);
    let later = now() + DAY;
    let go = || {
        let trust = store.trust(later).unwrap();
        store.advance_rollover(&live(&trust), &behind, &STORED, "tester", later)
    };
    go().unwrap();
    go().unwrap();
    store
        .renew(&awake.certificate, &request(3), "edge2", later)
        .unwrap();
    go().unwrap();
    assert_eq!(go().unwrap(), None);
    // Its certificate has not expired, but its root has retired.
    let asks = || store.reenroll(&request_with(&key, 1), "192.0.2.1", later);
    assert!(matches!(asks().unwrap(), Reenrolment::Pending { .. }));
    store
        .approve_reenrolment(&id("edge1"), "tester", later)
        .unwrap();
    let Reenrolment::Issued(back) = asks().unwrap() else {
        panic!("it was approved");
    };
    let mut sleeper = Trust::new("testers".parse().unwrap(), vec![old_root]).unwrap();
    sleeper.merge(&store.bundle(later).unwrap(), later);
    assert_eq!(sleeper.node(&id("edge1")), Some(&back.certificate));
}

#[test]
fn inventory_and_log_are_exported() {
    let (_dir, store) = make();
    let issued = store
        .issue(&request(1), &grant("edge1", 1), "=cmd|'/C calc'!A0", now())
        .unwrap();
    revoke(&store, "edge1", now());
    let csv = store
        .export(Export::Inventory, ExportFormat::Csv, now())
        .unwrap();
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(lines[0].starts_with("node,serial,status,"));
    let serial = issued.certificate.serial();
    assert!(lines[1].starts_with(&format!("edge1,{serial},revoked,2026-11-22T12:00:00Z,")));
    assert!(lines[1].contains(",'=cmd|'/C calc'!A0,"), "{}", lines[1]);
    assert_eq!(lines.len(), 3);
    let csv = store
        .export(Export::AuditLog, ExportFormat::Csv, now())
        .unwrap();
    assert_eq!(csv.lines().count(), 1 + 3);
    let json = store
        .export(Export::AuditLog, ExportFormat::Json, now())
        .unwrap();
    assert!(json.contains("\"kind\": \"revoked\""));
}
