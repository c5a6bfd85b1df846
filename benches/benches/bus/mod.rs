//! What the benches of the bus have in common.

pub(crate) mod server;
