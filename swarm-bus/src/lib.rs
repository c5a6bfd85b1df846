//! Typed subjects over NATS, permissions that follow from them, and delivery said honestly.
//!
//! A message bus speaks in text: subjects are strings, payloads are bytes, permissions are lists of
//! patterns in a configuration file, and "published" may mean anything. This crate gives each of
//! them a type, and lets one follow from the other:
//!
//! ```text
//!   #[derive(Topic)]                                      nats-server.conf
//!   #[topic("lab.{room}.temperature", payload = Reading)]        ▲
//!   struct Temperature { room: Token }                           │ Permissions, as data
//!        │                                                       │
//!        ├── Subject, Pattern, Filter ── Policy: rules by role ──┘
//!        │
//!        └── Client ── publish   → Queued · Flushed · Stored
//!                   ├─ subscribe → Message<Temperature> or a typed error in its place
//!                   ├─ request / serve
//!                   ├─ streams   → ensure, consume, acknowledge, last
//!                   ├─ kv        → typed state: compare and set, watch
//!                   ├─ object    → objects of any size: progress, resume
//!                   └─ spool     → on disk first, drained into a stream
//! ```
//!
//! # Life cycle
//! A [`Topic`] describes a family of subjects with one payload type. A
//! [`Policy`](permissions::Policy) says which role may do what with which topic, and gives each node
//! its [`Permissions`](permissions::Permissions). A [`Client`](client::Client) connects as a node,
//! with a certificate that the server maps to the user, and stays connected: through outages,
//! silent lines, server restarts and the renewal of its certificate. A
//! [`Catalogue`](catalogue::Catalogue) shows the topics to people and programs. [`topics`] are
//! those of the mesh that this crate was made for; they are also a worked example.
//!
//! # Invariants
//! - **No injection.** A [`Token`] holds no `.`, `*`, `>`, space or control character; subjects and
//!   patterns are made of tokens only. See [`subject`].
//! - **A value that exists is valid**: subjects, patterns, templates, headers, ids, addresses.
//! - **Nothing waits or grows without bound**, and nothing is dropped without being counted and told
//!   where it is missed. See [`client`].
//! - **No implicit trust**: TLS always, with a client certificate; each node has an inbox of its
//!   own; permissions are allow lists, the least that the rules need, never an empty list (which
//!   NATS takes for "everything").
//! - **A client goes only where it was told to**: servers that a server advertises are ignored.
//!
//! # Features
//! - `client` (default): the client, on Tokio and rustls. Without it the crate is pure: topics,
//!   codecs, permissions, stream descriptions, monitoring.
//! - `derive` (default): `derive(Topic)`, and the mesh's own [`topics`].
//! - `spool` (default): store-and-forward on disk.
//! - `msgpack`, `cbor`: payloads in these encodings; see [`codec`].
//! - `schema`: JSON Schemas of payloads in the [`catalogue`].
//! - `testing`: a server in the process for tests of programs that use the client, and entry points
//!   for fuzzing; outside semver.
//!
//! # Example
//! ```
//! # #[cfg(feature = "derive")] {
//! use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
//! use swarm_bus::{Token, Topic};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Reading { celsius: f64 }
//!
//! #[derive(Topic)]
//! #[topic("lab.{node}.temperature.{probe}", payload = Reading)]
//! struct Temperature { node: Token, probe: u16 }
//!
//! // Every edge may publish its own readings, operators may see all.
//! let policy = Policy::new()
//!     .with(Rule::new::<Temperature>(Role::Edge, Right::Publish, Scope::Own))
//!     .with(Rule::new::<Temperature>(Role::Operator, Right::Subscribe, Scope::All));
//! let attic = policy.permissions(&Token::from_static("attic"), &[Role::Edge]);
//! assert_eq!(attic.publish_allow, ["lab.attic.temperature.*"]);
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate self as swarm_bus;

pub mod catalogue;
pub mod codec;
#[cfg(feature = "derive")]
pub mod dead_letter;
pub mod envelope;
pub mod kv;
mod metric;
pub mod monitor;
#[cfg(any(feature = "client", feature = "testing"))]
pub mod object;
pub mod permissions;
pub mod service;
#[cfg(feature = "spool")]
pub mod spool;
pub mod stream;
pub mod subject;
pub mod topic;
#[cfg(feature = "derive")]
pub mod topics;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(any(feature = "client", feature = "testing"))]
#[cfg_attr(
    not(feature = "client"),
    allow(
        dead_code,
        unreachable_pub,
        reason = "fuzzing reads, and looks at results only"
    )
)]
mod wire;

#[cfg(feature = "cbor")]
pub use codec::Cbor;
#[cfg(feature = "msgpack")]
pub use codec::MessagePack;
pub use codec::{Codec, Json, Raw};
pub use envelope::{Headers, MessageId};
pub use metric::{Metric, MetricKind};
pub use subject::{ParseSubjectError, Pattern, Subject, Token};
#[cfg(feature = "derive")]
pub use swarm_bus_derive::Topic;
pub use topic::{
    Call, Delivery, Filter, ForgedIdentity, Offline, Parameter, Parameters, ParseTopicError,
    Template, Topic,
};

#[doc(hidden)]
pub use topic::generated as __private;

/// Compiles the example of the README.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
