//! What the benches of the tunnel have in common: two ends with a session between them, of ours
//! and of a rival, and a core with many peers.
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod crowd;
pub(crate) mod ends;
pub(crate) mod rival;
