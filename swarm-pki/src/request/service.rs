//! A service's request.

use std::fmt;

use super::RequestError;
use super::pkcs10::{self, Pkcs10};
use crate::key::{PublicKey, SignError, Signer, write_pem};
use crate::{ServiceName, ServiceSpiffeId, SwarmName};

/// A request whose signer has proved to hold the private key, for a service.
///
/// Any PKCS#10 request will do, such as `openssl req -new` makes. Names, usages and lifetimes that
/// it asks for are not looked at: certificates are issued from policy alone.
#[derive(Clone)]
pub struct ServiceRequest {
    der: Vec<u8>,
    public_key: PublicKey,
    claimed: Option<ServiceSpiffeId>,
}

impl ServiceRequest {
    /// Makes a request for the service `name` of `swarm`, signed with the service's own key.
    ///
    /// # Errors
    /// [`SignError`] when the signer fails.
    pub fn build(
        signer: &dyn Signer,
        swarm: &SwarmName,
        name: &ServiceName,
    ) -> Result<Self, SignError> {
        let claimed = ServiceSpiffeId::new(swarm.clone(), name.clone());
        let subject = crate::authority::service_name(name, swarm);
        let der = pkcs10::build(signer, &subject, &claimed.to_string(), [])?;
        Ok(Self {
            der,
            public_key: signer.public_key().clone(),
            claimed: Some(claimed),
        })
    }

    /// Parses exactly one DER request and verifies its proof of possession.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        let request = Pkcs10::from_der(der)?;
        Ok(Self {
            der: der.to_vec(),
            claimed: request.claimed(),
            public_key: request.public_key,
        })
    }

    /// Parses one PEM block `CERTIFICATE REQUEST`.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_pem(pem: &str) -> Result<Self, RequestError> {
        Self::from_der(&pkcs10::read_pem(pem)?)
    }

    /// Returns the DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the PEM block `CERTIFICATE REQUEST`.
    pub fn to_pem(&self) -> String {
        write_pem("CERTIFICATE REQUEST", &self.der)
    }

    /// Returns the key that a certificate is asked for.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns the name that the requester hopes for. Nothing is proved by it.
    pub fn claimed_service(&self) -> Option<&ServiceSpiffeId> {
        self.claimed.as_ref()
    }
}

impl fmt::Debug for ServiceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceRequest")
            .field("public_key", &self.public_key)
            .field("claimed", &self.claimed.as_ref().map(ToString::to_string))
            .finish_non_exhaustive()
    }
}
