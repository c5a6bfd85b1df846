//! The bus against a real server, with real certificates.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod agreement;
#[cfg(all(feature = "msgpack", feature = "schema"))]
mod catalogue;
#[cfg(all(feature = "cbor", feature = "msgpack"))]
mod codec;
mod corpus;
mod dead_letter;
mod delivery;
mod hostile;
mod in_process;
mod many;
mod monitor;
mod outage;
mod peer;
mod permissions;
mod reload;
mod rig;
mod service;
mod stream;
