//! A certificate that is a node's.

use std::fmt;

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH,
};
use der::Decode;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use super::names::read_names;
use super::{IdentityError, NodeIdentity, SWARM_EXTENSION, SwarmExtension};
use crate::{Certificate, CertificateError, NodeId};

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
        let (certificate, x509) = Certificate::parse(der)?;
        let identity = read_identity(&certificate, &x509)?;
        Ok(Self {
            certificate,
            identity: identity.into(),
        })
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
        let x509 = x509_cert::Certificate::from_der(certificate.der())
            .map_err(|_| CertificateError::Malformed)?;
        let identity = read_identity(certificate, &x509)?;
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
    x509: &x509_cert::Certificate,
) -> Result<NodeIdentity, IdentityError> {
    let mut names = None;
    let mut swarm_extension = None;
    let mut purposes = None;
    for extension in x509.tbs_certificate().extensions().into_iter().flatten() {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            ID_CE_SUBJECT_ALT_NAME => {
                let san = SubjectAltName::from_der(value)
                    .map_err(|_| IdentityError::Malformed("subject alternative name"))?;
                names = Some(san.0);
            }
            SWARM_EXTENSION => swarm_extension = Some(SwarmExtension::from_der(value)?),
            ID_CE_EXT_KEY_USAGE => {
                let usage = ExtendedKeyUsage::from_der(value)
                    .map_err(|_| IdentityError::Malformed("extended key usage"))?;
                purposes = Some(usage.0);
            }
            ID_CE_BASIC_CONSTRAINTS
            | ID_CE_KEY_USAGE
            | ID_CE_SUBJECT_KEY_IDENTIFIER
            | ID_CE_AUTHORITY_KEY_IDENTIFIER => {}
            oid if extension.critical => {
                return Err(IdentityError::UnknownCriticalExtension(oid.to_string()));
            }
            _ => {}
        }
    }
    if certificate.is_authority() {
        return Err(IdentityError::Usage("a node is no authority"));
    }
    let usage = certificate
        .key_usage()
        .ok_or(IdentityError::Missing("key usage"))?;
    if !usage.digital_signature() {
        return Err(IdentityError::Usage("digitalSignature is missing"));
    }
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(IdentityError::Usage("a node signs no certificates"));
    }
    let purposes = purposes.ok_or(IdentityError::Missing("extended key usage"))?;
    if !purposes.contains(&ID_KP_SERVER_AUTH) || !purposes.contains(&ID_KP_CLIENT_AUTH) {
        return Err(IdentityError::Usage(
            "serverAuth and clientAuth are both needed",
        ));
    }
    let extension = swarm_extension.ok_or(IdentityError::Missing("the identity extension"))?;
    let names = names.ok_or(IdentityError::Missing("the subject alternative name"))?;
    let (spiffe, dns, addresses) = read_names(&names)?;
    let identity = NodeIdentity {
        swarm: spiffe.swarm,
        id: spiffe.node,
        dns,
        addresses,
        wireguard_public_key: extension.wireguard_public_key,
        roles: extension.roles,
    };
    identity.check()?;
    Ok(identity)
}
