//! The union with a bundle: every entry is verified by itself.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use super::authority::Believed;
use super::change::{Refusal, RefusalReason, TrustChanges};
use super::roster::Settled;
use super::verify::{check_signature, check_validity};
use super::{MAX_ISSUERS, Trust, TrustBundle, VerifyError};
use crate::{Certificate, Fingerprint, NodeCertificate, NodeId, RevocationList, Timestamp};

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
        let dropped = self.dropped();
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
        if !changes.is_empty() || self.dropped() != dropped {
            self.settled = Settled::default();
        }
        let newcomers = self.merge_nodes(&bundle.nodes, self.effective(now), &mut changes);
        self.follow(now, newcomers, &mut changes);
        changes
    }

    /// How much of older lists is remembered; it only grows.
    fn dropped(&self) -> usize {
        let roots = self.roots.iter().map(|root| &root.authority);
        roots.chain(&self.issuers).map(Believed::dropped).sum()
    }

    /// Verifies the node certificates that are not known yet, on all processors, and takes them in
    /// their order; returns whose they are.
    fn merge_nodes(
        &mut self,
        nodes: &[Certificate],
        now: Timestamp,
        changes: &mut TrustChanges,
    ) -> BTreeSet<NodeId> {
        let unknown: Vec<&Certificate> = nodes
            .iter()
            .filter(|node| !self.known.contains(node))
            .collect();
        let verified = in_parallel(&unknown, |node| self.check_node(node, now));
        let mut newcomers = BTreeSet::new();
        for (certificate, verdict) in unknown.into_iter().zip(verified) {
            match verdict {
                Ok(node) => {
                    newcomers.insert(node.id().clone());
                    self.take_node(node);
                }
                Err(reason) => changes
                    .refused
                    .push(Refusal::of(certificate, reason.into())),
            }
        }
        newcomers
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

    fn check_node(
        &self,
        certificate: &Certificate,
        now: Timestamp,
    ) -> Result<NodeCertificate, VerifyError> {
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
        signed.map(|()| node)
    }

    fn take_node(&mut self, node: NodeCertificate) {
        if self.known.contains(&node) {
            return;
        }
        let known = Arc::make_mut(&mut self.known);
        known.insert(&node);
        let candidates = Arc::make_mut(&mut self.candidates);
        let list = candidates.entry(node.id().clone()).or_default();
        list.push(node);
        list.sort_by(|one, other| {
            let newest = |node: &NodeCertificate| Reverse((node.not_before(), node.not_after()));
            let by_time = newest(one).cmp(&newest(other));
            by_time.then_with(|| one.signed_der().cmp(other.signed_der()))
        });
        for forgotten in list.drain(MAX_CERTIFICATES_PER_NODE.min(list.len())..) {
            known.remove(&forgotten);
        }
    }
}

/// So few that another thread takes longer to start than to verify them.
const FEW: usize = 32;

/// Applies `check` to every item; the results are in the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], check: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    if processors == 1 || items.len() <= FEW {
        return items.iter().map(check).collect();
    }
    let share = items.len().div_ceil(processors);
    thread::scope(|scope| {
        let check = &check;
        let workers: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().map(check).collect::<Vec<R>>()))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("checks do not panic"))
            .collect()
    })
}

fn missing_from<'a>(
    known: &[Certificate],
    list: impl Iterator<Item = &'a Certificate>,
) -> Vec<Certificate> {
    list.filter(|one| !known.contains(one)).cloned().collect()
}
