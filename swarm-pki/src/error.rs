//! One error for callers who do not care which part of the crate failed.

use crate::{
    AuthorityError, BundleError, CertificateError, CrlError, FingerprintError, IdentityError,
    KeyError, NameError, ParseTimestampError, ReasonError, RequestError, SerialError, SignError,
    TrustError, VerifyError,
};

/// Any error of this crate's core and store; the parts return their own, narrower ones.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name was refused.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A time was refused.
    #[error(transparent)]
    Timestamp(#[from] ParseTimestampError),
    /// A serial number was refused.
    #[error(transparent)]
    Serial(#[from] SerialError),
    /// A fingerprint was refused.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// A revocation reason was refused.
    #[error(transparent)]
    Reason(#[from] ReasonError),
    /// A key could not be read, written or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A certificate was refused.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate is not a node's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A request was refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// An authority could not issue.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A revocation list was refused.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// A bundle was refused.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Roots were refused.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A node certificate is not believed.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A chain did not pass.
    #[error(transparent)]
    Chain(#[from] crate::verify::ChainError),
    /// An authority on disk failed or refused.
    #[cfg(feature = "store")]
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}
