//! The steps, in the order in which the scenario plays them.

pub(super) mod bus;
pub(super) mod enrol;
pub(super) mod growth;
pub(super) mod health;
pub(super) mod isolation;
pub(super) mod outage;
pub(super) mod revocation;
pub(super) mod rollover;
pub(super) mod rooms;
pub(super) mod rotation;
pub(super) mod state;
pub(super) mod tls;
pub(super) mod tunnels;

pub(in crate::cmd::demo) use tls::id;
