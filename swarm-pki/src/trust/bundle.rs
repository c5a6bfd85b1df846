//! The carrier of trust: certificates and revocation lists in one DER value, unverified.

use der::asn1::AnyRef;
use der::{Decode, Encode, Reader, Sequence, SliceReader};

use crate::key::write_pem;
use crate::{Certificate, CertificateError, CrlError, RevocationList};

/// The longest bundle that is read or written, in bytes of DER.
pub const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;
/// The most roots in one bundle, and in one [`Trust`](crate::Trust).
pub const MAX_ROOTS: usize = 8;
/// The most links between roots in one bundle, and in one [`Trust`](crate::Trust).
pub const MAX_LINKS: usize = 16;
/// The most issuing authorities in one bundle, and in one [`Trust`](crate::Trust).
pub const MAX_ISSUERS: usize = 64;
/// The most revocation lists in one bundle.
pub const MAX_CRLS: usize = MAX_ROOTS + MAX_ISSUERS;
/// The most node certificates in one bundle.
pub const MAX_NODES: usize = 20_000;

const LABEL: &str = "SWARM TRUST BUNDLE";
const VERSION: u8 = 1;

/// A bundle was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Longer than [`MAX_BUNDLE_BYTES`] of DER.
    #[error("bundle of {0} bytes is longer than {MAX_BUNDLE_BYTES}")]
    TooLong(usize),
    /// Not exactly one DER bundle, or not one PEM block `SWARM TRUST BUNDLE`.
    #[error("not a well-formed trust bundle")]
    Malformed,
    /// Of a version that this crate does not know.
    #[error("version {0} of the trust bundle is not known")]
    UnsupportedVersion(u8),
    /// More entries of a kind than are read.
    #[error("more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most that are read.
        most: usize,
    },
    /// An entry is no certificate.
    #[error("entry {index} of the {what} is not a certificate")]
    Certificate {
        /// In which list.
        what: &'static str,
        /// At which place, from 0.
        index: usize,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// An entry is no revocation list.
    #[error("entry {index} of the revocation lists is not one")]
    Crl {
        /// At which place, from 0.
        index: usize,
        /// What is wrong with it.
        source: CrlError,
    },
}

impl From<der::Error> for BundleError {
    fn from(_: der::Error) -> Self {
        Self::Malformed
    }
}

/// Certificates and revocation lists on their way from one node to another, by whatever carrier.
///
/// Nothing in it is believed: [`Trust::merge`](crate::Trust::merge) verifies every entry by
/// itself, so anybody may carry, split or join bundles.
///
/// ```text
/// TrustBundle ::= SEQUENCE {
///     version  INTEGER (1),
///     roots    SEQUENCE SIZE (0..8)     OF Certificate,
///     links    SEQUENCE SIZE (0..16)    OF Certificate,
///     issuers  SEQUENCE SIZE (0..64)    OF Certificate,
///     crls     SEQUENCE SIZE (0..72)    OF CertificateList,
///     nodes    SEQUENCE SIZE (0..20000) OF Certificate
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustBundle {
    /// Root authorities. A receiver believes those it has pinned, and those that links lead to
    /// from there.
    pub roots: Vec<Certificate>,
    /// Links: certificates by which one root certifies the name and key of another.
    pub links: Vec<Certificate>,
    /// Issuing authorities.
    pub issuers: Vec<Certificate>,
    /// Revocation lists of roots and issuing authorities.
    pub crls: Vec<RevocationList>,
    /// Node certificates.
    pub nodes: Vec<Certificate>,
}

#[derive(Sequence)]
struct BundleDer<'a> {
    version: u8,
    roots: Vec<AnyRef<'a>>,
    links: Vec<AnyRef<'a>>,
    issuers: Vec<AnyRef<'a>>,
    crls: Vec<AnyRef<'a>>,
    nodes: Vec<AnyRef<'a>>,
}

impl TrustBundle {
    /// Parses exactly one DER bundle.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn from_der(der: &[u8]) -> Result<Self, BundleError> {
        if der.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLong(der.len()));
        }
        let mut reader = SliceReader::new(der)?;
        let bundle = reader.sequence(|fields| {
            let version = u8::decode(fields)?;
            if version != VERSION {
                return Err(BundleError::UnsupportedVersion(version));
            }
            Ok(Self {
                roots: certificates(fields, "roots", MAX_ROOTS)?,
                links: certificates(fields, "links", MAX_LINKS)?,
                issuers: certificates(fields, "issuing authorities", MAX_ISSUERS)?,
                crls: list(fields, "revocation lists", MAX_CRLS, |index, der| {
                    RevocationList::from_der(der)
                        .map_err(|source| BundleError::Crl { index, source })
                })?,
                nodes: certificates(fields, "node certificates", MAX_NODES)?,
            })
        })?;
        reader.finish()?;
        Ok(bundle)
    }

    /// Parses one PEM block `SWARM TRUST BUNDLE`.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_pem(pem: &str) -> Result<Self, BundleError> {
        if pem.len() > MAX_BUNDLE_BYTES / 2 * 3 {
            return Err(BundleError::TooLong(pem.len()));
        }
        match der::pem::decode_vec(pem.as_bytes()) {
            Ok((LABEL, der)) => Self::from_der(&der),
            _ => Err(BundleError::Malformed),
        }
    }

    /// Encodes the bundle as DER.
    ///
    /// # Errors
    /// [`BundleError::TooMany`] and [`BundleError::TooLong`]: what a receiver would refuse is not
    /// written.
    pub fn to_der(&self) -> Result<Vec<u8>, BundleError> {
        check_count("roots", self.roots.len(), MAX_ROOTS)?;
        check_count("links", self.links.len(), MAX_LINKS)?;
        check_count("issuing authorities", self.issuers.len(), MAX_ISSUERS)?;
        check_count("revocation lists", self.crls.len(), MAX_CRLS)?;
        check_count("node certificates", self.nodes.len(), MAX_NODES)?;
        let crls: der::Result<_> = self
            .crls
            .iter()
            .map(|crl| AnyRef::from_der(crl.der()))
            .collect();
        let der = BundleDer {
            version: VERSION,
            roots: borrow(&self.roots)?,
            links: borrow(&self.links)?,
            issuers: borrow(&self.issuers)?,
            crls: crls?,
            nodes: borrow(&self.nodes)?,
        }
        .to_der()?;
        if der.len() > MAX_BUNDLE_BYTES {
            Err(BundleError::TooLong(der.len()))
        } else {
            Ok(der)
        }
    }

    /// Encodes the bundle as one PEM block `SWARM TRUST BUNDLE`.
    ///
    /// # Errors
    /// As [`to_der`](Self::to_der).
    pub fn to_pem(&self) -> Result<String, BundleError> {
        Ok(write_pem(LABEL, &self.to_der()?))
    }
}

fn borrow(list: &[Certificate]) -> der::Result<Vec<AnyRef<'_>>> {
    list.iter()
        .map(|certificate| AnyRef::from_der(certificate.der()))
        .collect()
}

fn check_count(what: &'static str, count: usize, most: usize) -> Result<(), BundleError> {
    if count > most {
        Err(BundleError::TooMany { what, most })
    } else {
        Ok(())
    }
}

fn certificates<'a>(
    fields: &mut SliceReader<'a>,
    what: &'static str,
    most: usize,
) -> Result<Vec<Certificate>, BundleError> {
    list(fields, what, most, |index, der| {
        Certificate::from_der(der).map_err(|source| BundleError::Certificate {
            what,
            index,
            source,
        })
    })
}

fn list<'a, T>(
    fields: &mut SliceReader<'a>,
    what: &'static str,
    most: usize,
    parse: impl Fn(usize, &'a [u8]) -> Result<T, BundleError>,
) -> Result<Vec<T>, BundleError> {
    fields.sequence(|entries| {
        let mut list = Vec::new();
        while !entries.is_finished() {
            check_count(what, list.len() + 1, most)?;
            list.push(parse(list.len(), entries.tlv_bytes()?)?);
        }
        Ok(list)
    })
}
