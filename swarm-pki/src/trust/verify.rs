//! Chain, time, revocation and identity of a node certificate, in one call.

use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::crl::CrlState;
use super::{Believed, Trust};
use crate::authority::check_authority;
use crate::timestamp::Spoken;
use crate::{
    Certificate, CertificateError, IdentityError, NodeCertificate, Revocation, SwarmName, Timestamp,
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
    /// The certificate is not a node's.
    #[error("not a node certificate")]
    Identity(#[from] IdentityError),
    /// The node belongs to another swarm.
    #[error("the node belongs to the swarm {found}, not to {expected}")]
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
    #[error("{issuer} may not issue for nodes: {fault}")]
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
        self.check_swarm(&node)?;
        let now = self.effective(now);
        let presented;
        let issuer = match self.find_issuer(&node) {
            Some(issuer) => issuer,
            None => {
                presented = self.find_presented(&node, rest)?;
                &presented
            }
        };
        if !self.known.contains(&node.fingerprint()) {
            check_signature(&node, issuer)?;
        }
        self.check_standing(&node, issuer, now)?;
        Ok(node)
    }

    pub(super) fn check_swarm(&self, node: &NodeCertificate) -> Result<(), VerifyError> {
        let found = &node.identity().swarm;
        if *found == self.swarm {
            return Ok(());
        }
        Err(VerifyError::WrongSwarm {
            expected: self.swarm.clone(),
            found: found.clone(),
        })
    }

    pub(super) fn find_issuer(&self, node: &Certificate) -> Option<&Believed> {
        self.issuers.iter().find(|issuer| issuer.is_named_by(node))
    }

    /// Finds the issuer among the presented certificates; it must be signed by a pinned root.
    fn find_presented(
        &self,
        node: &Certificate,
        presented: &[CertificateDer<'_>],
    ) -> Result<Believed, VerifyError> {
        for der in presented.iter().take(MAX_CHAIN) {
            let certificate = Certificate::from_der(der)?;
            if certificate.subject_der() == node.issuer_der()
                && !self.roots().any(|root| *root == certificate)
            {
                return self.check_issuer(&certificate);
            }
        }
        Err(VerifyError::UnknownIssuer {
            issuer: node.issuer(),
        })
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
        let believed = Believed::new(certificate.clone())
            .map_err(|_| not_an_issuer("its key is of an algorithm that is not accepted"))?;
        check_signature(certificate, root)?;
        Ok(believed)
    }

    fn find_root(&self, certificate: &Certificate) -> Result<&Believed, VerifyError> {
        self.roots
            .iter()
            .find(|root| root.is_named_by(certificate))
            .ok_or_else(|| VerifyError::UnknownIssuer {
                issuer: certificate.issuer(),
            })
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
