//! The spool as programs use it.

use super::drain::Drain;
use super::files::{Disk, Files};
use super::journal::{Batch, Journal};
use super::loss::{self, Losses};
use super::writer::{Queue, Shared, Writer};
use super::{
    Clock, DrainError, DrainOptions, Full, Limits, OpenError, PutError, Recovery, Statistics, lock,
    record,
};
use crate::client::Client;
use crate::envelope::{ID, sealed};
use crate::{Delivery, Headers, MessageId, Offline, Subject, Topic};
use bytes::Bytes;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, TryAcquireError, broadcast, oneshot, watch};

/// The message is on disk. It outlives a crash and a loss of power, and goes to its stream when
/// there is a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// The id that it bears.
    pub id: MessageId,
}

/// A message on its way to the disk.
#[derive(Debug)]
#[must_use = "it is on disk when `confirmed` says so"]
pub struct Submitted {
    /// The id that it bears.
    pub id: MessageId,
    confirmed: oneshot::Receiver<Result<(), Arc<io::Error>>>,
    within: Duration,
}

impl Submitted {
    /// Waits until the message is on disk for good.
    ///
    /// # Errors
    /// [`PutError`].
    pub async fn confirmed(self) -> Result<Spooled, PutError> {
        let id = self.id;
        match tokio::time::timeout(self.within, self.confirmed).await {
            Ok(Ok(Ok(()))) => Ok(Spooled { id }),
            Ok(Ok(Err(error))) => Err(PutError::Io(error)),
            Ok(Err(_)) => Err(PutError::Closed),
            Err(_) => Err(PutError::Unconfirmed { id }),
        }
    }
}

/// A message as it is written.
struct Encoded {
    subject: Subject,
    headers: Headers,
    payload: Bytes,
}

impl Encoded {
    fn new<T: Topic>(topic: &T, payload: &T::Payload) -> Result<Self, PutError> {
        const {
            assert!(
                matches!(T::OFFLINE, Offline::Spool),
                "only a topic with `offline = spool` can be spooled"
            );
            assert!(
                matches!(T::DELIVERY, Delivery::Stored),
                "a spool feeds a stream: `offline = spool` needs `delivery = stored`"
            );
        }
        let (headers, payload) = sealed::<T::Codec, _, PutError>(T::SCHEMA, payload)?;
        Ok(Self {
            subject: topic.subject(),
            headers,
            payload,
        })
    }
}

/// A spool on disk. Clones share it; it closes when the last clone and its [`Drain`] are dropped.
#[derive(Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    recovery: Recovery,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn close(&self) {
        lock(&self.queue).closing = true;
        self.wake.notify_one();
    }
}

impl Spool {
    /// Opens a spool in a directory of its own, made if there is none. Reads all of it: at a
    /// gigabyte a second or so, and blocks meanwhile.
    ///
    /// # Errors
    /// [`OpenError`]. Damage is none: [`recovery`](Self::recovery) tells it.
    pub fn open(directory: impl AsRef<Path>, limits: Limits) -> Result<Self, OpenError> {
        Self::open_by(Clock::default(), directory, limits)
    }

    /// Opens a spool as [`open`](Self::open) does, that reads another clock than the system's.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_by(
        clock: Clock,
        directory: impl AsRef<Path>,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        limits.check().map_err(OpenError::Limits)?;
        let disk = Disk::open(directory.as_ref()).map_err(OpenError::io("open", ""))?;
        Self::over(Arc::new(disk.ok_or(OpenError::Locked)?), limits, clock)
    }

    fn over(files: Arc<dyn Files>, limits: Limits, clock: Clock) -> Result<Self, OpenError> {
        let limits = limits.bounded();
        let mut fresh = [0; 12];
        getrandom::fill(&mut fresh).expect("the operating system gives random numbers");
        let (journal, ledger, next, recovery) =
            Journal::open(Arc::clone(&files), limits.segment_bytes, fresh)?;
        if !recovery.damage.is_empty() || recovery.cursor_lost {
            tracing::warn!(?recovery, "the spool is damaged");
        }
        let doubt = journal.cursor().doubt.into();
        let shared = Arc::new(Shared {
            files,
            prefix: journal
                .id()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            queue: Mutex::new(Queue {
                batch: Batch {
                    first: next,
                    ..Batch::default()
                },
                next,
                ..Queue::default()
            }),
            wake: Condvar::new(),
            room: Semaphore::new(limits.pending_bytes),
            ledger: Mutex::new(ledger),
            changed: watch::Sender::new(0),
            counters: Default::default(),
            losses: broadcast::Sender::new(loss::CAPACITY),
            draining: Default::default(),
            dirty: Default::default(),
            doubt,
            closed: watch::Sender::new(false),
            limits,
            clock,
        });
        let writer = Writer {
            saved_at: shared.clock.now_millis(),
            shared: Arc::clone(&shared),
            journal,
            looked_at: 0,
        };
        let closed = shared.closed.clone();
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || {
                writer.run();
                closed.send_replace(true);
            })
            .map_err(OpenError::io("start the thread of", ""))?;
        let inner = Arc::new(Inner { shared, recovery });
        Ok(Self { inner })
    }

    /// Returns what opening it found.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// Puts a message on disk: when this returns, it is there for good. Many callers share a
    /// confirmation of the disk; one caller who waits for each has as many messages a second as the
    /// disk confirms, and more with [`submit`](Self::submit).
    ///
    /// If it is dropped before it returns, the message may be there or not.
    ///
    /// Compiles only for topics that are [`Offline::Spool`] and [`Delivery::Stored`].
    ///
    /// # Errors
    /// [`PutError`].
    pub async fn put<T: Topic>(
        &self,
        topic: &T,
        payload: &T::Payload,
    ) -> Result<Spooled, PutError> {
        let message = Encoded::new(topic, payload)?;
        let size = self.check(&message)?;
        let limits = &self.inner.shared.limits;
        let room = self.inner.shared.room.acquire_many(size as u32);
        match tokio::time::timeout(limits.timeout, room).await {
            Ok(Ok(permit)) => permit.forget(),
            Ok(Err(_)) => return Err(PutError::Closed),
            Err(_) => {
                return Err(self.refused(PutError::Busy {
                    after: limits.timeout,
                }));
            }
        }
        self.enqueue(&message, size)?.confirmed().await
    }

    /// Takes a message without waiting: it has its place, behind all that were taken before, and is
    /// on disk when [`Submitted::confirmed`] says so.
    ///
    /// # Errors
    /// [`PutError`]; [`Busy`](PutError::Busy) when too much is on its way to the disk.
    pub fn submit<T: Topic>(&self, topic: &T, payload: &T::Payload) -> Result<Submitted, PutError> {
        let message = Encoded::new(topic, payload)?;
        let size = self.check(&message)?;
        match self.inner.shared.room.try_acquire_many(size as u32) {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::Closed) => return Err(PutError::Closed),
            Err(TryAcquireError::NoPermits) => {
                return Err(self.refused(PutError::Busy {
                    after: Duration::ZERO,
                }));
            }
        }
        self.enqueue(&message, size)
    }

    /// Returns how many bytes a message takes, if that is not too many.
    fn check(&self, message: &Encoded) -> Result<usize, PutError> {
        let Encoded {
            subject,
            headers,
            payload,
        } = message;
        let whole = record::size(subject, headers, payload);
        let size = whole - record::OVERHEAD - subject.as_str().len();
        let max = self.inner.shared.limits.max_message;
        match size > max {
            true => Err(self.refused(PutError::TooLarge { size, max })),
            false => Ok(whole),
        }
    }

    fn refused(&self, error: PutError) -> PutError {
        let refused = &self.inner.shared.counters.refused;
        refused.fetch_add(1, Ordering::Relaxed);
        error
    }

    /// Gives a message its number and its place among those that are about to be written; it has
    /// its room already.
    fn enqueue(&self, message: &Encoded, size: usize) -> Result<Submitted, PutError> {
        let shared = &*self.inner.shared;
        let (confirm, confirmed) = oneshot::channel();
        let time = shared.clock.now_millis();
        let mut queue = lock(&shared.queue);
        let refusal = if queue.closing {
            Some(PutError::Closed)
        } else if shared.limits.full == Full::Refuse {
            // This message is among what has its room.
            let pending = shared.limits.pending_bytes - shared.room.available_permits();
            let (bytes, max) = (lock(&shared.ledger).bytes(), shared.limits.max_bytes);
            // A segment's header may be added.
            (bytes + pending as u64 + 64 > max).then(|| self.refused(PutError::Full { bytes, max }))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            drop(queue);
            shared.room.add_permits(size);
            return Err(refusal);
        }
        let number = queue.next;
        queue.next += 1;
        let Encoded {
            subject,
            headers,
            payload,
        } = message;
        record::write(
            &mut queue.batch.bytes,
            number,
            time,
            subject,
            headers,
            payload,
        );
        queue.batch.times.push(time);
        queue.waiters.push(confirm);
        drop(queue);
        shared.wake.notify_one();
        Ok(Submitted {
            id: message_id(&shared.prefix, number),
            confirmed,
            within: shared.limits.timeout,
        })
    }

    /// Starts to feed a client with what is spooled, in the background: through every outage, until
    /// the [`Drain`] is stopped or dropped.
    ///
    /// # Errors
    /// [`DrainError`].
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn drain(&self, client: Client, options: DrainOptions) -> Result<Drain, DrainError> {
        let shared = &self.inner.shared;
        if *shared.closed.borrow() {
            return Err(DrainError::Closed);
        }
        if shared.draining.swap(true, Ordering::AcqRel) {
            return Err(DrainError::Busy);
        }
        Ok(Drain::start(self.clone(), client, options))
    }

    /// Waits until nothing waits in the spool; says whether that came to be in time.
    pub async fn emptied(&self, within: Duration) -> bool {
        let mut changed = self.inner.shared.changed.subscribe();
        let empty = async {
            while lock(&self.inner.shared.ledger).waiting() > 0 {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(within, empty).await.is_ok()
    }

    /// Follows what is not passed on.
    #[must_use]
    pub fn losses(&self) -> Losses {
        Losses::new(self.inner.shared.losses.subscribe())
    }

    /// Returns what was counted, and how the spool stands.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let ledger = lock(&self.inner.shared.ledger);
        let oldest = ledger.oldest().map_or(0, |time| {
            self.inner.shared.clock.now_millis().saturating_sub(time)
        });
        let (waiting, bytes) = (ledger.waiting(), ledger.bytes());
        drop(ledger);
        let oldest = Duration::from_millis(oldest);
        self.inner.shared.counters.snapshot(waiting, bytes, oldest)
    }

    /// Ends it: what was put is written, the cursor too, and the directory is free when this
    /// returns. Its drain should be stopped before.
    pub async fn close(self) {
        let mut closed = self.inner.shared.closed.subscribe();
        self.inner.shared.close();
        // The thread ends after what it has to write: as long as the disk takes.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }
}

/// Returns the id of a message: its spool's and its number.
pub(super) fn message_id(prefix: &str, number: u64) -> MessageId {
    MessageId::parse(&format!("{prefix}-{number:x}"))
        .expect("hexadecimal digits and a hyphen are an id")
}

/// Returns the number of a message of the spool; `None` where the id is another's.
pub(super) fn parse_message_id(prefix: &str, id: &str) -> Option<u64> {
    let number = id.strip_prefix(prefix)?.strip_prefix('-')?;
    u64::from_str_radix(number, 16).ok()
}

/// Adds the id to a message's headers.
pub(super) fn seal(headers: &mut Headers, id: &MessageId) {
    headers
        .set(ID, id.as_str())
        .expect("an id is a header's value");
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("id", &self.inner.shared.prefix)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Fault, Memory};
    use super::*;
    use crate::topic::ParseTopicError;
    use crate::{Parameters, Raw, Template, Token};

    struct Sample;

    impl Topic for Sample {
        type Payload = Bytes;
        type Codec = Raw;
        const TEMPLATE: Template = Template::new("a.b");
        const DELIVERY: Delivery = Delivery::Stored;
        const OFFLINE: Offline = Offline::Spool;
        const SCHEMA: u16 = 3;

        fn parameters(&self) -> Parameters {
            Parameters::new()
        }

        fn from_parameters(_: &[Token]) -> Result<Self, ParseTopicError> {
            Ok(Self)
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_of_those_puts_and_the_others_are_kept() {
        let fault = Fault::Full { at: 20, count: 12 };
        let files = Arc::new(Memory::failing(fault, 1));
        let spool =
            Spool::over(Arc::clone(&files) as _, Limits::default(), Clock::default()).unwrap();
        let mut kept = 0;
        for number in 0..40_u8 {
            match spool.put(&Sample, &Bytes::from(vec![number; 100])).await {
                Ok(_) => kept += 1,
                Err(error) => assert!(matches!(error, PutError::Io(_)), "{error}"),
            }
        }
        let statistics = spool.statistics();
        assert!((20..40).contains(&kept), "{kept}");
        assert_eq!((statistics.put, statistics.waiting), (kept, kept));
        assert_eq!(statistics.refused, 40 - kept);
        assert!(statistics.disk_errors > 0);
        let late = spool.clone();
        spool.close().await;
        let refused = late.put(&Sample, &Bytes::new()).await;
        assert!(matches!(refused, Err(PutError::Closed)), "{refused:?}");
        drop(late);
        let left = Arc::new(files.after_power_loss());
        let spool = Spool::over(left, Limits::default(), Clock::default()).unwrap();
        assert_eq!(spool.recovery().waiting, kept);
        assert_eq!(spool.recovery().lost, 0);
    }

    #[tokio::test]
    async fn many_puts_share_a_confirmation_and_each_has_its_own_id() {
        let files = Arc::new(Memory::default());
        let spool = Spool::over(files, Limits::default(), Clock::default()).unwrap();
        let submitted: Vec<_> = (0..500)
            .map(|_| spool.submit(&Sample, &Bytes::from_static(b"x")).unwrap())
            .collect();
        let mut ids = std::collections::HashSet::new();
        for submitted in submitted {
            ids.insert(submitted.confirmed().await.unwrap().id.to_string());
        }
        assert_eq!(ids.len(), 500);
        let syncs = spool.statistics().syncs;
        assert!(syncs < 500, "{syncs}");
    }
}
