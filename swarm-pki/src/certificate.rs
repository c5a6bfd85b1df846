//! An X.509 certificate, parsed once.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use const_oid::ObjectIdentifier;
use der::{Decode, Reader, SliceReader};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier,
};

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

/// The SHA-256 of a certificate's DER; prints and parses as 64 hexadecimal digits.
///
/// Good for naming and pinning a certificate. Revocation never goes by it: a signature can be
/// rewritten into another valid form, which changes the fingerprint and not the certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint of 64 hexadecimal digits")]
pub struct FingerprintError;

impl Fingerprint {
    /// Computes the fingerprint of a certificate's DER.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;
    /// Accepts either case, and colons between the octets as OpenSSL prints them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain: String = text.chars().take(128).filter(|c| *c != ':').collect();
        let mut octets = [0; 32];
        hex::decode_to_slice(plain, &mut octets).map_err(|_| FingerprintError)?;
        Ok(Self(octets))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
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
    subject_key_id: Option<Box<[u8]>>,
    authority_key_id: Option<Box<[u8]>>,
    /// `None`: not a certificate authority.
    authority: Option<PathLength>,
    key_usage: Option<KeyUsage>,
    fingerprint: Fingerprint,
}

#[derive(Clone, Copy)]
struct PathLength(Option<u8>);

/// Where the signed parts lie in the DER, so that they are used exactly as they were signed.
struct Parts {
    tbs: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
    signature: Range<usize>,
    algorithm: ObjectIdentifier,
    has_algorithm_parameters: bool,
}

impl Parts {
    fn find(der: &[u8], algorithm: &spki::AlgorithmIdentifierOwned) -> der::Result<Self> {
        let range = |part: &[u8]| {
            let start = part.as_ptr() as usize - der.as_ptr() as usize;
            start..start + part.len()
        };
        let mut reader = SliceReader::new(der)?;
        let (tbs, signature) = reader.sequence(|outer| {
            let tbs = outer.tlv_bytes()?;
            outer.tlv_bytes()?;
            let signature = der::asn1::BitStringRef::decode(outer)?;
            Ok::<_, der::Error>((tbs, signature))
        })?;
        let mut inner = SliceReader::new(tbs)?;
        let (issuer, subject, spki) = inner.sequence(|fields| {
            if fields.peek_byte() == Some(0xa0) {
                fields.tlv_bytes()?;
            }
            fields.tlv_bytes()?; // serialNumber
            fields.tlv_bytes()?; // signature
            let issuer = fields.tlv_bytes()?;
            fields.tlv_bytes()?; // validity
            let subject = fields.tlv_bytes()?;
            let spki = fields.tlv_bytes()?;
            while !fields.is_finished() {
                fields.tlv_bytes()?;
            }
            Ok::<_, der::Error>((issuer, subject, spki))
        })?;
        let signature = signature.as_bytes().ok_or(der::ErrorKind::Failed)?;
        Ok(Self {
            tbs: range(tbs),
            issuer: range(issuer),
            subject: range(subject),
            spki: range(spki),
            signature: range(signature),
            algorithm: algorithm.oid,
            has_algorithm_parameters: algorithm.parameters.is_some(),
        })
    }
}

impl Certificate {
    /// Parses exactly one DER certificate.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        Self::parse(der).map(|(certificate, _)| certificate)
    }

    /// Parses, and hands out the extensions for a stricter reader.
    pub(crate) fn parse(der: &[u8]) -> Result<(Self, x509_cert::Certificate), CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLong(der.len()));
        }
        let malformed = |_| CertificateError::Malformed;
        let x509 = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        let tbs = x509.tbs_certificate();
        if tbs.version() != x509_cert::Version::V3 {
            return Err(CertificateError::Version);
        }
        if tbs.signature() != x509.signature_algorithm() {
            return Err(CertificateError::SignatureAlgorithms);
        }
        let mut seen: Vec<&ObjectIdentifier> = tbs
            .extensions()
            .into_iter()
            .flatten()
            .map(|extension| &extension.extn_id)
            .collect();
        seen.sort_unstable();
        if let Some(twice) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(CertificateError::RepeatedExtension(twice[0].to_string()));
        }
        let serial = SerialNumber::from_der_integer(tbs.serial_number().as_bytes())
            .map_err(|_| CertificateError::Serial)?;
        let not_before = timestamp(tbs.validity().not_before);
        let not_after = timestamp(tbs.validity().not_after);
        if not_after < not_before {
            return Err(CertificateError::Validity);
        }
        let authority = tbs
            .get_extension::<BasicConstraints>()
            .map_err(malformed)?
            .and_then(|(_, basic)| basic.ca.then_some(PathLength(basic.path_len_constraint)));
        let key_usage = tbs
            .get_extension::<KeyUsage>()
            .map_err(malformed)?
            .map(|(_, usage)| usage);
        let subject_key_id = tbs
            .get_extension::<SubjectKeyIdentifier>()
            .map_err(malformed)?
            .map(|(_, ski)| ski.0.as_bytes().into());
        let authority_key_id = tbs
            .get_extension::<AuthorityKeyIdentifier>()
            .map_err(malformed)?
            .and_then(|(_, aki)| aki.key_identifier)
            .map(|id| id.as_bytes().into());
        let parts = Parts::find(der, x509.signature_algorithm()).map_err(malformed)?;
        let certificate = Self(Arc::new(Parsed {
            der: CertificateDer::from(der.to_vec()),
            parts,
            serial,
            not_before,
            not_after,
            subject_key_id,
            authority_key_id,
            authority,
            key_usage,
            fingerprint: Fingerprint::of(der),
        }));
        Ok((certificate, x509))
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
        &self.0.der[self.0.parts.subject.clone()]
    }

    /// Returns the issuer's DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.0.der[self.0.parts.issuer.clone()]
    }

    /// Returns the DER of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.0.der[self.0.parts.spki.clone()]
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
        self.0.subject_key_id.as_deref()
    }

    /// Returns the authority key identifier, when there is one.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.0.authority_key_id.as_deref()
    }

    /// Returns the SHA-256 of the DER.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
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

    pub(crate) fn key_usage(&self) -> Option<&KeyUsage> {
        self.0.key_usage.as_ref()
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
        let parts = &self.0.parts;
        parts.algorithm == key.algorithm().signature_algorithm().oid
            && !parts.has_algorithm_parameters
            && key.verify(
                &self.0.der[parts.tbs.clone()],
                &self.0.der[parts.signature.clone()],
            )
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

pub(crate) fn timestamp(time: x509_cert::time::Time) -> Timestamp {
    Timestamp::from_unix(time.to_unix_duration().as_secs())
}

pub(crate) fn name_text(der: &[u8]) -> String {
    x509_cert::name::Name::from_der(der).map_or_else(|_| String::new(), |name| name.to_string())
}
