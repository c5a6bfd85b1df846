//! A certificate authority for machines without a cloud: one certificate *is* the node.
//!
//! A node certificate carries all that others need in order to trust the node:
//!
//! | in the certificate | serves |
//! |---|---|
//! | URI name `spiffe://<swarm>/node/<id>` | identity in TLS and in everything that maps it |
//! | DNS name `<id>.<domain>`, IP names | ordinary TLS clients, routing |
//! | extension [`SWARM_EXTENSION_OID`]: WireGuard key, roles | tunnel peers, permissions |
//!
//! so the list of whom to talk to, the *roster*, is the valid certificates less the revocation
//! lists. Every entry proves itself: anybody may carry a [`TrustBundle`], by whatever way.
//!
//! ```text
//!            Authority (root)                 in ca/state/: store::Store
//!                │ signs
//!            Authority (issuing) ──▶ RevocationList ─┐
//!                │ signs                             │
//!  node: CertificateRequest ──▶ NodeCertificate ─────┤
//!                                                    ▼
//!                       anybody carries: TrustBundle ──merge──▶ Trust ──▶ roster, verify
//! ```
//!
//! # Life of a node
//!
//! 1. It makes a [`PrivateKey`] and a [`CertificateRequest`] that carries its WireGuard key.
//! 2. The authority issues from its own policy, never from what the request asks for: an operator
//!    decides, or an invite stands for the decision.
//! 3. The node presents its [`NodeCertificate`] to others, who [`Trust::verify`] it, and learns of
//!    others by [`Trust::merge`], whose [`TrustChanges`] say whom to add, change and remove.
//! 4. It renews long before the end, perhaps with new keys.
//! 5. Revoked, it is on the next list, and off every roster that the list reaches.
//!
//! # Invariants
//!
//! * The core (everything outside the features) is pure: the time and serial numbers are
//!   arguments. Only making keys and ECDSA signatures draw randomness, from the cryptographic
//!   library.
//! * A value that exists is valid: [`NodeId`], [`NodeCertificate`], [`RevocationList`] parse
//!   strictly or not at all, and what a peer sends neither panics nor allocates without bound.
//! * Revocation never goes backwards, not even when an authority is restored from a backup.
//! * An expired revocation list locks nobody out suddenly ([`CrlExpiry`]), and a wrong clock is
//!   named as such ([`VerifyError::NotYetValid`], [`Trust::floor`]).
//! * A certificate is matched by key and serial number, never by fingerprint alone.
//!
//! # Features
//!
//! `store` keeps an authority in a directory, `tls` makes rustls configurations, `http` a client
//! over them, `enroll` lets nodes join by invite, `front` puts mutual TLS before a plain service;
//! all are on by default. `testing` has an authority in memory and entry points for fuzzing.
//!
//! # Example
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//! use swarm_pki::*;
//!
//! # fn main() -> Result<(), Error> {
//! let swarm: SwarmName = "cabins".parse()?;
//! let now: Timestamp = "2026-11-22T12:00:00Z".parse()?;
//! let hour = Duration::from_secs(3_600);
//! let validity = Validity::starting(now, 720 * hour, hour);
//!
//! // The authority: a root, and below it one that issues.
//! let serial = SerialNumber::from_random([1; 16]); // 16 fresh random bytes each time
//! let root_key = PrivateKey::generate(KeyAlgorithm::P256)?;
//! let root = Authority::create_root(&swarm, 1, root_key, serial, validity)?;
//! let key = PrivateKey::generate(KeyAlgorithm::P256)?;
//! let serial = SerialNumber::from_random([2; 16]);
//! let issuing = root.issue_authority(&swarm, 1, key.public_key(), serial, validity)?;
//! let issuing = Authority::new(issuing, key)?;
//!
//! // The node asks; the authority decides.
//! let node_key = PrivateKey::generate(KeyAlgorithm::P256)?;
//! let id: NodeId = "edge1".parse()?;
//! let request = CertificateRequest::build(&node_key, &swarm, &id, [7; 32])?;
//! let mut identity = NodeIdentity::new(swarm.clone(), id, request.wireguard_public_key());
//! identity.roles = [Role::edge()].into();
//! let serial = SerialNumber::from_random([3; 16]);
//! let node = issuing.issue_node(request.public_key(), &identity, serial, validity)?;
//!
//! // Somebody else pins the root and believes what proves itself.
//! let list = |authority: &Authority| {
//!     let revoked = BTreeMap::new();
//!     let (this_update, next_update) = (now, now + 168 * hour);
//!     authority.sign_crl(&CrlContents { number: 1, this_update, next_update, revoked })
//! };
//! let mut bundle = TrustBundle::default();
//! bundle.issuers.push(issuing.certificate().clone());
//! bundle.crls = vec![list(&root)?, list(&issuing)?];
//! bundle.nodes.push(node.certificate().clone());
//! let mut trust = Trust::new(swarm, vec![root.certificate().clone()])?;
//! let changes = trust.merge(&bundle, now);
//! assert_eq!(changes.added, [node.clone()]);
//! assert_eq!(trust.verify(&[node.der().clone()], now)?, node);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

#[cfg(any(feature = "enroll", feature = "front"))]
mod admission;
mod asn1;
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
pub mod rollover;
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
    SWARM_EXTENSION_OID, ServiceCertificate, ServiceIdentity, Usage,
};
pub use key::{KeyAlgorithm, KeyError, MAX_KEY_BYTES, PrivateKey, PublicKey, SignError, Signer};
pub use name::{
    DnsName, Domain, NameError, NameFault, NodeId, Role, ServiceName, ServiceSpiffeId, SpiffeId,
    SwarmName,
};
pub use profile::{Lifetimes, Validity};
pub use request::{CertificateRequest, MAX_REQUEST_BYTES, RequestError, ServiceRequest};
pub use revocation::{
    CrlContents, CrlError, MAX_CRL_BYTES, ReasonError, Revocation, RevocationList, RevocationReason,
};
pub use serial::{SerialError, SerialNumber};
pub use timestamp::{ParseTimestampError, Timestamp};
pub use trust::{
    BundleError, CrlExpiry, CrlState, CrlStatus, MAX_BUNDLE_BYTES, MAX_CRLS, MAX_ISSUERS,
    MAX_LINKS, MAX_NODES, MAX_ROOTS, NodeChange, NodeRemoval, Refusal, RefusalReason,
    RemovalReason, Trust, TrustBundle, TrustChanges, TrustError, VerifyError,
};

#[cfg(all(doctest, feature = "store"))]
#[doc = include_str!("../README.md")]
struct Readme;
