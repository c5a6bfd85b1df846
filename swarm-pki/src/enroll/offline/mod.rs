//! Enrolment without a connection: a request goes one way, a grant file comes back.
//!
//! ```text
//!  new machine                       carried by hand          authority (Store)
//!     │ CertificateRequest::to_pem ───────────────────────▶  │ Store::issue
//!     │                                                       │ GrantFile::new, attach, to_pem
//!     │ GrantFile::from_pem, accept ◀───────────────────────  │
//!     ▼
//!  Accepted: certificate, issuing authority, trust, attachments
//! ```
//!
//! The machine must know one thing by another way than the file: the fingerprint of the root, as
//! it is printed where the authority is made. With that, the carrier may read the file but not
//! change what it says: certificates and lists prove themselves, and each attachment is signed by
//! a member, for this one certificate. What a carrier can do is lose the file or a part of it, or
//! bring an older one: whoever needs an attachment looks for it by its label.
//!
//! ```
//! use std::time::Duration;
//! use swarm_pki::{CertificateRequest, Fingerprint, NodeCertificate, PrivateKey, SwarmName, Timestamp};
//! use swarm_pki::{enroll::GrantFile, store::{Grant, Store}, tls::Expected, Role};
//!
//! # type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//! // Where the authority is, with the key and the certificate of the hub.
//! fn grant(store: &Store, request: &str, hub: &NodeCertificate, key: &PrivateKey, now: Timestamp)
//! -> Result<String> {
//!     let request = CertificateRequest::from_pem(request)?;
//!     let issued = store.issue(&request, &Grant::new("edge1".parse()?), "operator", now)?;
//!     let mut file = GrantFile::new(issued.certificate, issued.issuer, store.bundle(now)?);
//!     file.attach("swarm.toml", b"hub = \"10.44.0.1\"", hub, key)?;
//!     Ok(file.to_pem()?)
//! }
//!
//! // On the new machine.
//! fn accept(file: &str, root: Fingerprint, swarm: &SwarmName, request: &CertificateRequest, now: Timestamp)
//! -> Result<()> {
//!     let accepted = GrantFile::from_pem(file)?.accept(root, swarm, request, now)?;
//!     let settings = accepted.attachment("swarm.toml").ok_or("there are no settings in it")?;
//!     Expected::Role(Role::hub()).check(&settings.signer)?;
//!     Ok(())
//! }
//! ```

mod accept;
mod attachment;
mod error;
mod pem;

use crate::{Certificate, MAX_BUNDLE_BYTES, NodeCertificate, Signer, TrustBundle, key::write_pem};

pub use accept::Accepted;
use attachment::SignedAttachment;
pub use attachment::{Attachment, MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS};
pub use error::{AcceptError, AttachmentError, GrantFileError};

/// The longest grant file that is read, in bytes of text: the longest trust bundle and all
/// attachments in PEM, and room for certificates and words.
pub const MAX_GRANT_FILE_BYTES: usize =
    (MAX_BUNDLE_BYTES + MAX_ATTACHMENTS * MAX_ATTACHMENT_BYTES) / 2 * 3 + 1024 * 1024;

const CERTIFICATE: &str = "CERTIFICATE";
const BUNDLE: &str = "SWARM TRUST BUNDLE";
const ATTACHMENT: &str = "SWARM ATTACHMENT";

/// What an authority sends to a machine that it cannot talk to: one text of PEM blocks.
///
/// | block | what it is |
/// |---|---|
/// | `CERTIFICATE` | the node's certificate |
/// | `CERTIFICATE` | the authority that issued it |
/// | `SWARM TRUST BUNDLE` | roots, authorities, revocation lists, other nodes |
/// | `SWARM ATTACHMENT`, up to [`MAX_ATTACHMENTS`] | bytes under a label, signed by a member |
///
/// Text around the blocks does not matter (RFC 7468, 2). Nothing in the file is secret, and nothing is
/// believed before [`accept`](Self::accept).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantFile {
    certificate: NodeCertificate,
    issuer: Certificate,
    trust: TrustBundle,
    attachments: Vec<SignedAttachment>,
}

impl GrantFile {
    /// Puts a certificate, the authority that issued it, and what to trust together.
    ///
    /// The bundle must hold the root and revocation lists; the issuing authorities of those who
    /// sign attachments too.
    pub fn new(certificate: NodeCertificate, issuer: Certificate, trust: TrustBundle) -> Self {
        Self {
            certificate,
            issuer,
            trust,
            attachments: Vec::new(),
        }
    }

    /// Adds bytes under a label, signed with a member's key for the holder of this certificate.
    ///
    /// A label has 1 to 64 lower-case letters, digits, dots, hyphens and underscores; it could be a
    /// file name.
    ///
    /// # Errors
    /// [`AttachmentError`]; the file is as it was then.
    pub fn attach(
        &mut self,
        label: &str,
        bytes: &[u8],
        signer: &NodeCertificate,
        key: &dyn Signer,
    ) -> Result<(), AttachmentError> {
        let attachment = SignedAttachment::sign(label, bytes, signer, key, &self.certificate)?;
        self.add(attachment)
    }

    fn add(&mut self, attachment: SignedAttachment) -> Result<(), AttachmentError> {
        if self.attachments.len() == MAX_ATTACHMENTS {
            return Err(AttachmentError::TooMany);
        }
        let is_taken = |one: &SignedAttachment| one.label == attachment.label;
        if self.attachments.iter().any(is_taken) {
            return Err(AttachmentError::RepeatedLabel(attachment.label));
        }
        self.attachments.push(attachment);
        Ok(())
    }

    /// Returns the certificate in the file, unverified.
    pub fn certificate(&self) -> &NodeCertificate {
        &self.certificate
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`GrantFileError::Bundle`] when the trust bundle is larger than a reader takes.
    pub fn to_pem(&self) -> Result<String, GrantFileError> {
        let mut text = self.certificate.to_pem();
        text.push_str(&self.issuer.to_pem());
        text.push_str(&self.trust.to_pem()?);
        for attachment in &self.attachments {
            text.push_str(&write_pem(ATTACHMENT, &attachment.to_der()));
        }
        Ok(text)
    }

    /// Reads a file. Nothing of it is believed yet.
    ///
    /// # Errors
    /// [`GrantFileError`]; a block of another kind is one, so that a private key is not carried
    /// along unnoticed.
    pub fn from_pem(text: &str) -> Result<Self, GrantFileError> {
        if text.len() > MAX_GRANT_FILE_BYTES {
            return Err(GrantFileError::TooLong(text.len()));
        }
        let mut blocks = pem::Blocks::new(text);
        let certificate = blocks.expect(CERTIFICATE, "the node's certificate")?;
        let certificate =
            NodeCertificate::from_pem(certificate).map_err(GrantFileError::Certificate)?;
        let issuer = blocks.expect(CERTIFICATE, "the issuing authority's certificate")?;
        let issuer = Certificate::from_pem(issuer).map_err(GrantFileError::Issuer)?;
        let trust = TrustBundle::from_pem(blocks.expect(BUNDLE, "the trust bundle")?)?;
        let mut file = Self::new(certificate, issuer, trust);
        while let Some(block) = blocks.next_block()? {
            if block.label != ATTACHMENT {
                return Err(GrantFileError::UnexpectedBlock(pem::shown(block.label)));
            }
            let index = file.attachments.len();
            SignedAttachment::from_pem(block.text)
                .and_then(|attachment| file.add(attachment))
                .map_err(|source| GrantFileError::Attachment { index, source })?;
        }
        Ok(file)
    }
}
