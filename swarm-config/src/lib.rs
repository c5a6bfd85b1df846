//! One file describes a swarm: `swarm.toml` to a checked [`Plan`] to rendered configuration.
//!
//! ```text
//!   swarm.toml ──parse──▶ SwarmFile ──resolve──▶ Plan ──┐
//!                            ▲                          ├── Renderer ──▶ RenderedFile …
//!      addresses that certificates hold already     Member …
//!                                              (who is in the swarm now)
//! ```
//!
//! # Life of a plan
//! 1. [`SwarmFile::parse`] takes a text to known keys and values of good form. What is wrong
//!    comes back as [`Problems`]: all of it, each with line, column, key and hint.
//! 2. [`SwarmFile::resolve`] applies defaults, gives every listed node its address and checks
//!    values against each other. [`Plan::parse`] does both at once.
//! 3. [`Renderer`] makes the files of one node from the plan, the paths in a [`Layout`] and the
//!    [`Member`]s that the caller knows from their certificates. A member left out is gone from
//!    every file.
//! 4. [`diff::plans`] says what a changed plan asks for: what restarts, what reloads, who needs
//!    a new certificate. [`lint`] says what all checks pass and is wrong still.
//!
//! # Invariants
//! - **Pure.** No file, clock, network or randomness; the same input gives the same bytes.
//! - **A plan that exists is consistent**, and a value that exists is valid: both come out of
//!   parsing only.
//! - **Nothing escapes.** No value holds a character that a reader of a rendered file gives a
//!   meaning of its own, so none needs quoting to be safe.
//! - **No secret** is part of a rendered file, an error or a warning; files name the files that
//!   secrets lie in.
//! - **Bounded.** Any text is answered: 1 MiB is read, 64 problems are told, nesting is limited.
//!
//! # Example
//! ```
//! use swarm_config::Plan;
//!
//! let problems = Plan::parse("[swarm]\nname = \"swarm\"\nnetwrok = \"10.77.0.0/16\"\n").unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "line 3, column 1: swarm.netwrok: unknown key, found \"netwrok\"\n  \
//!      hint: did you mean `network`?"
//! );
//! ```
//!
//! The README shows every key, its default, and how to render.

#![forbid(unsafe_code)]

mod address;
pub mod diff;
mod error;
mod layout;
pub mod lint;
mod member;
mod model;
mod parse;
mod plan;
mod render;
mod resolve;
mod starter;
mod value;

pub use address::{AddressError, Addresses, MeshNetwork, default_network6};
pub use error::{Problem, ProblemKind, Problems};
pub use layout::Layout;
pub use member::{AllowResponses, Member, NatsAsked, NatsLeaf, NatsPermissions, SubjectRules};
pub use model::SwarmFile;
pub use plan::{CaPlan, HealthPlan, LeafPlan, MatrixPlan, NatsPlan, NodePlan, Plan, WireGuardPlan};
pub use render::{RenderError, RenderedFile, Renderer, Scrape};
pub use starter::Starter;
pub use value::{
    AbsolutePath, ByteSize, Domain, NatsSubject, NatsUser, NodeId, PublicKeyPem, Role, Span,
    SwarmName, ValueError, WireGuardPublicKey,
};

/// The example of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
