//! Roll-over on disk: each step is one entry of the journal, so a crash lies before it or after.

use std::collections::BTreeSet;

use super::access::{key_name, place_root_key};
use super::authorities::first_crl;
use super::crls::NextCrl;
use super::event::{CrlRef, Event, NewAuthority, Text};
use super::init::create_root;
use super::state::State;
use super::{AuthorityId, Error, RootAccess, RootKey, Store, Transaction, crls, random_serial};
use crate::rollover::{Retirement, Rollover, RolloverKind, RolloverPhase};
use crate::{
    Authority, Certificate, Fingerprint, NodeCertificate, NodeId, Revocation, RevocationReason,
    SerialNumber, ServiceName, Timestamp, Validity,
};

/// What shall be rolled over, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RolloverSpec {
    /// Which authority is replaced.
    pub kind: RolloverKind,
    /// What becomes of the old issuing authority.
    pub retirement: Retirement,
    /// Where the key of a new root goes.
    pub root_key: RootKey,
}

impl RolloverSpec {
    /// Replaces the issuing authority below the same root; the old one is revoked in the end.
    pub fn issuing() -> Self {
        Self {
            kind: RolloverKind::Issuing,
            retirement: Retirement::default(),
            root_key: RootKey::default(),
        }
    }

    /// Replaces the root by one whose key goes where `root_key` says.
    pub fn root(root_key: RootKey) -> Self {
        Self {
            kind: RolloverKind::Root,
            retirement: Retirement::default(),
            root_key,
        }
    }
}

/// How far a roll-over is, and for whom it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RolloverStatus {
    /// Which authority is replaced.
    pub kind: RolloverKind,
    /// How far it is.
    pub phase: RolloverPhase,
    /// The live nodes that the next step waits for.
    pub waiting: Vec<NodeId>,
    /// The services of this store that depend on the old authority still. Renewed or revoked, they
    /// do not.
    pub services: Vec<ServiceName>,
    /// The nodes that were left behind, by decision.
    pub left_behind: BTreeSet<NodeId>,
    /// The authority that is replaced.
    pub old: AuthorityId,
    /// The authority that takes its place.
    pub new: AuthorityId,
    /// What becomes of the old issuing authority.
    pub retirement: Retirement,
    /// When it began.
    pub began: Timestamp,
}

impl Store {
    /// Begins to replace the issuing authority or the root: makes the new one and announces it in
    /// the bundle. Nothing is issued from it yet.
    ///
    /// # Errors
    /// [`Error::RolloverUnderWay`]; [`Error::NotARoot`] in a subordinate's store, which
    /// [asks](Self::request_authority) its root instead; [`Error::PassphraseNeeded`],
    /// [`Error::RootKeyAway`], [`Error::NotTheKey`], [`Error::Key`].
    pub fn begin_rollover(
        &self,
        spec: &RolloverSpec,
        root: &RootAccess<'_>,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.exclusive(|transaction| {
            if transaction.state().rollover.is_some() {
                return Err(Error::RolloverUnderWay);
            }
            let above = transaction.own_root()?;
            let old_root = transaction.root(above.generation(), root)?;
            match spec.kind {
                RolloverKind::Issuing => transaction.announce_issuing(&old_root, spec, now),
                RolloverKind::Root => transaction.announce_root(above, &old_root, spec, now),
            }
            .and_then(|(event, signers)| {
                transaction.record(event, requester, now)?;
                transaction.memory.signers.extend(signers);
                Ok(())
            })
        })
    }

    /// Tells how far the roll-over is and for whom it waits; `None` when none is under way.
    /// `live` are the nodes of a verified roster, those of other issuing authorities included.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn rollover(
        &self,
        live: &[NodeCertificate],
        now: Timestamp,
    ) -> Result<Option<RolloverStatus>, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        Ok(state.rollover.as_ref().map(|rollover| RolloverStatus {
            kind: rollover.kind,
            phase: rollover.phase,
            waiting: waiting(state, rollover, live),
            services: dependent_services(state, rollover, now),
            left_behind: rollover.left_behind.clone(),
            old: replaced(rollover),
            new: successor(rollover),
            retirement: rollover.retirement,
            began: rollover.began,
        }))
    }

    /// Goes one step on, and returns the phase that is reached; `None` when the roll-over is done.
    /// Nodes of `leave_behind` are not waited for any more: they come back by re-enrolment or an
    /// invite.
    ///
    /// The root's key is asked for in the last step alone, and only when something is to be
    /// revoked: an old root retires itself, an old issuing authority is revoked by its root unless
    /// it is left to expire.
    ///
    /// # Errors
    /// [`Error::RolloverWaits`] names the nodes that are waited for,
    /// [`Error::RolloverWaitsForServices`] this store's services; [`Error::NoRollover`];
    /// [`Error::PassphraseNeeded`], [`Error::RootKeyAway`], [`Error::NotTheKey`], [`Error::Key`].
    pub fn advance_rollover(
        &self,
        live: &[NodeCertificate],
        leave_behind: &BTreeSet<NodeId>,
        root: &RootAccess<'_>,
        requester: &str,
        now: Timestamp,
    ) -> Result<Option<RolloverPhase>, Error> {
        self.exclusive(|transaction| {
            let state = transaction.state();
            let rollover = state.rollover.clone().ok_or(Error::NoRollover)?;
            let waiting = waiting(state, &rollover, live);
            let services = dependent_services(state, &rollover, now);
            if !services.is_empty() {
                return Err(Error::RolloverWaitsForServices(services));
            }
            let (phase, left_behind) = rollover.advance(&waiting, leave_behind)?;
            let mut revoked = Vec::new();
            let mut crls = Vec::new();
            if phase.is_none() {
                revoked = transaction.to_retire(&rollover, now);
                if let Some((_, above)) = revoked
                    .first()
                    .map(|(id, _)| (id, replaced_root(transaction.state(), &rollover)))
                {
                    let above = above.ok_or(Error::NotARoot)?;
                    let root = transaction.root(above.generation(), root)?;
                    crls.push(transaction.last_list(&root, above, &revoked, rollover.kind, now)?);
                }
            }
            let event = Event::RolloverAdvanced {
                phase,
                left_behind,
                revoked: revoked.into_iter().collect(),
                crls: crls.clone(),
            };
            transaction.record_crls(event, &crls, requester, now)?;
            Ok(phase)
        })
    }

    /// Gives a roll-over up, as long as nothing was issued from the new authority: the old root
    /// revokes the new issuing authority, or the link to the new root.
    ///
    /// # Errors
    /// [`Error::RolloverTooFar`]; [`Error::NoRollover`]; [`Error::PassphraseNeeded`],
    /// [`Error::RootKeyAway`], [`Error::NotTheKey`], [`Error::Key`].
    pub fn abort_rollover(
        &self,
        root: &RootAccess<'_>,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.exclusive(|transaction| {
            let state = transaction.state();
            let rollover = state.rollover.clone().ok_or(Error::NoRollover)?;
            if !rollover.can_be_aborted() {
                return Err(Error::RolloverTooFar(rollover.phase));
            }
            let revocation = Revocation {
                at: now,
                reason: RevocationReason::CessationOfOperation,
            };
            let revoked = vec![(successor(&rollover), revocation)];
            let mut crls = Vec::new();
            if state.pinned.is_none() {
                let above = transaction.own_root()?;
                let root = transaction.root(above.generation(), root)?;
                crls.push(transaction.list_with(&root, above, &revoked, None, now)?);
            }
            let event = Event::RolloverAborted {
                revoked: revoked.into_iter().collect(),
                crls: crls.clone(),
            };
            transaction.record_crls(event, &crls, requester, now)
        })
    }

    /// Takes down which roots and issuing authorities a node says it knows. The caller has
    /// authenticated the node, as a mutual TLS handshake does.
    ///
    /// # Errors
    /// [`Error::UnknownSerial`] when none of the swarm's authorities issued the certificate,
    /// [`Error::Revoked`] when it was revoked.
    pub fn report_trust(
        &self,
        node: &NodeCertificate,
        known: &[Fingerprint],
        now: Timestamp,
    ) -> Result<(), Error> {
        let serial = node.serial();
        let told: BTreeSet<AuthorityId> = {
            let memory = self.current()?;
            let state = &memory.state;
            let issuer = state
                .find_issuer(node)
                .and_then(|id| state.authorities.get(&id));
            if !issuer.is_some_and(|issuer| node.is_signed_by(&issuer.certificate)) {
                return Err(Error::UnknownSerial(serial));
            }
            let record = state.inventory.by_serial(&serial);
            if record.is_some_and(|record| record.revoked.is_some()) {
                return Err(Error::Revoked(serial));
            }
            let known: BTreeSet<&Fingerprint> = known.iter().collect();
            let told = state
                .authorities
                .iter()
                .filter(|(_, own)| known.contains(&own.certificate.fingerprint()))
                .map(|(id, _)| *id)
                .collect();
            // Nodes tell often, and mostly the same.
            if state.reported.get(node.id()) == Some(&told) {
                return Ok(());
            }
            told
        };
        let node = node.id().clone();
        self.change(move |transaction| {
            let requester = node.as_str().to_owned();
            let event = Event::TrustReported { node, known: told };
            transaction.record(event, &requester, now)
        })
    }
}

type Announcement = (Event, Vec<(AuthorityId, Authority)>);

impl Transaction<'_> {
    fn announce_issuing(
        &self,
        root: &Authority,
        spec: &RolloverSpec,
        now: Timestamp,
    ) -> Result<Announcement, Error> {
        let old = self.state().active.ok_or(Error::NotOperational)?;
        let (new, issuing, crl) = self.new_issuing(root, now)?;
        let id = new.id;
        let event = Event::RolloverBegun {
            rollover: Rollover {
                kind: RolloverKind::Issuing,
                phase: RolloverPhase::Announced,
                old,
                new: id.generation(),
                issuing: id.generation(),
                retirement: spec.retirement,
                began: now,
                left_behind: BTreeSet::new(),
            },
            authorities: vec![new],
            links: Vec::new(),
            crls: vec![crl],
        };
        Ok((event, vec![(id, issuing)]))
    }

    fn announce_root(
        &self,
        above: AuthorityId,
        old_root: &Authority,
        spec: &RolloverSpec,
        now: Timestamp,
    ) -> Result<Announcement, Error> {
        let settings = self.state().settings.clone();
        let directory = &self.store.inner.directory;
        let id = AuthorityId::Root(self.state().next_generation(true));
        let stored = directory.join(key_name(id));
        let (key, place) = place_root_key(&stored, &spec.root_key, settings.key_algorithm)?;
        let root = create_root(&settings, id.generation(), key, now)?;
        let lifetimes = &settings.lifetimes;
        let validity = Validity::starting(now, lifetimes.root, lifetimes.backdate);
        let link = old_root.link_root(root.certificate(), random_serial()?, validity)?;
        let root_crl = first_crl(directory, &root, id, &settings, now)?;
        let (issuing, authority, issuing_crl) = self.new_issuing(&root, now)?;
        let issues = issuing.id;
        let root = NewAuthority {
            id,
            certificate: Text(root.certificate().clone()),
            key: place,
            label: String::new(),
        };
        let event = Event::RolloverBegun {
            rollover: Rollover {
                kind: RolloverKind::Root,
                phase: RolloverPhase::Announced,
                old: above.generation(),
                new: id.generation(),
                issuing: issues.generation(),
                retirement: Retirement::Revoked,
                began: now,
                left_behind: BTreeSet::new(),
            },
            authorities: vec![root, issuing],
            links: vec![Text(link)],
            crls: vec![root_crl, issuing_crl],
        };
        Ok((event, vec![(issues, authority)]))
    }

    /// Says what is revoked when a roll-over is done: an old root itself, which takes everything
    /// below it along, or an old issuing authority.
    fn to_retire(&self, rollover: &Rollover, now: Timestamp) -> Vec<(AuthorityId, Revocation)> {
        let old = replaced(rollover);
        let done = self
            .state()
            .authorities
            .get(&old)
            .is_none_or(|known| known.revoked.is_some());
        let stays = rollover.kind == RolloverKind::Issuing
            && rollover.retirement == Retirement::LeftToExpire;
        if done || stays {
            return Vec::new();
        }
        let reason = RevocationReason::Superseded;
        vec![(old, Revocation { at: now, reason })]
    }

    /// Signs the list that retires an authority. A root's own is its last one, so it holds until
    /// the root's end.
    fn last_list(
        &self,
        root: &Authority,
        above: AuthorityId,
        revoked: &[(AuthorityId, Revocation)],
        kind: RolloverKind,
        now: Timestamp,
    ) -> Result<CrlRef, Error> {
        let until = (kind == RolloverKind::Root).then(|| root.certificate().not_after());
        self.list_with(root, above, revoked, until, now)
    }

    /// Signs a root's list that names some more of its certificates, and links to the roots
    /// among them.
    fn list_with(
        &self,
        root: &Authority,
        above: AuthorityId,
        more: &[(AuthorityId, Revocation)],
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<CrlRef, Error> {
        let mut revoked = self.revoked(above, now);
        for (id, revocation) in more {
            for serial in self.serials_below(above, *id)? {
                revoked.insert(serial, *revocation);
            }
        }
        let next = NextCrl {
            id: above,
            last: self.state().crls.get(&above),
            revoked,
            epoch: self.state().epoch,
            lifetime: until.map_or_else(
                || crls::lifetime(&self.state().settings, above),
                |until| until.since(now),
            ),
            now,
        };
        crls::write_crl(&self.store.inner.directory, root, next).map(|(_, crl)| crl)
    }

    /// Names the serial numbers that a root gave to an authority: its own for itself, those of the
    /// links for another root.
    fn serials_below(
        &self,
        above: AuthorityId,
        id: AuthorityId,
    ) -> Result<Vec<SerialNumber>, Error> {
        let certificate = &self.known(id)?.certificate;
        if !id.is_root() || id == above {
            return Ok(vec![certificate.serial()]);
        }
        let links = self.state().links.iter();
        let to_it = |link: &&Certificate| link.subject_der() == certificate.subject_der();
        Ok(links.filter(to_it).map(|link| link.serial()).collect())
    }
}

fn replaced(rollover: &Rollover) -> AuthorityId {
    match rollover.kind {
        RolloverKind::Issuing => AuthorityId::Issuing(rollover.old),
        RolloverKind::Root => AuthorityId::Root(rollover.old),
    }
}

fn successor(rollover: &Rollover) -> AuthorityId {
    match rollover.kind {
        RolloverKind::Issuing => AuthorityId::Issuing(rollover.new),
        RolloverKind::Root => AuthorityId::Root(rollover.new),
    }
}

/// Returns the root whose list retires what is replaced.
fn replaced_root(state: &State, rollover: &Rollover) -> Option<AuthorityId> {
    match replaced(rollover) {
        root @ AuthorityId::Root(_) => Some(root),
        issuing => state.authorities.get(&issuing)?.parent,
    }
}

fn waiting(state: &State, rollover: &Rollover, live: &[NodeCertificate]) -> Vec<NodeId> {
    let wanted = [successor(rollover), AuthorityId::Issuing(rollover.issuing)];
    let knows = |id: &NodeId| {
        let known = state.reported.get(id);
        known.is_some_and(|known| wanted.iter().all(|one| known.contains(one)))
    };
    let old = replaced(rollover);
    let depends = |node: &NodeCertificate| match (state.find_issuer(node), old) {
        (Some(issuer), AuthorityId::Issuing(_)) => issuer == old,
        (Some(issuer), AuthorityId::Root(_)) => {
            state
                .authorities
                .get(&issuer)
                .and_then(|known| known.parent)
                == Some(old)
        }
        // An issuing authority that this store does not know: another store's, below some root.
        (None, AuthorityId::Issuing(_)) => false,
        (None, AuthorityId::Root(_)) => true,
    };
    rollover.waiting(live, knows, depends)
}

/// Names the live services that depend on what is about to be retired.
fn dependent_services(state: &State, rollover: &Rollover, now: Timestamp) -> Vec<ServiceName> {
    if rollover.phase != RolloverPhase::Reissuing {
        return Vec::new();
    }
    let old = replaced(rollover);
    let depends = |generation| {
        let issuing = AuthorityId::Issuing(generation);
        let parent = state
            .authorities
            .get(&issuing)
            .and_then(|known| known.parent);
        issuing == old || parent == Some(old)
    };
    let inventory = &state.inventory;
    let waits = inventory.services().filter(|name| {
        // A service that has a certificate of the new authority has been reissued for.
        let newest = inventory.of_service(name).next();
        newest.is_some_and(|entry| state.is_service_live(entry, now) && depends(entry.generation))
    });
    waits.cloned().collect()
}
