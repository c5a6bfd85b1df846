//! A revocation list as it came.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;

use super::parse::parse;
use super::{CrlError, Revocation, RevocationReason};
use crate::certificate::name_text;
use crate::key::{PublicKey, write_pem};
use crate::{Certificate, SerialNumber, Timestamp};

/// A revocation list: well-formed and complete (not a delta, not partial), not yet believed.
///
/// Cheap to clone; lookups take no longer for long lists than for short ones, by and large.
#[derive(Clone)]
pub struct RevocationList(Arc<Parsed>);

pub(super) struct Parsed {
    pub(super) der: CertificateRevocationListDer<'static>,
    pub(super) tbs: Range<usize>,
    pub(super) issuer: Range<usize>,
    pub(super) authority_key_id: Box<[u8]>,
    pub(super) number: u64,
    pub(super) this_update: Timestamp,
    pub(super) next_update: Timestamp,
    /// By serial number, each once: half the memory of a hash map, and a lookup still takes less
    /// than a thousandth of a signature check.
    pub(super) revoked: Box<[Entry]>,
    pub(super) algorithm: Range<usize>,
    pub(super) signature: Range<usize>,
}

/// One revoked certificate.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) serial: SerialNumber,
    pub(super) reason: RevocationReason,
    pub(super) at: Timestamp,
}

impl Entry {
    fn revocation(&self) -> Revocation {
        Revocation {
            at: self.at,
            reason: self.reason,
        }
    }
}

impl RevocationList {
    /// Parses exactly one DER CRL.
    ///
    /// # Errors
    /// [`CrlError`] for anything malformed or partial.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        parse(der).map(|parsed| Self(Arc::new(parsed)))
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
        name_text(self.issuer_der())
    }

    /// Returns the issuer's DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.0.der[self.0.issuer.clone()]
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

    /// Returns when and why the certificate was revoked, when it was.
    pub fn lookup(&self, serial: &SerialNumber) -> Option<Revocation> {
        let found = self
            .0
            .revoked
            .binary_search_by(|entry| entry.serial.cmp(serial));
        found.ok().map(|index| self.0.revoked[index].revocation())
    }

    /// Returns how many certificates the list revokes.
    pub fn len(&self) -> usize {
        self.0.revoked.len()
    }

    /// Tells whether the list revokes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.revoked.is_empty()
    }

    /// Iterates over the revoked certificates, by serial number.
    pub fn iter(&self) -> impl Iterator<Item = (SerialNumber, Revocation)> + '_ {
        self.0
            .revoked
            .iter()
            .map(|entry| (entry.serial, entry.revocation()))
    }

    /// Verifies that `issuer` signed this list: names, key identifiers, usage and signature.
    ///
    /// # Errors
    /// [`CrlError::Signature`].
    pub fn verify(&self, issuer: &Certificate) -> Result<(), CrlError> {
        let names_fit = self.issuer_der() == issuer.subject_der()
            && issuer.subject_key_id() == Some(&*self.0.authority_key_id);
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
        let part = |part: &Range<usize>| &self.0.der[part.clone()];
        part(&self.0.algorithm) == key.algorithm().signature_algorithm_der()
            && key.verify(part(&self.0.tbs), part(&self.0.signature))
    }

    /// The part that is signed, exactly as it was signed.
    fn signed_der(&self) -> &[u8] {
        &self.0.der[self.0.tbs.clone()]
    }

    /// Returns what this list revokes and `other` does not: both are sorted, so in one pass.
    pub(crate) fn missing_from<'a>(
        &'a self,
        other: &'a RevocationList,
    ) -> impl Iterator<Item = (SerialNumber, Revocation)> + 'a {
        let mut rest = other.0.revoked.iter().peekable();
        let missing = self.0.revoked.iter().filter(move |entry| {
            while rest.next_if(|next| next.serial < entry.serial).is_some() {}
            rest.peek().is_none_or(|next| next.serial != entry.serial)
        });
        missing.map(|entry| (entry.serial, entry.revocation()))
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
            Ordering::Equal if self.signed_der() == known.signed_der() => Ok(false),
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
