//! The roster: a pure function of the verified certificates, the lists and the time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::change::{NodeChange, NodeRemoval, RemovalReason, TrustChanges};
use super::{Trust, VerifyError};
use crate::{Certificate, NodeCertificate, NodeId, Timestamp};

/// Who has which place.
#[derive(Clone, Default)]
pub(super) struct Seats {
    pub(super) roster: BTreeMap<NodeId, NodeCertificate>,
    pub(super) by_wireguard_key: HashMap<[u8; 32], NodeId>,
    pub(super) by_address: HashMap<IpAddr, NodeId>,
    /// Who would have a place, but for somebody who has their key or address.
    conflicts: HashMap<NodeId, NodeId>,
}

impl Seats {
    /// Gives a node its place, unless somebody has its WireGuard key or address: then says who.
    fn seat(&mut self, node: NodeCertificate) -> Result<(), NodeId> {
        let identity = node.identity();
        if let Some(holder) = self.holder(&node) {
            return Err(holder.clone());
        }
        let id = &identity.id;
        let key = identity.wireguard_public_key;
        self.by_wireguard_key.insert(key, id.clone());
        let addresses = identity.addresses.iter();
        self.by_address
            .extend(addresses.map(|address| (*address, id.clone())));
        self.roster.insert(id.clone(), node);
        Ok(())
    }

    fn holder(&self, node: &NodeCertificate) -> Option<&NodeId> {
        let identity = node.identity();
        self.by_wireguard_key
            .get(&identity.wireguard_public_key)
            .or_else(|| {
                identity
                    .addresses
                    .iter()
                    .find_map(|a| self.by_address.get(a))
            })
    }

    fn unseat(&mut self, id: &NodeId) -> Option<NodeCertificate> {
        let node = self.roster.remove(id)?;
        self.by_wireguard_key
            .remove(&node.identity().wireguard_public_key);
        for address in &node.identity().addresses {
            self.by_address.remove(address);
        }
        Some(node)
    }
}

/// From when until before when no standing changes by the passing of time alone; empty when
/// something else changed.
#[derive(Clone, Copy, Default)]
pub(super) struct Settled {
    from: Timestamp,
    until: Timestamp,
}

impl Settled {
    fn contains(self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// Ends it before `at`, if that is yet to come.
    fn end_before(&mut self, at: Timestamp) {
        if at > self.from {
            self.until = self.until.min(at);
        }
    }

    fn end_with_validity(&mut self, certificate: &Certificate) {
        self.end_before(certificate.not_before());
        self.end_before(certificate.not_after() + Duration::from_secs(1));
    }
}

impl Trust {
    /// Follows the clock: drops nodes whose certificates expired, lets in those whose validity
    /// has begun.
    pub fn expire(&mut self, now: Timestamp) -> TrustChanges {
        let mut changes = TrustChanges::default();
        self.follow(now, BTreeSet::new(), &mut changes);
        changes
    }

    /// Brings the roster up to date and writes the difference into `changes`. `newcomers` are
    /// those with a new certificate.
    pub(super) fn follow(
        &mut self,
        now: Timestamp,
        newcomers: BTreeSet<NodeId>,
        changes: &mut TrustChanges,
    ) {
        let now = self.effective(now);
        if !self.settled.contains(now) || !self.seat_newcomers(&newcomers, now, changes) {
            self.compute_anew(now, changes);
        }
        if !changes.is_empty() {
            self.generation += 1;
        }
    }

    /// Seats newcomers where nobody else is concerned; tells whether that was so. Otherwise
    /// nothing was done.
    fn seat_newcomers(
        &mut self,
        newcomers: &BTreeSet<NodeId>,
        now: Timestamp,
        changes: &mut TrustChanges,
    ) -> bool {
        if newcomers.is_empty() {
            return true;
        }
        let mut winners = Vec::with_capacity(newcomers.len());
        let mut settled = self.settled;
        for id in newcomers {
            let candidates = self.candidates.get(id).map_or(&[][..], Vec::as_slice);
            let winner = candidates
                .iter()
                .find(|node| self.standing(node, now).is_ok());
            let Some(winner) = winner else { return false };
            let concerns_others = self.seats.holder(winner).is_some_and(|holder| holder != id)
                || self.holds_other_address(winner);
            if concerns_others {
                return false;
            }
            candidates
                .iter()
                .for_each(|node| settled.end_with_validity(node));
            winners.push(winner.clone());
        }
        if !self.seats.conflicts.is_empty() || have_something_in_common(&winners) {
            return false;
        }
        self.settled = settled;
        let seats = Arc::make_mut(&mut self.seats);
        for node in winners {
            let before = seats.unseat(node.id());
            seats.seat(node.clone()).expect("nobody else is concerned");
            match before {
                None => changes.added.push(node),
                Some(before) if before == node => {}
                Some(before) => changes.changed.push(NodeChange {
                    before,
                    after: node,
                }),
            }
        }
        true
    }

    fn holds_other_address(&self, node: &NodeCertificate) -> bool {
        let mut addresses = node.identity().addresses.iter();
        addresses.any(|address| {
            let holder = self.seats.by_address.get(address);
            holder.is_some_and(|holder| holder != node.id())
        })
    }

    /// Computes the roster from everything that is known.
    fn compute_anew(&mut self, now: Timestamp, changes: &mut TrustChanges) {
        self.forget(now);
        self.settled = self.settle(now);
        let mut invalid = BTreeMap::new();
        let mut winners = Vec::with_capacity(self.candidates.len());
        for (id, candidates) in &*self.candidates {
            let mut newest_fault = None;
            for node in candidates {
                match self.standing(node, now) {
                    Ok(()) => {
                        winners.push(node.clone());
                        newest_fault = None;
                        break;
                    }
                    Err(fault) => newest_fault = newest_fault.or(Some(fault)),
                }
            }
            if let Some(fault) = newest_fault {
                invalid.insert(id.clone(), fault);
            }
        }
        for node in self.seat(winners, changes) {
            let reason = self.removal_reason(&node, &mut invalid, now);
            changes.removed.push(NodeRemoval { node, reason });
        }
    }

    /// Returns the time around `now` in which no standing changes.
    fn settle(&self, now: Timestamp) -> Settled {
        let mut settled = Settled {
            from: now,
            until: Timestamp::MAX,
        };
        let nodes = self.candidates.values().flatten();
        nodes.for_each(|node| settled.end_with_validity(node));
        let roots = self.roots.iter().map(|root| &root.authority);
        for authority in roots.chain(&self.issuers) {
            settled.end_with_validity(&authority.certificate);
            if let Some(lapse) = authority.crl.as_ref().and_then(|crl| self.lapse(crl)) {
                settled.end_before(lapse);
            }
        }
        settled
    }

    /// Gives each winner its place, oldest certificate first, and refuses those whose WireGuard
    /// key or address is taken. Returns who is gone.
    fn seat(
        &mut self,
        mut winners: Vec<NodeCertificate>,
        changes: &mut TrustChanges,
    ) -> Vec<NodeCertificate> {
        winners.sort_by(|one, other| {
            let by_age = one.not_before().cmp(&other.not_before());
            by_age.then_with(|| one.signed_der().cmp(other.signed_der()))
        });
        let mut seats = Seats::default();
        for node in winners {
            let id = node.id().clone();
            if let Err(holder) = seats.seat(node) {
                seats.conflicts.insert(id, holder);
            }
        }
        let mut gone = Vec::new();
        for (id, before) in &self.seats.roster {
            match seats.roster.get(id) {
                None => gone.push(before.clone()),
                Some(after) if after != before => {
                    let (before, after) = (before.clone(), after.clone());
                    changes.changed.push(NodeChange { before, after });
                }
                Some(_) => {}
            }
        }
        let added = seats.roster.iter();
        let added = added.filter(|(id, _)| !self.seats.roster.contains_key(*id));
        changes.added.extend(added.map(|(_, node)| node.clone()));
        self.seats = Arc::new(seats);
        gone
    }

    fn removal_reason(
        &self,
        node: &NodeCertificate,
        invalid: &mut BTreeMap<NodeId, VerifyError>,
        now: Timestamp,
    ) -> RemovalReason {
        if let Some(holder) = self.seats.conflicts.get(node.id()) {
            return RemovalReason::Conflict(holder.clone());
        }
        let fault = match self.standing(node, now) {
            Err(fault) => fault,
            Ok(()) => invalid
                .remove(node.id())
                .unwrap_or(VerifyError::UnknownIssuer {
                    issuer: node.issuer(),
                }),
        };
        match fault {
            VerifyError::Revoked { revocation, .. } => RemovalReason::Revoked(revocation),
            other => RemovalReason::Invalid(other),
        }
    }

    /// Tells whether a certificate whose signature was verified counts at this time.
    pub(super) fn standing(
        &self,
        node: &NodeCertificate,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let mut fault = None;
        for issuer in self.issuers_of(node) {
            match self.check_standing(node, issuer, now) {
                Ok(()) => return Ok(()),
                Err(found) => fault = fault.or(Some(found)),
            }
        }
        Err(fault.unwrap_or_else(|| VerifyError::UnknownIssuer {
            issuer: node.issuer(),
        }))
    }

    /// Forgets candidates that can never count again: expired or revoked.
    fn forget(&mut self, now: Timestamp) {
        let gone = |node: &NodeCertificate| node.not_after() < now || self.is_revoked(node);
        let forgotten: Vec<_> = self
            .candidates
            .values()
            .flatten()
            .filter(|node| gone(node))
            .cloned()
            .collect();
        if forgotten.is_empty() {
            return;
        }
        let candidates = Arc::make_mut(&mut self.candidates);
        let known = Arc::make_mut(&mut self.known);
        for node in forgotten {
            known.remove(&node);
            if let Some(list) = candidates.get_mut(node.id()) {
                list.retain(|kept| *kept != node);
                if list.is_empty() {
                    candidates.remove(node.id());
                }
            }
        }
    }
}

/// Tells whether two of these nodes have one WireGuard key or address.
fn have_something_in_common(nodes: &[NodeCertificate]) -> bool {
    let mut keys = HashSet::new();
    let mut addresses = HashSet::new();
    nodes.iter().any(|node| {
        let identity = node.identity();
        let mut own = identity.addresses.iter();
        !keys.insert(identity.wireguard_public_key) || own.any(|one| !addresses.insert(*one))
    })
}
