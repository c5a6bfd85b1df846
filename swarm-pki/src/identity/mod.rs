//! What node and service certificates say, typed; to X.509 and back.

mod certificate;
mod extension;
mod leaf;
mod names;
mod node;
mod service;
mod usage;

use const_oid::ObjectIdentifier;

pub use certificate::NodeCertificate;
pub(crate) use extension::SwarmExtension;
pub use node::NodeIdentity;
pub use service::{ServiceCertificate, ServiceIdentity};
pub use usage::Usage;

use crate::asn1::Malformed;
use crate::{CertificateError, NameError};

/// The extension that carries WireGuard key and roles: 2.25.1398231629, the bytes `SWRM` as an
/// arc below the UUID arc. It stays below 2^31 because Go refuses certificates with larger arcs.
pub const SWARM_EXTENSION_OID: &str = "2.25.1398231629";

pub(crate) const SWARM_EXTENSION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap(SWARM_EXTENSION_OID);

/// The most DNS names that one certificate may carry.
pub const MAX_DNS_NAMES: usize = 16;
/// The most addresses that one certificate may carry.
pub const MAX_ADDRESSES: usize = 16;
/// The most roles that one node certificate may carry.
pub const MAX_ROLES: usize = 32;

/// The certificate is X.509, but not a node's or not a service's, whichever was asked for; says
/// why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not even a certificate.
    #[error("not a certificate")]
    Certificate(#[from] CertificateError),
    /// The extension or the names are not well-formed DER.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The certificate has another number of URI names than one.
    #[error("{0} URI names instead of one")]
    UriNames(usize),
    /// The URI is not a SPIFFE id of its kind, a DNS name or a role is not of its form.
    #[error("a name is not of its form")]
    Name(#[from] NameError),
    /// A kind of name that such a certificate has no use for, such as e-mail.
    #[error("a subject alternative name of another kind than URI, DNS or IP")]
    UnsupportedName,
    /// More of something than one may have.
    #[error("more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most that are accepted.
        most: usize,
    },
    /// Something that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Something that belongs to another kind of certificate.
    #[error("{0} does not belong here")]
    Unexpected(&'static str),
    /// The extension is of a version that this crate does not know.
    #[error("version {0} of the identity extension is not known")]
    UnsupportedVersion(u8),
    /// The WireGuard key is not 32 bytes, or all zero.
    #[error("not a WireGuard public key")]
    WireguardKey,
    /// Roles, DNS names, addresses or purposes are repeated, or roles are out of order.
    #[error("{0} are repeated or out of order")]
    Order(&'static str),
    /// The usages are not those of a node or service; says which is missing or too much.
    #[error("wrong key usage: {0}")]
    Usage(&'static str),
    /// A critical extension that this crate does not understand.
    #[error("critical extension {0} is not understood")]
    UnknownCriticalExtension(String),
}

impl From<Malformed> for IdentityError {
    fn from(_: Malformed) -> Self {
        Self::Malformed("identity extension")
    }
}
