//! A plain TLS service that the swarm vouches for: no node, no tunnel, no roles.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::leaf::read_leaf;
use super::names::{check_names, write_subject_alternative_name};
use super::usage::check_usages;
use super::{IdentityError, Usage};
use crate::asn1::Writer;
use crate::certificate::Extensions;
use crate::{Certificate, DnsName, ServiceName, ServiceSpiffeId, SwarmName};

/// What a service is: all that its certificate says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceIdentity {
    /// The swarm that vouches for the service.
    pub swarm: SwarmName,
    /// The service's name within the swarm; a node may have the same name and is another thing.
    pub name: ServiceName,
    /// DNS names; at most [`MAX_DNS_NAMES`](crate::MAX_DNS_NAMES), none twice.
    pub dns: Vec<DnsName>,
    /// Addresses; at most [`MAX_ADDRESSES`](crate::MAX_ADDRESSES), none twice.
    pub addresses: Vec<IpAddr>,
    /// The sides of TLS that the service may take; at least one. [`Usage::Server`] alone by
    /// default.
    pub usages: BTreeSet<Usage>,
}

impl ServiceIdentity {
    /// Makes an identity of a TLS server without DNS names and addresses; fill in the fields.
    pub fn new(swarm: SwarmName, name: ServiceName) -> Self {
        Self {
            swarm,
            name,
            dns: Vec::new(),
            addresses: Vec::new(),
            usages: [Usage::Server].into(),
        }
    }

    /// Returns the URI that names the service: `spiffe://<swarm>/service/<name>`.
    pub fn spiffe_id(&self) -> ServiceSpiffeId {
        ServiceSpiffeId::new(self.swarm.clone(), self.name.clone())
    }

    /// Checks the limits that the types alone do not hold.
    pub(crate) fn check(&self) -> Result<(), IdentityError> {
        check_names(&self.dns, &self.addresses)?;
        check_usages(&self.usages)
    }

    /// Writes the subject alternative name.
    pub(crate) fn write_extensions(&self, writer: &mut Writer) {
        let uri = self.spiffe_id().to_string();
        write_subject_alternative_name(writer, &uri, &self.dns, &self.addresses);
    }
}

/// A certificate that is a service's in every respect its bytes can show: one SPIFFE URI of a
/// service, only DNS and IP names beside it, no node's extension, no authority.
///
/// Whether to believe it is [`Trust::verify_service`](crate::Trust::verify_service)'s business.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceCertificate {
    certificate: Certificate,
    identity: Arc<ServiceIdentity>,
}

impl ServiceCertificate {
    /// Parses exactly one DER certificate, strictly.
    ///
    /// # Errors
    /// [`IdentityError`] names what is missing or too much.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let (certificate, extensions) = Certificate::parse(der)?;
        Self::read(certificate, &extensions)
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

    /// Returns what it says about the service.
    pub fn identity(&self) -> &ServiceIdentity {
        &self.identity
    }

    /// Returns the service's name.
    pub fn name(&self) -> &ServiceName {
        &self.identity.name
    }

    fn read(certificate: Certificate, extensions: &Extensions<'_>) -> Result<Self, IdentityError> {
        let leaf = read_leaf(&certificate, extensions)?;
        if leaf.swarm_extension.is_some() {
            return Err(IdentityError::Unexpected(
                "the identity extension of a node",
            ));
        }
        let id: ServiceSpiffeId = leaf.uri.parse()?;
        let identity = ServiceIdentity {
            swarm: id.swarm,
            name: id.service,
            dns: leaf.dns,
            addresses: leaf.addresses,
            usages: leaf.usages,
        };
        identity.check()?;
        Ok(Self {
            certificate,
            identity: identity.into(),
        })
    }
}

impl TryFrom<&Certificate> for ServiceCertificate {
    type Error = IdentityError;
    fn try_from(certificate: &Certificate) -> Result<Self, IdentityError> {
        let extensions = certificate.extensions()?;
        Self::read(certificate.clone(), &extensions)
    }
}

impl std::ops::Deref for ServiceCertificate {
    type Target = Certificate;
    fn deref(&self) -> &Certificate {
        &self.certificate
    }
}

impl fmt::Debug for ServiceCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceCertificate")
            .field("name", &self.identity.name)
            .field("serial", &self.certificate.serial())
            .field("not_after", &self.certificate.not_after())
            .finish_non_exhaustive()
    }
}
