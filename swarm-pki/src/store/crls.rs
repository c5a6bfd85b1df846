//! Revocation lists: what they name, their numbers, and signing them anew before they lapse.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::event::{CrlRef, Event};
use super::state::State;
use super::{AuthorityId, Error, RootAccess, Settings, Store, Transaction, disk};
use crate::{
    Authority, CrlContents, Fingerprint, Revocation, RevocationList, SerialNumber, Timestamp,
};

/// How long a revoked certificate stays on the list after its expiry, for verifiers whose clocks
/// are wrong.
const KEEP_EXPIRED: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Above the seconds of the clock, which reach the year 9999 in 38 bits.
const EPOCH_SHIFT: u32 = 40;

/// What [`Store::refresh_crls`] did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CrlRefresh {
    /// The lists that were signed anew.
    pub issued: Vec<RevocationList>,
    /// The list of a root is due whose key is encrypted or away: [`Store::refresh_root_crl`].
    pub root_due: bool,
}

/// What a list says, and how it follows the one before.
pub(super) struct NextCrl<'a> {
    pub(super) id: AuthorityId,
    pub(super) last: Option<&'a CrlRef>,
    pub(super) revoked: BTreeMap<SerialNumber, Revocation>,
    /// How often the store was restored.
    pub(super) epoch: u32,
    /// Until when the next one comes.
    pub(super) lifetime: Duration,
    pub(super) now: Timestamp,
}

impl Store {
    /// Signs anew every list that has lived half its life; call it every hour or so. A root's
    /// list too, when the root's key lies here plain.
    ///
    /// # Errors
    /// [`Error::Held`], [`Error::Io`], [`Error::Key`].
    pub fn refresh_crls(&self, now: Timestamp) -> Result<CrlRefresh, Error> {
        {
            let memory = self.current()?;
            if due(&memory.state, now).is_empty() {
                return Ok(CrlRefresh::default());
            }
        }
        self.change(move |transaction| {
            let mut due = due(transaction.state(), now);
            let before = due.len();
            let state = transaction.state();
            due.retain(|id| {
                !id.is_root()
                    || state
                        .authorities
                        .get(id)
                        .is_some_and(|k| k.key.is_at_hand())
            });
            let root_due = due.len() < before;
            let authorities = due
                .into_iter()
                .map(|id| Ok((id, transaction.signer(id)?)))
                .collect::<Result<Vec<_>, Error>>()?;
            let issued = transaction.sign_anew(authorities, "refresh", now)?;
            Ok(CrlRefresh { issued, root_due })
        })
    }

    /// Signs a root's list anew: of the root that counts now, or, during a roll-over of the root,
    /// of every root whose key `root` is. Returns the newest root's.
    ///
    /// # Errors
    /// [`Error::PassphraseNeeded`], [`Error::RootKeyAway`], [`Error::NotTheKey`], [`Error::Key`].
    pub fn refresh_root_crl(
        &self,
        root: &RootAccess<'_>,
        requester: &str,
        now: Timestamp,
    ) -> Result<RevocationList, Error> {
        self.exclusive(|transaction| {
            let roots: Vec<u32> = transaction
                .state()
                .authorities
                .iter()
                .filter(|(id, known)| id.is_root() && known.revoked.is_none())
                .map(|(id, _)| id.generation())
                .collect();
            let mut opened = Vec::new();
            let mut refusal = None;
            for generation in roots {
                match transaction.root(generation, root) {
                    Ok(authority) => opened.push((AuthorityId::Root(generation), authority)),
                    Err(fault) => refusal = Some(fault),
                }
            }
            match (opened.is_empty(), refusal) {
                (true, Some(fault)) => return Err(fault),
                (true, None) => return Err(Error::NotOperational),
                _ => {}
            }
            let mut lists = transaction.sign_anew(opened, requester, now)?;
            Ok(lists.pop().expect("at least one root was opened"))
        })
    }

    /// Reads a revocation list that the journal names.
    pub(super) fn read_crl(&self, crl: &CrlRef) -> Result<RevocationList, Error> {
        let path = self.path(crl_name(crl));
        let bytes = disk::read(&path)?.ok_or_else(|| Error::corrupt(&path, "it is gone"))?;
        let list = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|pem| RevocationList::from_pem(pem).ok())
            .ok_or_else(|| Error::corrupt(&path, "it is not a revocation list"))?;
        if Fingerprint::of(list.der()) != crl.sha256 {
            return Err(Error::corrupt(&path, "it is not the list that was signed"));
        }
        Ok(list)
    }
}

impl Transaction<'_> {
    pub(super) fn sign_anew(
        &mut self,
        authorities: Vec<(AuthorityId, Authority)>,
        requester: &str,
        now: Timestamp,
    ) -> Result<Vec<RevocationList>, Error> {
        let mut lists = Vec::new();
        let mut crls = Vec::new();
        for (id, authority) in authorities {
            let revoked = self.revoked(id, now);
            let (list, crl) = self.sign_crl(&authority, id, revoked, now)?;
            lists.push(list);
            crls.push(crl);
        }
        if !crls.is_empty() {
            self.record_crls(
                Event::CrlsRefreshed { crls: crls.clone() },
                &crls,
                requester,
                now,
            )?;
        }
        Ok(lists)
    }

    /// Records an event that brings new lists; the ones before them are removed once it counts.
    pub(super) fn record_crls(
        &mut self,
        event: Event,
        crls: &[CrlRef],
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let old: Vec<CrlRef> = crls
            .iter()
            .filter_map(|crl| self.state().crls.get(&crl.authority).copied())
            .collect();
        self.record(event, requester, now)?;
        for crl in old {
            let path = self.store.path(crl_name(&crl));
            self.remove_later(path);
        }
        Ok(())
    }

    /// Signs and writes the next revocation list of an authority; it counts once recorded.
    pub(super) fn sign_crl(
        &self,
        authority: &Authority,
        id: AuthorityId,
        revoked: BTreeMap<SerialNumber, Revocation>,
        now: Timestamp,
    ) -> Result<(RevocationList, CrlRef), Error> {
        let next = NextCrl {
            id,
            last: self.state().crls.get(&id),
            revoked,
            epoch: self.state().epoch,
            lifetime: lifetime(&self.state().settings, id),
            now,
        };
        write_crl(&self.store.inner.directory, authority, next)
    }

    /// Collects what an authority's list has to name.
    pub(super) fn revoked(
        &self,
        id: AuthorityId,
        now: Timestamp,
    ) -> BTreeMap<SerialNumber, Revocation> {
        let state = self.state();
        match id {
            AuthorityId::Root(_) => state
                .authorities
                .iter()
                .filter(|(own, known)| known.parent == Some(id) || **own == id)
                .filter_map(|(_, known)| Some((known.certificate.serial(), known.revoked?)))
                .chain(state.lost(id))
                .collect(),
            AuthorityId::Issuing(generation) => state
                .inventory
                .revoked(generation, now - KEEP_EXPIRED)
                .chain(state.lost(id))
                .collect(),
        }
    }
}

/// Signs a list and writes it beside the others.
pub(super) fn write_crl(
    directory: &Path,
    authority: &Authority,
    next: NextCrl<'_>,
) -> Result<(RevocationList, CrlRef), Error> {
    let list = authority.sign_crl(&CrlContents {
        // Above every number before the last restore, wherever the clock stands: see `restore`.
        number: next
            .last
            .map_or(0, |crl| crl.number.saturating_add(1))
            .max(u64::from(next.epoch) << EPOCH_SHIFT | next.now.as_unix()),
        this_update: next.now,
        next_update: next.now + next.lifetime,
        revoked: next.revoked,
    })?;
    let crl = reference(next.id, &list);
    keep_crl(directory, &crl, &list)?;
    Ok((list, crl))
}

/// Writes a list's file.
pub(super) fn keep_crl(directory: &Path, crl: &CrlRef, list: &RevocationList) -> Result<(), Error> {
    disk::write_atomic(&directory.join(crl_name(crl)), list.to_pem().as_bytes())
}

/// Says which list it is.
pub(super) fn reference(id: AuthorityId, list: &RevocationList) -> CrlRef {
    CrlRef {
        authority: id,
        number: list.number(),
        this_update: list.this_update(),
        next_update: list.next_update(),
        sha256: Fingerprint::of(list.der()),
    }
}

pub(super) fn lifetime(settings: &Settings, id: AuthorityId) -> Duration {
    if id.is_root() {
        settings.lifetimes.root_crl
    } else {
        settings.lifetimes.crl
    }
}

/// Lists the authorities whose lists have lived half their life, if the keys are this store's and
/// what they signed still counts.
fn due(state: &State, now: Timestamp) -> Vec<AuthorityId> {
    state
        .crls
        .values()
        .filter(|crl| now >= crl.this_update + crl.next_update.since(crl.this_update) / 2)
        .map(|crl| crl.authority)
        .filter(|id| state.counts(*id, now) && is_own(state, *id))
        .collect()
}

/// Tells whether an authority is this store's: all of a root's store, save its subordinates.
pub(super) fn is_own(state: &State, id: AuthorityId) -> bool {
    state.authorities.get(&id).is_some_and(|known| match id {
        AuthorityId::Root(_) => state.pinned.is_none(),
        AuthorityId::Issuing(_) => known.key != super::KeyPlace::Elsewhere,
    })
}

pub(super) fn crl_name(crl: &CrlRef) -> PathBuf {
    format!("{}.{}.crl", crl.authority, crl.number).into()
}
