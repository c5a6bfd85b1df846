//! The union with a bundle: every entry is verified by itself.

use std::cmp::Reverse;

use super::change::{Refusal, RefusalReason, TrustChanges};
use super::verify::{check_signature, check_validity};
use super::{MAX_ISSUERS, Trust, TrustBundle, VerifyError};
use crate::{Certificate, CrlError, Fingerprint, NodeCertificate, RevocationList, Timestamp};

/// How many valid certificates of one node are remembered, newest first.
const MAX_CERTIFICATES_PER_NODE: usize = 8;

impl Trust {
    /// Takes from `bundle` what proves itself, and returns what that changed.
    ///
    /// Issuing authorities need the signature of a pinned root; revocation lists that of their
    /// authority, and a higher number than the known one; node certificates that of an issuing
    /// authority, and must be neither expired nor revoked. Whatever is refused is reported and
    /// changes nothing. Entries that are known already cost nothing.
    pub fn merge(&mut self, bundle: &TrustBundle, now: Timestamp) -> TrustChanges {
        let mut changes = TrustChanges::default();
        for issuer in &bundle.issuers {
            if let Err(reason) = self.merge_issuer(issuer, now, &mut changes) {
                changes.refused.push(refusal(issuer, reason));
            }
        }
        for crl in &bundle.crls {
            if let Err(reason) = self.merge_crl(crl, &mut changes) {
                changes.refused.push(Refusal {
                    what: format!("revocation list {} of {}", crl.number(), crl.issuer()),
                    fingerprint: Fingerprint::of(crl.der()),
                    reason,
                });
            }
        }
        let effective = self.effective(now);
        for node in &bundle.nodes {
            if let Err(reason) = self.merge_node(node, effective) {
                changes.refused.push(refusal(node, reason.into()));
            }
        }
        self.follow(now, &mut changes);
        changes
    }

    fn merge_issuer(
        &mut self,
        certificate: &Certificate,
        now: Timestamp,
        changes: &mut TrustChanges,
    ) -> Result<(), RefusalReason> {
        if self.issuers().any(|known| known == certificate) {
            return Ok(());
        }
        let believed = self.check_issuer(certificate)?;
        if certificate.not_after() < self.effective(now) {
            check_validity(certificate, self.effective(now))?;
        }
        if self.issuers.len() == MAX_ISSUERS {
            return Err(RefusalReason::TooManyIssuers);
        }
        self.issuers.push(believed);
        // The newest first, so that of two certificates for one key the newer one is found.
        self.issuers.sort_by_key(|issuer| {
            (
                Reverse(issuer.certificate.not_before()),
                issuer.certificate.fingerprint(),
            )
        });
        changes.issuers_added.push(certificate.clone());
        Ok(())
    }

    fn merge_crl(
        &mut self,
        crl: &RevocationList,
        changes: &mut TrustChanges,
    ) -> Result<(), RefusalReason> {
        let mut found = Err(RefusalReason::UnknownAuthority);
        for authority in self.roots.iter_mut().chain(&mut self.issuers) {
            if authority.certificate.subject_der() != crl.issuer_der() {
                continue;
            }
            if authority.crl.as_ref() == Some(crl) {
                found = Ok(());
                continue;
            }
            if let Err(fault) = crl.verify(&authority.certificate) {
                if found.is_err() {
                    found = Err(fault.into());
                }
                continue;
            }
            let newer = match &authority.crl {
                None => true,
                Some(known) => match crl.supersedes(known) {
                    Ok(newer) => newer,
                    // Both are the authority's word: the later one counts, wherever it comes first.
                    Err(CrlError::Fork(_)) if later(crl, known) => true,
                    Err(fault) => return Err(fault.into()),
                },
            };
            found = Ok(());
            if newer {
                if let Some(known) = authority.crl.replace(crl.clone()) {
                    let gone = known
                        .iter()
                        .filter(|(serial, _)| crl.lookup(serial).is_none());
                    authority.dropped.extend(gone);
                }
                changes.crls_updated.push(crl.clone());
            }
        }
        found
    }

    fn merge_node(&mut self, certificate: &Certificate, now: Timestamp) -> Result<(), VerifyError> {
        let fingerprint = certificate.fingerprint();
        if self.known.contains(&fingerprint) {
            return Ok(());
        }
        let node = NodeCertificate::try_from(certificate)?;
        self.check_swarm(&node)?;
        let issuer = self
            .find_issuer(&node)
            .ok_or_else(|| VerifyError::UnknownIssuer {
                issuer: node.issuer(),
            })?;
        if let Some(revocation) = self.revocation(&node) {
            return Err(VerifyError::Revoked {
                subject: node.subject(),
                revocation,
            });
        }
        if node.not_after() < now {
            check_validity(&node, now)?;
        }
        check_signature(&node, issuer)?;
        self.known.insert(fingerprint);
        let list = self.candidates.entry(node.id().clone()).or_default();
        list.push(node);
        list.sort_by_cached_key(|node| {
            (
                Reverse(node.not_before()),
                Reverse(node.not_after()),
                node.fingerprint(),
            )
        });
        for forgotten in list.drain(MAX_CERTIFICATES_PER_NODE.min(list.len())..) {
            self.known.remove(&forgotten.fingerprint());
        }
        Ok(())
    }
}

/// Orders two lists with one number, the same way on every node.
fn later(offered: &RevocationList, known: &RevocationList) -> bool {
    (offered.this_update(), offered.len(), offered.der().as_ref())
        > (known.this_update(), known.len(), known.der().as_ref())
}

fn refusal(certificate: &Certificate, reason: RefusalReason) -> Refusal {
    Refusal {
        what: certificate.subject(),
        fingerprint: certificate.fingerprint(),
        reason,
    }
}
