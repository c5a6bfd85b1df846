//! A certificate authority for machines without a cloud: node certificates that carry TLS identity, WireGuard key, addresses and roles.
#![forbid(unsafe_code)]

mod authority;
mod certificate;
mod encode;
mod error;
mod identity;
mod key;
mod name;
mod profile;
mod request;
mod revocation;
mod serial;
mod timestamp;
mod trust;
pub mod verify;

#[cfg(feature = "enroll")]
pub mod enroll;
#[cfg(feature = "front")]
pub mod front;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tls")]
pub mod tls;

pub use authority::{Authority, AuthorityError};
pub use certificate::{
    Certificate, CertificateError, Fingerprint, FingerprintError, MAX_CERTIFICATE_BYTES,
    MAX_PEM_CERTIFICATES,
};
pub use error::Error;
pub use identity::{
    IdentityError, MAX_ADDRESSES, MAX_DNS_NAMES, MAX_ROLES, NodeCertificate, NodeIdentity,
    SWARM_EXTENSION_OID,
};
pub use key::{KeyAlgorithm, KeyError, MAX_KEY_BYTES, PrivateKey, PublicKey, SignError, Signer};
pub use name::{DnsName, Domain, NameError, NameFault, NodeId, Role, SpiffeId, SwarmName};
pub use profile::{Lifetimes, Validity};
pub use request::{CertificateRequest, MAX_REQUEST_BYTES, RequestError};
pub use revocation::{
    CrlContents, CrlError, MAX_CRL_BYTES, ReasonError, Revocation, RevocationList, RevocationReason,
};
pub use serial::{SerialError, SerialNumber};
pub use timestamp::{ParseTimestampError, Timestamp};
pub use trust::{
    BundleError, CrlExpiry, CrlState, CrlStatus, MAX_BUNDLE_BYTES, MAX_CRLS, MAX_ISSUERS,
    MAX_NODES, MAX_ROOTS, NodeChange, NodeRemoval, Refusal, RefusalReason, RemovalReason, Trust,
    TrustBundle, TrustChanges, TrustError, VerifyError,
};
