//! Revocation, and lists that are renewed before they lapse.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{CrlRef, Event};
use super::state::ROOT;
use super::{Error, Store, Transaction};
use crate::{NodeId, Revocation, RevocationList, RevocationReason, SerialNumber, Timestamp};

/// How long a revoked certificate stays on the list after its expiry, for verifiers whose clocks
/// are wrong.
const KEEP_EXPIRED: Duration = Duration::from_secs(90 * 24 * 3_600);

/// What is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Every live certificate of a node; its open invites are cancelled.
    Node(NodeId),
    /// One certificate.
    Serial(SerialNumber),
}

/// What [`Store::refresh_crls`] did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CrlRefresh {
    /// The lists that were signed anew.
    pub issued: Vec<RevocationList>,
    /// The root's list is due, and the root's key needs its passphrase:
    /// [`Store::refresh_root_crl`].
    pub root_due: bool,
}

impl Store {
    /// Revokes a node or one certificate, and returns the newest list of the authority concerned
    /// (of the newest such authority, when a node's certificates came from several).
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::UnknownSerial`], [`Error::NothingToRevoke`].
    pub fn revoke(
        &self,
        target: &Target,
        reason: RevocationReason,
        requester: &str,
        now: Timestamp,
    ) -> Result<RevocationList, Error> {
        let mut transaction = self.begin()?;
        let result = transaction.revoke(target, reason, requester, now);
        let node = match target {
            Target::Node(id) => Some(id),
            Target::Serial(_) => None,
        };
        transaction.audited("revoke", node, requester, now, result)
    }

    /// Signs anew every list that has lived half its life; call it every hour or so. The root's
    /// list too, when the root's key is not encrypted.
    ///
    /// # Errors
    /// [`Error::Held`], [`Error::Io`], [`Error::Key`].
    pub fn refresh_crls(&self, now: Timestamp) -> Result<CrlRefresh, Error> {
        if self.due(&self.current()?.state, now).is_empty() {
            return Ok(CrlRefresh::default());
        }
        let mut transaction = self.begin()?;
        let mut due = self.due(transaction.state(), now);
        let root_due = due.contains(&ROOT) && transaction.state().root_encrypted;
        due.retain(|generation| *generation != ROOT || !root_due);
        let lists = transaction.sign_anew(&due, None, "refresh", now)?;
        Ok(CrlRefresh {
            issued: lists,
            root_due,
        })
    }

    /// Signs the root's list anew, opening an encrypted root key with `passphrase`.
    ///
    /// # Errors
    /// [`Error::PassphraseNeeded`], [`Error::Key`].
    pub fn refresh_root_crl(
        &self,
        passphrase: Option<&[u8]>,
        requester: &str,
        now: Timestamp,
    ) -> Result<RevocationList, Error> {
        let mut transaction = self.begin()?;
        let mut lists = transaction.sign_anew(&[ROOT], passphrase, requester, now)?;
        Ok(lists.pop().expect("one list was asked for"))
    }

    /// Lists the authorities whose lists have lived half their life; expired authorities are past
    /// needing one.
    fn due(&self, state: &super::state::State, now: Timestamp) -> Vec<u32> {
        state
            .crls
            .values()
            .filter(|crl| {
                let half = crl.next_update.since(crl.this_update) / 2;
                now >= crl.this_update + half
            })
            .map(|crl| crl.generation)
            .filter(|generation| {
                state
                    .authority(*generation)
                    .is_some_and(|certificate| certificate.not_after() >= now)
            })
            .collect()
    }
}

impl Transaction<'_> {
    fn revoke(
        &mut self,
        target: &Target,
        reason: RevocationReason,
        requester: &str,
        now: Timestamp,
    ) -> Result<RevocationList, Error> {
        let state = self.state();
        let (node, records): (NodeId, Vec<_>) = match target {
            Target::Node(id) => {
                let mut records = state.of_node(id).peekable();
                if records.peek().is_none() {
                    return Err(Error::UnknownNode(id.clone()));
                }
                (
                    id.clone(),
                    records.filter(|record| record.is_live(now)).collect(),
                )
            }
            Target::Serial(serial) => {
                let (_, record) = state
                    .by_serial(serial)
                    .ok_or(Error::UnknownSerial(*serial))?;
                let live = record.is_live(now).then_some(record);
                (record.certificate.id().clone(), live.into_iter().collect())
            }
        };
        if records.is_empty() {
            let what = match target {
                Target::Node(id) => id.to_string(),
                Target::Serial(serial) => serial.to_string(),
            };
            return Err(Error::NothingToRevoke(what));
        }
        let revocation = Revocation { at: now, reason };
        let mut by_authority: BTreeMap<u32, Vec<SerialNumber>> = BTreeMap::new();
        for record in records {
            by_authority
                .entry(record.generation)
                .or_default()
                .push(record.certificate.serial());
        }
        let mut lists = Vec::new();
        let mut crls = Vec::new();
        for (generation, serials) in &by_authority {
            let mut revoked = self.revoked(*generation, now);
            revoked.extend(serials.iter().map(|serial| (*serial, revocation)));
            let authority = self.authority(*generation, None)?;
            let (list, crl) = self.sign_crl(&authority, *generation, revoked, now)?;
            lists.push(list);
            crls.push(crl);
        }
        let whole_node = matches!(target, Target::Node(_));
        let serials = by_authority.into_values().flatten().collect();
        tracing::info!(%node, %reason, requester, "revoked");
        let event = Event::Revoked {
            node,
            serials,
            revocation,
            whole_node,
            crls: crls.clone(),
        };
        self.commit_crls(event, &crls, requester, now)?;
        Ok(lists.pop().expect("at least one certificate is revoked"))
    }

    fn sign_anew(
        &mut self,
        generations: &[u32],
        passphrase: Option<&[u8]>,
        requester: &str,
        now: Timestamp,
    ) -> Result<Vec<RevocationList>, Error> {
        let mut lists = Vec::new();
        let mut crls = Vec::new();
        for generation in generations {
            let authority = self.authority(*generation, passphrase)?;
            let revoked = self.revoked(*generation, now);
            let (list, crl) = self.sign_crl(&authority, *generation, revoked, now)?;
            lists.push(list);
            crls.push(crl);
        }
        if !crls.is_empty() {
            self.commit_crls(
                Event::CrlsRefreshed { crls: crls.clone() },
                &crls,
                requester,
                now,
            )?;
        }
        Ok(lists)
    }

    /// Commits, then removes the lists that no longer count.
    fn commit_crls(
        &mut self,
        event: Event,
        crls: &[CrlRef],
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let old: Vec<CrlRef> = crls
            .iter()
            .filter_map(|crl| self.state().crls.get(&crl.generation))
            .copied()
            .collect();
        self.commit(event, requester, now)?;
        old.into_iter()
            .try_for_each(|crl| self.store.remove_crl(Some(crl)))
    }

    /// Collects what an authority's list has to name.
    pub(super) fn revoked(
        &self,
        generation: u32,
        now: Timestamp,
    ) -> BTreeMap<SerialNumber, Revocation> {
        if generation == ROOT {
            let issuing = self.state().issuing.values();
            return issuing
                .filter_map(|issuing| Some((issuing.certificate.serial(), issuing.revoked?)))
                .collect();
        }
        self.state()
            .records
            .iter()
            .filter(|record| record.generation == generation)
            .filter(|record| record.certificate.not_after() + KEEP_EXPIRED >= now)
            .filter_map(|record| Some((record.certificate.serial(), record.revoked?)))
            .collect()
    }
}
