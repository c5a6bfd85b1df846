//! The one thread that writes: many puts share each confirmation by the disk.

use super::files::Files;
use super::journal::{Batch, Journal};
use super::ledger::{Extent, Ledger};
use super::limits::Full;
use super::loss::{Loss, LossReason};
use super::segment::{HEADER, Piece, Scan, file_name};
use super::statistics::Counters;
use super::{Clock, Limits, lock};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast, oneshot, watch};

/// How often the cursor is written while messages are drained. What was drained since is sent
/// again after a crash, which the stream is asked about or knows again.
const CURSOR_EVERY: u64 = 200;
/// Times before this were told by a clock that was not set: 2020, in milliseconds since 1970.
const PLAUSIBLE: u64 = 1_577_836_800_000;

/// What puts, the drain and the writer share.
pub(super) struct Shared {
    pub(super) files: Arc<dyn Files>,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    /// What the ids of all messages begin with.
    pub(super) prefix: String,
    pub(super) queue: Mutex<Queue>,
    pub(super) wake: Condvar,
    /// Bytes that may still be on their way to the disk.
    pub(super) room: Semaphore,
    pub(super) ledger: Mutex<Ledger>,
    /// Counts what came to the disk or was done with.
    pub(super) changed: watch::Sender<u64>,
    pub(super) counters: Counters,
    pub(super) losses: broadcast::Sender<Loss>,
    pub(super) draining: AtomicBool,
    /// Whether the cursor on disk is behind.
    pub(super) dirty: AtomicBool,
    /// What waits below may have been stored already, unknown to the present drain.
    pub(super) doubt: AtomicU64,
    pub(super) closed: watch::Sender<bool>,
}

/// Tells whether a message is on disk.
pub(super) type Confirm = oneshot::Sender<Result<(), Arc<io::Error>>>;

#[derive(Default)]
pub(super) struct Queue {
    pub(super) batch: Batch,
    pub(super) next: u64,
    pub(super) waiters: Vec<Confirm>,
    /// Up to which number the drain is about to send, and what it leaves in doubt.
    pub(super) reserve: Option<(u64, u64, Confirm)>,
    pub(super) closing: bool,
}

impl Shared {
    /// Tells of messages that are not passed on.
    pub(super) fn lose(&self, reason: LossReason, subject: Option<String>, count: u64) {
        if count > 0 {
            self.counters.drop(reason, count);
            tracing::warn!(
                reason = reason.as_str(),
                ?subject,
                count,
                "spooled messages dropped"
            );
            let _ = self.losses.send(Loss {
                reason,
                subject,
                count,
            });
        }
    }

    /// Says whether a message has waited too long.
    pub(super) fn is_expired(&self, time: u64, now: u64) -> bool {
        self.limits.max_age.is_some_and(|age| {
            time >= PLAUSIBLE && now.saturating_sub(time) > age.as_millis() as u64
        })
    }

    /// Has the disk know that numbers below `sent` may be sent, and that what waits below `doubt`
    /// may be stored; in this order: before it is so.
    pub(super) async fn reserve(
        &self,
        sent: u64,
        doubt: u64,
    ) -> Result<(), Option<Arc<io::Error>>> {
        let (confirm, confirmed) = oneshot::channel();
        {
            let mut queue = lock(&self.queue);
            if queue.closing {
                return Err(None);
            }
            queue.reserve = Some((sent, doubt, confirm));
        }
        self.wake.notify_one();
        match confirmed.await {
            Ok(Ok(())) => {
                self.doubt.store(doubt, Ordering::Release);
                Ok(())
            }
            Ok(Err(error)) => Err(Some(error)),
            Err(_) => Err(None),
        }
    }

    /// Marks a message that need not be sent any more; says whether it waited.
    pub(super) fn finish(&self, number: u64) -> bool {
        let waited = lock(&self.ledger).finish(number);
        if waited {
            self.dirty.store(true, Ordering::Release);
        }
        waited
    }
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Journal,
    pub(super) saved_at: u64,
    pub(super) looked_at: u64,
}

impl Writer {
    /// Works until the spool closes.
    pub(super) fn run(mut self) {
        loop {
            let (batch, waiters, reserve, closing) = self.next_work();
            if let Some((sent, doubt, confirm)) = reserve {
                let saved = self.save(sent, doubt);
                let _ = confirm.send(saved.map_err(Arc::new));
            }
            if !batch.times.is_empty() {
                self.write(&batch, waiters);
            }
            let now = self.shared.clock.now_millis();
            if closing || now.abs_diff(self.saved_at) >= CURSOR_EVERY {
                self.saved_at = now;
                self.keep_up(now);
            }
            if closing && lock(&self.shared.queue).batch.times.is_empty() {
                break;
            }
        }
        let mut queue = lock(&self.shared.queue);
        queue.waiters.clear();
        queue.reserve = None;
        drop(queue);
        self.shared.room.close();
    }

    #[allow(clippy::type_complexity, reason = "taken apart at once")]
    fn next_work(&self) -> (Batch, Vec<Confirm>, Option<(u64, u64, Confirm)>, bool) {
        let shared = &self.shared;
        let idle = match shared.dirty.load(Ordering::Acquire) {
            true => Duration::from_millis(CURSOR_EVERY),
            false => Duration::from_secs(1),
        };
        let nothing = |queue: &mut Queue| {
            queue.batch.times.is_empty() && queue.reserve.is_none() && !queue.closing
        };
        let (mut queue, _) = shared
            .wake
            .wait_timeout_while(lock(&shared.queue), idle, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        let next = Batch {
            first: queue.next,
            ..Batch::default()
        };
        let batch = std::mem::replace(&mut queue.batch, next);
        let waiters = std::mem::take(&mut queue.waiters);
        (batch, waiters, queue.reserve.take(), queue.closing)
    }

    fn write(&mut self, batch: &Batch, waiters: Vec<Confirm>) {
        let shared = Arc::clone(&self.shared);
        let size = batch.bytes.len();
        self.make_room(size as u64);
        let result = self.journal.append(batch, &shared.ledger).map_err(Arc::new);
        shared.room.add_permits(size);
        let counters = &shared.counters;
        match &result {
            Ok(()) => {
                counters.syncs.fetch_add(1, Ordering::Relaxed);
                let count = batch.times.len() as u64;
                counters.put.fetch_add(count, Ordering::Relaxed);
                shared.changed.send_modify(|count| *count += 1);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot write to the spool");
                counters.disk_errors.fetch_add(1, Ordering::Relaxed);
                let count = batch.times.len() as u64;
                counters.refused.fetch_add(count, Ordering::Relaxed);
            }
        }
        for waiter in waiters {
            let _ = waiter.send(result.clone());
        }
    }

    /// Lets the oldest give way where that is asked for.
    fn make_room(&mut self, more: u64) {
        let limits = &self.shared.limits;
        let (max, full) = (limits.max_bytes, limits.full);
        while lock(&self.shared.ledger).bytes() + more + HEADER as u64 > max {
            let over = self.front_is_over();
            if (full == Full::Refuse && !over) || !self.remove_front(LossReason::Full) {
                return;
            }
        }
    }

    /// Writes the cursor, and removes what is done with or too old.
    fn keep_up(&mut self, now: u64) {
        if self.shared.dirty.swap(false, Ordering::AcqRel) {
            let cursor = self.journal.cursor();
            if self.save(cursor.sent, cursor.doubt).is_err() {
                self.shared.dirty.store(true, Ordering::Release);
                return;
            }
        }
        while self.front_is_over() && lock(&self.shared.ledger).segments() > 1 {
            if !self.remove_front(LossReason::Full) {
                return;
            }
        }
        if now.abs_diff(self.looked_at) >= 1000 {
            self.looked_at = now;
            while self.front_is_expired(now) {
                if !self.remove_front(LossReason::Age) {
                    return;
                }
            }
        }
    }

    fn front_is_over(&self) -> bool {
        let ledger = lock(&self.shared.ledger);
        ledger.front().is_some_and(|extent| extent.waiting() == 0)
    }

    fn front_is_expired(&self, now: u64) -> bool {
        let ledger = lock(&self.shared.ledger);
        ledger.front().is_some_and(|extent| {
            extent.waiting() > 0 && self.shared.is_expired(extent.newest, now)
        })
    }

    fn save(&mut self, sent: u64, doubt: u64) -> io::Result<()> {
        let done = lock(&self.shared.ledger).first_waiting();
        let done = done.unwrap_or(self.journal.cursor().done);
        let saved = self.journal.save(done, sent, doubt);
        if saved.is_err() {
            let errors = &self.shared.counters.disk_errors;
            errors.fetch_add(1, Ordering::Relaxed);
        }
        saved
    }

    /// Removes the oldest segment, and tells what waited in it; says whether that worked.
    fn remove_front(&mut self, reason: LossReason) -> bool {
        let Some(extent) = lock(&self.shared.ledger).front().cloned() else {
            return false;
        };
        let subjects = match extent.waiting() {
            0 => BTreeMap::new(),
            _ => self.subjects(&extent),
        };
        match self.journal.remove_front(&self.shared.ledger) {
            Ok(Some(gone)) => {
                let mut rest = gone.waiting();
                for (subject, count) in subjects {
                    // Some may have been drained since they were counted.
                    let count = count.min(rest);
                    rest -= count;
                    self.shared.lose(reason, Some(subject), count);
                }
                self.shared.lose(reason, None, rest);
                self.shared.changed.send_modify(|count| *count += 1);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, "cannot remove a segment of the spool");
                let errors = &self.shared.counters.disk_errors;
                errors.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Counts what waits in a segment by subject.
    fn subjects(&self, extent: &Extent) -> BTreeMap<String, u64> {
        let name = file_name(extent.first);
        let bytes = self.shared.files.read(&name, 0, extent.bytes as usize);
        let mut subjects = BTreeMap::new();
        for piece in Scan::new(&bytes.unwrap_or_default(), HEADER, extent.first, extent.end) {
            if let Piece::Record(_, record) = piece
                && (extent.first..extent.end).contains(&record.number)
                && !extent.is_done(record.number)
            {
                *subjects.entry(record.subject.to_owned()).or_default() += 1;
            }
        }
        subjects
    }
}
