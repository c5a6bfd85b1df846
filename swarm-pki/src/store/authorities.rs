//! The issuing authorities of this store: made, opened, rotated, revoked.

use std::path::Path;
use std::sync::Arc;

use super::access::{key_name, read_key};
use super::crls::{NextCrl, is_own, lifetime, write_crl};
use super::event::{CrlRef, Event, NewAuthority, Text};
use super::state::Known;
use super::{
    AuthorityId, Error, KeyPlace, RootAccess, Settings, Store, Transaction, disk, random_serial,
};
use crate::{
    Authority, Certificate, KeyAlgorithm, PrivateKey, Revocation, RevocationList, RevocationReason,
    Signer, Timestamp, Validity,
};

/// One authority of the swarm, as the store knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthorityRecord {
    /// Which one.
    pub id: AuthorityId,
    /// Its certificate.
    pub certificate: Certificate,
    /// Where its key is; [`KeyPlace::Elsewhere`] for the authorities of other stores.
    pub key: KeyPlace,
    /// What the operator calls it.
    pub label: String,
    /// Whether it is the one that this store issues from now.
    pub issues: bool,
    /// That it was revoked, or, for a root, that it retired.
    pub revoked: Option<Revocation>,
    /// The number of its newest revocation list known here, and by when the next one comes.
    pub crl: Option<(u64, Timestamp)>,
    /// Since when it is known here.
    pub since: Timestamp,
}

impl Store {
    /// Lists all authorities of the swarm that the store knows, roots first.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn authorities(&self) -> Result<Vec<AuthorityRecord>, Error> {
        let memory = self.current()?;
        let state = &memory.state;
        let list = state.authorities.iter().map(|(id, known)| AuthorityRecord {
            id: *id,
            certificate: known.certificate.clone(),
            key: known.key.clone(),
            label: known.label.clone(),
            issues: state.active.map(AuthorityId::Issuing) == Some(*id),
            revoked: known.revoked,
            crl: state.crls.get(id).map(|crl| (crl.number, crl.next_update)),
            since: known.since,
        });
        Ok(list.collect())
    }

    /// Makes the next generation of the issuing authority and issues from it at once; the earlier
    /// ones go on signing their revocation lists. For emergencies: a planned change is a
    /// [roll-over](Self::begin_rollover), which leaves nobody behind.
    ///
    /// # Errors
    /// [`Error::RolloverUnderWay`]; [`Error::NotARoot`] in a subordinate's store;
    /// [`Error::PassphraseNeeded`], [`Error::RootKeyAway`], [`Error::NotTheKey`], [`Error::Key`].
    pub fn rotate_issuing(
        &self,
        root: &RootAccess<'_>,
        requester: &str,
        now: Timestamp,
    ) -> Result<Certificate, Error> {
        self.exclusive(|transaction| {
            if transaction.state().rollover.is_some() {
                return Err(Error::RolloverUnderWay);
            }
            let above = transaction.own_root()?;
            let root = transaction.root(above.generation(), root)?;
            let (authority, issuing, crl) = transaction.new_issuing(&root, now)?;
            let certificate = issuing.certificate().clone();
            let id = authority.id;
            let event = Event::IssuingRotated {
                authority,
                crls: vec![crl],
            };
            transaction.record(event, requester, now)?;
            transaction.memory.signers.insert(id, issuing);
            Ok(certificate)
        })
    }

    /// Revokes a generation of the issuing authority, this store's or a subordinate's, and with
    /// it every node it issued for.
    ///
    /// # Errors
    /// [`Error::UnknownAuthority`], [`Error::NothingToRevoke`]; [`Error::NotARoot`] in a
    /// subordinate's store; [`Error::PassphraseNeeded`], [`Error::RootKeyAway`],
    /// [`Error::NotTheKey`], [`Error::Key`].
    pub fn revoke_issuing(
        &self,
        generation: u32,
        reason: RevocationReason,
        root: &RootAccess<'_>,
        requester: &str,
        now: Timestamp,
    ) -> Result<RevocationList, Error> {
        self.exclusive(|transaction| {
            let issuing = transaction.known(AuthorityId::Issuing(generation))?;
            if issuing.revoked.is_some() {
                return Err(Error::NothingToRevoke(issuing.certificate.subject()));
            }
            let serial = issuing.certificate.serial();
            let parent = issuing.parent.filter(|id| is_own(transaction.state(), *id));
            let above = parent.ok_or(Error::NotARoot)?;
            let root = transaction.root(above.generation(), root)?;
            let revocation = Revocation { at: now, reason };
            let mut revoked = transaction.revoked(above, now);
            revoked.insert(serial, revocation);
            let (list, crl) = transaction.sign_crl(&root, above, revoked, now)?;
            let event = Event::IssuingRevoked {
                generation,
                revocation,
                crls: vec![crl],
            };
            transaction.record_crls(event, &[crl], requester, now)?;
            Ok(list)
        })
    }
}

impl Transaction<'_> {
    pub(super) fn known(&self, id: AuthorityId) -> Result<&Known, Error> {
        self.state()
            .authorities
            .get(&id)
            .ok_or(Error::UnknownAuthority(id))
    }

    /// Returns the root that signs now, when it is this store's.
    pub(super) fn own_root(&self) -> Result<AuthorityId, Error> {
        let root = self.state().signing_root().ok_or(Error::NotARoot)?;
        if self.state().pinned.is_some() {
            return Err(Error::NotARoot);
        }
        Ok(root)
    }

    /// Returns an authority to sign with, whose key lies here plain.
    pub(super) fn signer(&mut self, id: AuthorityId) -> Result<Authority, Error> {
        if !self.state().settled {
            return Err(Error::Unsettled);
        }
        self.open_signer(id)
    }

    /// Opens an authority whose key lies here plain, reading it when this is the first time.
    pub(super) fn open_signer(&mut self, id: AuthorityId) -> Result<Authority, Error> {
        if let Some(authority) = self.memory.signers.get(&id) {
            return Ok(authority.clone());
        }
        let known = self.known(id)?;
        if !known.key.is_at_hand() {
            return Err(match id {
                AuthorityId::Root(_) => Error::RootKeyAway { path: None },
                AuthorityId::Issuing(_) => Error::UnknownAuthority(id),
            });
        }
        let certificate = known.certificate.clone();
        let path = self.store.path(key_name(id));
        let authority = Authority::new(certificate, read_key(&path, None)?)
            .map_err(|_| Error::corrupt(&path, "it is not the authority's key"))?;
        if !id.is_root() {
            self.memory.signers.insert(id, authority.clone());
        }
        Ok(authority)
    }

    /// Makes the next issuing authority below a root, and its first revocation list.
    pub(super) fn new_issuing(
        &self,
        root: &Authority,
        now: Timestamp,
    ) -> Result<(NewAuthority, Authority, CrlRef), Error> {
        let generation = self.state().next_generation(false);
        make_issuing(
            &self.store.inner.directory,
            root,
            &self.state().settings,
            generation,
            now,
        )
    }
}

/// Makes an issuing authority, its key file and its first revocation list.
pub(super) fn make_issuing(
    directory: &Path,
    root: &Authority,
    settings: &Settings,
    generation: u32,
    now: Timestamp,
) -> Result<(NewAuthority, Authority, CrlRef), Error> {
    let id = AuthorityId::Issuing(generation);
    let path = directory.join(key_name(id));
    let key = Arc::new(generate(&path, settings.key_algorithm)?);
    disk::write_atomic(&path, key.to_pem().as_bytes())?;
    let certificate = certify(root, settings, generation, key.public_key(), now)?;
    let authority = Authority::new(certificate.clone(), key)?;
    let crl = first_crl(directory, &authority, id, settings, now)?;
    let new = NewAuthority {
        id,
        certificate: Text(certificate),
        key: KeyPlace::Stored,
        label: String::new(),
    };
    Ok((new, authority, crl))
}

/// Has a root certify an issuing authority's key.
pub(super) fn certify(
    root: &Authority,
    settings: &Settings,
    generation: u32,
    key: &crate::PublicKey,
    now: Timestamp,
) -> Result<Certificate, Error> {
    let lifetimes = &settings.lifetimes;
    Ok(root.issue_authority(
        &settings.swarm,
        generation,
        key,
        random_serial()?,
        Validity::starting(now, lifetimes.issuing, lifetimes.backdate),
    )?)
}

/// Signs the first, empty list of an authority.
pub(super) fn first_crl(
    directory: &Path,
    authority: &Authority,
    id: AuthorityId,
    settings: &Settings,
    now: Timestamp,
) -> Result<CrlRef, Error> {
    let next = NextCrl {
        id,
        last: None,
        revoked: Default::default(),
        epoch: 0,
        lifetime: lifetime(settings, id),
        now,
    };
    write_crl(directory, authority, next).map(|(_, crl)| crl)
}

pub(super) fn generate(path: &Path, algorithm: KeyAlgorithm) -> Result<PrivateKey, Error> {
    PrivateKey::generate(algorithm).map_err(Error::key(path))
}
