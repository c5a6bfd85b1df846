//! How fresh revocation lists are, and what is done when they are not.

use std::time::Duration;

use super::Trust;
use super::authority::Believed;
use crate::{RevocationList, Timestamp};

/// What an expired revocation list means for those whom it might have named.
///
/// Missing lists are refused except under [`Warn`](Self::Warn): a carrier that leaves the list out
/// must not bring a revoked node back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrlExpiry {
    /// An expired or missing list is reported by [`Trust::crl_status`] and nothing more.
    Warn,
    /// An expired list holds for this long past its next update, and is reported meanwhile.
    Grace(Duration),
    /// An expired list refuses at once. An authority that is out of reach for one list lifetime
    /// then stops the whole swarm.
    Refuse,
}

impl Default for CrlExpiry {
    /// A grace of [`Trust::DEFAULT_GRACE`]: nobody is locked out suddenly.
    fn default() -> Self {
        Self::Grace(Trust::DEFAULT_GRACE)
    }
}

/// How fresh one authority's revocation list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrlState {
    /// The next one is not due yet.
    Fresh,
    /// The next one is overdue; the policy still accepts this one.
    Overdue,
    /// The next one is overdue, and the policy refuses whom this authority issued for.
    Lapsed,
    /// There is none; whether that refuses is up to the policy.
    Missing,
}

/// The state of one authority's revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrlStatus {
    /// The authority, as text.
    pub issuer: String,
    /// The list's number, when there is a list.
    pub number: Option<u64>,
    /// By when the next list was to be made, when there is a list.
    pub next_update: Option<Timestamp>,
    /// How fresh the list is.
    pub state: CrlState,
}

impl CrlExpiry {
    fn accepts(self, next_update: Timestamp, now: Timestamp) -> bool {
        match self {
            Self::Warn => true,
            Self::Grace(grace) => now <= next_update + grace,
            Self::Refuse => now <= next_update,
        }
    }
}

impl Trust {
    /// Reports how fresh the revocation list of every authority is that counts.
    pub fn crl_status(&self, now: Timestamp) -> Vec<CrlStatus> {
        let now = self.effective(now);
        self.counting()
            .map(|authority| CrlStatus {
                issuer: authority.certificate.subject(),
                number: authority.crl.as_ref().map(|crl| crl.number()),
                next_update: authority.crl.as_ref().map(|crl| crl.next_update()),
                state: self.crl_state(authority, now),
            })
            .collect()
    }

    pub(super) fn crl_state(&self, authority: &Believed, now: Timestamp) -> CrlState {
        match authority.crl.as_ref().map(|crl| crl.next_update()) {
            None => CrlState::Missing,
            Some(next_update) if now <= next_update => CrlState::Fresh,
            Some(next_update) if self.crl_expiry.accepts(next_update, now) => CrlState::Overdue,
            Some(_) => CrlState::Lapsed,
        }
    }

    /// Returns from when on the list counts no longer; `None`: it counts for ever.
    pub(super) fn lapse(&self, crl: &RevocationList) -> Option<Timestamp> {
        let second = Duration::from_secs(1);
        match self.crl_expiry {
            CrlExpiry::Warn => None,
            CrlExpiry::Grace(grace) => Some(crl.next_update() + grace + second),
            CrlExpiry::Refuse => Some(crl.next_update() + second),
        }
    }

    pub(super) fn accepts_missing_crls(&self) -> bool {
        self.crl_expiry == CrlExpiry::Warn
    }
}
