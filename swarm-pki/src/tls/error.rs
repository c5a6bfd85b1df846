//! Why there is no TLS session.

use std::{error::Error as StdError, io};

use rustls::{AlertDescription, CertificateError};
use rustls_pki_types::UnixTime;

use crate::{IdentityError, Timestamp};

/// Says why a TLS handshake failed, or why the peer ended the session right after it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// We do not trust the peer's certificate, or it is not the peer that was expected.
    #[error("the peer's certificate is not trusted: {}", reason(.0))]
    Untrusted(CertificateError),
    /// The peer presented no certificate.
    #[error("the peer presented no certificate")]
    NoCertificate,
    /// The peer is a service and no node: [`connect_service`](super::MeshTls::connect_service)
    /// names it.
    #[error("the peer is a service and no node")]
    NotANode,
    /// The peer refused, our certificate as a rule.
    ///
    /// In TLS 1.3 a client learns of it only when it first reads: its own handshake has succeeded.
    #[error("the peer refused: {0:?}")]
    Refused(AlertDescription),
    /// The peer and we have no version or algorithm in common, or it breaks the protocol.
    #[error("the peer does not speak our TLS")]
    Tls(#[source] rustls::Error),
    /// The connection broke.
    #[error("the connection broke during the handshake")]
    Io(#[source] io::Error),
}

impl HandshakeError {
    /// Finds a TLS failure among the sources of an error, such as one of an HTTP library.
    pub fn in_chain(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(error.clone().into());
            }
            // An `io::Error` hides the error that it carries: its source is that one's source.
            if let Some(carried) = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                && let Some(error) = carried.downcast_ref::<rustls::Error>()
            {
                return Some(error.clone().into());
            }
            next = error.source();
        }
        None
    }

    /// Says whether the peer's certificate was refused for its dates: a wrong clock on either side
    /// looks like this.
    pub fn is_about_time(&self) -> bool {
        matches!(
            self,
            Self::Untrusted(
                CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYetContext { .. }
            )
        )
    }
}

impl From<rustls::Error> for HandshakeError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Untrusted(error),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(alert) => Self::Refused(alert),
            error => Self::Tls(error),
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => error.into(),
            Err(error) => Self::Io(error),
        }
    }
}

/// What rustls knows, in the words of this crate.
fn reason(error: &CertificateError) -> String {
    let at = |time: &UnixTime| Timestamp::from(*time);
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            format!(
                "it expired at {}, and this clock says {}",
                at(not_after),
                at(time)
            )
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "it is valid from {}, and this clock says {}: one of the two clocks is wrong",
            at(not_before),
            at(time)
        ),
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::UnknownIssuer => "no believed authority issued it".to_owned(),
        CertificateError::InvalidPurpose => {
            "it is not for this side of a connection, by its extended key usage".to_owned()
        }
        CertificateError::BadSignature => "its signature is wrong".to_owned(),
        CertificateError::Other(error) => {
            let mut text = error.0.to_string();
            let mut next = error.0.source();
            while let Some(source) = next {
                text.push_str(": ");
                text.push_str(&source.to_string());
                next = source.source();
            }
            text
        }
        error => error.to_string(),
    }
}

/// Says why a chain and a key cannot be a node's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnCertificateError {
    /// There is no certificate.
    #[error("the chain is empty")]
    Empty,
    /// The first certificate is not a node certificate.
    #[error("the first certificate of the chain is not a node's")]
    NotANode(#[from] IdentityError),
    /// The key is not the one that the certificate was issued for.
    #[error("the private key does not belong to the certificate")]
    OtherKey,
}
