//! Several authorities: a root whose key is away, subordinates, roll-over of both kinds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use swarm_pki::rollover::RolloverPhase;
use swarm_pki::store::{
    AuthorityGrant, AuthorityId, AuthorityRequest, Error, KeyPlace, NodeStatus, PolicyFault,
    RolePolicy, RolloverSpec, RootAccess, RootKey, Store, Target,
};
use swarm_pki::{KeyAlgorithm, PrivateKey, RevocationReason, Role, Trust, TrustBundle, Usage};
use tempfile::TempDir;

use crate::store_fixture::{DAY, grant, id, knows, live, make, now, request, spec};

const STORED: RootAccess<'static> = RootAccess::Stored;

#[test]
fn a_root_key_is_made_elsewhere_and_never_lies_in_the_store() {
    let dir = TempDir::new().unwrap();
    let stick = dir.path().join("stick.key");
    let mut spec = spec();
    spec.root_key = RootKey::File {
        path: stick.clone(),
        passphrase: Some(b"correct horse".to_vec().into()),
    };
    let store = Store::init(dir.path().join("state"), spec, "tester", now()).unwrap();
    assert!(!store.directory().join("root-1.key").exists());
    assert_eq!(store.root_key().unwrap(), KeyPlace::File(stick.clone()));
    let away = store.rotate_issuing(&STORED, "tester", now());
    assert!(matches!(away, Err(Error::RootKeyAway { path: Some(path) }) if path == stick));
    let access = RootAccess::KeyFile {
        path: &stick,
        passphrase: Some(b"correct horse"),
    };
    store.rotate_issuing(&access, "tester", now()).unwrap();
    let other = dir.path().join("other.key");
    fs::write(
        &other,
        PrivateKey::generate(KeyAlgorithm::P256).unwrap().to_pem(),
    )
    .unwrap();
    let access = RootAccess::KeyFile {
        path: &other,
        passphrase: None,
    };
    // Readable by others, then another key.
    let open = store.rotate_issuing(&access, "tester", now());
    assert!(matches!(open, Err(Error::Permissions { .. })));
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let wrong = store.rotate_issuing(&access, "tester", now());
    assert!(matches!(wrong, Err(Error::NotTheKey(AuthorityId::Root(1)))));
    store.verify().unwrap();
}

#[test]
fn a_root_key_is_moved_out_later_and_only_then_gone() {
    let (dir, store) = make();
    let stick = dir.path().join("stick.key");
    fs::write(&stick, "something").unwrap();
    let taken = store.detach_root(1, &stick, Some(b"pass"), "tester", now());
    assert!(matches!(taken, Err(Error::NotEmpty(_))));
    assert!(store.directory().join("root-1.key").exists());
    fs::remove_file(&stick).unwrap();
    store
        .detach_root(1, &stick, Some(b"pass"), "tester", now())
        .unwrap();
    assert!(!store.directory().join("root-1.key").exists());
    let again = store.detach_root(1, &dir.path().join("b"), None, "tester", now());
    assert!(matches!(again, Err(Error::RootKeyAway { .. })));
    let access = RootAccess::KeyFile {
        path: &stick,
        passphrase: Some(b"pass"),
    };
    store.refresh_root_crl(&access, "tester", now()).unwrap();
    assert!(store.refresh_crls(now() + 200 * DAY).unwrap().root_due);
    assert_eq!(
        store.audit().unwrap()[1].kind,
        "root-detached",
        "it is in the log"
    );
    // A crash between the entry and the removal leaves the key; the next change finishes it.
    fs::copy(&stick, store.directory().join("root-1.key")).unwrap();
    store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    assert!(!store.directory().join("root-1.key").exists());
}

#[test]
fn a_signer_stands_in_for_the_root_key() {
    let dir = TempDir::new().unwrap();
    let token = Arc::new(PrivateKey::generate(KeyAlgorithm::P256).unwrap());
    let mut spec = spec();
    spec.root_key = RootKey::Signer(token.clone());
    let store = Store::init(dir.path().join("state"), spec, "tester", now()).unwrap();
    assert_eq!(store.root_key().unwrap(), KeyPlace::Elsewhere);
    store
        .rotate_issuing(&RootAccess::Signer(token), "tester", now())
        .unwrap();
    let other = Arc::new(PrivateKey::generate(KeyAlgorithm::P256).unwrap());
    let wrong = store.rotate_issuing(&RootAccess::Signer(other), "tester", now());
    assert!(matches!(wrong, Err(Error::NotTheKey(_))));
}

fn subordinate(dir: &TempDir, root: &Store, name: &str) -> Store {
    let pin = root.root().unwrap().fingerprint();
    let path = dir.path().join(name);
    let (store, request) = Store::init_subordinate(path, spec(), pin, "tester", now()).unwrap();
    let request = AuthorityRequest::from_pem(&request.to_pem()).unwrap();
    let granted = root
        .sign_subordinate(&request, name, &STORED, "tester", now())
        .unwrap();
    let granted = AuthorityGrant::from_pem(&granted.to_pem().unwrap()).unwrap();
    store.accept_authority(&granted, "tester", now()).unwrap();
    store
}

#[test]
fn a_subordinate_issues_once_its_root_has_certified_it() {
    let (dir, root) = make();
    let pin = root.root().unwrap().fingerprint();
    let (north, asked) =
        Store::init_subordinate(dir.path().join("north"), spec(), pin, "tester", now()).unwrap();
    let issue = |store: &Store| store.issue(&request(1), &grant("edge1", 1), "tester", now());
    assert!(matches!(issue(&north), Err(Error::NotOperational)));
    assert!(matches!(north.root(), Err(Error::NotOperational)));
    let granted = root
        .sign_subordinate(&asked, "hub north", &STORED, "tester", now())
        .unwrap();
    let again = root.sign_subordinate(&asked, "again", &STORED, "tester", now());
    assert!(matches!(again, Err(Error::NotRequested(_))));
    north.accept_authority(&granted, "tester", now()).unwrap();
    let issued = issue(&north).unwrap();
    assert_eq!(issued.root, root.root().unwrap());
    assert_eq!(north.issuing().unwrap().0, 2);
    let listed = root.authorities().unwrap();
    assert_eq!(listed[2].id, AuthorityId::Issuing(2));
    assert_eq!(
        (&listed[2].key, listed[2].label.as_str()),
        (&KeyPlace::Elsewhere, "hub north")
    );
    // The root never issues from a key that is elsewhere, and neither store is the other's root.
    assert_eq!(root.issuing().unwrap().0, 1);
    let refused = north.rotate_issuing(&STORED, "tester", now());
    assert!(matches!(refused, Err(Error::NotARoot)));

    // Nodes of both are one swarm, whichever bundle comes first.
    root.issue(&request(2), &grant("edge2", 2), "tester", now())
        .unwrap();
    let mut trust = Trust::new("testers".parse().unwrap(), vec![root.root().unwrap()]).unwrap();
    trust.merge(&north.bundle(now()).unwrap(), now());
    trust.merge(&root.bundle(now()).unwrap(), now());
    assert_eq!(trust.roster().len(), 2);
    north.verify().unwrap();
    Store::open(north.directory()).unwrap().verify().unwrap();

    // The root revokes the subordinate, and all that it issued is off.
    let list = root
        .revoke_issuing(2, RevocationReason::CaCompromise, &STORED, "tester", now())
        .unwrap();
    assert_eq!(list.len(), 1);
    trust.merge(&root.bundle(now()).unwrap(), now());
    assert_eq!(trust.roster().len(), 1);
}

#[test]
fn a_grant_that_does_not_lead_to_the_pinned_root_is_refused() {
    let (dir, root) = make();
    let (_other_dir, other) = make();
    let pin = root.root().unwrap().fingerprint();
    let (north, asked) =
        Store::init_subordinate(dir.path().join("north"), spec(), pin, "tester", now()).unwrap();
    let foreign = other
        .sign_subordinate(&asked, "north", &STORED, "tester", now())
        .unwrap();
    let refused = north.accept_authority(&foreign, "tester", now());
    assert!(matches!(refused, Err(Error::GrantNotBelieved(_))));
    // Nor with the right root put beside the wrong certificate.
    let mut mixed = foreign.clone();
    mixed.bundle = root.bundle(now()).unwrap();
    let refused = north.accept_authority(&mixed, "tester", now());
    assert!(matches!(refused, Err(Error::GrantNotBelieved(_))));
    let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
    let elses = AuthorityRequest::build(&key, &"testers".parse().unwrap()).unwrap();
    let granted = root
        .sign_subordinate(&elses, "else", &STORED, "tester", now())
        .unwrap();
    let refused = north.accept_authority(&granted, "tester", now());
    assert!(matches!(refused, Err(Error::NotRequested(_))));
    let strangers = AuthorityRequest::build(&key, &"strangers".parse().unwrap()).unwrap();
    let refused = root.sign_subordinate(&strangers, "else", &STORED, "tester", now());
    assert!(matches!(refused, Err(Error::Malformed(_))));
    let kinds: Vec<_> = north
        .audit()
        .unwrap()
        .iter()
        .map(|entry| entry.kind)
        .collect();
    assert_eq!(kinds, ["initialized", "refused", "refused", "refused"]);
}

#[test]
fn a_subordinate_renews_itself_by_its_next_generation() {
    let (dir, root) = make();
    let north = subordinate(&dir, &root, "north");
    let first = north
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let asked = north.request_authority("tester", now()).unwrap();
    let granted = root
        .sign_subordinate(&asked, "north", &STORED, "tester", now())
        .unwrap();
    north.accept_authority(&granted, "tester", now()).unwrap();
    // Nothing comes from the new one before every node knows it.
    let roster = live(&north.trust(now()).unwrap());
    let status = north.rollover(&roster, now()).unwrap().unwrap();
    assert_eq!(status.waiting, [id("edge1")]);
    assert_eq!(north.issuing().unwrap().0, 2);
    let go = || {
        north.advance_rollover(
            &live(&north.trust(now()).unwrap()),
            &BTreeSet::new(),
            &STORED,
            "tester",
            now(),
        )
    };
    assert!(matches!(go(), Err(Error::RolloverWaits(waits)) if waits.waiting == [id("edge1")]));
    let known = knows(&north.trust(now()).unwrap());
    north
        .report_trust(&first.certificate, &known, now())
        .unwrap();
    assert_eq!(go().unwrap(), Some(RolloverPhase::Trusted));
    assert_eq!(go().unwrap(), Some(RolloverPhase::Reissuing));
    assert_eq!(north.issuing().unwrap().0, 3);
    assert!(matches!(go(), Err(Error::RolloverWaits(_))));
    north
        .renew(&first.certificate, &request(2), "edge1", now() + DAY)
        .unwrap();
    let trust = north.trust(now() + DAY).unwrap();
    let go = || {
        north.advance_rollover(
            &live(&trust),
            &BTreeSet::new(),
            &STORED,
            "tester",
            now() + DAY,
        )
    };
    assert_eq!(go().unwrap(), Some(RolloverPhase::Retiring));
    assert_eq!(go().unwrap(), None);
    let last = north.audit().unwrap().pop().unwrap();
    assert!(last.detail.contains("left to expire"), "{}", last.detail);
}

#[test]
fn an_issuing_authority_rolls_over_and_leaves_nobody_behind_unsaid() {
    let (_dir, store) = make();
    let one = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    store
        .issue(&request(2), &grant("edge2", 2), "tester", now())
        .unwrap();
    store
        .begin_rollover(&RolloverSpec::issuing(), &STORED, "tester", now())
        .unwrap();
    let twice = store.begin_rollover(&RolloverSpec::issuing(), &STORED, "tester", now());
    assert!(matches!(twice, Err(Error::RolloverUnderWay)));
    let rotate = store.rotate_issuing(&STORED, "tester", now());
    assert!(matches!(rotate, Err(Error::RolloverUnderWay)));
    let trust = store.trust(now()).unwrap();
    assert_eq!(trust.issuers().count(), 2);
    store
        .report_trust(&one.certificate, &knows(&trust), now())
        .unwrap();
    let behind = BTreeSet::from([id("edge2")]);
    let nobody = BTreeSet::new();
    let go = |leave: &BTreeSet<_>, at| {
        store.advance_rollover(
            &live(&store.trust(at).unwrap()),
            leave,
            &STORED,
            "tester",
            at,
        )
    };
    assert!(go(&nobody, now()).is_err());
    assert_eq!(go(&behind, now()).unwrap(), Some(RolloverPhase::Trusted));
    assert_eq!(go(&nobody, now()).unwrap(), Some(RolloverPhase::Reissuing));
    let later = now() + DAY;
    let renewed = store
        .renew(&one.certificate, &request(3), "edge1", later)
        .unwrap();
    assert_eq!(
        renewed.issuer.subject(),
        store.issuing().unwrap().1.subject()
    );
    // Who was left behind once is not waited for again.
    assert_eq!(go(&nobody, later).unwrap(), Some(RolloverPhase::Retiring));
    let aborted = store.abort_rollover(&STORED, "tester", later);
    assert!(matches!(aborted, Err(Error::RolloverTooFar(_))));
    assert_eq!(go(&nobody, later).unwrap(), None);
    let record = store.node(&id("edge2"), later).unwrap().unwrap();
    assert_eq!(record.status, NodeStatus::Orphaned);
    let trust = store.trust(later).unwrap();
    assert_eq!(live(&trust), [renewed.certificate]);
    let log = store.audit().unwrap();
    assert!(
        log.iter()
            .any(|entry| entry.detail.contains("left behind: edge2"))
    );
    assert!(
        log.last()
            .unwrap()
            .detail
            .contains("issuing-1 revoked: superseded")
    );
    store.verify().unwrap();
}

#[test]
fn a_root_rolls_over_and_nodes_follow_by_the_link() {
    let (dir, store) = make();
    let one = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let old_root = store.root().unwrap();
    let mut node = Trust::new("testers".parse().unwrap(), vec![old_root.clone()]).unwrap();
    node.merge(&store.bundle(now()).unwrap(), now());
    let stick = dir.path().join("new-root.key");
    let key = RootKey::File {
        path: stick.clone(),
        passphrase: None,
    };
    store
        .begin_rollover(&RolloverSpec::root(key), &STORED, "tester", now())
        .unwrap();
    assert_eq!(store.root().unwrap(), old_root, "nothing is switched yet");
    let carry = |node: &mut Trust, at| {
        let bundle = store.bundle(at).unwrap().to_der().unwrap();
        node.merge(&TrustBundle::from_der(&bundle).unwrap(), at)
    };
    let changes = carry(&mut node, now());
    assert_eq!(changes.roots_added.len(), 1, "{changes:?}");
    store
        .report_trust(&one.certificate, &knows(&node), now())
        .unwrap();
    let go = |node: &Trust, at| {
        store.advance_rollover(&live(node), &BTreeSet::new(), &STORED, "tester", at)
    };
    assert_eq!(go(&node, now()).unwrap(), Some(RolloverPhase::Trusted));
    assert_eq!(go(&node, now()).unwrap(), Some(RolloverPhase::Reissuing));
    assert_ne!(store.root().unwrap(), old_root);
    assert!(matches!(go(&node, now()), Err(Error::RolloverWaits(_))));
    let later = now() + DAY;
    let renewed = store
        .renew(&one.certificate, &request(2), "edge1", later)
        .unwrap();
    assert_eq!(renewed.root, store.root().unwrap());
    carry(&mut node, later);
    assert_eq!(live(&node), std::slice::from_ref(&renewed.certificate));
    assert_eq!(go(&node, later).unwrap(), Some(RolloverPhase::Retiring));
    assert_eq!(go(&node, later).unwrap(), None);
    let changes = carry(&mut node, later);
    assert_eq!(changes.roots_retired.len(), 1, "{changes:?}");
    assert_eq!(live(&node), [renewed.certificate]);
    // Somebody who slept through it all follows from the old root.
    let mut late = Trust::new("testers".parse().unwrap(), vec![old_root]).unwrap();
    carry(&mut late, later);
    assert_eq!(live(&late), live(&node));
    // The new root's key is where it was put, and does the new root's work.
    let access = RootAccess::KeyFile {
        path: &stick,
        passphrase: None,
    };
    store.rotate_issuing(&access, "tester", later).unwrap();
    store.verify().unwrap();
    Store::open(store.directory()).unwrap().verify().unwrap();
}

#[test]
fn a_rollover_is_given_up_as_long_as_nothing_depends_on_it() {
    let (_dir, store) = make();
    store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let old_root = store.root().unwrap();
    let mut node = Trust::new("testers".parse().unwrap(), vec![old_root.clone()]).unwrap();
    store
        .begin_rollover(
            &RolloverSpec::root(RootKey::default()),
            &STORED,
            "tester",
            now(),
        )
        .unwrap();
    node.merge(&store.bundle(now()).unwrap(), now());
    assert_eq!(node.roots().count(), 2);
    store.abort_rollover(&STORED, "tester", now()).unwrap();
    node.merge(&store.bundle(now()).unwrap(), now());
    assert_eq!(node.roots().count(), 1, "the link is revoked");
    assert_eq!(live(&node).len(), 1);
    let none = store.abort_rollover(&STORED, "tester", now());
    assert!(matches!(none, Err(Error::NoRollover)));
    store
        .begin_rollover(&RolloverSpec::issuing(), &STORED, "tester", now())
        .unwrap();
    store.abort_rollover(&STORED, "tester", now()).unwrap();
    // The next one gets a generation of its own.
    store
        .begin_rollover(&RolloverSpec::issuing(), &STORED, "tester", now())
        .unwrap();
    assert_eq!(
        store.rollover(&[], now()).unwrap().unwrap().new,
        AuthorityId::Issuing(4)
    );
    store.verify().unwrap();
    let reopened = Store::open(store.directory()).unwrap();
    assert_eq!(
        reopened.rollover(&[], now()).unwrap(),
        store.rollover(&[], now()).unwrap()
    );
}

#[test]
fn reports_of_strangers_and_revoked_nodes_do_not_count() {
    let (_dir, store) = make();
    let (_other_dir, other) = make();
    let foreign = other
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let refused = store.report_trust(&foreign.certificate, &[], now());
    assert!(matches!(refused, Err(Error::UnknownSerial(_))));
    let own = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    let known = knows(&store.trust(now()).unwrap());
    store.report_trust(&own.certificate, &known, now()).unwrap();
    let before = store.generation().unwrap();
    store.report_trust(&own.certificate, &known, now()).unwrap();
    assert_eq!(
        store.generation().unwrap(),
        before,
        "the same again costs nothing"
    );
    let target = Target::Node(id("edge1"));
    store
        .revoke(&target, RevocationReason::KeyCompromise, "tester", now())
        .unwrap();
    let refused = store.report_trust(&own.certificate, &known, now());
    assert!(matches!(refused, Err(Error::Revoked(_))));
}

#[test]
fn certificates_follow_the_policy_of_their_roles() {
    let (_dir, store) = make();
    let mut settings = store.settings().unwrap();
    let mut edge = RolePolicy::new();
    edge.lifetime = Some(7 * DAY);
    edge.usages = Some([Usage::Client].into());
    edge.addresses = vec!["10.44.0.0/24".parse().unwrap()];
    edge.dns = Some(vec![]);
    settings.roles.insert(Role::edge(), edge);
    store.update_settings(&settings, "tester", now()).unwrap();
    let issued = store
        .issue(&request(1), &grant("edge1", 1), "tester", now())
        .unwrap();
    assert_eq!(issued.certificate.not_after(), now() + 7 * DAY);
    assert_eq!(issued.certificate.identity().usages, [Usage::Client].into());
    let mut outside = grant("edge2", 2);
    outside.addresses = vec!["10.45.0.2".parse().unwrap()];
    let refused = store.issue(&request(2), &outside, "tester", now());
    assert!(matches!(
        refused,
        Err(Error::Policy(PolicyFault::Address { .. }))
    ));
    let last = store.audit().unwrap().pop().unwrap();
    assert_eq!(last.kind, "refused");
    assert!(last.detail.contains("10.45.0.2"), "{}", last.detail);
    // Renewals follow the policy that holds then.
    settings.roles.clear();
    store.update_settings(&settings, "tester", now()).unwrap();
    let renewed = store
        .renew(&issued.certificate, &request(3), "edge1", now() + DAY)
        .unwrap();
    assert_eq!(renewed.certificate.identity().usages, Usage::ALL.into());
    settings.swarm = "others".parse().unwrap();
    let refused = store.update_settings(&settings, "tester", now());
    assert!(matches!(refused, Err(Error::Settings(_))));
    assert_eq!(
        Store::open(store.directory())
            .unwrap()
            .settings()
            .unwrap()
            .roles
            .len(),
        0
    );
}
