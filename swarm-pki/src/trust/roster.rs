//! The roster: a pure function of the verified certificates, the lists and the time.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::change::{NodeChange, NodeRemoval, RemovalReason, TrustChanges};
use super::{Trust, VerifyError};
use crate::{NodeCertificate, NodeId, Timestamp};

impl Trust {
    /// Follows the clock: drops nodes whose certificates expired, lets in those whose validity
    /// has begun.
    pub fn expire(&mut self, now: Timestamp) -> TrustChanges {
        let mut changes = TrustChanges::default();
        self.follow(now, &mut changes);
        changes
    }

    /// Computes the roster anew and writes the difference into `changes`.
    pub(super) fn follow(&mut self, now: Timestamp, changes: &mut TrustChanges) {
        let now = self.effective(now);
        self.forget(now);
        let mut invalid = BTreeMap::new();
        let mut winners = Vec::with_capacity(self.candidates.len());
        for (id, candidates) in &self.candidates {
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
        let (gone, conflicts) = self.seat(winners, changes);
        for node in gone {
            let reason = self.removal_reason(&node, &conflicts, &mut invalid, now);
            changes.removed.push(NodeRemoval { node, reason });
        }
        if !changes.is_empty() {
            self.generation += 1;
        }
    }

    /// Gives each winner its place, oldest certificate first, and refuses those whose WireGuard
    /// key or address is taken. Returns who is gone, and who lost to whom.
    fn seat(
        &mut self,
        mut winners: Vec<NodeCertificate>,
        changes: &mut TrustChanges,
    ) -> (Vec<NodeCertificate>, HashMap<NodeId, NodeId>) {
        winners.sort_by_cached_key(|node| (node.not_before(), node.fingerprint()));
        let mut roster = BTreeMap::new();
        let mut by_wireguard_key: HashMap<[u8; 32], NodeId> = HashMap::new();
        let mut by_address: HashMap<IpAddr, NodeId> = HashMap::new();
        let mut conflicts = HashMap::new();
        for node in winners {
            let identity = node.identity();
            let taken = by_wireguard_key
                .get(&identity.wireguard_public_key)
                .or_else(|| identity.addresses.iter().find_map(|a| by_address.get(a)));
            if let Some(holder) = taken {
                conflicts.insert(identity.id.clone(), holder.clone());
                continue;
            }
            by_wireguard_key.insert(identity.wireguard_public_key, identity.id.clone());
            by_address.extend(identity.addresses.iter().map(|a| (*a, identity.id.clone())));
            roster.insert(identity.id.clone(), node);
        }
        let mut gone = Vec::new();
        for (id, before) in &self.roster {
            match roster.get(id) {
                None => gone.push(before.clone()),
                Some(after) if after != before => {
                    let (before, after) = (before.clone(), after.clone());
                    changes.changed.push(NodeChange { before, after });
                }
                Some(_) => {}
            }
        }
        changes.added.extend(
            roster
                .iter()
                .filter(|(id, _)| !self.roster.contains_key(*id))
                .map(|(_, node)| node.clone()),
        );
        self.roster = roster;
        self.by_wireguard_key = by_wireguard_key;
        self.by_address = by_address;
        (gone, conflicts)
    }

    fn removal_reason(
        &self,
        node: &NodeCertificate,
        conflicts: &HashMap<NodeId, NodeId>,
        invalid: &mut BTreeMap<NodeId, VerifyError>,
        now: Timestamp,
    ) -> RemovalReason {
        if let Some(holder) = conflicts.get(node.id()) {
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
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.retain(|_, list| {
            list.retain(|node| {
                let keep = node.not_after() >= now && !self.is_revoked(node);
                if !keep {
                    self.known.remove(&node.fingerprint());
                }
                keep
            });
            !list.is_empty()
        });
        self.candidates = candidates;
    }
}
