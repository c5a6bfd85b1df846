//! Against a real Synapse, started here, one for the binary.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]
#![cfg(feature = "client")]

mod fuzz_replay;
mod independent;
mod login;
mod mesh;
mod outage;
mod quarantine;
mod rooms;
mod swarm;
mod synapse;
mod tls;
