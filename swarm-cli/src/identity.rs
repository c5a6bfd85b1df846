//! A node's identity on disk: key and chain in one file, replaced at once.

use std::path::PathBuf;

use swarm_pki::{Certificate, NodeCertificate, PrivateKey, Trust, TrustBundle};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::file;
use crate::layout::NodeLayout;

/// A node's certificate chain, its own first, and the key to it.
pub(crate) struct Identity {
    pub(crate) key: PrivateKey,
    pub(crate) chain: Vec<Certificate>,
    pub(crate) certificate: NodeCertificate,
}

impl Identity {
    /// Puts a new certificate and its key together; `chain` is what follows the certificate.
    pub(crate) fn new(
        key: PrivateKey,
        certificate: NodeCertificate,
        chain: Vec<Certificate>,
    ) -> Self {
        let chain = std::iter::once(certificate.certificate().clone())
            .chain(chain)
            .collect();
        Self {
            key,
            chain,
            certificate,
        }
    }

    /// Reads the identity of a node.
    pub(crate) fn load(layout: &NodeLayout) -> Result<Self, Error> {
        let path = layout.identity();
        let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(Error::file(&path))?);
        let corrupt = |reason: &dyn std::fmt::Display| Error::Corrupt {
            path: path.clone(),
            reason: reason.to_string(),
        };
        let split = text
            .find("-----BEGIN CERTIFICATE-----")
            .ok_or_else(|| corrupt(&"it has no certificate"))?;
        let key = PrivateKey::from_pem(&text[..split]).map_err(|error| corrupt(&error))?;
        let chain = Certificate::from_pem_chain(&text[split..]).map_err(|error| corrupt(&error))?;
        let leaf = chain
            .first()
            .ok_or_else(|| corrupt(&"it has no certificate"))?;
        let certificate = NodeCertificate::try_from(leaf).map_err(|error| corrupt(&error))?;
        Ok(Self {
            key,
            chain,
            certificate,
        })
    }

    /// Writes the identity of a node, at once.
    pub(crate) fn save(&self, layout: &NodeLayout) -> Result<(), Error> {
        let path = layout.identity();
        file::private_directory(layout.directory()).map_err(Error::file(layout.directory()))?;
        let mut text = self.key.to_pem();
        for certificate in &self.chain {
            text.push_str(&certificate.to_pem());
        }
        file::replace(&path, text.as_bytes(), 0o600).map_err(Error::file(&path))?;
        for link in layout.identity_links() {
            if !link.is_symlink() {
                std::os::unix::fs::symlink("identity.pem", &link).map_err(Error::file(&link))?;
            }
        }
        Ok(())
    }
}

/// Reads the trust that a node kept, and brings it to the present.
pub(crate) fn load_trust(
    layout: &NodeLayout,
    certificate: &NodeCertificate,
) -> Result<Trust, Error> {
    let path = layout.bundle();
    let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
    let corrupt = |reason: String| Error::Corrupt {
        path: path.clone(),
        reason,
    };
    let bundle = TrustBundle::from_pem(&text).map_err(|error| corrupt(error.to_string()))?;
    let swarm = certificate.identity().swarm.clone();
    let mut trust =
        Trust::new(swarm, bundle.roots.clone()).map_err(|error| corrupt(error.to_string()))?;
    trust.merge(&bundle, swarm_pki::Timestamp::now());
    Ok(trust)
}

/// Keeps what a node trusts, for a start with nobody to ask.
pub(crate) fn save_trust(layout: &NodeLayout, trust: &Trust) -> Result<(), Error> {
    let write = |path: PathBuf, text: &str, mode| {
        file::replace(&path, text.as_bytes(), mode).map_err(Error::file(&path))
    };
    let roots: String = trust.roots().map(Certificate::to_pem).collect();
    write(layout.roots(), &roots, 0o644)?;
    let path = layout.bundle();
    let bundle = trust.to_bundle().to_pem().map_err(|error| Error::Corrupt {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    write(path, &bundle, 0o600)
}
