//! An X.509 certificate, parsed once.

mod fingerprint;
mod parse;

use std::fmt;
use std::sync::Arc;

use der::Decode;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

pub use fingerprint::{Fingerprint, FingerprintError};
pub(crate) use parse::{Extensions, KeyUsage, oid_text, read_authority_key_id};
use parse::{Part, Parts, PathLength};

use crate::key::{KeyError, PublicKey, write_pem};
use crate::{SerialNumber, Timestamp};

/// The longest certificate that is read, in bytes of DER.
pub const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// The most certificates that are read from one PEM text.
pub const MAX_PEM_CERTIFICATES: usize = 10_000;

/// The bytes are not a certificate that this crate accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not the DER of one X.509 certificate, or something follows it.
    #[error("not a well-formed X.509 certificate")]
    Malformed,
    /// The PEM text is broken or holds no certificate.
    #[error("not a PEM certificate")]
    Pem,
    /// The text holds more certificates than [`MAX_PEM_CERTIFICATES`].
    #[error("more than {MAX_PEM_CERTIFICATES} certificates")]
    TooMany,
    /// Longer than [`MAX_CERTIFICATE_BYTES`].
    #[error("certificate of {0} bytes is longer than {MAX_CERTIFICATE_BYTES}")]
    TooLong(usize),
    /// Not version 3.
    #[error("not an X.509 version 3 certificate")]
    Version,
    /// The serial number is not a positive integer of at most 20 octets.
    #[error("the serial number is not a positive integer of at most 20 octets")]
    Serial,
    /// The end of validity lies before its beginning.
    #[error("validity ends before it begins")]
    Validity,
    /// An extension occurs twice ([RFC 5280 §4.2](https://www.rfc-editor.org/rfc/rfc5280#section-4.2)).
    #[error("extension {0} occurs twice")]
    RepeatedExtension(String),
    /// The signature algorithm inside the signed part differs from the one outside.
    #[error("the inner and the outer signature algorithm differ")]
    SignatureAlgorithms,
}

/// An X.509 version 3 certificate: well-formed, without repeated extensions, not yet believed.
///
/// Cheap to clone. Equal when the DER is equal.
#[derive(Clone)]
pub struct Certificate(Arc<Parsed>);

struct Parsed {
    der: CertificateDer<'static>,
    parts: Parts,
    serial: SerialNumber,
    not_before: Timestamp,
    not_after: Timestamp,
    /// `None`: not a certificate authority.
    authority: Option<PathLength>,
    key_usage: Option<KeyUsage>,
}

impl Certificate {
    /// Parses exactly one DER certificate.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        parse::parse(der).map(|(certificate, _)| certificate)
    }

    /// Parses, and hands out the extensions for a stricter reader.
    pub(crate) fn parse(der: &[u8]) -> Result<(Self, Extensions<'_>), CertificateError> {
        parse::parse(der)
    }

    /// Returns the extensions for a stricter reader.
    pub(crate) fn extensions(&self) -> Result<Extensions<'_>, CertificateError> {
        parse::parts(&self.0.der).map(|(_, extensions)| extensions)
    }

    /// Parses the one PEM block `CERTIFICATE` in `pem`.
    ///
    /// # Errors
    /// [`CertificateError`]; a second certificate is one.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        match Self::from_pem_chain(pem)?.as_slice() {
            [one] => Ok(one.clone()),
            _ => Err(CertificateError::TooMany),
        }
    }

    /// Parses every PEM block `CERTIFICATE` in `pem`, in order; at least one. Other blocks and
    /// the text between are passed over, as PEM readers do.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_pem_chain(pem: &str) -> Result<Vec<Self>, CertificateError> {
        let mut chain = Vec::new();
        for item in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            if chain.len() == MAX_PEM_CERTIFICATES {
                return Err(CertificateError::TooMany);
            }
            chain.push(Self::from_der(&item.map_err(|_| CertificateError::Pem)?)?);
        }
        if chain.is_empty() {
            Err(CertificateError::Pem)
        } else {
            Ok(chain)
        }
    }

    /// Returns the DER, in the type that rustls takes.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0.der
    }

    /// Returns the PEM block `CERTIFICATE`.
    pub fn to_pem(&self) -> String {
        write_pem("CERTIFICATE", &self.0.der)
    }

    /// Returns the serial number.
    pub fn serial(&self) -> SerialNumber {
        self.0.serial
    }

    /// Returns the first second of validity.
    pub fn not_before(&self) -> Timestamp {
        self.0.not_before
    }

    /// Returns the last second of validity.
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// Tells whether `now` lies within the validity, both ends included.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.0.not_before <= now && now <= self.0.not_after
    }

    /// Returns the subject as text (RFC 4514), such as `CN=edge1,O=swarm`.
    pub fn subject(&self) -> String {
        name_text(self.subject_der())
    }

    /// Returns the issuer as text (RFC 4514).
    pub fn issuer(&self) -> String {
        name_text(self.issuer_der())
    }

    /// Returns the subject's DER.
    pub fn subject_der(&self) -> &[u8] {
        self.0.parts.subject.of(&self.0.der)
    }

    /// Returns the issuer's DER.
    pub fn issuer_der(&self) -> &[u8] {
        self.0.parts.issuer.of(&self.0.der)
    }

    /// Returns the DER of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        self.0.parts.spki.of(&self.0.der)
    }

    /// Parses the public key.
    ///
    /// # Errors
    /// [`KeyError::UnsupportedAlgorithm`] when it is neither P-256 nor Ed25519.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_spki_der(self.spki_der())
    }

    /// Returns the subject key identifier, when there is one.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.part(&self.0.parts.subject_key_id)
    }

    /// Returns the authority key identifier, when there is one.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.part(&self.0.parts.authority_key_id)
    }

    /// Returns the SHA-256 of the DER.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0.der)
    }

    /// Tells whether the basic constraints say that this is a certificate authority.
    pub fn is_authority(&self) -> bool {
        self.0.authority.is_some()
    }

    /// Returns how many authorities may follow below this one; `None` without a limit or when
    /// this is no authority.
    pub fn path_length(&self) -> Option<u8> {
        self.0.authority.and_then(|length| length.0)
    }

    /// Tells whether subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.subject_der() == self.issuer_der()
    }

    pub(crate) fn key_usage(&self) -> Option<KeyUsage> {
        self.0.key_usage
    }

    /// The part that is signed, exactly as it was signed.
    pub(crate) fn signed_der(&self) -> &[u8] {
        self.0.parts.tbs.of(&self.0.der)
    }

    fn part(&self, part: &Option<Part>) -> Option<&[u8]> {
        part.as_ref().map(|part| part.of(&self.0.der))
    }

    /// Tells whether `issuer`'s name, key identifier and key fit this certificate: its key made
    /// the signature. Says nothing about time, revocation or whether `issuer` may issue.
    ///
    /// Signatures by P-256 and Ed25519 keys are understood.
    pub fn is_signed_by(&self, issuer: &Certificate) -> bool {
        if self.issuer_der() != issuer.subject_der() {
            return false;
        }
        if let (Some(wanted), Some(offered)) = (self.authority_key_id(), issuer.subject_key_id())
            && wanted != offered
        {
            return false;
        }
        issuer
            .public_key()
            .is_ok_and(|key| self.is_signed_by_key(&key))
    }

    pub(crate) fn is_signed_by_key(&self, key: &PublicKey) -> bool {
        let (parts, der) = (&self.0.parts, &self.0.der);
        parts.algorithm.of(der) == key.algorithm().signature_algorithm_der()
            && key.verify(parts.tbs.of(der), parts.signature.of(der))
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject())
            .field("serial", &self.serial())
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

pub(crate) fn name_text(der: &[u8]) -> String {
    x509_cert::name::Name::from_der(der).map_or_else(|_| String::new(), |name| name.to_string())
}
