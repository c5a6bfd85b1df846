//! The alarm of the timer thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lock;

/// The longest sleep: the wall clock is watched that often at least.
const LONGEST: Duration = Duration::from_secs(10);

/// While the thread is awake every deadline is news: it may have read its own already.
const AWAKE: u64 = u64::MAX;

/// When the timer thread wakes up, and how to wake it earlier.
pub(super) struct Alarm {
    base: Instant,
    /// Nanoseconds after `base` at which the thread wakes up: read by every turn, without a
    /// lock, to see whether it has to be woken earlier.
    wakes: AtomicU64,
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Alarm {
    pub(super) fn new(base: Instant) -> Self {
        Self {
            base,
            wakes: AtomicU64::new(AWAKE),
            rung: Mutex::new(false),
            bell: Condvar::new(),
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sees to it that the thread wakes up by this moment.
    pub(super) fn arm(&self, deadline: Instant) {
        if self.nanos(deadline) < self.wakes.load(Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Wakes the thread now.
    pub(super) fn ring(&self) {
        *lock(&self.rung) = true;
        self.bell.notify_one();
    }

    /// Sleeps until the deadline or a ring, whichever is first. A ring before the call counts.
    pub(super) fn sleep(&self, deadline: Option<Instant>, now: Instant) {
        let wait = deadline
            .map_or(LONGEST, |at| at.saturating_duration_since(now))
            .min(LONGEST);
        let mut rung = lock(&self.rung);
        self.wakes.store(self.nanos(now + wait), Ordering::SeqCst);
        if !*rung {
            (rung, _) = self
                .bell
                .wait_timeout(rung, wait)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *rung = false;
        self.wakes.store(AWAKE, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn an_earlier_deadline_wakes_the_sleeper_and_a_later_one_does_not() {
        let base = clock::now();
        let alarm = Arc::new(Alarm::new(base));
        // Awake: a deadline counts, whatever it is.
        alarm.arm(base + Duration::from_secs(5));
        alarm.sleep(Some(base + Duration::from_secs(5)), base);
        assert!(clock::now() - base < Duration::from_secs(1));
        let waker = std::thread::spawn({
            let alarm = Arc::clone(&alarm);
            move || {
                std::thread::sleep(Duration::from_millis(50));
                alarm.arm(base + Duration::from_secs(8));
                let before = *lock(&alarm.rung);
                alarm.arm(base + Duration::from_millis(1));
                before
            }
        });
        alarm.sleep(Some(base + Duration::from_secs(5)), clock::now());
        assert!(clock::now() - base < Duration::from_secs(2));
        assert!(!waker.join().unwrap());
    }
}
