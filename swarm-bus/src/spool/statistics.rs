//! What was counted.

use super::loss::LossReason;
use crate::{Metric, MetricKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The counters of a spool.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) put: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) disk_errors: AtomicU64,
    pub(super) dropped: [AtomicU64; 4],
    pub(super) drained: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) settled: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) reordered: AtomicU64,
    pub(super) blocked: AtomicU64,
    pub(super) held: AtomicU64,
    pub(super) denied: AtomicU64,
}

impl Counters {
    pub(super) fn drop(&self, reason: LossReason, count: u64) {
        self.dropped[reason as usize].fetch_add(count, Relaxed);
    }
}

/// What a spool counted since it was opened, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages put.
    pub put: u64,
    /// Puts that were refused or failed.
    pub refused: u64,
    /// How often the disk was made to confirm; puts share it.
    pub syncs: u64,
    /// Operations of the file system that failed.
    pub disk_errors: u64,
    /// Messages that wait now.
    pub waiting: u64,
    /// Bytes that the segments take now.
    pub bytes: u64,
    /// How long the oldest message waits, to within 64 messages.
    pub oldest: Duration,
    /// Messages that were not passed on, by reason.
    pub dropped: [(LossReason, u64); 4],
    /// Messages that a stream keeps.
    pub drained: u64,
    /// Of these, those that the stream had already, and knew again.
    pub duplicates: u64,
    /// Of these, those that the stream was found to have already.
    pub settled: u64,
    /// Messages that had to be sent again.
    pub retries: u64,
    /// Messages that a stream kept after later ones of their subject.
    pub reordered: u64,
    /// Subjects that wait for another attempt now.
    pub blocked: u64,
    /// Of these, those of which it cannot be found out what the stream has.
    pub held: u64,
    /// Subjects that wait because the server does not let this user publish them. They are tried again
    /// every ten seconds, until they are permitted or too old; the others go on.
    pub denied: u64,
}

impl Counters {
    pub(super) fn snapshot(&self, waiting: u64, bytes: u64, oldest: Duration) -> Statistics {
        let of = |reason: LossReason| (reason, self.dropped[reason as usize].load(Relaxed));
        Statistics {
            put: self.put.load(Relaxed),
            refused: self.refused.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            disk_errors: self.disk_errors.load(Relaxed),
            waiting,
            bytes,
            oldest,
            dropped: LossReason::ALL.map(of),
            drained: self.drained.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            settled: self.settled.load(Relaxed),
            retries: self.retries.load(Relaxed),
            reordered: self.reordered.load(Relaxed),
            blocked: self.blocked.load(Relaxed),
            held: self.held.load(Relaxed),
            denied: self.denied.load(Relaxed),
        }
    }
}

impl Statistics {
    /// Returns how many messages were not passed on for a reason.
    #[must_use]
    pub fn dropped(&self, reason: LossReason) -> u64 {
        let mut all = self.dropped.iter();
        all.find(|(r, _)| *r == reason)
            .map_or(0, |(_, count)| *count)
    }

    /// Returns the figures as `nats_spool_*`.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        use MetricKind::{Counter, Gauge};
        let figure = |kind, name, help, value: u64| Metric::new(kind, name, help, value);
        #[rustfmt::skip]
        let mut metrics = vec![
            figure(Counter, "nats_spool_put_total", "Messages put.", self.put),
            figure(Counter, "nats_spool_refused_total", "Puts refused or failed.", self.refused),
            figure(Counter, "nats_spool_syncs_total", "Confirmations by the disk.", self.syncs),
            figure(Counter, "nats_spool_disk_errors_total", "Failures of the disk.", self.disk_errors),
            figure(Gauge, "nats_spool_waiting", "Messages that wait.", self.waiting),
            figure(Gauge, "nats_spool_bytes", "Bytes on disk.", self.bytes),
            figure(Counter, "nats_spool_drained_total", "Messages that a stream keeps.", self.drained),
            figure(Counter, "nats_spool_duplicates_total", "Messages that the stream knew again.", self.duplicates),
            figure(Counter, "nats_spool_settled_total", "Messages that the stream was found to have.", self.settled),
            figure(Counter, "nats_spool_retries_total", "Messages sent again.", self.retries),
            figure(Counter, "nats_spool_reordered_total", "Messages kept after later ones of their subject.", self.reordered),
            figure(Gauge, "nats_spool_blocked_subjects", "Subjects that wait for another attempt.", self.blocked),
            figure(Gauge, "nats_spool_held_subjects", "Subjects of which it is not known what the stream has.", self.held),
            figure(Gauge, "nats_spool_denied_subjects", "Subjects that this user may not publish.", self.denied),
        ];
        metrics.push(Metric::new(
            Gauge,
            "nats_spool_oldest_age_seconds",
            "How long the oldest message waits.",
            self.oldest.as_secs_f64(),
        ));
        for (reason, count) in self.dropped {
            let help = "Messages not passed on.";
            let metric = Metric::new(Counter, "nats_spool_dropped_total", help, count);
            metrics.push(metric.label("reason", reason.as_str()));
        }
        metrics
    }
}
