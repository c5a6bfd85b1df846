//! What the journal adds up to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::adopt::Revocations;
use super::event::{CrlRef, InviteId};
use super::inventory::{Inventory, Record};
use super::reenroll::Asked;
use super::{AuthorityId, Grant, KeyPlace, Settings};
use crate::rollover::Rollover;
use crate::{Certificate, Fingerprint, NodeId, Revocation, SerialNumber, Timestamp};

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    /// The root that a subordinate store was told of; `None` in the store of a root.
    pub(super) pinned: Option<Fingerprint>,
    pub(super) authorities: BTreeMap<AuthorityId, Known>,
    /// The generation that issues.
    pub(super) active: Option<u32>,
    /// The PKCS#10 of the authority that a subordinate waits for.
    pub(super) requested: Option<Vec<u8>>,
    /// Newer roots, each certified by the one before.
    pub(super) links: Vec<Certificate>,
    pub(super) crls: BTreeMap<AuthorityId, CrlRef>,
    pub(super) inventory: Inventory,
    pub(super) invites: HashMap<InviteId, Invite>,
    pub(super) rollover: Option<Rollover>,
    /// What each node has last reported to know.
    pub(super) reported: HashMap<NodeId, BTreeSet<AuthorityId>>,
    /// Revocations of certificates that are in nobody's inventory any more.
    pub(super) lost: Revocations,
    /// Nodes that ask to come back.
    pub(super) asked: BTreeMap<NodeId, Asked>,
    /// How often the store was restored.
    pub(super) epoch: u32,
    /// It may sign: it is not fresh from a backup.
    pub(super) settled: bool,
}

/// An authority of the swarm, in this store or another.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) certificate: Certificate,
    pub(super) key: KeyPlace,
    /// What the operator calls it.
    pub(super) label: String,
    /// The root that signed an issuing authority.
    pub(super) parent: Option<AuthorityId>,
    /// Of a root: that it retired.
    pub(super) revoked: Option<Revocation>,
    pub(super) since: Timestamp,
}

#[derive(Debug)]
pub(super) struct Invite {
    pub(super) secret_sha256: Fingerprint,
    pub(super) grant: Grant,
    pub(super) expires: Timestamp,
    pub(super) invited_at: Timestamp,
    pub(super) requester: String,
    /// When, and with which certificate.
    pub(super) spent: Option<(Timestamp, SerialNumber)>,
    pub(super) cancelled: bool,
}

impl State {
    pub(super) fn new(settings: Settings, pinned: Option<Fingerprint>) -> Self {
        Self {
            settings,
            pinned,
            authorities: BTreeMap::new(),
            active: None,
            requested: None,
            links: Vec::new(),
            crls: BTreeMap::new(),
            inventory: Inventory::default(),
            invites: HashMap::new(),
            rollover: None,
            reported: HashMap::new(),
            lost: BTreeMap::new(),
            asked: BTreeMap::new(),
            epoch: 0,
            settled: true,
        }
    }

    /// Names what an authority revoked of which there is no record here.
    pub(super) fn lost(
        &self,
        id: AuthorityId,
    ) -> impl Iterator<Item = (SerialNumber, Revocation)> + '_ {
        let lost = self.lost.get(&id).into_iter().flatten();
        lost.map(|(serial, revocation)| (*serial, *revocation))
    }

    /// Tells whether an authority is known to have revoked a serial number.
    pub(super) fn is_revoked(&self, id: AuthorityId, serial: &SerialNumber) -> bool {
        let lost = self.lost.get(&id);
        if lost.is_some_and(|lost| lost.contains_key(serial)) {
            return true;
        }
        match id {
            AuthorityId::Root(_) => self.authorities.iter().any(|(own, known)| {
                known.certificate.serial() == *serial
                    && (known.parent == Some(id) || *own == id)
                    && known.revoked.is_some()
            }),
            AuthorityId::Issuing(_) => self.inventory.revocation(serial).is_some(),
        }
    }

    /// Finds the authority that a certificate names as its issuer.
    pub(super) fn find_issuer(&self, certificate: &Certificate) -> Option<AuthorityId> {
        self.authorities
            .iter()
            .find(|(_, known)| {
                known.certificate.subject_der() == certificate.issuer_der()
                    && certificate
                        .authority_key_id()
                        .is_none_or(|wanted| known.certificate.subject_key_id() == Some(wanted))
            })
            .map(|(id, _)| *id)
    }

    /// Tells whether what an authority signed counts: neither it nor its root is expired, revoked
    /// or retired.
    pub(super) fn counts(&self, id: AuthorityId, now: Timestamp) -> bool {
        self.authorities.get(&id).is_some_and(|known| {
            known.revoked.is_none()
                && known.certificate.not_after() >= now
                && known.parent.is_none_or(|parent| self.counts(parent, now))
        })
    }

    /// Tells whether a certificate can still be used by somebody.
    pub(super) fn is_live(&self, record: &Record, now: Timestamp) -> bool {
        record.is_live(now) && self.counts(AuthorityId::Issuing(record.generation), now)
    }

    /// Returns the root that signs now: the one that the issuing authority stands on.
    pub(super) fn signing_root(&self) -> Option<AuthorityId> {
        let active = AuthorityId::Issuing(self.active?);
        self.authorities.get(&active)?.parent
    }

    /// Returns the first generation that was never given, of issuing authorities or of roots.
    pub(super) fn next_generation(&self, roots: bool) -> u32 {
        self.authorities
            .keys()
            .filter(|id| id.is_root() == roots)
            .map(|id| id.generation())
            .max()
            .map_or(1, |last| last + 1)
    }

    /// Names the roots whose keys were moved out of the directory.
    pub(super) fn moved_keys(&self) -> impl Iterator<Item = AuthorityId> {
        self.authorities
            .iter()
            .filter(|(id, known)| id.is_root() && matches!(known.key, KeyPlace::File(_)))
            .map(|(id, _)| *id)
    }
}
