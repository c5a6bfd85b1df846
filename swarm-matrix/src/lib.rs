//! Matrix rooms as shared state, for programs.
//!
//! A room keeps what machines say of themselves (*state*: one content per type and machine, the
//! latest counts) and what they say to each other (*messages*: in order, end-to-end encrypted).
//! This crate makes both typed, and takes the traps out: of the protocol, of the homeserver, and of
//! the SDK underneath.
//!
//! ```text
//!   hub                                    homeserver (Synapse)                    node
//!   TokenIssuer ── public key ──────────▶  jwt_config
//!        └──────── LoginToken, for a proven identity ───────────────────▶  SessionConfig
//!   Session::ensure_rooms ──────────────▶  #ops #telemetry #alerts  ◀──────  Session::join_rooms
//!                                           │ state, by user id  │ ◀──────  publish_state
//!   watch_states, messages, alerts ◀──────  │ encrypted timeline │ ◀──────  send, send_alert
//!   Admin::cut_off ── lock, log out ────▶  account  ───────────────────▶  SessionState::Revoked
//! ```
//!
//! # Life of a session
//! [`Session::login`] opens what its directory keeps (no homeserver needed) or logs in;
//! `Connecting` → `Connected` ⇄ `Disconnected` by itself, for as long as it takes; `Revoked` when
//! the account is cut off, `Closed` by [`Session::close`]; nothing follows these two.
//!
//! # What holds
//! - **A user speaks for itself.** State counts only under its sender's own user id; an alert is
//!   known by sender and key together; a room is the mesh's only if the hub made it.
//! - **Nothing is said in the clear, nothing in the clear is believed.** Messages go to
//!   cross-signed devices only and are taken from such only.
//! - **State is published on transitions**, because a homeserver never gives its space back:
//!   [`Budget`].
//! - **Nothing is lost silently.** What a reader missed is counted ([`Received::Missed`]), what is
//!   held back says so ([`Published::Held`]), what cannot be read is listed with its reason
//!   ([`Snapshot::unreadable`]).
//! - **No token outlives its minute**, and none names an administrator: [`TokenIssuer`].
//! - **Nowhere else.** No proxy, no redirect, no well-known, no key server: [`Endpoint`].
//!
//! # Storeys
//! The core is pure and compiles without features: [`event`], [`RoomState`], [`power_levels`],
//! [`RoomSpec`], [`Budget`], [`AlertBook`], [`Log`], [`TokenIssuer`]. The feature `client` adds
//! sessions and administration. `testing` is for fuzzers and outside semver.
//!
//! # Example
//! ```
//! use serde_json::json;
//! use swarm_matrix::{NodeState, NodeStatus, RoomState, UserId};
//!
//! let mut room = RoomState::new();
//! let event = |sender: &str| {
//!     json!({
//!         "type": "org.sovereign-swarm.node", "state_key": "@edge1:swarm", "sender": sender,
//!         "event_id": "$1", "origin_server_ts": 1, "content": {"v": 1, "status": "up", "since": 1},
//!     })
//! };
//! room.apply([&event("@edge1:swarm")]);
//! assert_eq!(room.apply([&event("@edge2:swarm")]).refused.len(), 1);
//! let nodes = room.snapshot::<NodeState>();
//! assert_eq!(nodes.of(&UserId::parse("@edge1:swarm")?).unwrap().status, NodeStatus::Up);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod alerts;
mod apply;
mod budget;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod error;
pub mod event;
mod id;
mod log;
mod login;
mod power;
#[cfg(feature = "client")]
mod quarantine;
mod rooms;
mod state;
#[cfg(feature = "testing")]
pub mod testing;

pub use alerts::{AlertBook, AlertBookConfig, Outcome, Route, Standing};
pub use apply::{Applied, Change, Refusal};
pub use budget::{Budget, BudgetConfig, Offer};
pub use event::{Acknowledgement, Alert, AlertState, Rollup, Severity, Summary};
pub use event::{ContentError, MessageContent, NodeState, NodeStatus, StateContent};
pub use id::{EventId, IdError, Localpart, RoomAlias, RoomId, ServerName, UserId};
pub use log::{Log, Next};
pub use login::{
    BACKDATE_SECONDS, DEFAULT_LIFETIME_SECONDS, IssueError, LoginToken, RESERVED_LOCALPARTS,
    TokenIssuer,
};
pub use power::{Rank, creator_is_implicit, power_levels};
pub use rooms::RoomSpec;
pub use state::{Membership, RoomState, Snapshot, StateEntry};

#[cfg(feature = "client")]
pub use client::{
    AlertEvent, Alerts, Body, Endpoint, Identity, MeshRooms, Message, Messages, Published,
    Received, Session, SessionConfig, SessionState, StateWatch, TokenError,
};
#[cfg(feature = "client")]
pub use error::{Cause, Error};
#[cfg(feature = "client")]
pub use quarantine::{Admin, CutOff, IdentityPermit, SharedSecret};
