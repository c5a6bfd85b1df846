//! The new machine's side: everything in a grant file verified, from the pinned root down.

use super::{AcceptError, Attachment, GrantFile};
use crate::{
    Certificate, CertificateRequest, Fingerprint, NodeCertificate, SwarmName, Timestamp, Trust,
};

/// What a machine has after it accepted a grant file; all of it verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Accepted {
    /// The node's certificate, for the keys of its request.
    pub certificate: NodeCertificate,
    /// The authority that issued it.
    pub issuer: Certificate,
    /// What it was verified with: pinned to the root, revocation lists and roster included.
    pub trust: Trust,
    /// The attachments, each with the member that signed it.
    pub attachments: Vec<Attachment>,
}

impl Accepted {
    /// Returns the chain to present in TLS, the node's own certificate first.
    pub fn chain(&self) -> [Certificate; 2] {
        [self.certificate.certificate().clone(), self.issuer.clone()]
    }

    /// Returns the attachment with this label.
    pub fn attachment(&self, label: &str) -> Option<&Attachment> {
        self.attachments
            .iter()
            .find(|attachment| attachment.label == label)
    }
}

impl GrantFile {
    /// Verifies everything: the root by its fingerprint, authorities and lists by the root, the
    /// certificate by its authority, for this swarm and for the keys of `request`, and each
    /// attachment by its signer, whose certificate must itself be good.
    ///
    /// The node's name is the authority's decision; it may be another than the request hoped for.
    ///
    /// # Errors
    /// [`AcceptError`] names the first check that failed; nothing of the file is to be used then.
    pub fn accept(
        self,
        root: Fingerprint,
        swarm: &SwarmName,
        request: &CertificateRequest,
        now: Timestamp,
    ) -> Result<Accepted, AcceptError> {
        let mut bundle = self.trust;
        let pinned = bundle.roots.iter().find(|one| one.fingerprint() == root);
        let pinned = pinned.cloned().ok_or_else(|| AcceptError::WrongRoot {
            expected: root,
            found: bundle.roots.iter().map(Certificate::fingerprint).collect(),
        })?;
        let mut trust = Trust::new(swarm.clone(), vec![pinned])?;
        if !bundle.issuers.contains(&self.issuer) {
            bundle.issuers.push(self.issuer.clone());
        }
        trust.merge(&bundle, now);

        let chain = [self.certificate.der().clone()];
        let certificate = trust.verify(&chain, now).map_err(AcceptError::Untrusted)?;
        if certificate.spki_der() != request.public_key().spki_der() {
            return Err(AcceptError::OtherKey("TLS"));
        }
        if certificate.identity().wireguard_public_key != request.wireguard_public_key() {
            return Err(AcceptError::OtherKey("WireGuard"));
        }
        let is_believed = trust.issuers().any(|issuer| *issuer == self.issuer);
        if !is_believed || !certificate.is_signed_by(&self.issuer) {
            return Err(AcceptError::OtherIssuer);
        }
        let attachments = self.attachments.into_iter().map(|attachment| {
            let label = attachment.label.clone();
            let verified = attachment.verify(&certificate, &trust, now);
            verified.map_err(|source| AcceptError::Attachment { label, source })
        });
        let attachments = attachments.collect::<Result<_, _>>()?;
        Ok(Accepted {
            certificate,
            issuer: self.issuer,
            trust,
            attachments,
        })
    }
}
