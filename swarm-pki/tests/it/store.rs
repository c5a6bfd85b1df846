//! The authority on disk: one writer at a time, nothing half done, nothing repaired by guess.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use swarm_pki::store::{
    Error, Grant, InviteSecret, InviteSpec, NodeStatus, RootAccess, RootKey, Store, Target,
};
use swarm_pki::{CertificateRequest, KeyAlgorithm, PrivateKey, RevocationReason, Role};
use tempfile::TempDir;

use crate::store_fixture::{DAY, grant, id, make, now, request, request_with, spec};

#[test]
fn a_node_is_issued_for_from_its_grant() {
    let (_dir, store) = make();
    let issued = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let identity = issued.certificate.identity();
    assert_eq!(identity.id, id("edge1"));
    assert_eq!(identity.dns[0].as_str(), "edge1.test.internal");
    assert_eq!(identity.wireguard_public_key, [1; 32]);
    assert!(identity.has_role(Role::EDGE));
    assert_eq!(issued.certificate.not_after(), now() + 30 * DAY);
    assert_eq!(
        issued.certificate.not_before(),
        now() - Duration::from_secs(3_600)
    );
    let trust = store.trust(now()).unwrap();
    assert_eq!(trust.node(&id("edge1")), Some(&issued.certificate));
    assert!(issued.certificate.is_signed_by(&issued.issuer));
    assert!(issued.issuer.is_signed_by(&issued.root));
    let record = store.node(&id("edge1"), now()).unwrap().unwrap();
    assert_eq!(record.status, NodeStatus::Live);
    assert_eq!(record.requester, "tester");
}

#[test]
fn what_a_live_node_has_is_given_to_no_other() {
    let (_dir, store) = make();
    let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
    let mine = request_with(&key, 1);
    let mut first = grant("edge1", 1);
    first.dns = vec!["shop.test.internal".parse().unwrap()];
    store.issue(&mine, &first, "tester", now()).unwrap();
    let issue = |request: &CertificateRequest, grant: &Grant| {
        store
            .issue(request, grant, "tester", now())
            .map(|_| ())
            .unwrap_err()
    };
    assert!(matches!(
        issue(&request(2), &grant("edge1", 2)),
        Error::IdInUse { .. }
    ));
    assert!(matches!(
        issue(&request(1), &grant("edge2", 2)),
        Error::KeyInUse {
            key: "WireGuard",
            ..
        }
    ));
    assert!(matches!(
        issue(&request_with(&key, 2), &grant("edge2", 2)),
        Error::KeyInUse { key: "TLS", .. }
    ));
    assert!(matches!(
        issue(&request(2), &grant("edge2", 1)),
        Error::AddressInUse { .. }
    ));
    let mut named = grant("edge2", 2);
    named.dns = vec!["shop.test.internal".parse().unwrap()];
    assert!(matches!(
        issue(&request(2), &named),
        Error::DnsNameInUse { .. }
    ));
    let mut named = grant("edge2", 2);
    named.dns = vec!["edge1.test.internal".parse().unwrap()];
    assert!(matches!(
        issue(&request(2), &named),
        Error::DnsNameInUse { .. }
    ));
    // The same key may be issued for again; after expiry everything is free.
    store.issue(&mine, &first, "tester", now()).unwrap();
    let later = now() + 31 * DAY;
    store
        .issue(&request(1), &grant("edge2", 1), "tester", later)
        .unwrap();
    // Each refusal is in the log, with its reason.
    let refused: Vec<_> = store
        .audit()
        .unwrap()
        .into_iter()
        .filter(|entry| entry.kind == "refused")
        .collect();
    assert_eq!(refused.len(), 6);
    assert!(
        refused[1]
            .detail
            .contains("WireGuard key belongs to the live node edge1")
    );
}

#[test]
fn a_renewal_keeps_the_grant_and_may_change_the_keys() {
    let (_dir, store) = make();
    let first = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let later = now() + 20 * DAY;
    let second = store
        .renew(&first.certificate, &request(2), "edge1", later)
        .unwrap();
    assert_eq!(
        second.certificate.identity().addresses,
        first.certificate.identity().addresses
    );
    assert_eq!(second.certificate.identity().wireguard_public_key, [2; 32]);
    assert_ne!(second.certificate.serial(), first.certificate.serial());
    // Off-line past its end, a node that is not revoked may still come back.
    let long_after = now() + 200 * DAY;
    store
        .renew(&second.certificate, &request(3), "edge1", long_after)
        .unwrap();
    store
        .revoke(
            &Target::Node(id("edge1")),
            RevocationReason::KeyCompromise,
            "tester",
            long_after,
        )
        .unwrap();
    let newest = store
        .node(&id("edge1"), long_after)
        .unwrap()
        .unwrap()
        .certificate;
    let refused = store.renew(&newest, &request(4), "edge1", long_after);
    assert!(matches!(refused, Err(Error::Revoked(_))));
    let (_other_dir, other) = make();
    let foreign = other
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let refused = store.renew(&foreign.certificate, &request(5), "edge1", now());
    assert!(matches!(refused, Err(Error::UnknownSerial(_))));
}

#[test]
fn a_revoked_node_is_on_the_list_and_out_of_the_bundle() {
    let (dir, store) = make();
    let one = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let two = store
        .issue(&request(2), &grant("edge2", 2), "tester", now())
        .unwrap();
    let before = store.bundle(now()).unwrap();
    let target = Target::Node(id("edge1"));
    let list = store
        .revoke(&target, RevocationReason::KeyCompromise, "tester", now())
        .unwrap();
    let found = list.lookup(&one.certificate.serial()).unwrap();
    assert_eq!(found.reason, RevocationReason::KeyCompromise);
    assert_eq!(list.len(), 1);
    let bundle = store.bundle(now()).unwrap();
    assert_eq!(bundle.nodes, [two.certificate.certificate().clone()]);
    assert!(before.crls[1].supersedes(&bundle.crls[1]).is_err());
    let again = store.revoke(&target, RevocationReason::KeyCompromise, "tester", now());
    assert!(matches!(again, Err(Error::NothingToRevoke(_))));
    let unknown = store.revoke(
        &Target::Node(id("edge9")),
        RevocationReason::KeyCompromise,
        "tester",
        now(),
    );
    assert!(matches!(unknown, Err(Error::UnknownNode(_))));
    let serial = two.certificate.serial();
    let list = store
        .revoke(
            &Target::Serial(serial),
            RevocationReason::Superseded,
            "tester",
            now(),
        )
        .unwrap();
    assert_eq!(list.len(), 2);
    // Only the newest list of each authority stays.
    let lists = fs::read_dir(dir.path().join("ca/state")).unwrap();
    let lists = lists.filter(|f| {
        f.as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "crl")
    });
    assert_eq!(lists.count(), 2);
    // The name and the address are free for a new machine; the keys were compromised.
    store
        .issue(&request(4), &grant("edge1", 1), "tester", now())
        .unwrap();
}

#[test]
fn lists_are_signed_anew_before_they_lapse() {
    let (_dir, store) = make();
    assert!(
        store
            .refresh_crls(now() + 3 * DAY)
            .unwrap()
            .issued
            .is_empty()
    );
    let refresh = store.refresh_crls(now() + 4 * DAY).unwrap();
    assert_eq!(refresh.issued.len(), 1);
    assert_eq!(refresh.issued[0].next_update(), now() + 11 * DAY);
    assert_eq!(
        store.refresh_crls(now() + 200 * DAY).unwrap().issued.len(),
        2
    );
}

#[test]
fn an_encrypted_root_is_needed_for_its_own_work_only() {
    let dir = TempDir::new().unwrap();
    let mut spec = spec();
    spec.root_key = RootKey::Stored {
        passphrase: Some(b"correct horse".to_vec().into()),
    };
    let store = Store::init(dir.path().join("state"), spec, "tester", now()).unwrap();
    let root_key = fs::read_to_string(dir.path().join("state/root-1.key")).unwrap();
    assert!(root_key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let store = Store::open(store.directory()).unwrap();
    store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let refresh = store.refresh_crls(now() + 200 * DAY).unwrap();
    assert!(refresh.root_due && refresh.issued.len() == 1);
    assert!(matches!(
        store.rotate_issuing(&RootAccess::Stored, "tester", now()),
        Err(Error::PassphraseNeeded)
    ));
    let wrong = store.rotate_issuing(&RootAccess::Passphrase(b"battery staple"), "tester", now());
    assert!(matches!(wrong, Err(Error::Key { .. })));
    store
        .refresh_root_crl(&RootAccess::Passphrase(b"correct horse"), "tester", now())
        .unwrap();
    store.verify().unwrap();
}

#[test]
fn issuing_authorities_roll_over() {
    let (_dir, store) = make();
    let old = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let second = store
        .rotate_issuing(&RootAccess::Stored, "tester", now())
        .unwrap();
    assert_ne!(second.subject(), old.issuer.subject());
    let new = store
        .issue(&request(2), &grant("edge2", 2), "tester", now())
        .unwrap();
    assert_eq!(new.issuer, second);
    assert_eq!(store.trust(now()).unwrap().roster().count(), 2);
    // A node of the first generation is revoked on the list of the first generation.
    let target = Target::Node(id("edge1"));
    let list = store
        .revoke(&target, RevocationReason::Superseded, "tester", now())
        .unwrap();
    assert_eq!(list.issuer(), old.issuer.subject());
    // The compromise of a generation takes its nodes with it, and leaves the others.
    let mut trust = store.trust(now()).unwrap();
    let third = store
        .issue(&request(3), &grant("edge3", 3), "tester", now())
        .unwrap();
    store
        .rotate_issuing(&RootAccess::Stored, "tester", now())
        .unwrap();
    store
        .revoke_issuing(
            2,
            RevocationReason::CaCompromise,
            &RootAccess::Stored,
            "tester",
            now(),
        )
        .unwrap();
    let after = now() + Duration::from_secs(1);
    trust.merge(&store.bundle(after).unwrap(), after);
    assert_eq!(trust.roster().count(), 0);
    assert!(trust.is_revoked(&third.certificate));
    let again = store.revoke_issuing(
        2,
        RevocationReason::CaCompromise,
        &RootAccess::Stored,
        "tester",
        after,
    );
    assert!(matches!(again, Err(Error::NothingToRevoke(_))));
    store.verify().unwrap();
    Store::open(store.directory()).unwrap().verify().unwrap();
}

#[test]
fn an_invite_is_spent_exactly_when_a_certificate_is_issued() {
    let (_dir, store) = make();
    let spec = InviteSpec {
        grant: grant("edge1", 1),
        expires: now() + DAY,
    };
    let secret = store.invite(&spec, "tester", now()).unwrap();
    let info = store.check_invite(&secret, now()).unwrap();
    assert_eq!((info.node(), info.expires), (&id("edge1"), now() + DAY));
    assert_eq!(store.open_invites(now()).unwrap().len(), 1);
    let again: InviteSecret = secret.expose().parse().unwrap();
    assert_eq!(again, secret);
    assert_eq!(format!("{secret:?}"), "InviteSecret");

    // A refused issue does not spend it.
    store
        .issue(&request(9), &grant("edge9", 1), "tester", now())
        .unwrap();
    let taken = store.redeem(&secret, &request(1), "stranger", now());
    assert!(matches!(taken, Err(Error::AddressInUse { .. })));
    let target = Target::Node(id("edge9"));
    store
        .revoke(&target, RevocationReason::Superseded, "tester", now())
        .unwrap();
    let mine = request(1);
    let issued = store.redeem(&secret, &mine, "stranger", now()).unwrap();
    assert_eq!(issued.certificate.id(), &id("edge1"));
    // The answer got lost: the same key gets the same certificate, another key gets nothing.
    assert_eq!(
        store.redeem(&secret, &mine, "stranger", now()).unwrap(),
        issued
    );
    let other = store.redeem(&secret, &request(2), "stranger", now());
    assert!(matches!(other, Err(Error::InviteSpent { .. })));
    assert!(matches!(
        store.check_invite(&secret, now()),
        Err(Error::InviteSpent { .. })
    ));
    assert!(store.open_invites(now()).unwrap().is_empty());
}

#[test]
fn wrong_unknown_expired_and_cancelled_invites_are_told_apart() {
    let (_dir, store) = make();
    let spec = InviteSpec {
        grant: grant("edge1", 1),
        expires: now() + DAY,
    };
    let secret = store.invite(&spec, "tester", now()).unwrap();
    let mut bytes = *secret.to_bytes();
    bytes[23] ^= 1;
    let wrong = InviteSecret::from_bytes(bytes);
    let refusal =
        |secret: &InviteSecret, at| store.redeem(secret, &request(1), "s", at).unwrap_err();
    assert!(matches!(refusal(&wrong, now()), Error::InviteWrong));
    bytes[0] ^= 1;
    assert!(matches!(
        refusal(&InviteSecret::from_bytes(bytes), now()),
        Error::InviteUnknown
    ));
    assert!(matches!(
        refusal(&secret, now() + 2 * DAY),
        Error::InviteExpired(_)
    ));
    assert!("short".parse::<InviteSecret>().is_err());
    store.redeem(&secret, &request(1), "s", now()).unwrap();
    let secret = store.invite(&spec, "tester", now()).unwrap();
    let target = Target::Node(id("edge1"));
    store
        .revoke(&target, RevocationReason::KeyCompromise, "tester", now())
        .unwrap();
    assert!(matches!(refusal(&secret, now()), Error::InviteCancelled));
    // No secret is on the disk.
    let journal = fs::read_to_string(store.directory().join("journal")).unwrap();
    assert!(!journal.contains(&*secret.expose()));
    assert!(!journal.contains(&hex_of(&secret.to_bytes()[8..])));
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_invite_redeemed_by_eight_threads_at_once_is_spent_once() {
    let (_dir, store) = make();
    let spec = InviteSpec {
        grant: grant("edge1", 1),
        expires: now() + DAY,
    };
    let secret = store.invite(&spec, "tester", now()).unwrap();
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8u8)
        .map(|thread| {
            let (start, secret) = (Arc::clone(&start), secret.clone());
            // Half of them share memory, half open the directory for themselves.
            let store = match thread % 2 {
                0 => store.clone(),
                _ => Store::open(store.directory()).unwrap(),
            };
            let request = request(thread + 1);
            std::thread::spawn(move || {
                start.wait();
                store.redeem(&secret, &request, "stranger", now())
            })
        })
        .collect();
    let results: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let spent = |result: &&Result<_, Error>| matches!(result, Err(Error::InviteSpent { .. }));
    assert_eq!(results.iter().filter(spent).count(), 7);
    assert_eq!(store.nodes(now()).unwrap().len(), 1);
}

#[test]
fn refusals_beyond_a_measure_are_counted_not_written() {
    let (_dir, store) = make();
    for _ in 0..50 {
        store
            .record_refusal("enroll", None, "no such path", "192.0.2.1", now())
            .unwrap();
    }
    let later = now() + Duration::from_secs(60);
    store
        .record_refusal("enroll", None, "no such path", "192.0.2.1", later)
        .unwrap();
    let log = store.audit().unwrap();
    assert_eq!(log.len(), 1 + 30 + 1);
    assert!(
        log.last()
            .unwrap()
            .detail
            .contains("20 before it unwritten")
    );
}

#[test]
fn a_store_is_private_and_made_in_full_or_not_at_all() {
    let (dir, store) = make();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.directory()), 0o700);
    for file in fs::read_dir(store.directory()).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let again = Store::init(store.directory(), spec(), "tester", now());
    assert!(matches!(again, Err(Error::NotEmpty(_))));
    assert!(matches!(
        Store::open(dir.path()),
        Err(Error::NotInitialized(_))
    ));
    let leftovers = fs::read_dir(store.directory().parent().unwrap())
        .unwrap()
        .count();
    assert_eq!(leftovers, 1);
    let key = store.directory().join("issuing-1.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = Store::open(store.directory()).unwrap().issue(
        &request(1),
        &grant("edge1", 1),
        "tester",
        now(),
    );
    assert!(matches!(
        refused,
        Err(Error::Permissions { mode: 0o640, .. })
    ));
}

#[test]
fn edited_and_cut_files_are_named_and_left_alone() {
    let (_dir, store) = make();
    store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    store
        .issue(&request(2), &grant("edge2", 2), "tester", now())
        .unwrap();
    let journal = store.directory().join("journal");
    let good = fs::read(&journal).unwrap();
    let corrupt = |what: &str| match Store::open(store.directory()) {
        Err(Error::Corrupt { path, what: said }) => {
            assert_eq!(path, journal);
            assert!(said.contains(what), "{said}");
        }
        other => panic!("{other:?}"),
    };
    let text = String::from_utf8(good.clone()).unwrap();
    fs::write(&journal, text.replace("\"edge1\"", "\"edge7\"")).unwrap();
    corrupt("line 2: its hash does not fit");
    fs::write(&journal, &good[..good.len() - 10]).unwrap();
    corrupt("shorter than the head says");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut padded = [lines[0], lines[2]].concat().into_bytes();
    padded.resize(good.len(), b' ');
    fs::write(&journal, &padded).unwrap();
    corrupt("line 2");
    // Whatever was written after the head is a transaction that never counted.
    let mut torn = good.clone();
    torn.extend_from_slice(b"0123 half a li");
    fs::write(&journal, &torn).unwrap();
    let reopened = Store::open(store.directory()).unwrap();
    assert_eq!(reopened.nodes(now()).unwrap().len(), 2);
    reopened
        .issue(&request(3), &grant("edge3", 3), "tester", now())
        .unwrap();
    reopened.verify().unwrap();

    let head = store.directory().join("head");
    let good_head = fs::read(&head).unwrap();
    fs::write(&head, b"{}").unwrap();
    assert!(
        matches!(Store::open(store.directory()), Err(Error::Corrupt { path, .. }) if path == head)
    );
    fs::remove_file(&head).unwrap();
    assert!(
        matches!(Store::open(store.directory()), Err(Error::Corrupt { path, .. }) if path == head)
    );
    fs::write(&head, good_head).unwrap();
    let list = fs::read_dir(store.directory())
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| {
            path.to_string_lossy().contains("issuing-1.") && path.extension().unwrap() == "crl"
        })
        .unwrap();
    fs::write(&list, "nothing").unwrap();
    assert!(matches!(store.bundle(now()), Err(Error::Corrupt { path, .. }) if path == list));
}

#[test]
fn a_held_store_says_by_whom() {
    let (_dir, store) = make();
    let lock = fs::File::open(store.directory().join("journal")).unwrap();
    drop(lock);
    // A transaction of this process leaves the lock file behind; hold it from outside.
    store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let path = store.directory().join("lock");
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    file.lock().unwrap();
    let impatient = store.clone().with_lock_wait(Duration::from_millis(50));
    match impatient.issue(&request(2), &grant("edge2", 2), "tester", now()) {
        Err(Error::Held { path: held, pid }) => {
            assert_eq!((held, pid), (path, std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    // Readers do not wait.
    assert_eq!(impatient.nodes(now()).unwrap().len(), 1);
    file.unlock().unwrap();
    impatient
        .issue(&request(2), &grant("edge2", 2), "tester", now())
        .unwrap();
}

#[test]
fn the_generation_tells_of_changes_by_others() {
    let (_dir, store) = make();
    let other = Store::open(store.directory()).unwrap();
    let before = store.generation().unwrap();
    other
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    assert!(store.generation().unwrap() > before);
    assert_eq!(store.nodes(now()).unwrap().len(), 1);
}

#[test]
fn a_compromised_key_is_revoked_everywhere_and_never_certified_again() {
    let (_directory, store) = make();
    let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
    let first = store
        .issue(&request_with(&key, 1), &grant("edge1", 7), "test", now())
        .unwrap();
    let again = store
        .issue(&request_with(&key, 1), &grant("edge1", 7), "test", now())
        .unwrap();
    let one = Target::Serial(first.certificate.serial());
    let list = store
        .revoke(&one, RevocationReason::KeyCompromise, "test", now())
        .unwrap();
    assert!(list.lookup(&again.certificate.serial()).is_some());
    assert_eq!(list.len(), 2);

    // Neither for this node nor for another, neither the TLS key nor the tunnel's.
    for (request, name) in [
        (request_with(&key, 2), "edge1"),
        (request_with(&key, 3), "edge2"),
    ] {
        let refused = store.issue(&request, &grant(name, 8), "test", now());
        assert!(
            matches!(refused, Err(Error::CompromisedKey { key: "TLS", .. })),
            "{refused:?}"
        );
    }
    let refused = store.issue(&request(1), &grant("edge1", 7), "test", now());
    assert!(
        matches!(
            refused,
            Err(Error::CompromisedKey {
                key: "WireGuard",
                ..
            })
        ),
        "{refused:?}"
    );
    store
        .issue(&request(4), &grant("edge1", 7), "test", now())
        .unwrap();
}
