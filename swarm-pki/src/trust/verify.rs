//! Chain, time, revocation and identity of a node certificate, in one call.

use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::Trust;
use super::authority::Believed;
use super::crl::CrlState;
use super::root::RootStanding;
use crate::authority::check_authority;
use crate::timestamp::Spoken;
use crate::{
    Certificate, CertificateError, IdentityError, NodeCertificate, Revocation, ServiceCertificate,
    SwarmName, Timestamp,
};

/// The most certificates of a presented chain that are looked at.
const MAX_CHAIN: usize = 6;

/// A certificate is not believed; says why. A wrong clock is named as such.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// No certificate was presented.
    #[error("no certificate was presented")]
    EmptyChain,
    /// An issuing authority's certificate is malformed.
    #[error("not a certificate")]
    Certificate(#[from] CertificateError),
    /// The certificate is not a node's, or not a service's where one is expected.
    #[error("not a certificate of the expected kind")]
    Identity(#[from] IdentityError),
    /// The node or service belongs to another swarm.
    #[error("the certificate belongs to the swarm {found}, not to {expected}")]
    WrongSwarm {
        /// The swarm that is trusted.
        expected: SwarmName,
        /// The swarm that the certificate names.
        found: SwarmName,
    },
    /// No believed authority has the issuer's name and key identifier.
    #[error("issued by {issuer}, which is not a believed authority")]
    UnknownIssuer {
        /// The issuer's name.
        issuer: String,
    },
    /// The issuer's key did not make the signature.
    #[error("the signature is not by {issuer}")]
    Signature {
        /// The issuer's name.
        issuer: String,
    },
    /// The issuing certificate may not issue: no authority, or one that a root must not have.
    #[error("{issuer} may not issue: {fault}")]
    NotAnIssuer {
        /// The issuer's name.
        issuer: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The validity has not begun: this machine's clock, or the authority's, is wrong.
    #[error(
        "{subject} is valid from {not_before}, which is {} from now; this clock says {now}: one \
         of the two clocks is wrong",
        Spoken(*.by)
    )]
    NotYetValid {
        /// Whose certificate.
        subject: String,
        /// When the validity begins.
        not_before: Timestamp,
        /// The time that was taken for now.
        now: Timestamp,
        /// How long it is until then.
        by: Duration,
    },
    /// The validity is over, or this machine's clock is ahead.
    #[error(
        "{subject} expired at {not_after}, {} ago; this clock says {now}",
        Spoken(*.by)
    )]
    Expired {
        /// Whose certificate.
        subject: String,
        /// When the validity ended.
        not_after: Timestamp,
        /// The time that was taken for now.
        now: Timestamp,
        /// How long ago that was.
        by: Duration,
    },
    /// The certificate was revoked.
    #[error("{subject} was revoked at {} ({})", .revocation.at, .revocation.reason)]
    Revoked {
        /// Whose certificate.
        subject: String,
        /// When and why.
        revocation: Revocation,
    },
    /// The root is retired: it and all below it count no longer.
    #[error("the root {root} was retired at {} ({})", .revocation.at, .revocation.reason)]
    RootRetired {
        /// The root's name.
        root: String,
        /// When and why.
        revocation: Revocation,
    },
    /// There is no revocation list of this authority.
    #[error("there is no revocation list of {issuer}")]
    NoCrl {
        /// The authority's name.
        issuer: String,
    },
    /// The authority's revocation list is too old to go by.
    #[error("the revocation list of {issuer} was to be renewed by {next_update}")]
    CrlLapsed {
        /// The authority's name.
        issuer: String,
        /// When the next list was due.
        next_update: Timestamp,
    },
}

impl Trust {
    /// Verifies a presented chain, leaf first, and returns the node it names.
    ///
    /// Checked are: the strict form of a node certificate, the swarm, a signature by an issuing
    /// authority that a pinned root signed (known, or presented after the leaf), both validities,
    /// both revocation lists with the [`CrlExpiry`](super::CrlExpiry) policy, revocation of node
    /// and issuing authority. A node of the roster costs no signature check.
    ///
    /// Holding the private key is the caller's to prove, as a TLS handshake does.
    ///
    /// # Errors
    /// [`VerifyError`] names the first check that failed.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<NodeCertificate, VerifyError> {
        let (leaf, rest) = chain.split_first().ok_or(VerifyError::EmptyChain)?;
        let node = NodeCertificate::from_der(leaf)?;
        self.check_swarm(&node.identity().swarm)?;
        let signed = self.known.contains_exactly(&node);
        self.check_chain(&node, signed, rest, now)?;
        Ok(node)
    }

    /// Verifies a presented chain, leaf first, and returns the service it names. The checks are
    /// those of [`verify`](Self::verify), for the strict form of a service certificate.
    ///
    /// # Errors
    /// [`VerifyError`] names the first check that failed.
    pub fn verify_service(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<ServiceCertificate, VerifyError> {
        let (leaf, rest) = chain.split_first().ok_or(VerifyError::EmptyChain)?;
        let service = ServiceCertificate::from_der(leaf)?;
        self.check_swarm(&service.identity().swarm)?;
        self.check_chain(&service, false, rest, now)?;
        Ok(service)
    }

    pub(super) fn check_swarm(&self, found: &SwarmName) -> Result<(), VerifyError> {
        if *found == self.swarm {
            return Ok(());
        }
        Err(VerifyError::WrongSwarm {
            expected: self.swarm.clone(),
            found: found.clone(),
        })
    }

    /// Returns the known issuing authorities that `certificate` names: more than one when several
    /// roots certified one key.
    pub(super) fn issuers_of(&self, certificate: &Certificate) -> impl Iterator<Item = &Believed> {
        let named = |issuer: &&Believed| issuer.is_named_by(certificate);
        self.issuers.iter().filter(named)
    }

    fn check_chain(
        &self,
        leaf: &Certificate,
        signed: bool,
        presented: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let now = self.effective(now);
        let check = |issuer: &Believed| {
            if !signed {
                check_signature(leaf, issuer)?;
            }
            self.check_standing(leaf, issuer, now)
        };
        let mut fault = None;
        for issuer in self.issuers_of(leaf) {
            match check(issuer) {
                Ok(()) => return Ok(()),
                Err(found) => fault = fault.or(Some(found)),
            }
        }
        match self.find_presented(leaf, presented)? {
            Some(issuer) => check(&issuer).map_err(|found| fault.unwrap_or(found)),
            None => Err(fault.unwrap_or_else(|| VerifyError::UnknownIssuer {
                issuer: leaf.issuer(),
            })),
        }
    }

    /// Finds an issuer that is not known yet among the presented certificates; it must be signed
    /// by a root.
    fn find_presented(
        &self,
        leaf: &Certificate,
        presented: &[CertificateDer<'_>],
    ) -> Result<Option<Believed>, VerifyError> {
        for der in presented.iter().take(MAX_CHAIN) {
            let known = |authority: &Believed| authority.certificate.der() == der;
            if self.issuers.iter().any(known)
                || self.roots.iter().any(|root| known(&root.authority))
            {
                continue;
            }
            let certificate = Certificate::from_der(der)?;
            if certificate.subject_der() == leaf.issuer_der() {
                return self.check_issuer(&certificate).map(Some);
            }
        }
        Ok(None)
    }

    /// Checks everything about an issuing authority that does not change with time.
    pub(super) fn check_issuer(&self, certificate: &Certificate) -> Result<Believed, VerifyError> {
        let root = self.find_root(certificate)?;
        let not_an_issuer = |fault| VerifyError::NotAnIssuer {
            issuer: certificate.subject(),
            fault,
        };
        check_authority(certificate)
            .map_err(|_| not_an_issuer("it is no authority that signs certificates and lists"))?;
        if certificate.path_length() != Some(0) {
            return Err(not_an_issuer("its path length is not 0"));
        }
        let mut believed = Believed::new(certificate.clone())
            .map_err(|_| not_an_issuer("its key is of an algorithm that is not accepted"))?;
        check_signature(certificate, &root.authority)?;
        let twin = self
            .issuers
            .iter()
            .find(|known| known.is_certified_by(certificate));
        if let Some(twin) = twin {
            believed.take_lists_of(twin);
        }
        Ok(believed)
    }

    /// Checks everything that changes with time and lists: validities, revocations, freshness.
    /// `now` is the effective time.
    pub(super) fn check_standing(
        &self,
        node: &Certificate,
        issuer: &Believed,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        check_revocation(node, issuer)?;
        let root = self.find_root(&issuer.certificate)?;
        if let RootStanding::Retired(revocation) = root.standing {
            return Err(VerifyError::RootRetired {
                root: root.authority.certificate.subject(),
                revocation,
            });
        }
        let root = &root.authority;
        check_revocation(&issuer.certificate, root)?;
        check_validity(node, now)?;
        check_validity(&issuer.certificate, now)?;
        check_validity(&root.certificate, now)?;
        self.check_crl(issuer, now)?;
        self.check_crl(root, now)
    }

    fn check_crl(&self, authority: &Believed, now: Timestamp) -> Result<(), VerifyError> {
        let issuer = || authority.certificate.subject();
        match self.crl_state(authority, now) {
            CrlState::Fresh | CrlState::Overdue => Ok(()),
            CrlState::Missing if self.accepts_missing_crls() => Ok(()),
            CrlState::Missing => Err(VerifyError::NoCrl { issuer: issuer() }),
            CrlState::Lapsed => Err(VerifyError::CrlLapsed {
                issuer: issuer(),
                next_update: authority
                    .crl
                    .as_ref()
                    .map_or(Timestamp::MIN, |crl| crl.next_update()),
            }),
        }
    }
}

pub(super) fn check_signature(subject: &Certificate, issuer: &Believed) -> Result<(), VerifyError> {
    if subject.is_signed_by_key(&issuer.key) {
        Ok(())
    } else {
        Err(VerifyError::Signature {
            issuer: issuer.certificate.subject(),
        })
    }
}

fn check_revocation(subject: &Certificate, issuer: &Believed) -> Result<(), VerifyError> {
    match issuer.revocation(&subject.serial()) {
        Some(revocation) => Err(VerifyError::Revoked {
            subject: subject.subject(),
            revocation,
        }),
        None => Ok(()),
    }
}

pub(super) fn check_validity(certificate: &Certificate, now: Timestamp) -> Result<(), VerifyError> {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    if now < not_before {
        return Err(VerifyError::NotYetValid {
            subject: certificate.subject(),
            not_before,
            now,
            by: not_before.since(now),
        });
    }
    if now > not_after {
        return Err(VerifyError::Expired {
            subject: certificate.subject(),
            not_after,
            now,
            by: now.since(not_after),
        });
    }
    Ok(())
}
