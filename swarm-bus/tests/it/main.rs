//! The bus against a real server, with real certificates.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod corpus;
mod delivery;
mod hostile;
mod monitor;
mod outage;
mod peer;
mod permissions;
mod reload;
mod rig;
mod spool;
mod stream;
