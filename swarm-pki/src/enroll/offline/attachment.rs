//! Bytes that travel with a grant, signed by a member for the one who is granted.

use der::{
    Decode as _, Encode as _, Reader as _, Sequence, SliceReader,
    asn1::{AnyRef, OctetStringRef, Utf8StringRef},
};

use super::{ATTACHMENT, AttachmentError};
use crate::{Fingerprint, NodeCertificate, Signer, Timestamp, Trust, VerifyError};

/// The most attachments of one grant file.
pub const MAX_ATTACHMENTS: usize = 16;
/// The longest attachment, in bytes.
pub const MAX_ATTACHMENT_BYTES: usize = 1024 * 1024;

const MAX_LABEL: usize = 64;
const MAX_SIGNATURE: usize = 256;
const VERSION: u8 = 1;

/// Set before what is signed. Nothing else that a node's key signs begins like this: certificates
/// and requests begin with a DER tag, handshakes of TLS 1.3 with 64 spaces (RFC 8446, 4.4.3).
const DOMAIN: &[u8] = b"swarm-pki attachment of a grant file, version 1\0";

/// An attachment whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attachment {
    /// What it is called.
    pub label: String,
    /// What it says.
    pub bytes: Vec<u8>,
    /// The member that signed it, verified. Whether this member has a say in the matter is the
    /// reader's to decide, by name or role.
    pub signer: NodeCertificate,
}

/// An attachment as it travels, not believed.
///
/// ```text
/// Attachment ::= SEQUENCE {
///     version    INTEGER (1),
///     label      UTF8String (SIZE (1..64)),
///     content    OCTET STRING (SIZE (0..1048576)),
///     signer     Certificate,
///     signature  OCTET STRING
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedAttachment {
    pub(super) label: String,
    bytes: Vec<u8>,
    signer: NodeCertificate,
    signature: Vec<u8>,
}

#[derive(Sequence)]
struct AttachmentDer<'a> {
    version: u8,
    label: Utf8StringRef<'a>,
    content: &'a OctetStringRef,
    signer: AnyRef<'a>,
    signature: &'a OctetStringRef,
}

impl SignedAttachment {
    pub(super) fn sign(
        label: &str,
        bytes: &[u8],
        signer: &NodeCertificate,
        key: &dyn Signer,
        recipient: &NodeCertificate,
    ) -> Result<Self, AttachmentError> {
        check(label, bytes)?;
        if key.public_key().spki_der() != signer.spki_der() {
            return Err(AttachmentError::OtherKey);
        }
        let mut attachment = Self {
            label: label.to_owned(),
            bytes: bytes.to_vec(),
            signer: signer.clone(),
            signature: Vec::new(),
        };
        attachment.signature = key.sign(&attachment.signed_part(recipient))?;
        Ok(attachment)
    }

    /// Checks the signer's standing and the signature.
    pub(super) fn verify(
        self,
        recipient: &NodeCertificate,
        trust: &Trust,
        now: Timestamp,
    ) -> Result<Attachment, AttachmentError> {
        let verified: Result<_, VerifyError> = trust.verify(&[self.signer.der().clone()], now);
        let signer = verified.map_err(AttachmentError::Signer)?;
        let is_genuine = signer
            .public_key()
            .is_ok_and(|key| key.verify(&self.signed_part(recipient), &self.signature));
        if !is_genuine {
            return Err(AttachmentError::Signature);
        }
        Ok(Attachment {
            label: self.label,
            bytes: self.bytes,
            signer,
        })
    }

    /// For whom, by whom, under which label, what; no part can be taken for another.
    fn signed_part(&self, recipient: &NodeCertificate) -> Vec<u8> {
        let label = self.label.as_bytes();
        [
            DOMAIN,
            &Fingerprint::of(recipient.der()).0,
            &Fingerprint::of(self.signer.der()).0,
            &[u8::try_from(label.len()).expect("a label has at most 64 bytes")],
            label,
            &self.bytes,
        ]
        .concat()
    }

    pub(super) fn to_der(&self) -> Vec<u8> {
        AttachmentDer {
            version: VERSION,
            label: Utf8StringRef::new(&self.label).expect("a label is short"),
            content: OctetStringRef::new(&self.bytes).expect("an attachment is short"),
            signer: AnyRef::from_der(self.signer.der()).expect("a certificate is DER"),
            signature: OctetStringRef::new(&self.signature).expect("a signature is short"),
        }
        .to_der()
        .expect("all its parts are below der's limit")
    }

    pub(super) fn from_pem(pem: &str) -> Result<Self, AttachmentError> {
        // Before any memory is taken for it; a certificate and the rest fit beside the content.
        if pem.len() > MAX_ATTACHMENT_BYTES * 2 {
            return Err(AttachmentError::TooLong(pem.len()));
        }
        match der::pem::decode_vec(pem.as_bytes()) {
            Ok((ATTACHMENT, der)) => Self::from_der(&der),
            _ => Err(AttachmentError::Malformed),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, AttachmentError> {
        let mut reader = SliceReader::new(der)?;
        let attachment = reader.sequence(|fields| {
            let version = u8::decode(fields)?;
            if version != VERSION {
                return Err(AttachmentError::UnsupportedVersion(version));
            }
            let label = Utf8StringRef::decode(fields)?.as_str();
            let bytes = <&OctetStringRef>::decode(fields)?.as_bytes();
            check(label, bytes)?;
            let signer = NodeCertificate::from_der(fields.tlv_bytes()?)?;
            let signature = <&OctetStringRef>::decode(fields)?.as_bytes();
            if signature.len() > MAX_SIGNATURE {
                return Err(AttachmentError::Malformed);
            }
            Ok(Self {
                label: label.to_owned(),
                bytes: bytes.to_vec(),
                signer,
                signature: signature.to_vec(),
            })
        })?;
        reader.finish()?;
        Ok(attachment)
    }
}

fn check(label: &str, bytes: &[u8]) -> Result<(), AttachmentError> {
    let plain = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    // No label is a hidden file or a way out of a directory.
    if label.is_empty()
        || label.len() > MAX_LABEL
        || label.starts_with('.')
        || !label.bytes().all(plain)
    {
        return Err(AttachmentError::Label);
    }
    if bytes.len() > MAX_ATTACHMENT_BYTES {
        return Err(AttachmentError::TooLong(bytes.len()));
    }
    Ok(())
}
