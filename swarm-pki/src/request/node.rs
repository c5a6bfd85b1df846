//! A node's request.

use std::fmt;

use super::RequestError;
use super::pkcs10::{self, Pkcs10};
use crate::identity::{IdentityError, SWARM_EXTENSION, SwarmExtension};
use crate::key::{PublicKey, SignError, Signer, write_pem};
use crate::{NodeId, SpiffeId, SwarmName};

/// A request whose signer has proved to hold the private key, with the node's WireGuard key.
///
/// Names, usages and lifetimes that a request asks for are not looked at: certificates are issued
/// from policy alone. [`claimed_node`](Self::claimed_node) is the name that the requester hopes
/// for, good for messages only.
#[derive(Clone)]
pub struct CertificateRequest {
    der: Vec<u8>,
    public_key: PublicKey,
    wireguard_public_key: [u8; 32],
    claimed: Option<SpiffeId>,
}

impl CertificateRequest {
    /// Makes a request for the node `id` of `swarm`, signed with the node's own key.
    ///
    /// # Errors
    /// [`SignError`] when the signer fails.
    pub fn build(
        signer: &dyn Signer,
        swarm: &SwarmName,
        id: &NodeId,
        wireguard_public_key: [u8; 32],
    ) -> Result<Self, SignError> {
        let claimed = SpiffeId::new(swarm.clone(), id.clone());
        let identity = SwarmExtension {
            wireguard_public_key,
            roles: Default::default(),
        };
        let subject = crate::authority::node_name(id, swarm);
        let extensions = [identity.to_extension()];
        let der = pkcs10::build(signer, &subject, &claimed.to_string(), extensions)?;
        Ok(Self {
            der,
            public_key: signer.public_key().clone(),
            wireguard_public_key,
            claimed: Some(claimed),
        })
    }

    /// Parses exactly one DER request and verifies its proof of possession.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        let request = Pkcs10::from_der(der)?;
        let identity = request
            .extension(SWARM_EXTENSION)?
            .ok_or(IdentityError::Missing("the identity extension"))?;
        let identity = SwarmExtension::from_der(identity)?;
        Ok(Self {
            der: der.to_vec(),
            wireguard_public_key: identity.wireguard_public_key,
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

    /// Returns the WireGuard key that the certificate shall carry.
    pub fn wireguard_public_key(&self) -> [u8; 32] {
        self.wireguard_public_key
    }

    /// Returns the name that the requester hopes for. Nothing is proved by it.
    pub fn claimed_node(&self) -> Option<&SpiffeId> {
        self.claimed.as_ref()
    }
}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRequest")
            .field("public_key", &self.public_key)
            .field("claimed", &self.claimed.as_ref().map(ToString::to_string))
            .finish_non_exhaustive()
    }
}
