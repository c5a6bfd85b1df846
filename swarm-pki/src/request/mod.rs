//! PKCS#10 bytes to a checked request, for a node or for a service.

mod node;
mod pkcs10;
mod service;

pub use node::CertificateRequest;
pub use service::ServiceRequest;

use crate::{IdentityError, KeyError};

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
