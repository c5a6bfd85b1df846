//! Roots: followed to by links, retired by their own lists, in whatever order the news come.

use std::time::Duration;

use proptest::prelude::*;
use swarm_pki::testing::TestAuthority;
use swarm_pki::{
    Certificate, CrlContents, RefusalReason, RemovalReason, Revocation, RevocationList,
    RevocationReason, SerialNumber, Timestamp, Trust, TrustBundle, Validity, VerifyError,
};

const DAY: Duration = Duration::from_secs(86_400);

/// An old root and a new one, each with an issuing authority and a node below it.
struct Rollover {
    old: TestAuthority,
    new: TestAuthority,
    link: Certificate,
    now: Timestamp,
}

impl Rollover {
    fn begin() -> Self {
        let mut old = TestAuthority::default();
        let mut new = TestAuthority::default();
        old.issue("edge1", &[]);
        new.issue("edge2", &[]);
        let now = old.start + DAY;
        let link = link(&old, &new, 7);
        Self {
            old,
            new,
            link,
            now,
        }
    }

    /// The old root's list with its own serial number, or that of another certificate.
    fn old_root_list(&self, number: u64, revoked: &[SerialNumber]) -> RevocationList {
        let revocation = Revocation {
            at: self.now,
            reason: RevocationReason::Superseded,
        };
        let contents = CrlContents {
            number,
            this_update: self.now,
            next_update: self.now + DAY * 300,
            revoked: revoked.iter().map(|serial| (*serial, revocation)).collect(),
        };
        self.old.root.sign_crl(&contents).unwrap()
    }

    fn retirement(&self) -> TrustBundle {
        let own = self.old.root.certificate().serial();
        list(self.old_root_list(u64::MAX, &[own]))
    }

    fn succession(&self) -> TrustBundle {
        let mut bundle = TrustBundle::default();
        bundle.roots.push(self.new.root.certificate().clone());
        bundle.links.push(self.link.clone());
        bundle
    }
}

fn link(from: &TestAuthority, to: &TestAuthority, fill: u8) -> Certificate {
    let validity = Validity::starting(from.start, DAY * 1_000, DAY);
    let serial = SerialNumber::from_random([fill; 16]);
    from.root
        .link_root(to.root.certificate(), serial, validity)
        .unwrap()
}

fn list(crl: RevocationList) -> TrustBundle {
    let mut bundle = TrustBundle::default();
    bundle.crls.push(crl);
    bundle
}

fn ids(trust: &Trust) -> Vec<String> {
    trust.roster().map(|node| node.id().to_string()).collect()
}

fn state(trust: &Trust) -> Vec<u8> {
    trust.to_bundle().to_der().unwrap()
}

#[test]
fn who_knows_the_old_root_alone_follows_to_the_new_one() {
    let mut roll = Rollover::begin();
    let now = roll.now;
    let mut trust = roll.old.trust(now);
    let mut news = roll.new.bundle(now);
    let without = trust.merge(&news, now);
    assert!(without.is_empty(), "no link leads there yet: {without:?}");
    news.links.push(roll.link.clone());
    let changes = trust.merge(&news, now);
    assert_eq!(changes.roots_added, [roll.new.root.certificate().clone()]);
    assert_eq!(changes.refused.len(), 0, "{:?}", changes.refused);
    assert_eq!(ids(&trust), ["edge1", "edge2"]);
    assert_eq!(trust.roots().count(), 2);
    assert!(trust.merge(&news, now).is_empty());
}

#[test]
fn a_retired_root_takes_its_nodes_with_it_and_still_leads_on() {
    let mut roll = Rollover::begin();
    let now = roll.now;
    let mut trust = roll.old.trust(now);
    let mut news = roll.new.bundle(now);
    news.links.push(roll.link.clone());
    trust.merge(&news, now);
    let old_node = trust.node(&"edge1".parse().unwrap()).unwrap().clone();
    let changes = trust.merge(&roll.retirement(), now);
    assert_eq!(changes.roots_retired, [roll.old.root.certificate().clone()]);
    assert!(matches!(
        changes.removed[0].reason,
        RemovalReason::Invalid(VerifyError::RootRetired { .. })
    ));
    assert_eq!(ids(&trust), ["edge2"]);
    assert!(trust.is_revoked(&old_node));
    assert!(matches!(
        trust.verify(&[old_node.der().clone()], now),
        Err(VerifyError::RootRetired { .. })
    ));
    assert_eq!(trust.issuers().count(), 1);

    // Somebody who was away all the time knows the old root alone.
    let mut late = roll.old.empty_trust();
    let changes = late.merge(&trust.to_bundle(), now);
    assert_eq!(changes.refused.len(), 0, "{:?}", changes.refused);
    assert_eq!(ids(&late), ["edge2"]);
    assert_eq!(state(&late), state(&trust));
    // Somebody who came after the old root has no use for it, and no complaint.
    let mut young = roll.new.empty_trust();
    let changes = young.merge(&trust.to_bundle(), now);
    assert_eq!(changes.refused.len(), 0, "{:?}", changes.refused);
    assert_eq!(ids(&young), ["edge2"]);
}

#[test]
fn links_lead_over_several_roots_whatever_their_order() {
    let mut roll = Rollover::begin();
    let now = roll.now;
    let mut third = TestAuthority::default();
    third.issue("edge3", &[]);
    let mut news = third.bundle(now);
    news.roots.push(roll.new.root.certificate().clone());
    news.links = vec![link(&roll.new, &third, 8), roll.link.clone()];
    let mut trust = roll.old.trust(now);
    let changes = trust.merge(&news, now);
    assert_eq!(changes.roots_added.len(), 2);
    assert_eq!(ids(&trust), ["edge1", "edge3"]);
}

#[test]
fn a_link_by_a_stranger_is_refused() {
    let mut roll = Rollover::begin();
    let now = roll.now;
    let stranger = TestAuthority::default();
    let mut trust = roll.old.trust(now);
    let mut news = roll.new.bundle(now);
    news.roots.push(stranger.root.certificate().clone());
    news.links.push(link(&stranger, &roll.new, 9));
    let changes = trust.merge(&news, now);
    assert!(changes.is_empty());
    assert!(matches!(
        changes.refused[0].reason,
        RefusalReason::Invalid(VerifyError::UnknownIssuer { .. })
    ));
    // One that bears the old root's name, but not its signature.
    let mut forged = roll.link.der().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let mut news = roll.succession();
    news.links = vec![Certificate::from_der(&forged).unwrap()];
    let changes = trust.merge(&news, now);
    assert!(changes.is_empty());
    assert!(matches!(
        changes.refused[0].reason,
        RefusalReason::Invalid(VerifyError::Signature { .. })
    ));
}

#[test]
fn an_issuing_authority_can_neither_make_nor_be_a_link() {
    let roll = Rollover::begin();
    let serial = SerialNumber::from_random([9; 16]);
    let validity = Validity::starting(roll.now, DAY, DAY);
    let root = roll.new.root.certificate();
    assert!(roll.old.issuing.link_root(root, serial, validity).is_err());
    let issuing = roll.new.issuing.certificate();
    assert!(roll.old.root.link_root(issuing, serial, validity).is_err());
    let own = roll.old.root.certificate();
    assert!(roll.old.root.link_root(own, serial, validity).is_err());
    // A certificate of an issuing authority, offered as a link.
    let mut news = TrustBundle::default();
    news.links.push(roll.old.issuing.certificate().clone());
    let changes = roll.old.empty_trust().merge(&news, roll.now);
    let reason = &changes.refused[0].reason;
    assert!(matches!(reason, RefusalReason::NotALink(_)), "{reason:?}");
    // And a link makes nobody an issuing authority of nodes.
    let mut news = TrustBundle::default();
    news.issuers.push(roll.link.clone());
    let changes = roll.old.empty_trust().merge(&news, roll.now);
    assert!(changes.is_empty() && changes.refused.len() == 1);
}

#[test]
fn a_revoked_link_does_not_count_before_or_after() {
    let mut roll = Rollover::begin();
    let now = roll.now;
    let mut news = roll.new.bundle(now);
    news.links.push(roll.link.clone());
    let revoked = list(roll.old_root_list(u64::MAX, &[roll.link.serial()]));

    let mut before = roll.old.trust(now);
    before.merge(&revoked, now);
    let changes = before.merge(&news, now);
    assert!(changes.roots_added.is_empty() && changes.added.is_empty());
    assert!(matches!(
        changes.refused[0].reason,
        RefusalReason::Invalid(VerifyError::Revoked { .. })
    ));

    let mut after = roll.old.trust(now);
    after.merge(&news, now);
    assert_eq!(ids(&after), ["edge1", "edge2"]);
    let changes = after.merge(&revoked, now);
    assert_eq!(changes.roots_retired, [roll.new.root.certificate().clone()]);
    assert_eq!(ids(&after), ["edge1"]);
    let node = &news.nodes[0];
    assert!(after.verify(&[node.der().clone()], now).is_err());
}

#[test]
fn an_expired_link_leads_nobody_but_keeps_whom_it_led() {
    let mut roll = Rollover::begin();
    let now = roll.now;
    let mut trust = roll.old.trust(now);
    let mut news = roll.new.bundle(now);
    news.links.push(roll.link.clone());
    trust.merge(&news, now);
    let later = roll.link.not_after() + DAY;
    trust.expire(later);
    assert_eq!(trust.roots().count(), 2);
    let mut late = roll.old.empty_trust();
    let changes = late.merge(&news, later);
    assert!(changes.roots_added.is_empty());
}

#[test]
fn one_key_certified_by_two_roots_outlives_the_retired_one() {
    let mut roll = Rollover::begin();
    let now = roll.now;
    // The old issuing authority is certified by the new root too, under its own name.
    let mut trust = roll.old.trust(now);
    let issuing = roll.old.issuing.certificate();
    let serial = SerialNumber::from_random([9; 16]);
    let validity = Validity::starting(now, DAY * 100, DAY);
    let key = issuing.public_key().unwrap();
    let again = roll
        .new
        .root
        .issue_authority(&roll.old.swarm, 1, &key, serial, validity)
        .unwrap();
    assert_eq!(again.subject_der(), issuing.subject_der());
    let mut news = roll.succession();
    news.issuers.push(again);
    news.crls.push(roll.new.root_crl(now));
    trust.merge(&news, now);
    let changes = trust.merge(&roll.retirement(), now);
    assert_eq!(changes.removed.len(), 0, "{:?}", changes.removed);
    assert_eq!(ids(&trust), ["edge1"]);
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(count - 1);
    let insert = |order: &Vec<usize>, at: usize| {
        let mut longer = order.clone();
        longer.insert(at, count - 1);
        longer
    };
    shorter
        .iter()
        .flat_map(|order| (0..count).map(move |at| insert(order, at)))
        .collect()
}

#[test]
fn every_order_of_news_about_roots_comes_to_the_same() {
    let mut roll = Rollover::begin();
    let now = roll.now;
    // Each piece stands on what everybody knows; one of its links is revoked by another piece.
    let links = [roll.link.clone(), link(&roll.old, &roll.new, 11)];
    let mut below = roll.new.bundle(now);
    below.roots.push(roll.old.root.certificate().clone());
    below.links = links.to_vec();
    let mut back = roll.succession();
    back.links = vec![link(&roll.new, &roll.old, 12), links[1].clone()];
    let node = roll.old.bundle(now).nodes[0].serial();
    let pieces = [
        below,
        back,
        list(roll.old_root_list(u64::MAX - 1, &[roll.link.serial()])),
        list(roll.old_root_list(u64::MAX - 2, &[node])),
        roll.retirement(),
    ];
    let base = roll.old.trust(now);
    let mut expected = None;
    for order in permutations(pieces.len()) {
        let mut trust = base.clone();
        for index in &order {
            trust.merge(&pieces[*index], now);
        }
        let found = (state(&trust), ids(&trust));
        let expected = expected.get_or_insert_with(|| found.clone());
        assert!(found == *expected, "{order:?}");
    }
    let (_, roster) = expected.unwrap();
    assert_eq!(roster, ["edge2"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn news_in_crumbs_come_to_the_same_once_all_were_heard(seed in any::<u64>()) {
        let mut roll = Rollover::begin();
        let now = roll.now;
        let mut whole = roll.old.bundle(now);
        let new = roll.new.bundle(now);
        whole.roots.extend(new.roots);
        whole.links.push(roll.link.clone());
        whole.issuers.extend(new.issuers);
        whole.crls.extend(new.crls);
        whole.crls.extend(roll.retirement().crls);
        whole.nodes.extend(new.nodes);
        let mut straight = roll.old.empty_trust();
        straight.merge(&whole, now);

        // Every entry by itself, again and again in an order of chance, as gossip goes.
        let mut crumbs = Vec::new();
        let mut crumb = |fill: &dyn Fn(&mut TrustBundle)| {
            let mut bundle = TrustBundle::default();
            fill(&mut bundle);
            crumbs.push(bundle);
        };
        whole.roots.iter().for_each(|one| crumb(&|bundle| bundle.roots.push(one.clone())));
        whole.links.iter().for_each(|one| crumb(&|bundle| bundle.links.push(one.clone())));
        whole.issuers.iter().for_each(|one| crumb(&|bundle| bundle.issuers.push(one.clone())));
        whole.crls.iter().for_each(|one| crumb(&|bundle| bundle.crls.push(one.clone())));
        whole.nodes.iter().for_each(|one| crumb(&|bundle| bundle.nodes.push(one.clone())));
        let mut trust = roll.old.empty_trust();
        let mut random = seed | 1;
        for _ in 0..6 {
            let mut rest: Vec<_> = crumbs.iter().collect();
            while !rest.is_empty() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let next = rest.swap_remove((random >> 33) as usize % rest.len());
                trust.merge(next, now);
            }
        }
        prop_assert_eq!(state(&trust), state(&straight));
        prop_assert_eq!(ids(&trust), ids(&straight));
    }
}
