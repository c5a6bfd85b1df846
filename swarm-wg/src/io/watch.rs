//! The tunnel in numbers, every so often.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::clock;
use super::flag::Flag;
use super::shared::Shared;
use crate::metrics::Metrics;

/// The numbers of a tunnel, every so often: an iterator that blocks until the next are due, and
/// ends with the tunnel. Numbers that nobody asked for in time are left out, not caught up with.
pub struct Watch {
    // Weak: what watches a tunnel must not keep its interface.
    shared: Weak<Shared>,
    stopped: Arc<Flag>,
    interval: Duration,
    due: Instant,
}

impl Watch {
    pub(crate) fn new(shared: &Arc<Shared>, interval: Duration) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            stopped: Arc::clone(&shared.stopped),
            interval,
            due: clock::now(),
        }
    }
}

impl Iterator for Watch {
    type Item = Metrics;

    fn next(&mut self) -> Option<Metrics> {
        let left = self.due.saturating_duration_since(clock::now());
        if self.stopped.wait(left) {
            return None;
        }
        let metrics = self.shared.upgrade()?.metrics();
        self.due = clock::now() + self.interval;
        Some(metrics)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
