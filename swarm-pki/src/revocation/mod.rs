//! Revocation lists: build, parse, verify; never backwards.

mod contents;
mod list;
mod parse;
mod reason;

pub use contents::CrlContents;
pub use list::RevocationList;
pub use reason::{ReasonError, RevocationReason};

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The longest revocation list that is read, in bytes of DER: room for some 300,000 entries.
pub const MAX_CRL_BYTES: usize = 16 * 1024 * 1024;

/// A revocation list was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// Longer than [`MAX_CRL_BYTES`] of DER.
    #[error("revocation list of {0} bytes is longer than {MAX_CRL_BYTES}")]
    TooLong(usize),
    /// Not exactly one DER CRL, or not one PEM block `X509 CRL`.
    #[error("not a well-formed revocation list")]
    Malformed,
    /// CRL number, nextUpdate or authority key identifier is missing.
    #[error("the revocation list has no {0}")]
    Missing(&'static str),
    /// A critical extension that changes what the list means: delta, indirect or partial lists.
    #[error("critical extension {0} of the revocation list is not understood")]
    UnknownCriticalExtension(String),
    /// The signature is not by the issuer's key, or the names do not fit.
    #[error("the revocation list is not signed by {issuer}")]
    Signature {
        /// The issuer's name.
        issuer: String,
    },
    /// The list is older than the one that is already known.
    #[error("revocation list number {offered} is older than number {known}, which is known")]
    Rollback {
        /// The number of the known list.
        known: u64,
        /// The number of the offered list.
        offered: u64,
    },
    /// Two different lists bear one number.
    #[error("two different revocation lists bear the number {0}")]
    Fork(u64),
}

/// When and why one certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When the authority revoked it.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}
