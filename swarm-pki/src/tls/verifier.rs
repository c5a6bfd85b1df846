//! The verifier of every handshake: it asks the trust of the moment.

use std::{fmt, iter, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Shared;
use crate::{
    NodeCertificate, NodeId, Role, ServiceCertificate, ServiceName, Trust, Usage, VerifyError,
};

/// Whom one side expects to find at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// This one node.
    Node(NodeId),
    /// Any node that has the role.
    Role(Role),
    /// Any node with a trusted certificate.
    AnyMember,
    /// Whoever one of these describes.
    AnyOf(Vec<Expected>),
    /// This service, which is no node. Services are connected to; a server lets none in.
    Service(ServiceName),
}

impl Expected {
    /// Says whether the holder of a verified certificate is the one that is expected.
    ///
    /// # Errors
    /// [`WrongPeer`] names who it is instead.
    pub fn check(&self, certificate: &NodeCertificate) -> Result<(), WrongPeer> {
        if self.is_met_by(certificate) {
            return Ok(());
        }
        Err(WrongPeer {
            expected: self.clone(),
            found: PeerName::Node(certificate.id().clone()),
        })
    }

    /// Says whether a service, whose certificate was verified, is the one that is expected.
    ///
    /// # Errors
    /// [`WrongPeer`] names which one it is instead.
    pub fn check_service(&self, certificate: &ServiceCertificate) -> Result<(), WrongPeer> {
        if self.names_service(|name| name == certificate.name()) {
            return Ok(());
        }
        Err(WrongPeer {
            expected: self.clone(),
            found: PeerName::Service(certificate.name().clone()),
        })
    }

    fn is_met_by(&self, certificate: &NodeCertificate) -> bool {
        match self {
            Self::Node(node) => certificate.id() == node,
            Self::Role(role) => certificate.identity().roles.contains(role),
            Self::AnyMember => true,
            Self::AnyOf(list) => list.iter().any(|one| one.is_met_by(certificate)),
            Self::Service(_) => false,
        }
    }

    fn names_service(&self, is_wanted: impl Fn(&ServiceName) -> bool + Copy) -> bool {
        match self {
            Self::Service(name) => is_wanted(name),
            Self::AnyOf(list) => list.iter().any(|one| one.names_service(is_wanted)),
            Self::Node(_) | Self::Role(_) | Self::AnyMember => false,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Role(role) => write!(f, "a node with the role {role}"),
            Self::AnyMember => f.write_str("any member"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::AnyOf(list) if list.is_empty() => f.write_str("nobody"),
            Self::AnyOf(list) => {
                for (index, one) in list.iter().enumerate() {
                    write!(f, "{}{one}", if index == 0 { "" } else { " or " })?;
                }
                Ok(())
            }
        }
    }
}

/// Who a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerName {
    /// A node.
    Node(NodeId),
    /// A service.
    Service(ServiceName),
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Service(name) => write!(f, "service {name}"),
        }
    }
}

/// The peer is trusted, but not the one that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
#[non_exhaustive]
pub struct WrongPeer {
    /// Who should have answered.
    pub expected: Expected,
    /// Who did.
    pub found: PeerName,
}

/// The signatures that node keys can make: P-256 and Ed25519.
const SCHEMES: [SignatureScheme; 2] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
];

/// Where a verifier finds what is trusted.
#[derive(Debug)]
pub(super) enum TrustSource {
    /// Whatever a handle trusts at the moment.
    Live(Arc<Shared>),
    /// This, for as long as the configuration lives.
    Fixed(Arc<Trust>),
}

impl TrustSource {
    fn current(&self) -> Arc<Trust> {
        match self {
            Self::Live(shared) => shared.live().trust,
            Self::Fixed(trust) => Arc::clone(trust),
        }
    }
}

/// Verifies servers and clients alike.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    pub(super) trust: TrustSource,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) expected: Expected,
    /// Whether a client may come without a certificate.
    pub(super) anonymous: bool,
}

impl PeerVerifier {
    /// Verifies a peer that takes this side of the connection.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        side: Usage,
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain: Vec<CertificateDer<'_>> = iter::once(leaf)
            .chain(intermediates)
            .map(|certificate| CertificateDer::from(certificate.as_ref()))
            .collect();
        let (trust, now) = (self.trust.current(), now.into());
        let mut verified = None;
        let (is_for_side, met) = match trust.verify(&chain, now) {
            Ok(node) => {
                let result = (node.identity().allows(side), self.expected.check(&node));
                verified = Some(node);
                result
            }
            // It is no node's. Where no service is wanted, that is all there is to say.
            Err(VerifyError::Identity(_))
                if side == Usage::Server && self.expected.names_service(|_| true) =>
            {
                let service = trust.verify_service(&chain, now).map_err(in_rustls)?;
                let met = self.expected.check_service(&service);
                (service.identity().usages.contains(&side), met)
            }
            Err(error) => return Err(in_rustls(error)),
        };
        if !is_for_side {
            return Err(CertificateError::InvalidPurpose.into());
        }
        met.map_err(|error| CertificateError::Other(OtherError(Arc::new(error))))?;
        if let (TrustSource::Live(shared), Some(node)) = (&self.trust, verified) {
            shared.recent.put(node);
        }
        Ok(())
    }

    fn signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }
}

/// Never asked for: the configurations speak TLS 1.3 alone.
fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, Usage::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        !self.anonymous
    }

    /// No hints: the authorities may change while the configuration lives, and a client of the
    /// mesh has one certificate to choose from.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, Usage::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// Tells rustls, and the peer by its alert, what is wrong.
fn in_rustls(error: VerifyError) -> Error {
    tracing::debug!(%error, "certificate refused");
    let error = match error {
        VerifyError::Expired { not_after, now, .. } => CertificateError::ExpiredContext {
            time: now.into(),
            not_after: not_after.into(),
        },
        VerifyError::NotYetValid {
            not_before, now, ..
        } => CertificateError::NotValidYetContext {
            time: now.into(),
            not_before: not_before.into(),
        },
        VerifyError::Revoked { .. } => CertificateError::Revoked,
        VerifyError::UnknownIssuer { .. } => CertificateError::UnknownIssuer,
        VerifyError::Signature { .. } => CertificateError::BadSignature,
        VerifyError::EmptyChain => return Error::NoCertificatesPresented,
        error => CertificateError::Other(OtherError(Arc::new(error))),
    };
    error.into()
}
