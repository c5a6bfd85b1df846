//! Issues from policy, never from what a request asks for; times and serial numbers are arguments.

use std::fmt;
use std::sync::Arc;

use crate::asn1::{Writer, tag};
use crate::encode::CertificateFields;
use crate::key::{KeyError, PublicKey, SignError, Signer};
use crate::profile::{write_authority_extensions, write_leaf_extensions};
use crate::{
    Certificate, CrlContents, IdentityError, NodeCertificate, NodeId, NodeIdentity, RevocationList,
    SerialNumber, ServiceCertificate, ServiceIdentity, ServiceName, SwarmName, Validity,
};

/// An authority could not be made, or could not issue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The signer's key is not the certificate's.
    #[error("the key does not belong to the authority's certificate")]
    KeyMismatch,
    /// The certificate is none of an authority: basic constraints, key usage or key identifier.
    #[error("the certificate is not an authority's: {0}")]
    NotAnAuthority(&'static str),
    /// The certificate's key is of an algorithm that is not accepted.
    #[error("the authority's key is not accepted")]
    Key(#[from] KeyError),
    /// The authority's path length allows no authority below it.
    #[error("this authority may not issue for another authority")]
    PathLength,
    /// A link can only lead to another root, self-signed, with issuing authorities below it.
    #[error("{0} is not another root")]
    NotARoot(String),
    /// The asked validity lies wholly outside the authority's own.
    #[error("the authority is valid from {} to {} only", .authority.not_before, .authority.not_after)]
    OutsideValidity {
        /// The authority's own validity.
        authority: Validity,
    },
    /// The identity breaks a limit.
    #[error("the identity cannot be certified")]
    Identity(#[from] IdentityError),
    /// The signer failed.
    #[error("signing failed")]
    Sign(#[from] SignError),
}

/// An authority that can sign: its certificate, and a signer for its key.
#[derive(Clone)]
pub struct Authority {
    certificate: Certificate,
    signer: Arc<dyn Signer>,
    key_id: Vec<u8>,
}

impl Authority {
    /// Puts a certificate and its signer together.
    ///
    /// # Errors
    /// [`AuthorityError`] when they do not belong together or cannot issue.
    pub fn new(
        certificate: Certificate,
        signer: impl Signer + 'static,
    ) -> Result<Self, AuthorityError> {
        if certificate.public_key()? != *signer.public_key() {
            return Err(AuthorityError::KeyMismatch);
        }
        check_authority(&certificate)?;
        let key_id = certificate
            .subject_key_id()
            .ok_or(AuthorityError::NotAnAuthority("no subject key identifier"))?
            .to_vec();
        Ok(Self {
            certificate,
            signer: Arc::new(signer),
            key_id,
        })
    }

    /// Makes a self-signed root: path length 2, for issuing authorities and for a link to the next
    /// root ([`link_root`](Self::link_root)) with its issuing authorities below it.
    ///
    /// Every root has a name of its own (generation and key identifier are part of it), because
    /// verifiers find revocation lists by the issuer's name.
    ///
    /// # Errors
    /// [`AuthorityError::Sign`].
    pub fn create_root(
        swarm: &SwarmName,
        generation: u32,
        signer: impl Signer + 'static,
        serial: SerialNumber,
        validity: Validity,
    ) -> Result<Self, AuthorityError> {
        let key = signer.public_key().clone();
        let subject = name_der(&authority_name("root", generation, &key), swarm);
        let certificate = CertificateFields {
            serial,
            issuer: &subject,
            validity,
            subject: &subject,
            spki: key.spki_der(),
        }
        .sign(&signer, |writer| {
            write_authority_extensions(writer, &key.key_id(), &key.key_id(), 2);
        })?;
        Self::new(certificate, signer)
    }

    /// Issues the certificate of an issuing authority: path length 0, so only nodes below it.
    /// The validity is cut down to what lies within this authority's own.
    ///
    /// # Errors
    /// [`AuthorityError::PathLength`] when called on an issuing authority,
    /// [`AuthorityError::OutsideValidity`], [`AuthorityError::Sign`].
    pub fn issue_authority(
        &self,
        swarm: &SwarmName,
        generation: u32,
        key: &PublicKey,
        serial: SerialNumber,
        validity: Validity,
    ) -> Result<Certificate, AuthorityError> {
        if self.certificate.path_length() == Some(0) {
            return Err(AuthorityError::PathLength);
        }
        let subject = name_der(&authority_name("issuing", generation, key), swarm);
        let fields = CertificateFields {
            serial,
            issuer: self.certificate.subject_der(),
            validity: self.cut(validity)?,
            subject: &subject,
            spki: key.spki_der(),
        };
        Ok(fields.sign(&self.signer, |writer| {
            write_authority_extensions(writer, &key.key_id(), &self.key_id, 0);
        })?)
    }

    /// Certifies the name and key of the next root: the certificate "NewWithOld" of
    /// [RFC 4210 §4.4](https://www.rfc-editor.org/rfc/rfc4210#section-4.4), path length 1. Whoever
    /// knows this root can follow to the new one by it, until the validity ends; the validity is
    /// cut down to what lies within this authority's own.
    ///
    /// # Errors
    /// [`AuthorityError::NotARoot`], [`AuthorityError::PathLength`] when called on an issuing
    /// authority, [`AuthorityError::OutsideValidity`], [`AuthorityError::Sign`].
    pub fn link_root(
        &self,
        new_root: &Certificate,
        serial: SerialNumber,
        validity: Validity,
    ) -> Result<Certificate, AuthorityError> {
        if self.certificate.path_length().is_some_and(|most| most < 2) {
            return Err(AuthorityError::PathLength);
        }
        check_authority(new_root)?;
        let is_root = new_root.is_signed_by(new_root) && new_root.path_length() != Some(0);
        if !is_root || new_root.subject_der() == self.certificate.subject_der() {
            return Err(AuthorityError::NotARoot(new_root.subject()));
        }
        let key = new_root.public_key()?;
        let key_id = new_root
            .subject_key_id()
            .ok_or(AuthorityError::NotAnAuthority("no subject key identifier"))?;
        let fields = CertificateFields {
            serial,
            issuer: self.certificate.subject_der(),
            validity: self.cut(validity)?,
            subject: new_root.subject_der(),
            spki: key.spki_der(),
        };
        Ok(fields.sign(&self.signer, |writer| {
            write_authority_extensions(writer, key_id, &self.key_id, 1);
        })?)
    }

    /// Issues a node certificate for `key` that says exactly `identity`. The validity is cut down
    /// to what lies within this authority's own.
    ///
    /// `serial` is drawn anew for every call ([`SerialNumber::from_random`]), renewals included.
    ///
    /// # Errors
    /// [`AuthorityError::Identity`] when the identity breaks a limit,
    /// [`AuthorityError::OutsideValidity`], [`AuthorityError::Sign`].
    pub fn issue_node(
        &self,
        key: &PublicKey,
        identity: &NodeIdentity,
        serial: SerialNumber,
        validity: Validity,
    ) -> Result<NodeCertificate, AuthorityError> {
        identity.check()?;
        let fields = CertificateFields {
            serial,
            issuer: self.certificate.subject_der(),
            validity: self.cut(validity)?,
            subject: &node_name(&identity.id, &identity.swarm),
            spki: key.spki_der(),
        };
        let certificate = fields.sign(&self.signer, |writer| {
            write_leaf_extensions(writer, &identity.usages, &key.key_id(), &self.key_id);
            identity.write_extensions(writer);
        })?;
        Ok(NodeCertificate::issued(certificate, identity.clone()))
    }

    /// Issues a service certificate for `key` that says exactly `identity`; serial number and
    /// validity as for [`issue_node`](Self::issue_node).
    ///
    /// # Errors
    /// As [`issue_node`](Self::issue_node).
    pub fn issue_service(
        &self,
        key: &PublicKey,
        identity: &ServiceIdentity,
        serial: SerialNumber,
        validity: Validity,
    ) -> Result<ServiceCertificate, AuthorityError> {
        identity.check()?;
        let fields = CertificateFields {
            serial,
            issuer: self.certificate.subject_der(),
            validity: self.cut(validity)?,
            subject: &service_name(&identity.name, &identity.swarm),
            spki: key.spki_der(),
        };
        let certificate = fields.sign(&self.signer, |writer| {
            write_leaf_extensions(writer, &identity.usages, &key.key_id(), &self.key_id);
            identity.write_extensions(writer);
        })?;
        Ok(ServiceCertificate::try_from(&certificate)?)
    }

    /// Signs a revocation list over this authority's certificates.
    ///
    /// # Errors
    /// [`AuthorityError::Sign`].
    pub fn sign_crl(&self, contents: &CrlContents) -> Result<RevocationList, AuthorityError> {
        let issuer = self.certificate.subject_der();
        Ok(contents.sign(issuer, &self.key_id, &self.signer)?)
    }

    /// Returns the authority's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn cut(&self, validity: Validity) -> Result<Validity, AuthorityError> {
        let authority = Validity {
            not_before: self.certificate.not_before(),
            not_after: self.certificate.not_after(),
        };
        validity
            .within(authority)
            .ok_or(AuthorityError::OutsideValidity { authority })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Checks that a certificate may sign certificates and revocation lists.
pub(crate) fn check_authority(certificate: &Certificate) -> Result<(), AuthorityError> {
    if !certificate.is_authority() {
        return Err(AuthorityError::NotAnAuthority("basic constraints say so"));
    }
    match certificate.key_usage() {
        Some(usage) if usage.key_cert_sign() && usage.crl_sign() => Ok(()),
        _ => Err(AuthorityError::NotAnAuthority(
            "keyCertSign and cRLSign are both needed",
        )),
    }
}

/// A name that no other key of any generation has.
fn authority_name(kind: &str, generation: u32, key: &PublicKey) -> String {
    format!("{kind} {generation} {}", hex::encode(&key.key_id()[..4]))
}

fn name_der(common_name: &str, swarm: &SwarmName) -> Vec<u8> {
    write_name(&[(ORGANIZATION, swarm.as_str()), (COMMON_NAME, common_name)])
}

/// The name `CN=<id>,O=<swarm>`. Not empty, because nats-server 2.9 looks past the DNS names of a
/// certificate with an empty subject.
pub(crate) fn node_name(id: &NodeId, swarm: &SwarmName) -> Vec<u8> {
    name_der(id.as_str(), swarm)
}

/// The name `CN=<name>,OU=service,O=<swarm>`, which is no node's.
pub(crate) fn service_name(name: &ServiceName, swarm: &SwarmName) -> Vec<u8> {
    write_name(&[
        (ORGANIZATION, swarm.as_str()),
        (ORGANIZATIONAL_UNIT, "service"),
        (COMMON_NAME, name.as_str()),
    ])
}

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];

/// Writes a Name of one attribute after the other; the last one is the first as text (RFC 4514).
fn write_name(attributes: &[(&[u8], &str)]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(128);
    writer.sequence(|sets| {
        for (oid, text) in attributes {
            sets.nested(tag::SET, |set| {
                set.sequence(|attribute| {
                    attribute.primitive(tag::OBJECT_IDENTIFIER, oid);
                    attribute.primitive(tag::UTF8_STRING, text.as_bytes());
                });
            });
        }
    });
    writer.into_der()
}
