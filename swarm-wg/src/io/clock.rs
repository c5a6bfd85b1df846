//! The clocks of this machine: the one place they are read.

use std::time::{Instant, SystemTime};

#[allow(
    clippy::disallowed_methods,
    reason = "the shell is where clocks are read"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[allow(
    clippy::disallowed_methods,
    reason = "the shell is where clocks are read"
)]
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
