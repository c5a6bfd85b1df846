//! What a merge or the passing of time changed, typed, so that the caller can follow.

use crate::{
    Certificate, CrlError, Fingerprint, NodeCertificate, NodeId, Revocation, RevocationList,
    VerifyError,
};

/// What changed in a [`Trust`](crate::Trust).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TrustChanges {
    /// Nodes that are valid now and were not before.
    pub added: Vec<NodeCertificate>,
    /// Nodes with another certificate than before: renewed, perhaps with new keys or addresses.
    pub changed: Vec<NodeChange>,
    /// Nodes that are no longer valid.
    pub removed: Vec<NodeRemoval>,
    /// Roots that count now and did not before: a link led to them.
    pub roots_added: Vec<Certificate>,
    /// Roots that no longer count: retired, or the link that led to them was revoked.
    pub roots_retired: Vec<Certificate>,
    /// Issuing authorities that are believed now.
    pub issuers_added: Vec<Certificate>,
    /// Revocation lists that took the place of older ones.
    pub crls_updated: Vec<RevocationList>,
    /// Entries of the bundle that were not taken, and why. They change nothing.
    pub refused: Vec<Refusal>,
}

impl TrustChanges {
    /// Tells whether nothing changed; refusals are no change.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.changed.is_empty()
            && self.removed.is_empty()
            && self.roots_added.is_empty()
            && self.roots_retired.is_empty()
            && self.issuers_added.is_empty()
            && self.crls_updated.is_empty()
    }
}

/// A node's certificate took the place of another.
#[derive(Clone, Debug)]
pub struct NodeChange {
    /// The certificate that counted before.
    pub before: NodeCertificate,
    /// The certificate that counts now.
    pub after: NodeCertificate,
}

/// A node is no longer valid.
#[derive(Clone, Debug)]
pub struct NodeRemoval {
    /// The certificate that counted before.
    pub node: NodeCertificate,
    /// Why it no longer does.
    pub reason: RemovalReason,
}

/// Why a node is no longer valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemovalReason {
    /// Its certificate was revoked.
    Revoked(Revocation),
    /// An older certificate, of this node, has the same WireGuard key or address.
    Conflict(NodeId),
    /// Its certificate or its issuer no longer verifies: expired, not yet valid by a clock that was set
    /// back, revoked issuer, lapsed list.
    Invalid(VerifyError),
}

/// An entry of a bundle that was not taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// What was refused: a certificate's or list's subject, for people.
    pub what: String,
    /// The fingerprint of the refused entry.
    pub fingerprint: Fingerprint,
    /// Why.
    pub reason: RefusalReason,
}

impl Refusal {
    pub(super) fn of(certificate: &Certificate, reason: RefusalReason) -> Self {
        Self {
            what: certificate.subject(),
            fingerprint: certificate.fingerprint(),
            reason,
        }
    }
}

/// Why an entry of a bundle was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// No root that is known signed it, or it does not verify.
    #[error("it does not verify")]
    Invalid(#[from] VerifyError),
    /// The revocation list is not signed by a believed authority, or goes backwards.
    #[error("the revocation list is not taken")]
    Crl(#[from] CrlError),
    /// No believed authority issues revocation lists under this name.
    #[error("no believed authority has this name")]
    UnknownAuthority,
    /// The link leads from no root to another one.
    #[error("it is no link to a root: {0}")]
    NotALink(&'static str),
    /// There are as many links as are believed at a time.
    #[error("too many links between roots")]
    TooManyLinks,
    /// There are as many issuing authorities as are believed at a time.
    #[error("too many issuing authorities")]
    TooManyIssuers,
}
