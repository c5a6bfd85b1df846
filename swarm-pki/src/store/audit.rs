//! The audit log: who asked, what was issued, why something was refused.

use super::event::{CrlRef, Event};
use super::journal::Head;
use super::{AuthorityId, Error, Store, Transaction, short};
use crate::{NodeId, SerialNumber, Timestamp};

/// How many refusals are written down per minute. Strangers cause them, and each costs a disk
/// write; those beyond are counted, and the count is written with the next one.
const REFUSALS_PER_MINUTE: u32 = 30;

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// The entry's number, from 1.
    pub sequence: u64,
    /// When it happened, by the caller's clock.
    pub at: Timestamp,
    /// Who asked for it, in the caller's words.
    pub requester: String,
    /// What happened, as one word: `issued`, `renewed`, `redeemed`, `revoked`, `refused`, …
    pub kind: &'static str,
    /// The node that it was about.
    pub node: Option<NodeId>,
    /// The certificates that it was about.
    pub serials: Vec<SerialNumber>,
    /// More about it, for people.
    pub detail: String,
}

impl Store {
    /// Reads the whole audit log and verifies its hash chain.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the first line that was edited or cut off.
    pub fn audit(&self) -> Result<Vec<AuditEntry>, Error> {
        let head = self.current()?.head.clone();
        let entries = self.inner.journal.entries(&Head::genesis(), &head)?;
        Ok(entries.into_iter().map(AuditEntry::from).collect())
    }

    /// Verifies the hash chain and everything that hangs on it: that the revocation lists are
    /// those that were signed, and that the keys that lie here plain fit their certificates. Returns the hash of the last entry: written down elsewhere, it proves later
    /// that nothing before it was changed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the first file that is not as it was left.
    pub fn verify(&self) -> Result<String, Error> {
        self.audit()?;
        self.exclusive(|transaction| {
            let crls: Vec<CrlRef> = transaction.state().crls.values().copied().collect();
            for crl in crls {
                self.read_crl(&crl)?;
            }
            let at_hand: Vec<AuthorityId> = transaction
                .state()
                .authorities
                .iter()
                .filter(|(_, known)| known.key.is_at_hand())
                .map(|(id, _)| *id)
                .collect();
            transaction.memory.signers.clear();
            for id in at_hand {
                transaction.open_signer(id)?;
            }
            Ok(transaction.memory.head.hash())
        })
    }

    /// Writes a refusal into the audit log that was decided elsewhere: a malformed request, a
    /// rate limit, a veto. What this store refuses itself is in the log already.
    ///
    /// Strangers cause refusals, so at most 30 a minute are written down; the others are counted,
    /// and the next one written says how many there were.
    ///
    /// # Errors
    /// As every change: [`Error::Held`], [`Error::Io`].
    pub fn record_refusal(
        &self,
        operation: &str,
        node: Option<&NodeId>,
        reason: &str,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (operation, reason) = (operation.to_owned(), reason.to_owned());
        let (node, requester) = (node.cloned(), requester.to_owned());
        self.change(move |transaction| {
            transaction.refuse(&operation, node.as_ref(), &reason, &requester, now)
        })
    }
}

impl Transaction<'_> {
    pub(super) fn refuse(
        &mut self,
        operation: &str,
        node: Option<&NodeId>,
        reason: &str,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(unwritten) = self.memory.throttle.admit(now) else {
            return Ok(());
        };
        let event = Event::Refused {
            operation: short(operation),
            node: node.cloned(),
            reason: short(reason),
            unwritten,
        };
        self.record(event, requester, now)
    }

    /// Writes the refusal down when `result` is one, and hands the result on.
    pub(super) fn audited<T>(
        &mut self,
        operation: &str,
        node: Option<&NodeId>,
        requester: &str,
        now: Timestamp,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        if let Err(fault) = &result
            && fault.is_refusal()
        {
            tracing::info!(operation, requester, %fault, "refused");
            self.refuse(operation, node, &fault.to_string(), requester, now)?;
        }
        result
    }
}

/// Counts refusals by the minute.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    minute: u64,
    written: u32,
    unwritten: u64,
}

impl Throttle {
    /// Returns how many went unwritten before, when this one may be written.
    fn admit(&mut self, now: Timestamp) -> Option<u64> {
        let minute = now.as_unix() / 60;
        if self.minute != minute {
            self.minute = minute;
            self.written = 0;
        }
        if self.written == REFUSALS_PER_MINUTE {
            self.unwritten += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.unwritten))
    }
}
