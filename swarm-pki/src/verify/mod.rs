//! Verification of any X.509 chain, not only a swarm's: path, time, purpose, name, revocation,
//! key strength.
//!
//! Paths are built and signatures checked by [webpki]; what it leaves out is checked here: the
//! validity, path length and key usage of the root, the key usage of everything, the strength of
//! the leaf's key, URI names, and that the *newest* revocation list of an issuer counts.
//!
//! [webpki]: https://docs.rs/rustls-webpki

mod keys;
mod name;

pub use keys::WeakKeyError;
pub use name::SubjectName;

use std::collections::BTreeMap;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, Error as WebpkiError,
    ExpirationPolicy, KeyPurposeIdIter, OwnedCertRevocationList, RevocationOptionsBuilder,
    VerifiedPath,
};

use crate::timestamp::Spoken;
use crate::{Certificate, RevocationList, Timestamp, Usage};

/// What a chain is verified against.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ChainCheck {
    /// The trusted roots.
    pub roots: Vec<Certificate>,
    /// Authorities that a path may lead over.
    pub intermediates: Vec<Certificate>,
    /// Revocation lists. With none, revocation is not checked
    /// ([`VerifiedChain::revocation_checked`]); with any, every certificate of the path but the
    /// root must be covered by a current one.
    pub crls: Vec<RevocationList>,
    /// The name that the certificate must bear, when one is expected.
    pub name: Option<SubjectName>,
    /// The use that the certificate must allow, when one is meant.
    pub purpose: Option<Usage>,
}

/// A chain that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedChain {
    /// The certificates from the leaf to the root.
    pub path: Vec<Certificate>,
    /// Whether revocation lists were at hand to check.
    pub revocation_checked: bool,
}

/// A chain did not pass; says which certificate and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No root was given.
    #[error("no root certificate was given")]
    NoRoots,
    /// The leaf is an authority's certificate.
    #[error("{0} is an authority and no end of a chain")]
    IsAuthority(String),
    /// The certificate's validity has not begun.
    #[error("{subject} is valid from {not_before}, {} from the time checked", Spoken(*.by))]
    NotYetValid {
        /// Whose certificate.
        subject: String,
        /// When the validity begins.
        not_before: Timestamp,
        /// How long it is until then.
        by: Duration,
    },
    /// The certificate's validity is over.
    #[error("{subject} expired at {not_after}, {} before the time checked", Spoken(*.by))]
    Expired {
        /// Whose certificate.
        subject: String,
        /// When the validity ended.
        not_after: Timestamp,
        /// How long ago that was.
        by: Duration,
    },
    /// No path leads to a root.
    #[error("no path leads from {subject}, issued by {issuer}, to a trusted root")]
    UnknownIssuer {
        /// The leaf.
        subject: String,
        /// Its issuer.
        issuer: String,
    },
    /// A signature is wrong.
    #[error("a signature of the path is wrong")]
    Signature,
    /// A signature algorithm is too weak or not known, such as SHA-1.
    #[error("a signature of the path is of an algorithm that is not accepted")]
    SignatureAlgorithm,
    /// A key is too weak or of an unknown kind.
    #[error("the key of {subject} is not accepted")]
    WeakKey {
        /// Whose key.
        subject: String,
        /// What is wrong with it.
        source: WeakKeyError,
    },
    /// The certificate does not allow this use.
    #[error("{subject} may not be used like this: {fault}")]
    Purpose {
        /// Whose certificate.
        subject: String,
        /// What is missing.
        fault: &'static str,
    },
    /// The certificate does not bear the name.
    #[error("the certificate is not for {0}")]
    Name(SubjectName),
    /// More authorities follow than one allows.
    #[error("more authorities follow than an authority of the path allows")]
    PathLength,
    /// A name lies outside what an authority may certify.
    #[error("a name violates the name constraints of an authority of the path")]
    NameConstraints,
    /// A certificate was revoked.
    #[error("{0} was revoked")]
    Revoked(String),
    /// No revocation list covers a certificate of the path.
    #[error("no revocation list covers a certificate of the path")]
    NoCrl,
    /// A revocation list is past its next update.
    #[error("a revocation list was to be renewed by {0}")]
    CrlExpired(Timestamp),
    /// A revocation list was made later than the time that is checked for.
    #[error("a revocation list was made at {0}, after the time checked")]
    CrlNotYetValid(Timestamp),
    /// A revocation list is not signed by the authority that it names, or is of a kind that is
    /// not accepted.
    #[error("a revocation list does not verify")]
    Crl,
    /// A critical extension is not understood.
    #[error("a critical extension of the path is not understood")]
    CriticalExtension,
    /// Something else is wrong with the path, in webpki's words.
    #[error("the chain does not verify: {0}")]
    Other(String),
}

/// Verifies `leaf` at the time `now`.
///
/// # Errors
/// [`ChainError`] names the first check that failed.
pub fn verify_chain(
    leaf: &Certificate,
    check: &ChainCheck,
    now: Timestamp,
) -> Result<VerifiedChain, ChainError> {
    if check.roots.is_empty() {
        return Err(ChainError::NoRoots);
    }
    if leaf.is_authority() {
        return Err(ChainError::IsAuthority(leaf.subject()));
    }
    check_time(leaf, now)?;
    keys::check(leaf)?;
    let path = build_path(leaf, check, now)?;
    for certificate in &path {
        check_time(certificate, now)?;
        keys::check(certificate)?;
    }
    check_authorities(&path[1..])?;
    check_lists_are_made(&path, check, now)?;
    check_leaf_usage(leaf, check.purpose)?;
    if let Some(name) = &check.name {
        name.check(leaf)?;
    }
    Ok(VerifiedChain {
        path,
        revocation_checked: !check.crls.is_empty(),
    })
}

fn build_path(
    leaf: &Certificate,
    check: &ChainCheck,
    now: Timestamp,
) -> Result<Vec<Certificate>, ChainError> {
    let fault = |fault| explain(fault, leaf, check, now);
    let end_entity = EndEntityCert::try_from(leaf.der()).map_err(fault)?;
    let anchors: Vec<TrustAnchor<'_>> = check
        .roots
        .iter()
        .map(|root| webpki::anchor_from_trusted_cert(root.der()).map_err(fault))
        .collect::<Result<_, _>>()?;
    let intermediates: Vec<CertificateDer<'_>> = check
        .intermediates
        .iter()
        .map(|certificate| certificate.der().clone())
        .collect();
    let crls = newest_lists(&check.crls).map_err(fault)?;
    let crls: Vec<&CertRevocationList<'_>> = crls.iter().collect();
    let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|options| {
        options
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build()
    });
    let path = end_entity
        .verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &anchors,
            &intermediates,
            now.into(),
            WantedUsage(check.purpose),
            revocation,
            None,
        )
        .map_err(fault)?;
    Ok(certificates(leaf, check, &path))
}

/// Checks what webpki does not: that no list of the path is from the future.
fn check_lists_are_made(
    path: &[Certificate],
    check: &ChainCheck,
    now: Timestamp,
) -> Result<(), ChainError> {
    for list in newest_of_each(&check.crls) {
        let concerns = |certificate: &Certificate| certificate.issuer_der() == list.issuer_der();
        if list.this_update() > now && path.iter().any(concerns) {
            return Err(ChainError::CrlNotYetValid(list.this_update()));
        }
    }
    Ok(())
}

/// One list for each issuer: webpki takes the first one with the issuer's name, and the newest
/// is the one that counts.
fn newest_lists(crls: &[RevocationList]) -> Result<Vec<CertRevocationList<'static>>, WebpkiError> {
    newest_of_each(crls)
        .map(|crl| OwnedCertRevocationList::from_der(crl.der()).map(CertRevocationList::from))
        .collect()
}

fn newest_of_each(crls: &[RevocationList]) -> impl Iterator<Item = &RevocationList> {
    let mut newest: BTreeMap<&[u8], &RevocationList> = BTreeMap::new();
    for crl in crls {
        let entry = newest.entry(crl.issuer_der()).or_insert(crl);
        if crl.number() > entry.number() {
            *entry = crl;
        }
    }
    newest.into_values()
}

fn certificates(
    leaf: &Certificate,
    check: &ChainCheck,
    path: &VerifiedPath<'_>,
) -> Vec<Certificate> {
    let mut certificates = vec![leaf.clone()];
    for used in path.intermediate_certificates() {
        let der = used.der();
        certificates.extend(
            check
                .intermediates
                .iter()
                .find(|known| known.der() == &der)
                .cloned(),
        );
    }
    let anchor = path.anchor();
    let is_anchor = |root: &&Certificate| {
        webpki::anchor_from_trusted_cert(root.der()).is_ok_and(|known| known == *anchor)
    };
    certificates.extend(check.roots.iter().find(is_anchor).cloned());
    certificates
}

/// Checks what webpki does not: key usage everywhere, and the root's own constraints.
fn check_authorities(authorities: &[Certificate]) -> Result<(), ChainError> {
    for (below, authority) in authorities.iter().enumerate() {
        let fault = |fault| ChainError::Purpose {
            subject: authority.subject(),
            fault,
        };
        if !authority.is_authority() {
            return Err(fault("it is no authority"));
        }
        if authority
            .key_usage()
            .is_some_and(|usage| !usage.key_cert_sign())
        {
            return Err(fault("keyCertSign is missing"));
        }
        let counted = authorities[..below]
            .iter()
            .filter(|one| !one.is_self_issued())
            .count();
        if authority
            .path_length()
            .is_some_and(|most| counted > usize::from(most))
        {
            return Err(ChainError::PathLength);
        }
    }
    Ok(())
}

fn check_leaf_usage(leaf: &Certificate, purpose: Option<Usage>) -> Result<(), ChainError> {
    let signs = leaf
        .key_usage()
        .is_none_or(|usage| usage.digital_signature());
    if purpose.is_some() && !signs {
        let fault = "digitalSignature is missing";
        return Err(ChainError::Purpose {
            subject: leaf.subject(),
            fault,
        });
    }
    Ok(())
}

fn check_time(certificate: &Certificate, now: Timestamp) -> Result<(), ChainError> {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    let subject = || certificate.subject();
    if now < not_before {
        let by = not_before.since(now);
        return Err(ChainError::NotYetValid {
            subject: subject(),
            not_before,
            by,
        });
    }
    if now > not_after {
        let by = now.since(not_after);
        return Err(ChainError::Expired {
            subject: subject(),
            not_after,
            by,
        });
    }
    Ok(())
}

/// The extended key usage that webpki shall demand: the purpose, if one is meant.
struct WantedUsage(Option<Usage>);

impl webpki::ExtendedKeyUsageValidator for WantedUsage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), WebpkiError> {
        match self.0 {
            None => Ok(()),
            Some(Usage::Server) => webpki::KeyUsage::server_auth().validate(purposes),
            Some(Usage::Client) => webpki::KeyUsage::client_auth().validate(purposes),
        }
    }
}

/// Says in this crate's terms what webpki found, and which certificate it was.
fn explain(
    fault: WebpkiError,
    leaf: &Certificate,
    check: &ChainCheck,
    now: Timestamp,
) -> ChainError {
    let everything = || std::iter::once(leaf).chain(&check.intermediates);
    match fault {
        WebpkiError::CertExpired { .. } | WebpkiError::CertNotValidYet { .. } => everything()
            .find_map(|certificate| check_time(certificate, now).err())
            .unwrap_or_else(|| ChainError::Other(fault.to_string())),
        WebpkiError::UnknownIssuer => ChainError::UnknownIssuer {
            subject: leaf.subject(),
            issuer: leaf.issuer(),
        },
        WebpkiError::InvalidSignatureForPublicKey => everything()
            .chain(&check.roots)
            .find_map(|certificate| keys::check(certificate).err())
            .unwrap_or(ChainError::Signature),
        WebpkiError::UnsupportedSignatureAlgorithmContext(_)
        | WebpkiError::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | WebpkiError::SignatureAlgorithmMismatch => ChainError::SignatureAlgorithm,
        WebpkiError::RequiredEkuNotFoundContext(_) | WebpkiError::EmptyEkuExtension => {
            let fault = "its extended key usage does not name the purpose";
            ChainError::Purpose {
                subject: leaf.subject(),
                fault,
            }
        }
        WebpkiError::EndEntityUsedAsCa => {
            let fault = "a certificate of the path is no authority";
            ChainError::Purpose {
                subject: leaf.issuer(),
                fault,
            }
        }
        WebpkiError::PathLenConstraintViolated => ChainError::PathLength,
        WebpkiError::NameConstraintViolation => ChainError::NameConstraints,
        WebpkiError::CertRevoked => {
            let listed = |certificate: &&Certificate| {
                check.crls.iter().any(|crl| {
                    crl.issuer_der() == certificate.issuer_der()
                        && crl.lookup(&certificate.serial()).is_some()
                })
            };
            ChainError::Revoked(everything().find(listed).unwrap_or(leaf).subject())
        }
        WebpkiError::UnknownRevocationStatus => ChainError::NoCrl,
        WebpkiError::CrlExpired { next_update, .. } => ChainError::CrlExpired(next_update.into()),
        WebpkiError::InvalidCrlSignatureForPublicKey
        | WebpkiError::IssuerNotCrlSigner
        | WebpkiError::UnsupportedCrlSignatureAlgorithmContext(_)
        | WebpkiError::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => ChainError::Crl,
        WebpkiError::UnsupportedCriticalExtension => ChainError::CriticalExtension,
        other => ChainError::Other(other.to_string()),
    }
}
