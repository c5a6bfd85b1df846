//! The bus against a real server, with real certificates.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod cluster;
mod corpus;
mod delivery;
mod hostile;
mod kv;
mod monitor;
mod object;
mod outage;
mod peer;
mod permissions;
mod raw;
mod reload;
mod rig;
mod state_peer;
mod stream;
