//! Trust: what is believed, whoever carries it, in whatever order.

use std::time::Duration;

use proptest::prelude::*;
use swarm_pki::testing::TestAuthority;
use swarm_pki::{
    CrlContents, CrlError, CrlExpiry, CrlState, NodeId, RefusalReason, RemovalReason, Revocation,
    RevocationReason, SerialNumber, Trust, TrustBundle, Validity, VerifyError,
};

const DAY: Duration = Duration::from_secs(86_400);

fn id(text: &str) -> NodeId {
    text.parse().unwrap()
}

#[test]
fn a_bundle_makes_a_roster_and_a_revocation_takes_a_node_out() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let one = authority.issue("edge1", &["edge"]);
    let two = authority.issue("edge2", &["edge"]);
    let mut trust = authority.empty_trust();
    let changes = trust.merge(&authority.bundle(now), now);
    assert_eq!(changes.added.len(), 2);
    assert_eq!(changes.refused.len(), 0);
    assert_eq!(trust.roster().count(), 2);
    let key = one.certificate.identity().wireguard_public_key;
    assert_eq!(trust.node_by_wireguard_key(&key), Some(&one.certificate));
    let address = two.certificate.identity().addresses[0];
    assert_eq!(trust.node_by_address(address), Some(&two.certificate));
    let chain = [one.certificate.der().clone()];
    assert_eq!(trust.verify(&chain, now), Ok(one.certificate.clone()));

    let mut news = TrustBundle::default();
    news.crls.push(authority.revoke(&one.certificate, now));
    let generation = trust.generation();
    let changes = trust.merge(&news, now);
    assert!(matches!(
        changes.removed[0].reason,
        RemovalReason::Revoked(_)
    ));
    assert_eq!(changes.removed[0].node, one.certificate);
    assert!(trust.generation() > generation);
    assert!(trust.is_revoked(&one.certificate) && !trust.is_revoked(&two.certificate));
    assert!(matches!(
        trust.verify(&chain, now),
        Err(VerifyError::Revoked { .. })
    ));
    assert_eq!(trust.node_by_wireguard_key(&key), None);
    // Known news change nothing.
    assert!(trust.merge(&news, now).is_empty());
}

#[test]
fn a_bundle_survives_its_der_and_pem_forms() {
    let mut authority = TestAuthority::default();
    authority.issue("edge1", &["edge"]);
    let bundle = authority.bundle(authority.start);
    let der = bundle.to_der().unwrap();
    assert_eq!(TrustBundle::from_der(&der).as_ref(), Ok(&bundle));
    assert_eq!(
        TrustBundle::from_pem(&bundle.to_pem().unwrap()).as_ref(),
        Ok(&bundle)
    );
    let mut long = der;
    long.push(0);
    assert!(TrustBundle::from_der(&long).is_err());
    let trust = authority.trust(authority.start);
    let again = trust.to_bundle();
    assert_eq!(again.nodes, bundle.nodes);
}

#[test]
fn a_list_never_goes_backwards() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]);
    let mut trust = authority.empty_trust();
    trust.merge(&authority.bundle(now), now);
    let old = authority.crl(now);
    let mut news = TrustBundle::default();
    news.crls.push(authority.revoke(&node.certificate, now));
    trust.merge(&news, now);
    let mut rollback = TrustBundle::default();
    rollback.crls.push(old);
    let changes = trust.merge(&rollback, now);
    let reason = &changes.refused[0].reason;
    assert!(
        matches!(reason, RefusalReason::Crl(CrlError::Rollback { .. })),
        "{reason:?}"
    );
    assert!(trust.is_revoked(&node.certificate));
}

#[test]
fn a_restored_authority_does_not_bring_a_revoked_node_back() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]);
    let mut trust = authority.empty_trust();
    trust.merge(&authority.bundle(now), now);
    let mut news = TrustBundle::default();
    news.crls.push(authority.revoke(&node.certificate, now));
    trust.merge(&news, now);
    // The backup knows of no revocation, and counts on.
    let contents = CrlContents {
        number: 1_000,
        this_update: now,
        next_update: now + DAY,
        revoked: Default::default(),
    };
    let mut restored = TrustBundle::default();
    restored
        .crls
        .push(authority.issuing.sign_crl(&contents).unwrap());
    restored.nodes.push(node.certificate.certificate().clone());
    let changes = trust.merge(&restored, now);
    assert_eq!(changes.crls_updated.len(), 1);
    assert!(trust.is_revoked(&node.certificate));
    assert_eq!(trust.node(&id("edge1")), None);
}

#[test]
fn a_stranger_cannot_smuggle_anything_in() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    authority.issue("edge1", &[]);
    let mut stranger = TestAuthority::default();
    stranger.issue("edge2", &["hub"]);
    let mut trust = authority.trust(now);
    let changes = trust.merge(&stranger.bundle(now), now);
    assert!(changes.is_empty());
    // One issuing authority, two lists, one node; the root is merely not pinned.
    assert_eq!(changes.refused.len(), 4, "{:?}", changes.refused);
    // The own root, for another swarm's name.
    let mut identity = authority.identity("edge3", &[]);
    identity.swarm = "others".parse().unwrap();
    let validity = Validity::starting(authority.start, DAY * 9, Duration::ZERO);
    let node = authority.issue_as(&identity, validity);
    let chain = [node.certificate.der().clone()];
    assert!(matches!(
        trust.verify(&chain, now),
        Err(VerifyError::WrongSwarm { .. })
    ));
}

#[test]
fn the_newest_certificate_of_a_node_counts_and_an_older_one_stands_in() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY * 10;
    let old = authority.issue("edge1", &["edge"]);
    let identity = authority.identity("edge1", &["hub"]);
    let validity = Validity::starting(authority.start + DAY * 9, DAY * 30, Duration::ZERO);
    let new = authority.issue_as(&identity, validity);
    let mut trust = authority.trust(now);
    assert_eq!(trust.node(&id("edge1")), Some(&new.certificate));
    // A clock that is set back does not lose the node.
    let changes = trust.expire(authority.start);
    assert!(
        changes.is_empty(),
        "the lists prove a later time: {changes:?}"
    );
    let mut news = TrustBundle::default();
    news.crls.push(authority.revoke(&new.certificate, now));
    let changes = trust.merge(&news, now);
    assert_eq!(changes.changed[0].after, old.certificate);
}

#[test]
fn of_two_nodes_with_one_key_or_address_the_older_wins() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY * 5;
    let first = authority.issue("edge1", &[]);
    let mut identity = authority.identity("edge2", &[]);
    identity.wireguard_public_key = first.certificate.identity().wireguard_public_key;
    let later = Validity::starting(authority.start + DAY, DAY * 40, Duration::ZERO);
    let same_key = authority.issue_as(&identity, later);
    let mut identity = authority.identity("edge3", &[]);
    identity.addresses = first.certificate.identity().addresses.clone();
    let same_address = authority.issue_as(&identity, later);
    let bundle = authority.bundle(now);
    let mut backwards = bundle.clone();
    backwards.nodes.reverse();
    for bundle in [bundle, backwards] {
        let mut trust = authority.empty_trust();
        trust.merge(&bundle, now);
        let roster: Vec<_> = trust.roster().cloned().collect();
        assert_eq!(roster, std::slice::from_ref(&first.certificate));
        // When the holder goes, the next one takes its place.
        let changes = trust.expire(authority.start + DAY * 35);
        assert_eq!(changes.removed.len(), 1);
        let added: Vec<_> = changes
            .added
            .iter()
            .map(|node| node.id().to_string())
            .collect();
        assert_eq!(added, ["edge2", "edge3"]);
    }
    assert_ne!(same_key.certificate, same_address.certificate);
}

#[test]
fn a_wrong_clock_is_named() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]);
    let mut trust = authority.trust(now);
    trust.set_crl_expiry(CrlExpiry::Warn);
    let chain = [node.certificate.der().clone()];
    let late = trust
        .verify(&chain, authority.start + DAY * 31)
        .unwrap_err();
    let said = late.to_string();
    assert!(
        said.contains("1 d ago") && said.contains("this clock says"),
        "{said}"
    );

    // Without any list there is no floor under the clock.
    let mut bare = TrustBundle::default();
    bare.issuers.push(authority.issuing.certificate().clone());
    let mut trust = authority.empty_trust();
    trust.set_crl_expiry(CrlExpiry::Warn);
    trust.merge(&bare, now);
    let early = trust.verify(&chain, swarm_pki::Timestamp::MIN).unwrap_err();
    assert!(matches!(early, VerifyError::NotYetValid { .. }));
    assert!(
        early.to_string().contains("one of the two clocks is wrong"),
        "{early}"
    );
}

#[test]
fn a_machine_without_a_clock_goes_by_the_newest_list() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]);
    let mut trust = authority.empty_trust();
    trust.merge(&authority.bundle(now), swarm_pki::Timestamp::MIN);
    assert_eq!(trust.floor(), now);
    let chain = [node.certificate.der().clone()];
    assert!(trust.verify(&chain, swarm_pki::Timestamp::MIN).is_ok());
}

#[test]
fn an_overdue_list_warns_then_lapses_and_a_missing_one_is_refused() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let validity = Validity::starting(now, DAY * 300, Duration::ZERO);
    let node = authority.issue_as(&authority.identity("edge1", &[]), validity);
    let mut trust = authority.trust(now);
    let chain = [node.certificate.der().clone()];
    let state = |trust: &Trust, at| trust.crl_status(at)[1].state;
    assert_eq!(state(&trust, now), CrlState::Fresh);
    let overdue = now + DAY * 20;
    assert_eq!(state(&trust, overdue), CrlState::Overdue);
    assert!(trust.verify(&chain, overdue).is_ok());
    let lapsed = now + DAY * 40;
    assert_eq!(state(&trust, lapsed), CrlState::Lapsed);
    assert!(matches!(
        trust.verify(&chain, lapsed),
        Err(VerifyError::CrlLapsed { .. })
    ));
    trust.set_crl_expiry(CrlExpiry::Warn);
    assert!(trust.verify(&chain, lapsed).is_ok());
    trust.set_crl_expiry(CrlExpiry::Refuse);
    assert!(matches!(
        trust.verify(&chain, overdue),
        Err(VerifyError::CrlLapsed { .. })
    ));

    // Whoever leaves the lists out gains nothing, and they may come later.
    let mut bundle = authority.bundle(now);
    let lists = std::mem::take(&mut bundle.crls);
    let mut trust = authority.empty_trust();
    assert!(trust.merge(&bundle, now).added.is_empty());
    assert!(matches!(
        trust.verify(&chain, now),
        Err(VerifyError::NoCrl { .. })
    ));
    let mut rest = TrustBundle::default();
    rest.crls = lists;
    assert_eq!(trust.merge(&rest, now).added.len(), 1);
}

#[test]
fn a_revoked_issuing_authority_takes_its_nodes_with_it() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]);
    let mut trust = authority.trust(now);
    let revocation = Revocation {
        at: now,
        reason: RevocationReason::CaCompromise,
    };
    let contents = CrlContents {
        number: u64::MAX,
        this_update: now,
        next_update: now + DAY,
        revoked: [(authority.issuing.certificate().serial(), revocation)].into(),
    };
    let mut news = TrustBundle::default();
    news.crls.push(authority.root.sign_crl(&contents).unwrap());
    let changes = trust.merge(&news, now);
    assert_eq!(changes.removed.len(), 1);
    assert!(matches!(
        changes.removed[0].reason,
        RemovalReason::Revoked(_)
    ));
    assert!(trust.is_revoked(&node.certificate));
}

#[test]
fn an_unknown_issuing_authority_may_be_presented_with_the_leaf() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]);
    let mut trust = authority.empty_trust();
    trust.set_crl_expiry(CrlExpiry::Warn);
    let leaf = node.certificate.der().clone();
    let alone = trust.verify(std::slice::from_ref(&leaf), now);
    assert!(matches!(alone, Err(VerifyError::UnknownIssuer { .. })));
    let issuer = authority.issuing.certificate().der().clone();
    assert!(trust.verify(&[leaf.clone(), issuer], now).is_ok());
    let root = authority.root.certificate().der().clone();
    assert!(trust.verify(&[leaf, root], now).is_err());
}

#[test]
fn a_renewal_with_the_same_key_has_another_serial() {
    let authority = TestAuthority::default();
    let key = swarm_pki::PrivateKey::generate(Default::default()).unwrap();
    let identity = authority.identity("edge1", &[]);
    let validity = Validity::starting(authority.start, DAY, Duration::ZERO);
    let mut serials: Vec<SerialNumber> = (0..3u8)
        .map(|fill| SerialNumber::from_random([fill; 16]))
        .map(|serial| {
            let key = swarm_pki::Signer::public_key(&key);
            authority
                .issuing
                .issue_node(key, &identity, serial, validity)
                .unwrap()
                .serial()
        })
        .collect();
    serials.dedup();
    assert_eq!(serials.len(), 3);
}

#[test]
fn a_node_never_outlives_its_authority() {
    let authority = TestAuthority::default();
    let key = swarm_pki::PrivateKey::generate(Default::default()).unwrap();
    let key = swarm_pki::Signer::public_key(&key);
    let identity = authority.identity("edge1", &[]);
    let serial = SerialNumber::from_random([3; 16]);
    let forever = Validity::starting(authority.start, DAY * 36_500, DAY * 36_500);
    let node = authority
        .issuing
        .issue_node(key, &identity, serial, forever)
        .unwrap();
    let issuer = authority.issuing.certificate();
    assert_eq!(node.not_after(), issuer.not_after());
    assert_eq!(node.not_before(), issuer.not_before());
    let after = Validity::starting(issuer.not_after() + DAY, DAY, Duration::ZERO);
    assert!(
        authority
            .issuing
            .issue_node(key, &identity, serial, after)
            .is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_roster_is_the_same_in_whichever_order_news_come(
        seeds in proptest::collection::vec((0..4u8, 0..20u64, any::<bool>(), any::<bool>()), 1..8),
        order in any::<u64>(),
    ) {
        let mut authority = TestAuthority::default();
        let now = authority.start + DAY * 25;
        let mut pieces = vec![];
        let mut bundle = authority.bundle(authority.start);
        for (node, day, borrowed_key, revoked) in seeds {
            let mut identity = authority.identity(&format!("n{node}"), &[]);
            if borrowed_key {
                identity.wireguard_public_key = authority.identity("n0", &[]).wireguard_public_key;
            }
            let validity = Validity::starting(authority.start + DAY * day as u32, DAY * 30, DAY);
            let issued = authority.issue_as(&identity, validity);
            let mut piece = TrustBundle::default();
            piece.nodes.push(issued.certificate.certificate().clone());
            pieces.push(piece);
            if revoked {
                let mut piece = TrustBundle::default();
                piece.crls.push(authority.revoke(&issued.certificate, authority.start + DAY));
                pieces.push(piece);
            }
        }
        bundle.nodes.clear();
        let mut straight = authority.empty_trust();
        straight.merge(&bundle, now);
        for piece in &pieces {
            straight.merge(piece, now);
        }
        let mut shuffled = authority.empty_trust();
        shuffled.merge(&bundle, now);
        let mut state = order | 1;
        while !pieces.is_empty() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let piece = pieces.swap_remove((state >> 33) as usize % pieces.len());
            shuffled.merge(&piece, now);
        }
        let roster = |trust: &Trust| trust.roster().cloned().collect::<Vec<_>>();
        prop_assert_eq!(roster(&straight), roster(&shuffled));
        // And what one has, another gets from its bundle.
        let mut third = authority.empty_trust();
        third.merge(&straight.to_bundle(), now);
        prop_assert_eq!(roster(&straight), roster(&third));
    }
}
