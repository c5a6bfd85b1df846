//! Enrolment: from an invite to a certificate, by EST (RFC 7030).
//!
//! ```text
//!  operator          authority (Store)                     new machine
//!     │ grant           │                                      │
//!     └──▶ Invite::create ── text or QR code, by hand ────────▶│ Invite::from_str
//!                       │◀── GET cacerts, not yet verified ────│
//!                       │─── root, issuing, CRLs ─────────────▶│ fingerprint as in the invite?
//!                       │◀── POST simpleenroll, verified ──────│ secret, PKCS#10
//!                       │─── certificate ─────────────────────▶│ verified: Enrolled
//!                       │        … weeks later …               │
//!                       │◀── POST simplereenroll, mutual TLS ──│
//!                       │       … away past its end …          │
//!     ▲ asked           │◀── POST simpleenroll, old key ───────│
//!     └── approves ────▶│─── 202, later a certificate ────────▶│
//! ```
//!
//! Without any connection it goes by [`GrantFile`].
//!
//! # Invariants
//! - The secret is shown only to the node that the invite names as the authority, after its
//!   certificate was verified down from the root that the invite names. Another member, taken over
//!   perhaps, cannot collect secrets.
//! - An invite is spent exactly when a certificate is issued. The same keys get the same certificate
//!   again, so that an answer lost on a bad link costs nothing.
//! - A node whose certificate came to its end is known by its key, and comes back only when an
//!   operator approves; it follows changed roots by their links alone.
//! - What is certified is what the operator granted; a request contributes its keys.
//! - Every refusal is one plain line for people, one word for programs, and an entry in the
//!   authority's audit log; of a flood the log has the beginning.
//!
//! It is EST, so other clients can enrol too. With curl and OpenSSL alone:
//!
//! ```text
//! openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout edge1.key \
//!     -subj /CN=edge1 -addext 2.25.1398231629=DER:<version, WireGuard key, roles> -outform DER |
//!   openssl base64 |
//!   curl --cacert root.pem --user edge1:<secret> -H 'Content-Type: application/pkcs10' \
//!     --data-binary @- https://192.0.2.1:8443/.well-known/est/simpleenroll |
//!   openssl base64 -d | openssl pkcs7 -inform DER -print_certs > edge1.pem
//! ```
//!
//! # Example
//! ```no_run
//! use std::time::Duration;
//! use swarm_pki::{CertificateRequest, KeyAlgorithm, PrivateKey, Timestamp};
//! use swarm_pki::enroll::{Client, Invite, Server};
//! use swarm_pki::store::{Grant, InviteSpec, Store};
//! use swarm_pki::tls::MeshTls;
//!
//! # async fn example(store: Store, hub: MeshTls, shutdown: impl Future<Output = ()>, wireguard: [u8; 32])
//! # -> Result<(), Box<dyn std::error::Error>> {
//! // Where the authority is:
//! let now = Timestamp::now();
//! let spec = InviteSpec {
//!     grant: Grant::new("edge1".parse()?),
//!     expires: now + Duration::from_secs(24 * 3600),
//! };
//! let addresses = vec!["192.0.2.1:8443".parse()?];
//! let invite = Invite::create(&store, &spec, "hub".parse()?, addresses, "operator", now)?;
//! println!("{invite}");
//! let listener = tokio::net::TcpListener::bind("192.0.2.1:8443").await?;
//! Server::new(store).serve(&hub, listener, shutdown).await;
//!
//! // On the new machine:
//! let invite: Invite = "swarm1…".parse()?;
//! let key = PrivateKey::generate(KeyAlgorithm::P256)?;
//! let request = CertificateRequest::build(&key, invite.swarm(), invite.node(), wireguard)?;
//! let enrolled = Client::default().join(&invite, &request).await?;
//! let tls = MeshTls::new(&enrolled.chain(), key, enrolled.trust.clone())?;
//! # Ok(())
//! # }
//! ```

mod attempts;
mod base32;
mod body;
mod client;
mod date;
mod error;
mod invite;
mod offline;
mod pinning;
mod pkcs7;
mod reenroll;
mod refusal;
mod renewal;
mod report;
mod response;
mod schedule;
mod serve;
mod server;

pub use client::{Client, Enrolled};
pub use error::{AttemptError, ClockError, JoinError};
pub use invite::{Address, CreateInviteError, Invite, InviteError, MAX_ADDRESSES};
pub use offline::{
    AcceptError, Accepted, Attachment, AttachmentError, GrantFile, GrantFileError,
    MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_GRANT_FILE_BYTES,
};
pub use reenroll::Reenrolled;
pub use refusal::Reason;
pub use report::TRUST_PATH;
pub use schedule::RenewalSchedule;
pub use server::{PATH, Server};
