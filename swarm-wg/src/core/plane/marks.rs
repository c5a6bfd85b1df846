//! When something last passed between us and a peer, and how much: written by whoever carries
//! packets, read by whoever watches the time-outs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A moment, in nanoseconds after the plane's base; 0 is never.
fn mark(base: Instant, now: Instant) -> u64 {
    let since = now.saturating_duration_since(base).as_nanos();
    u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
}

fn moment(base: Instant, mark: u64) -> Option<Instant> {
    Some(base + Duration::from_nanos(mark.checked_sub(1)?))
}

/// What passed between us and one peer.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    tx_bytes: AtomicU64,
    rx_bytes: AtomicU64,
    last_sent: AtomicU64,
    last_received: AtomicU64,
    /// The first data sent since something was received.
    unanswered_since: AtomicU64,
    /// The first data received since something was sent.
    owed_since: AtomicU64,
    /// Before this, packets need not ask for a new session.
    renew_after: AtomicU64,
    /// Something passed since [`Self::take_activity`].
    active: AtomicBool,
    /// Somebody looks at the time-outs before they are over.
    watched: AtomicBool,
}

impl Marks {
    /// Messages were sent. Returns whether the peer must be watched from now on, and is not.
    pub(crate) fn sent(&self, bytes: usize, data: bool, base: Instant, now: Instant) -> bool {
        let now = mark(base, now);
        self.tx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.last_sent.store(now, Ordering::Relaxed);
        clear(&self.owed_since);
        if data && self.unanswered_since.load(Ordering::Relaxed) == 0 {
            self.unanswered_since.store(now, Ordering::Relaxed);
        }
        self.touch()
    }

    /// Authentic messages were received. Returns whether the peer must be watched from now
    /// on, and is not.
    pub(crate) fn received(&self, bytes: usize, data: bool, base: Instant, now: Instant) -> bool {
        let now = mark(base, now);
        self.rx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.last_received.store(now, Ordering::Relaxed);
        clear(&self.unanswered_since);
        if data && self.owed_since.load(Ordering::Relaxed) == 0 {
            self.owed_since.store(now, Ordering::Relaxed);
        }
        self.touch()
    }

    // Either the watcher sees the activity when it looks for the last time, or the one who
    // was active sees that nobody watches: hence the strict order of both.
    fn touch(&self) -> bool {
        if !self.active.load(Ordering::SeqCst) {
            self.active.store(true, Ordering::SeqCst);
        }
        !self.watched.load(Ordering::SeqCst)
    }

    /// Whether anything passed since the last call.
    pub(crate) fn take_activity(&self) -> bool {
        self.active.swap(false, Ordering::SeqCst)
    }

    /// Says whether somebody watches.
    pub(crate) fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::SeqCst);
    }

    /// Whether packets should ask for a new session.
    pub(crate) fn may_renew(&self, base: Instant, now: Instant) -> bool {
        mark(base, now) >= self.renew_after.load(Ordering::Relaxed)
    }

    /// Packets need not ask for a new session before this.
    pub(crate) fn renew_not_before(&self, base: Instant, at: Instant) {
        self.renew_after.store(mark(base, at), Ordering::Relaxed);
    }

    /// Bytes of messages sent, and of authentic messages received.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (
            self.tx_bytes.load(Ordering::Relaxed),
            self.rx_bytes.load(Ordering::Relaxed),
        )
    }

    pub(crate) fn last_sent(&self, base: Instant) -> Option<Instant> {
        moment(base, self.last_sent.load(Ordering::Relaxed))
    }

    pub(crate) fn unanswered_since(&self, base: Instant) -> Option<Instant> {
        moment(base, self.unanswered_since.load(Ordering::Relaxed))
    }

    pub(crate) fn owed_since(&self, base: Instant) -> Option<Instant> {
        moment(base, self.owed_since.load(Ordering::Relaxed))
    }

    pub(crate) fn forget_unanswered(&self) {
        clear(&self.unanswered_since);
    }

    pub(crate) fn forget_owed(&self) {
        clear(&self.owed_since);
    }
}

/// Clears a mark, without taking the cache line from others when there is nothing to clear.
fn clear(mark: &AtomicU64) {
    if mark.load(Ordering::Relaxed) != 0 {
        mark.store(0, Ordering::Relaxed);
    }
}
