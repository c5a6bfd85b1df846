//! The bus against a real server, with real certificates.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod agreement;
mod corpus;
mod dead_letter;
mod delivery;
mod hostile;
mod many;
mod in_process;
mod monitor;
mod outage;
mod peer;
mod permissions;
mod reload;
mod rig;
mod service;
mod stream;
