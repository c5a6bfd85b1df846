//! Transactions, and the queue that makes one write of many of them.
//!
//! A change costs three file synchronizations, whatever it holds. Callers of one process who come
//! while another's change is being written wait in a queue; the first of them to get on leads: it
//! takes the lock, runs the work of all who wait, writes once, and answers everybody. No answer is
//! given before what it says is on the disk. When the write fails, it fails for all of them, and
//! the memory is read anew from the disk.

use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::event::{Entry, Event};
use super::journal::Batch;
use super::state::State;
use super::{Error, Memory, Store, disk, short};
use crate::Timestamp;

/// The most changes that are written at once, so that the first of them need not wait long.
const MAX_BATCH: usize = 1024;

/// An open transaction: the lock is held, the memory is up to date.
pub(super) struct Transaction<'a> {
    pub(super) store: &'a Store,
    pub(super) memory: MutexGuard<'a, Memory>,
    batch: Batch,
    /// Files that no longer count once the batch does.
    outdated: Vec<PathBuf>,
    /// An event did not fit the state: nothing of this batch may be written.
    unfit: Option<Error>,
    _lock: disk::Lock,
}

/// A change that waits for its leader.
trait Job: Send {
    fn run(&mut self, transaction: &mut Transaction<'_>);
    fn answer(&mut self, outcome: Result<(), &Error>);
}

/// Who of this process writes, and who waits to have something written.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Vec<Box<dyn Job>>,
    is_led: bool,
}

/// The turn to write; given on when dropped, in a panic too.
struct Leading<'a>(&'a Store);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        lock(&self.0.inner.queue).is_led = false;
        self.0.inner.turn.notify_all();
    }
}

type Slot<T> = Arc<Mutex<Option<Result<T, Error>>>>;

struct Work<T, F> {
    work: Option<F>,
    result: Option<Result<T, Error>>,
    slot: Slot<T>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) {
        self.result = self.work.take().map(|work| work(transaction));
    }

    fn answer(&mut self, outcome: Result<(), &Error>) {
        let answer = match (outcome, self.result.take()) {
            (_, Some(Err(own))) => Err(own),
            (Ok(()), result) => result.unwrap_or(Err(Error::Interrupted)),
            (Err(fault), _) => Err(fault.repeat()),
        };
        *lock(&self.slot) = Some(answer);
    }
}

impl Store {
    /// Makes a change together with whatever others of this process wait to change.
    pub(super) fn change<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
    {
        let slot = Slot::default();
        let mut queue = lock(&self.inner.queue);
        queue.waiting.push(Box::new(Work {
            work: Some(work),
            result: None,
            slot: Arc::clone(&slot),
        }));
        loop {
            if let Some(answer) = lock(&slot).take() {
                return answer;
            }
            if queue.is_led {
                queue = wait(&self.inner.turn, queue);
                continue;
            }
            queue.is_led = true;
            let later = queue.waiting.len().min(MAX_BATCH);
            let later = queue.waiting.split_off(later);
            let mut jobs = mem::replace(&mut queue.waiting, later);
            drop(queue);
            let leading = Leading(self);
            if jobs.is_empty() {
                // Its leader died of a panic before it could answer.
                return Err(Error::Interrupted);
            }
            let outcome = self.begin().and_then(|mut transaction| {
                jobs.iter_mut().for_each(|job| job.run(&mut transaction));
                transaction.finish()
            });
            for job in &mut jobs {
                job.answer(outcome.as_ref().copied());
            }
            drop(leading);
            queue = lock(&self.inner.queue);
        }
    }

    /// Makes a change that borrows what it works with, alone.
    pub(super) fn exclusive<T>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _leading = self.lead();
        let mut transaction = self.begin()?;
        let result = work(&mut transaction);
        match (transaction.finish(), result) {
            (Err(fault), Ok(_)) => Err(fault),
            (_, result) => result,
        }
    }

    /// Waits for the turn to write.
    fn lead(&self) -> Leading<'_> {
        let mut queue = lock(&self.inner.queue);
        while queue.is_led {
            queue = wait(&self.inner.turn, queue);
        }
        queue.is_led = true;
        Leading(self)
    }

    /// Takes the lock and brings the memory up to date.
    fn begin(&self) -> Result<Transaction<'_>, Error> {
        let lock = disk::Lock::take(self.path("lock"), self.lock_wait)?;
        let memory = self.current()?;
        self.finish_removals(&memory.state)?;
        Ok(Transaction {
            store: self,
            batch: Batch::after(&memory.head),
            memory,
            outdated: Vec::new(),
            unfit: None,
            _lock: lock,
        })
    }

    /// Removes keys that the journal says are no longer here: a crash came in between.
    fn finish_removals(&self, state: &State) -> Result<(), Error> {
        state
            .moved_keys()
            .try_for_each(|id| disk::remove_if_there(&self.path(super::access::key_name(id))))
    }
}

impl Transaction<'_> {
    pub(super) fn state(&self) -> &State {
        &self.memory.state
    }

    /// Takes one event into the memory and into what is written at the end.
    pub(super) fn record(
        &mut self,
        event: Event,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let entry = Entry {
            sequence: self.batch.next_sequence(),
            at: now,
            requester: short(requester),
            event,
        };
        // Until the batch is on the disk the memory is ahead of it.
        self.memory.stale = true;
        self.batch.push(&entry);
        let applied = self.memory.state.apply(entry);
        applied.map_err(|what| {
            let fault = Error::corrupt(&self.store.path("journal"), what);
            self.unfit = Some(fault.repeat());
            fault
        })
    }

    /// Removes a file once what was recorded counts.
    pub(super) fn remove_later(&mut self, path: PathBuf) {
        self.outdated.push(path);
    }

    /// Writes what was recorded; from here on it counts.
    fn finish(mut self) -> Result<(), Error> {
        if let Some(fault) = self.unfit.take() {
            return Err(fault);
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let head = self
            .store
            .inner
            .journal
            .append(&self.memory.head, &self.batch)?;
        self.memory.head = head;
        self.memory.stale = false;
        for path in self.outdated.drain(..) {
            // The change counts already; a file too many harms nobody.
            if let Err(fault) = disk::remove_if_there(&path) {
                tracing::warn!(%fault, path = %path.display(), "an outdated file stays");
            }
        }
        Ok(())
    }
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(turn: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    turn.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
