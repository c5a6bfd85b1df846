//! A fleet for the examples: an authority in a directory that goes away again, and its nodes.

use std::{error::Error, sync::Arc};

use swarm_pki::{
    CertificateRequest, KeyAlgorithm, PrivateKey, RevocationReason, Timestamp,
    store::{Grant, Store, StoreSpec, Target},
    tls::MeshTls,
};

/// An authority and where it lives.
pub(crate) struct Fleet {
    store: Store,
    _directory: tempfile::TempDir,
}

impl Fleet {
    /// Makes the authority, as `swarm bootstrap` does.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let spec = StoreSpec::new("fleet".parse()?, "fleet.internal".parse()?);
        let place = directory.path().join("ca");
        Ok(Self {
            store: Store::init(place, spec, "example", Timestamp::now())?,
            _directory: directory,
        })
    }

    /// Makes a node that has one role, and what it needs for TLS.
    ///
    /// In a fleet of machines the key is made on the node and stays there; see `enroll`.
    pub(crate) fn node(&self, id: &str, role: &str) -> Result<MeshTls, Box<dyn Error>> {
        let now = Timestamp::now();
        let key = Arc::new(PrivateKey::generate(KeyAlgorithm::P256)?);
        // Stands for the public key of the node's tunnel.
        let mut wireguard = [1; 32];
        wireguard[..id.len()].copy_from_slice(id.as_bytes());
        let request = CertificateRequest::build(&*key, &"fleet".parse()?, &id.parse()?, wireguard)?;
        let mut grant = Grant::new(id.parse()?);
        grant.roles.insert(role.parse()?);
        let issued = self.store.issue(&request, &grant, "example", now)?;
        let chain = [issued.certificate.certificate().clone(), issued.issuer];
        Ok(MeshTls::new(&chain, key, self.store.trust(now)?)?)
    }

    /// Revokes a node; the others trust it no more as soon as they have this news.
    #[allow(dead_code, reason = "not every example revokes")]
    pub(crate) fn revoke(&self, id: &str) -> Result<swarm_pki::TrustBundle, Box<dyn Error>> {
        let (now, node) = (Timestamp::now(), Target::Node(id.parse()?));
        let reason = RevocationReason::KeyCompromise;
        self.store.revoke(&node, reason, "example", now)?;
        Ok(self.store.bundle(now)?)
    }
}
