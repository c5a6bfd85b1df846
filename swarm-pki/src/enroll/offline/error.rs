//! Why a grant file is none, or not for this machine.

use super::{MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_GRANT_FILE_BYTES};
use crate::{
    BundleError, CertificateError, Fingerprint, IdentityError, SignError, TrustError, VerifyError,
    enroll::client::listed,
};

/// Says why a text is not a grant file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantFileError {
    /// Longer than [`MAX_GRANT_FILE_BYTES`].
    #[error("a text of {0} bytes is longer than {MAX_GRANT_FILE_BYTES}")]
    TooLong(usize),
    /// A block is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A block has a beginning and no end.
    #[error("the text is cut off inside a block")]
    CutOff,
    /// A block of another kind than expected at its place.
    #[error("a block {0:?} does not belong there")]
    UnexpectedBlock(String),
    /// The first certificate is not a node's.
    #[error("the first certificate is not a node's")]
    Certificate(#[source] IdentityError),
    /// The issuing authority's certificate is malformed.
    #[error("the issuing authority's certificate is malformed")]
    Issuer(#[source] CertificateError),
    /// The trust bundle is malformed, or too large to be written.
    #[error("the trust bundle is not usable")]
    Bundle(#[from] BundleError),
    /// An attachment is malformed.
    #[error("attachment {index} is malformed")]
    Attachment {
        /// At which place, from 0.
        index: usize,
        /// What is wrong with it.
        source: AttachmentError,
    },
}

/// Says what is wrong with an attachment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    /// Not one PEM block `SWARM ATTACHMENT` with one DER attachment in it.
    #[error("not a well-formed attachment")]
    Malformed,
    /// Of a version that this crate does not know.
    #[error("version {0} of the attachment is not known")]
    UnsupportedVersion(u8),
    /// The label is not of its form.
    #[error("a label has 1 to 64 lower-case letters, digits, dots, hyphens and underscores")]
    Label,
    /// Longer than [`MAX_ATTACHMENT_BYTES`].
    #[error("an attachment of {0} bytes is longer than {MAX_ATTACHMENT_BYTES}")]
    TooLong(usize),
    /// More than [`MAX_ATTACHMENTS`].
    #[error("more than {MAX_ATTACHMENTS} attachments")]
    TooMany,
    /// Two attachments have one label.
    #[error("two attachments are called {0:?}")]
    RepeatedLabel(String),
    /// The certificate of the signer is not a node's.
    #[error("its signer is not a node")]
    NotANode(#[from] IdentityError),
    /// The key is not that of the signer's certificate.
    #[error("the key does not belong to the signer's certificate")]
    OtherKey,
    /// The key did not sign.
    #[error("it could not be signed: {0}")]
    Sign(String),
    /// The signer's certificate is not to be trusted.
    #[error("its signer is not to be trusted")]
    Signer(#[source] VerifyError),
    /// The signature is not the signer's, or was made for another certificate or other bytes.
    #[error("its signature is wrong: it was changed, or meant for another certificate")]
    Signature,
}

impl From<der::Error> for AttachmentError {
    fn from(_: der::Error) -> Self {
        Self::Malformed
    }
}

impl From<SignError> for AttachmentError {
    fn from(error: SignError) -> Self {
        let source = std::error::Error::source(&error);
        Self::Sign(source.map_or_else(|| error.to_string(), ToString::to_string))
    }
}

/// Says why a machine does not accept a grant file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// No root in the file has the expected fingerprint: it comes from another authority.
    #[error(
        "the file comes from another authority: expected root {expected}, found {}",
        listed(found)
    )]
    WrongRoot {
        /// The fingerprint that the machine knows.
        expected: Fingerprint,
        /// The fingerprints of the roots that were found instead.
        found: Vec<Fingerprint>,
    },
    /// The root has the fingerprint and is not usable.
    #[error("the root certificate is not usable")]
    Root(#[from] TrustError),
    /// The certificate is not to be trusted; a wrong clock is named as such.
    #[error("the certificate is not to be trusted")]
    Untrusted(#[source] VerifyError),
    /// The certificate is for other keys than the request.
    #[error("the certificate is for another {0} key than the request")]
    OtherKey(&'static str),
    /// The second certificate is not the authority that issued the first.
    #[error("the second certificate is not the authority that issued the first")]
    OtherIssuer,
    /// An attachment does not verify.
    #[error("the attachment {label:?} is not to be trusted")]
    Attachment {
        /// Which one.
        label: String,
        /// What is wrong with it.
        source: AttachmentError,
    },
}
