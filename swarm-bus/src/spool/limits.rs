//! How much a spool takes.

use std::time::Duration;

/// More than a record takes beside its message.
pub(super) const SLACK: usize = 4096;

/// What gives way when a spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Full {
    /// The oldest messages, a segment at a time; each is counted, and told by
    /// [`Spool::losses`](super::Spool::losses).
    #[default]
    DropOldest,
    /// The new message: [`PutError::Full`](super::PutError::Full).
    Refuse,
}

/// How much a spool takes, and for how long.
///
/// # Defaults
/// 256 MiB in segments of 8 MiB, seven days, the oldest gives way, messages up to 1 MiB, 8 MiB on
/// the way to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many bytes the segments may take on disk; at least four segments' worth.
    pub max_bytes: u64,
    /// How long a message may wait; then it is dropped and told. A message whose time lies before
    /// 2020 was put by a clock that was not set, and does not age.
    pub max_age: Option<Duration>,
    /// What gives way when it is full.
    pub full: Full,
    /// The largest message, in bytes with its headers; at most a segment.
    pub max_message: usize,
    /// How many bytes a segment takes: 4 KiB to 64 MiB. The oldest messages go by segments.
    pub segment_bytes: u64,
    /// How many bytes may be on their way to the disk; more wait. No more than about a segment.
    pub pending_bytes: usize,
    /// How long a put waits for the disk.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_age: Some(Duration::from_secs(7 * 24 * 3600)),
            full: Full::default(),
            max_message: 1 << 20,
            segment_bytes: 8 << 20,
            pending_bytes: 8 << 20,
            timeout: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// Says what about them makes no sense.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if !(4 << 10..=64 << 20).contains(&self.segment_bytes) {
            return Err("a segment has 4 KiB to 64 MiB");
        }
        if self.max_bytes < 4 * self.segment_bytes {
            return Err("a spool has at least four segments");
        }
        if self.max_message as u64 > self.segment_bytes {
            return Err("a message is no larger than a segment");
        }
        if self.pending_bytes < self.max_message + SLACK {
            return Err("less may be on its way to the disk than one message takes");
        }
        Ok(())
    }

    /// Returns them such that what is written together fits into a segment: else one batch could be
    /// more than the whole spool may hold.
    pub(super) fn bounded(mut self) -> Self {
        let segment = usize::try_from(self.segment_bytes).unwrap_or(usize::MAX);
        self.pending_bytes = self.pending_bytes.min(segment + SLACK);
        self
    }
}
