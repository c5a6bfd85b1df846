//! What the benches of the bus have in common.
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod server;
