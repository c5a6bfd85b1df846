//! The clock of a virtual network: its own where the build allows it, the machine's where not.

use std::time::{Instant, SystemTime};

/// Whether time passes only when a network says so.
pub const VIRTUAL_TIME: bool = cfg!(swarm_virtual_time);

/// A monotonic clock that starts where the machine's stands.
#[derive(Debug)]
pub(super) struct Clock {
    now: Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "where a test's clock starts")]
    pub(super) fn new() -> Self {
        Self {
            now: Instant::now(),
        }
    }

    /// The date a network starts at, the same as the cryptography's.
    #[allow(clippy::disallowed_methods, reason = "where a test's clock starts")]
    pub(super) fn wall() -> SystemTime {
        SystemTime::now()
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Waits, or makes believe, until a moment.
    #[cfg(swarm_virtual_time)]
    pub(super) fn advance_to(&mut self, at: Instant) {
        let step = at.saturating_duration_since(self.now);
        mock_instant::MockClock::advance(step);
        self.now += step;
    }

    /// Waits, or makes believe, until a moment.
    #[cfg(not(swarm_virtual_time))]
    #[allow(
        clippy::disallowed_methods,
        reason = "real time, since the cryptography reads it"
    )]
    pub(super) fn advance_to(&mut self, at: Instant) {
        let wait = at.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        // Not past it: what happens takes as long as it says, however slow the machine is.
        self.now = self.now.max(at);
    }
}
