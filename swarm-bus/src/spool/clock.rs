//! What time it is, for a spool.

use crate::client::wall_clock;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock that a spool reads: by it messages age, and after a suspension of the machine it
/// tells how long one was on its way. It may jump, both ways.
///
/// The system's, unless a program has a better one: of a device whose clock is not set, say, that
/// takes the time from elsewhere. What only goes forward is always the system's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// Takes the time from a function; called often, so it should be fast.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the time, in milliseconds since 1970.
    pub(super) fn now_millis(&self) -> u64 {
        let since = (self.0)().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(wall_clock)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&(self.0)()).finish()
    }
}
