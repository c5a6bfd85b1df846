//! What the benches of the tunnel have in common: two ends with a session between them, of ours
//! and of a rival, a core with many peers, and measuring several things in turns.
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod crowd;
pub(crate) mod ends;
pub(crate) mod rival;
pub(crate) mod turns;
