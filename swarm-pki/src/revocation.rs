//! Revocation lists: build, parse, verify; never backwards.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CRL_NUMBER, ID_CE_CRL_REASONS, ID_CE_INVALIDITY_DATE,
};
use der::asn1::Uint;
use der::{Decode, Encode, Reader, SliceReader};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlReason};

use crate::certificate::{name_text, timestamp};
use crate::encode::{extension, sign, x509_time};
use crate::key::{PublicKey, SignError, Signer, write_pem};
use crate::profile::authority_key_identifier;
use crate::{Certificate, SerialNumber, Timestamp};

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

/// Why a certificate was revoked ([RFC 5280 §5.3.1](https://www.rfc-editor.org/rfc/rfc5280#section-5.3.1)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RevocationReason {
    /// No reason given.
    #[default]
    Unspecified,
    /// The key, or the machine with it, is in other hands.
    KeyCompromise,
    /// An authority's key is in other hands.
    CaCompromise,
    /// The node belongs to somebody else now.
    AffiliationChanged,
    /// Another certificate takes its place.
    Superseded,
    /// The node is no longer in use.
    CessationOfOperation,
    /// The node may no longer do what the certificate says.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// Returns the reason's name as it is typed and stored, such as `key-compromise`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    fn to_x509(self) -> Option<CrlReason> {
        match self {
            // RFC 5280: absent rather than unspecified.
            Self::Unspecified => None,
            Self::KeyCompromise => Some(CrlReason::KeyCompromise),
            Self::CaCompromise => Some(CrlReason::CaCompromise),
            Self::AffiliationChanged => Some(CrlReason::AffiliationChanged),
            Self::Superseded => Some(CrlReason::Superseded),
            Self::CessationOfOperation => Some(CrlReason::CessationOfOperation),
            Self::PrivilegeWithdrawn => Some(CrlReason::PrivilegeWithdrawn),
        }
    }

    fn from_x509(reason: CrlReason) -> Self {
        Self::ALL
            .into_iter()
            .find(|own| own.to_x509() == Some(reason))
            .unwrap_or_default()
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not the name of a revocation reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a revocation reason")]
pub struct ReasonError(String);

impl std::str::FromStr for RevocationReason {
    type Err = ReasonError;
    fn from_str(text: &str) -> Result<Self, ReasonError> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| ReasonError(text.chars().take(64).collect()))
    }
}

/// When and why one certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When the authority revoked it.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// What a revocation list shall say; [`Authority::sign_crl`](crate::Authority::sign_crl) makes it
/// one.
#[derive(Clone, Debug)]
pub struct CrlContents {
    /// Counts up with every list of one authority.
    pub number: u64,
    /// When the list is made.
    pub this_update: Timestamp,
    /// By when the next one will be made.
    pub next_update: Timestamp,
    /// The revoked certificates; ordered, so that equal contents give equal lists.
    pub revoked: BTreeMap<SerialNumber, Revocation>,
}

impl CrlContents {
    pub(crate) fn sign(
        &self,
        issuer: &[u8],
        key_id: &[u8],
        signer: &dyn Signer,
    ) -> Result<RevocationList, SignError> {
        let revoked: Vec<RevokedCert> = self.revoked.iter().map(revoked_entry).collect();
        let number = Uint::new(&self.number.to_be_bytes()).map_err(SignError::new)?;
        let list = TbsCertList {
            version: x509_cert::Version::V2,
            signature: signer.public_key().algorithm().signature_algorithm(),
            issuer: x509_cert::name::Name::from_der(issuer).map_err(SignError::new)?,
            this_update: x509_time(self.this_update),
            next_update: Some(x509_time(self.next_update)),
            // RFC 5280 §5.1.2.6: absent when there are none.
            revoked_certificates: (!revoked.is_empty()).then_some(revoked),
            crl_extensions: Some(vec![
                authority_key_identifier(key_id),
                extension(ID_CE_CRL_NUMBER, false, &number),
            ]),
        };
        let der = sign(&list.to_der().map_err(SignError::new)?, signer)?;
        RevocationList::from_der(&der).map_err(SignError::new)
    }
}

fn revoked_entry((serial, revocation): (&SerialNumber, &Revocation)) -> RevokedCert {
    RevokedCert {
        serial_number: serial.to_x509(),
        revocation_date: x509_time(revocation.at),
        crl_entry_extensions: revocation
            .reason
            .to_x509()
            .map(|reason| vec![extension(ID_CE_CRL_REASONS, false, &reason)]),
    }
}

/// A revocation list: well-formed and complete (not a delta, not partial), not yet believed.
///
/// Cheap to clone; lookups take constant time.
#[derive(Clone)]
pub struct RevocationList(Arc<Parsed>);

struct Parsed {
    der: CertificateRevocationListDer<'static>,
    issuer: Vec<u8>,
    authority_key_id: Vec<u8>,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    revoked: HashMap<SerialNumber, Revocation>,
    algorithm: spki::AlgorithmIdentifierOwned,
    signature: Vec<u8>,
}

impl RevocationList {
    /// Parses exactly one DER CRL.
    ///
    /// # Errors
    /// [`CrlError`] for anything malformed or partial.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        if der.len() > MAX_CRL_BYTES {
            return Err(CrlError::TooLong(der.len()));
        }
        let malformed = |_| CrlError::Malformed;
        let list = CertificateList::from_der(der).map_err(malformed)?;
        let tbs = list.tbs_cert_list;
        if tbs.signature != list.signature_algorithm || tbs.version != x509_cert::Version::V2 {
            return Err(CrlError::Malformed);
        }
        let mut number = None;
        let mut authority_key_id = None;
        for extension in tbs.crl_extensions.iter().flatten() {
            let value = extension.extn_value.as_bytes();
            match extension.extn_id {
                ID_CE_CRL_NUMBER if number.is_none() => {
                    number = Some(u64::from_der(value).map_err(malformed)?);
                }
                ID_CE_AUTHORITY_KEY_IDENTIFIER if authority_key_id.is_none() => {
                    let aki = AuthorityKeyIdentifier::from_der(value).map_err(malformed)?;
                    authority_key_id = aki.key_identifier.map(|id| id.as_bytes().to_vec());
                }
                ID_CE_CRL_NUMBER | ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                    return Err(CrlError::Malformed);
                }
                oid if extension.critical => {
                    return Err(CrlError::UnknownCriticalExtension(oid.to_string()));
                }
                _ => {}
            }
        }
        let entries = tbs.revoked_certificates.unwrap_or_default();
        let mut revoked = HashMap::with_capacity(entries.len());
        for entry in &entries {
            let (serial, revocation) = read_entry(entry)?;
            revoked.insert(serial, revocation);
        }
        let next_update = tbs.next_update.ok_or(CrlError::Missing("next update"))?;
        Ok(Self(Arc::new(Parsed {
            der: CertificateRevocationListDer::from(der.to_vec()),
            issuer: tbs.issuer.to_der().map_err(malformed)?,
            authority_key_id: authority_key_id
                .ok_or(CrlError::Missing("authority key identifier"))?,
            number: number.ok_or(CrlError::Missing("number"))?,
            this_update: timestamp(tbs.this_update),
            next_update: timestamp(next_update),
            revoked,
            algorithm: list.signature_algorithm,
            signature: list
                .signature
                .as_bytes()
                .ok_or(CrlError::Malformed)?
                .to_vec(),
        })))
    }

    /// Parses the one PEM block `X509 CRL` in `pem`.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_pem(pem: &str) -> Result<Self, CrlError> {
        let mut items = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes());
        match (items.next(), items.next()) {
            (Some(Ok(der)), None) => Self::from_der(&der),
            _ => Err(CrlError::Malformed),
        }
    }

    /// Returns the DER, in the type that rustls takes.
    pub fn der(&self) -> &CertificateRevocationListDer<'static> {
        &self.0.der
    }

    /// Returns the PEM block `X509 CRL`.
    pub fn to_pem(&self) -> String {
        write_pem("X509 CRL", &self.0.der)
    }

    /// Returns the issuer as text (RFC 4514).
    pub fn issuer(&self) -> String {
        name_text(&self.0.issuer)
    }

    /// Returns the issuer's DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.0.issuer
    }

    /// Returns the list's number, which counts up with every list of one authority.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Returns when the list was made.
    pub fn this_update(&self) -> Timestamp {
        self.0.this_update
    }

    /// Returns by when the next list was to be made.
    pub fn next_update(&self) -> Timestamp {
        self.0.next_update
    }

    /// Returns when and why the certificate was revoked, when it was; in constant time.
    pub fn lookup(&self, serial: &SerialNumber) -> Option<Revocation> {
        self.0.revoked.get(serial).copied()
    }

    /// Returns how many certificates the list revokes.
    pub fn len(&self) -> usize {
        self.0.revoked.len()
    }

    /// Tells whether the list revokes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.revoked.is_empty()
    }

    /// Iterates over the revoked certificates, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (SerialNumber, Revocation)> + '_ {
        self.0
            .revoked
            .iter()
            .map(|(serial, revocation)| (*serial, *revocation))
    }

    /// Verifies that `issuer` signed this list: names, key identifiers, usage and signature.
    ///
    /// # Errors
    /// [`CrlError::Signature`].
    pub fn verify(&self, issuer: &Certificate) -> Result<(), CrlError> {
        let names_fit = self.0.issuer == issuer.subject_der()
            && issuer.subject_key_id() == Some(self.0.authority_key_id.as_slice());
        let may_sign = issuer.is_authority() && issuer.key_usage().is_some_and(|u| u.crl_sign());
        let signed = || {
            issuer
                .public_key()
                .is_ok_and(|key| self.is_signed_by_key(&key))
        };
        if names_fit && may_sign && signed() {
            Ok(())
        } else {
            Err(CrlError::Signature {
                issuer: issuer.subject(),
            })
        }
    }

    fn is_signed_by_key(&self, key: &PublicKey) -> bool {
        let Ok(tbs) = signed_part(&self.0.der) else {
            return false;
        };
        self.0.algorithm == key.algorithm().signature_algorithm()
            && key.verify(tbs, &self.0.signature)
    }

    /// Decides whether this list takes the place of `known`, a list of the same issuer: `true`
    /// when its number is higher, `false` when it is the same list.
    ///
    /// # Errors
    /// [`CrlError::Rollback`] for a lower number; [`CrlError::Fork`] for a different list with
    /// the same number, which a restored authority makes.
    pub fn supersedes(&self, known: &RevocationList) -> Result<bool, CrlError> {
        use std::cmp::Ordering;
        match self.0.number.cmp(&known.0.number) {
            Ordering::Greater => Ok(true),
            Ordering::Less => Err(CrlError::Rollback {
                known: known.0.number,
                offered: self.0.number,
            }),
            // The signed parts are compared: a signature can be rewritten into another valid form.
            Ordering::Equal if signed_part(&self.0.der) == signed_part(&known.0.der) => Ok(false),
            Ordering::Equal => Err(CrlError::Fork(self.0.number)),
        }
    }
}

impl PartialEq for RevocationList {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for RevocationList {}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("issuer", &self.issuer())
            .field("number", &self.number())
            .field("revoked", &self.len())
            .field("next_update", &self.next_update())
            .finish_non_exhaustive()
    }
}

fn read_entry(entry: &RevokedCert) -> Result<(SerialNumber, Revocation), CrlError> {
    let serial = SerialNumber::from_der_integer(entry.serial_number.as_bytes())
        .map_err(|_| CrlError::Malformed)?;
    let mut reason = RevocationReason::Unspecified;
    for extension in entry.crl_entry_extensions.iter().flatten() {
        match extension.extn_id {
            ID_CE_CRL_REASONS => {
                let code = CrlReason::from_der(extension.extn_value.as_bytes())
                    .map_err(|_| CrlError::Malformed)?;
                reason = RevocationReason::from_x509(code);
            }
            ID_CE_INVALIDITY_DATE => {}
            oid if extension.critical => {
                return Err(CrlError::UnknownCriticalExtension(oid.to_string()));
            }
            _ => {}
        }
    }
    Ok((
        serial,
        Revocation {
            at: timestamp(entry.revocation_date),
            reason,
        },
    ))
}

/// The bytes that were signed, exactly as they came.
fn signed_part(der: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|fields| {
        let tbs = fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        Ok::<_, der::Error>(tbs)
    })
}
