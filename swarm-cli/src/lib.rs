//! Embeds a node of a Sovereign Swarm in a Rust program: one certificate is the node.
//!
//! ```text
//!   Authority ── makes ──▶ a swarm's directory ◀── reads ── Member ── runs as ──▶ Node
//!   (bootstrap, invite,     swarm.toml, nodes/<id>/,        (mutual TLS,          (tunnel, bus, rooms,
//!    revoke, render)        ca/state/ on a hub               bus, plan)            servers of a hub)
//! ```
//!
//! - [`Authority`] makes a swarm and decides who is in it.
//! - [`join`] turns an invite into a node's directory; [`request`] and [`accept`] do so without a connection.
//! - [`Member`] acts as a node whose directory it can read: it talks mutual TLS and on the bus.
//! - [`Node`] runs a node: the tunnel, the bus, the rooms, and on a hub the servers behind them.
//!
//! The `swarm` command is arguments and printing on top of these.
//!
//! # Invariants
//! - Nobody is in the tunnel, on the bus or in the rooms who is not in the roster: the valid certificates
//!   less the revocation list.
//! - A node's key and certificate change at once or not at all.
//! - Nothing contacts an address that neither the plan, an invite nor a peer of the roster named.
#![forbid(unsafe_code)]

/// The examples of the crate's README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod authority;
pub mod control;
pub mod error;
mod file;
pub mod http;
mod identity;
mod join;
mod layout;
mod lock;
mod member;
mod node;
mod offline;
mod secrets;
mod status;
mod wire;

pub use authority::{Authority, Bootstrapped, FirstHub, live_nodes, specification};
pub use error::Error;
pub use join::{Joined, join};
pub use layout::{Layout, NodeLayout};
pub use member::{Member, read_plan};
pub use node::Node;
pub use offline::{accept, request};
pub use status::{
    CertificateStatus, LinkStatus, PeerStatus, ServiceStatus, SpoolStatus, Status, TunnelStatus,
};
