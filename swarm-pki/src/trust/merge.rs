//! The union with a bundle: every entry is verified by itself.

use std::cmp::Reverse;

use super::change::{Refusal, RefusalReason, TrustChanges};
use super::verify::{check_signature, check_validity};
use super::{MAX_ISSUERS, Trust, TrustBundle, VerifyError};
use crate::{Certificate, Fingerprint, NodeCertificate, RevocationList, Timestamp};

/// How many valid certificates of one node are remembered, newest first.
const MAX_CERTIFICATES_PER_NODE: usize = 8;

impl Trust {
    /// Takes from `bundle` what proves itself, and returns what that changed.
    ///
    /// Roots need a link that a known root signed; issuing authorities the signature of a root;
    /// revocation lists that of their authority, and a higher number than the known one; node
    /// certificates that of an issuing authority, and must be neither expired nor revoked.
    /// Whatever is refused is reported and changes nothing, but for one thing: what an older list
    /// of an authority revoked stays revoked. Roots that nothing leads to are passed over. Entries
    /// that are known already cost nothing.
    pub fn merge(&mut self, bundle: &TrustBundle, now: Timestamp) -> TrustChanges {
        let mut changes = TrustChanges::default();
        let roots: Vec<_> = self.roots().cloned().collect();
        let issuers: Vec<_> = self.issuers().cloned().collect();
        changes.refused = self.merge_roots(bundle, now);
        for issuer in &bundle.issuers {
            if let Err(reason) = self.merge_issuer(issuer, now) {
                changes.refused.push(Refusal::of(issuer, reason));
            }
        }
        for crl in &bundle.crls {
            match self.merge_crl(crl, &mut changes) {
                Err(RefusalReason::UnknownAuthority)
                    if self.is_past_root(bundle, crl.issuer_der()) => {}
                Err(reason) => changes.refused.push(Refusal {
                    what: format!("revocation list {} of {}", crl.number(), crl.issuer()),
                    fingerprint: Fingerprint::of(crl.der()),
                    reason,
                }),
                Ok(()) => {}
            }
        }
        self.settle_roots();
        changes.roots_added = missing_from(&roots, self.roots());
        let counting: Vec<_> = self.roots().cloned().collect();
        changes.roots_retired = missing_from(&counting, roots.iter());
        changes.issuers_added = missing_from(&issuers, self.issuers());
        let effective = self.effective(now);
        for node in &bundle.nodes {
            if let Err(reason) = self.merge_node(node, effective) {
                changes.refused.push(Refusal::of(node, reason.into()));
            }
        }
        self.follow(now, &mut changes);
        changes
    }

    fn merge_issuer(
        &mut self,
        certificate: &Certificate,
        now: Timestamp,
    ) -> Result<(), RefusalReason> {
        if self
            .issuers
            .iter()
            .any(|known| known.certificate == *certificate)
        {
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
        Ok(())
    }

    fn merge_crl(
        &mut self,
        crl: &RevocationList,
        changes: &mut TrustChanges,
    ) -> Result<(), RefusalReason> {
        let mut found = Err(RefusalReason::UnknownAuthority);
        let mut newer = false;
        let roots = self.roots.iter_mut().filter(|root| root.is_known());
        let roots = roots.map(|root| &mut root.authority);
        for authority in roots.chain(&mut self.issuers) {
            if authority.certificate.subject_der() != crl.issuer_der() {
                continue;
            }
            if authority.crl.as_ref() == Some(crl) {
                found = Ok(());
                continue;
            }
            let taken = crl
                .verify(&authority.certificate)
                .and_then(|()| authority.take_crl(crl));
            match taken {
                Ok(replaced) => {
                    newer |= replaced;
                    found = Ok(());
                }
                Err(fault) if found.is_err() => found = Err(fault.into()),
                Err(_) => {}
            }
        }
        if newer {
            changes.crls_updated.push(crl.clone());
        }
        found
    }

    fn merge_node(&mut self, certificate: &Certificate, now: Timestamp) -> Result<(), VerifyError> {
        let fingerprint = certificate.fingerprint();
        if self.known.contains(&fingerprint) {
            return Ok(());
        }
        let node = NodeCertificate::try_from(certificate)?;
        self.check_swarm(&node.identity().swarm)?;
        if let Some(revocation) = self.revocation(&node) {
            return Err(VerifyError::Revoked {
                subject: node.subject(),
                revocation,
            });
        }
        if node.not_after() < now {
            check_validity(&node, now)?;
        }
        let mut signed = Err(VerifyError::UnknownIssuer {
            issuer: node.issuer(),
        });
        for issuer in self.issuers_of(&node) {
            signed = check_signature(&node, issuer);
            if signed.is_ok() {
                break;
            }
        }
        signed?;
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

fn missing_from<'a>(
    known: &[Certificate],
    list: impl Iterator<Item = &'a Certificate>,
) -> Vec<Certificate> {
    list.filter(|one| !known.contains(one)).cloned().collect()
}
