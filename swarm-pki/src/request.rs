//! PKCS#10 bytes to a checked request.

use std::fmt;

use const_oid::db::rfc5912::ID_EXTENSION_REQ;
use der::asn1::{Any, BitString, Ia5String, SetOfVec};
use der::{Decode, Encode, Reader, SliceReader};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::attr::Attribute;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};

use crate::encode::extension;
use crate::identity::{IdentityError, SWARM_EXTENSION, SwarmExtension};
use crate::key::{KeyError, PublicKey, SignError, Signer, write_pem};
use crate::{NodeId, SpiffeId, SwarmName};

/// The longest request that is read, in bytes of DER.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// A certificate request was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Longer than [`MAX_REQUEST_BYTES`] of DER.
    #[error("request of {0} bytes is longer than {MAX_REQUEST_BYTES}")]
    TooLong(usize),
    /// Not exactly one DER PKCS#10 request, or not one PEM block `CERTIFICATE REQUEST`.
    #[error("not a well-formed PKCS#10 request")]
    Malformed,
    /// The key is of an algorithm that is not accepted, or malformed.
    #[error("the requested key is not accepted")]
    Key(#[from] KeyError),
    /// The signature does not prove possession of the private key.
    #[error("the request is not signed by the key that it asks a certificate for")]
    ProofOfPossession,
    /// The extension with the WireGuard key is missing or malformed.
    #[error("the request does not carry the node's WireGuard key")]
    Identity(#[from] IdentityError),
}

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
        let uri = Ia5String::new(&claimed.to_string()).expect("names are ASCII");
        let san = SubjectAltName(vec![GeneralName::UniformResourceIdentifier(uri)]);
        let identity = SwarmExtension {
            wireguard_public_key,
            roles: Default::default(),
        };
        let extensions = ExtensionReq(vec![
            extension(const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME, false, &san),
            identity.to_extension(),
        ]);
        let attributes = SetOfVec::try_from(vec![Attribute {
            oid: ID_EXTENSION_REQ,
            values: Any::encode_from(&extensions)
                .and_then(|value| SetOfVec::try_from(vec![value]))
                .map_err(SignError::new)?,
        }])
        .map_err(SignError::new)?;
        let public_key = signer.public_key().clone();
        let info = CertReqInfo {
            version: Version::V1,
            subject: crate::authority::name(id.as_str(), swarm),
            public_key: SubjectPublicKeyInfoOwned::from_der(public_key.spki_der())
                .map_err(SignError::new)?,
            attributes,
        };
        let signature = signer.sign(&info.to_der().map_err(SignError::new)?)?;
        let request = CertReq {
            info,
            algorithm: public_key.algorithm().signature_algorithm(),
            signature: BitString::from_bytes(&signature).map_err(SignError::new)?,
        };
        let der = request.to_der().map_err(SignError::new)?;
        Ok(Self {
            der,
            public_key,
            wireguard_public_key,
            claimed: Some(claimed),
        })
    }

    /// Parses exactly one DER request and verifies its proof of possession.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong(der.len()));
        }
        let malformed = |_| RequestError::Malformed;
        let request = CertReq::from_der(der).map_err(malformed)?;
        let spki = request.info.public_key.to_der().map_err(malformed)?;
        let public_key = PublicKey::from_spki_der(&spki)?;
        let signed = signed_part(der).map_err(malformed)?;
        let signature = request
            .signature
            .as_bytes()
            .ok_or(RequestError::Malformed)?;
        if request.algorithm != public_key.algorithm().signature_algorithm()
            || !public_key.verify(signed, signature)
        {
            return Err(RequestError::ProofOfPossession);
        }
        let extensions = requested_extensions(&request)?;
        let mut of_ours = extensions.iter().filter(|e| e.extn_id == SWARM_EXTENSION);
        let identity = match (of_ours.next(), of_ours.next()) {
            (Some(one), None) => SwarmExtension::from_der(one.extn_value.as_bytes())?,
            (None, _) => return Err(IdentityError::Missing("the identity extension").into()),
            (Some(_), Some(_)) => return Err(RequestError::Malformed),
        };
        let claimed = extensions.iter().find_map(claimed_name);
        Ok(Self {
            der: der.to_vec(),
            public_key,
            wireguard_public_key: identity.wireguard_public_key,
            claimed,
        })
    }

    /// Parses one PEM block `CERTIFICATE REQUEST`.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_pem(pem: &str) -> Result<Self, RequestError> {
        if pem.len() > 2 * MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong(pem.len()));
        }
        match der::pem::decode_vec(pem.as_bytes()) {
            Ok(("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST", der)) => Self::from_der(&der),
            _ => Err(RequestError::Malformed),
        }
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

/// The bytes that were signed, exactly as they came.
fn signed_part(der: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|fields| {
        let info = fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        Ok::<_, der::Error>(info)
    })
}

fn requested_extensions(request: &CertReq) -> Result<Vec<Extension>, RequestError> {
    let mut all = Vec::new();
    for attribute in request
        .info
        .attributes
        .iter()
        .filter(|a| a.oid == ID_EXTENSION_REQ)
    {
        for value in attribute.values.iter() {
            let list: Vec<Extension> = value.decode_as().map_err(|_| RequestError::Malformed)?;
            all.extend(list);
        }
    }
    Ok(all)
}

fn claimed_name(extension: &Extension) -> Option<SpiffeId> {
    if extension.extn_id != const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME {
        return None;
    }
    let san = SubjectAltName::from_der(extension.extn_value.as_bytes()).ok()?;
    san.0.iter().find_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => uri.as_str().parse().ok(),
        _ => None,
    })
}
