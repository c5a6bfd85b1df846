//! A certificate that is a node's.

use std::fmt;

use super::leaf::read_leaf;
use super::{IdentityError, NodeIdentity};
use crate::certificate::Extensions;
use crate::{Certificate, NodeId, SpiffeId};

/// A certificate that is a node certificate in every respect its bytes can show: one SPIFFE URI,
/// only DNS and IP names beside it, the swarm extension, the usages of a node, no authority.
///
/// Whether to believe it is [`Trust::verify`](crate::Trust::verify)'s business.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    certificate: Certificate,
    identity: std::sync::Arc<NodeIdentity>,
}

impl NodeCertificate {
    /// Parses exactly one DER certificate, strictly.
    ///
    /// # Errors
    /// [`IdentityError`] names what is missing or too much.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let (certificate, extensions) = Certificate::parse(der)?;
        let identity = read_identity(&certificate, &extensions)?;
        Ok(Self {
            certificate,
            identity: identity.into(),
        })
    }

    /// Puts a certificate and what it was just made to say together.
    pub(crate) fn issued(certificate: Certificate, identity: NodeIdentity) -> Self {
        Self {
            certificate,
            identity: identity.into(),
        }
    }

    /// Parses one PEM block `CERTIFICATE`, strictly.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        Self::try_from(&Certificate::from_pem(pem)?)
    }

    /// Returns the certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns what it says about the node.
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// Returns the node's name.
    pub fn id(&self) -> &NodeId {
        &self.identity.id
    }
}

impl TryFrom<&Certificate> for NodeCertificate {
    type Error = IdentityError;
    fn try_from(certificate: &Certificate) -> Result<Self, IdentityError> {
        let extensions = certificate.extensions()?;
        let identity = read_identity(certificate, &extensions)?;
        Ok(Self {
            certificate: certificate.clone(),
            identity: identity.into(),
        })
    }
}

impl std::ops::Deref for NodeCertificate {
    type Target = Certificate;
    fn deref(&self) -> &Certificate {
        &self.certificate
    }
}

impl fmt::Debug for NodeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCertificate")
            .field("id", &self.identity.id)
            .field("serial", &self.certificate.serial())
            .field("not_after", &self.certificate.not_after())
            .finish_non_exhaustive()
    }
}

fn read_identity(
    certificate: &Certificate,
    extensions: &Extensions<'_>,
) -> Result<NodeIdentity, IdentityError> {
    let leaf = read_leaf(certificate, extensions)?;
    let extension = leaf
        .swarm_extension
        .ok_or(IdentityError::Missing("the identity extension"))?;
    let id: SpiffeId = leaf.uri.parse()?;
    let identity = NodeIdentity {
        swarm: id.swarm,
        id: id.node,
        dns: leaf.dns,
        addresses: leaf.addresses,
        wireguard_public_key: extension.wireguard_public_key,
        roles: extension.roles,
        usages: leaf.usages,
    };
    identity.check()?;
    Ok(identity)
}
