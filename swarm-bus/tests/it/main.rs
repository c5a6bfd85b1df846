//! The bus against a real server, with real certificates.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod agreement;
#[cfg(all(feature = "msgpack", feature = "schema"))]
mod catalogue;
mod cluster;
#[cfg(all(feature = "cbor", feature = "msgpack"))]
mod codec;
mod corpus;
mod dead_letter;
mod delivery;
mod domain;
mod events;
mod faults;
mod filter;
mod hostile;
mod in_process;
mod kv;
mod many;
mod mesh;
mod monitor;
mod object;
mod object_links;
mod outage;
mod peer;
mod permissions;
mod raw;
mod reload;
mod rig;
mod service;
mod spool;
mod state_peer;
mod stream;
mod version;
