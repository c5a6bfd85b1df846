//! Follows the keys of a bucket.

use super::bucket::MAX_KEYS;
use super::entry::{is_marker, parse_key};
use super::known::Known;
use super::{Entry, KvError};
use crate::client::{ReceiveError, Signal, Signals, State, StateWatch, SubscribeError};
use crate::stream::{Contents, Cursor, Reader, Stored, StreamError, StreamSummary};
use crate::topic::Filter;
use crate::{Pattern, Topic};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How long after a signal to look the first time; a signal may come before the message is stored.
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// How long after a look that found something to look again; a signal may stand for several messages.
const NEXT_LOOK: Duration = Duration::from_millis(50);
/// How often to look without a signal, in case one was lost.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// How often to ask the stream whether it is still the same and still has what is known, at first.
const CHECK: Duration = Duration::from_secs(20);
/// How long a stream may be absent; a server that starts needs a moment for its streams.
const ABSENT: Duration = Duration::from_secs(3);
/// How long to wait before a question is put again.
const RETRY: Duration = Duration::from_millis(250);

/// What a [`Watch`] yields.
#[non_exhaustive]
pub enum Update<T: Topic> {
    /// A revision of a key: in order, each once. Before [`Current`](Self::Current) it belongs to
    /// the present state.
    Entry(Entry<T>),
    /// A revision that cannot be read, in its place.
    Unreadable {
        /// Which revision.
        revision: u64,
        /// Why; it holds the subject.
        error: ReceiveError,
    },
    /// The present state is complete; changes follow. After [`Restarted`](Self::Restarted) it comes
    /// again.
    Current,
    /// The bucket does not hold the revisions between these any more: later ones of the same keys,
    /// which come, have replaced them, or they were removed. Told by a watch of all keys of a bucket
    /// that has keys of this type only; to a narrower one it looks the same when other keys were
    /// written.
    Missed {
        /// The last revision before the gap.
        after: u64,
        /// The first revision behind it, which comes next.
        before: u64,
    },
    /// A key that had a value is not in the bucket any more, and nothing there says when it went: it
    /// grew too old, or somebody removed even the mark of its deletion.
    Vanished {
        /// Which key.
        key: T,
        /// The last revision that was seen of it.
        revision: u64,
    },
    /// The bucket is another one of the same name, or has lost its end: what came before is void.
    /// The present state follows from its beginning. It is noticed with a new connection, or within
    /// half a minute; what came in between may be of the other bucket already, and comes again.
    Restarted,
}

/// Follows the keys of a filter in a bucket.
///
/// It reads the stream itself, from the revision that it has come to, and lets a subscription tell
/// it when to look; so it goes on after a loss of the connection, a replacement, or a restart of the
/// server, without a gap and without a double. It holds the subject of each key that it told of, a
/// million at most.
pub struct Watch<T: Topic> {
    reader: Reader,
    filter: Filter<T>,
    /// Whether the filter lets all keys of `T` through.
    whole: bool,
    signals: Signals,
    states: StateWatch,
    cursor: Cursor,
    sweep: Option<Cursor>,
    known: Known,
    /// When the stream was made.
    created: Option<String>,
    ages: bool,
    complete: bool,
    /// Whether what is known is to be held against the stream when the end is reached.
    doubtful: bool,
    /// What the stream held when what is known was last held against it.
    verified: Contents,
    /// The last revision of all keys when the stream was asked last.
    end: u64,
    queue: VecDeque<Update<T>>,
    phase: Phase,
    pause: Duration,
    check: Duration,
    look_at: Instant,
    check_at: Instant,
    absent_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Ask the stream what it is.
    Check,
    /// Read what is there.
    Read,
    /// Hold what is known against what is there.
    Sweep,
    /// Wait for a change.
    Wait,
    /// Nothing more: there are more keys than are held.
    Full,
}

impl<T: Topic> Watch<T> {
    pub(super) async fn open(reader: Reader, filter: Filter<T>) -> Result<Self, KvError> {
        let pattern = filter.pattern().clone();
        let stream = reader.stream.as_str();
        let bucket = stream.strip_prefix("KV_").unwrap_or(stream);
        let signals = reader.client.signals(&pattern)?;
        signals.barrier().await?;
        let now = Instant::now();
        Ok(Self {
            whole: pattern == *T::any().pattern() || pattern.as_str() == format!("$KV.{bucket}.>"),
            filter,
            signals,
            states: reader.client.states(),
            cursor: Cursor::new(reader.clone(), pattern, 0),
            sweep: None,
            reader,
            known: Known::default(),
            created: None,
            ages: false,
            complete: false,
            doubtful: false,
            verified: Contents::default(),
            end: 0,
            queue: VecDeque::new(),
            phase: Phase::Check,
            pause: FIRST_LOOK,
            check: CHECK,
            look_at: now,
            check_at: now,
            absent_since: None,
        })
    }

    /// Sets how often the stream is asked whether it is still the same and still has what was told
    /// of, beside each new connection; 20 s at first. A narrower watch than of all keys asks for the
    /// latter only where values grow too old.
    #[must_use]
    pub fn check_every(mut self, time: Duration) -> Self {
        self.check = time;
        self.check_at = Instant::now() + time;
        self
    }

    /// Waits for the next update, through losses and replacements of the connection.
    ///
    /// Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    /// [`KvError`] when the bucket is gone, this user may not, there are more keys than it holds, or
    /// the client is closed. A lost connection is no error.
    pub async fn next(&mut self) -> Result<Update<T>, KvError> {
        loop {
            if let Some(update) = self.queue.pop_front() {
                return Ok(update);
            }
            let step = match self.phase {
                Phase::Check => self.check().await,
                Phase::Read => self.read().await,
                Phase::Sweep => self.sweep().await,
                Phase::Wait => self.wait().await,
                Phase::Full => Err(KvError::TooManyKeys { max: MAX_KEYS }),
            };
            match step {
                Ok(()) => {}
                Err(KvError::Stream(error)) if error.is_interruption() => {
                    self.doubt();
                    self.connection().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn pattern(&self) -> &Pattern {
        self.filter.pattern()
    }

    /// Has the stream asked, and what is known held against it.
    fn doubt(&mut self) {
        self.phase = Phase::Check;
        self.sweep = None;
        self.doubtful = true;
    }

    async fn connection(&mut self) -> Result<(), KvError> {
        tokio::time::sleep(RETRY).await;
        self.states
            .until(|state| state.is_connected() || matches!(state, State::Draining))
            .await
            .filter(State::is_connected)
            .map(drop)
            .ok_or(KvError::Closed)
    }

    async fn check(&mut self) -> Result<(), KvError> {
        let info = match self.reader.info().await {
            Err(StreamError::NoStream) => {
                let since = *self.absent_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= ABSENT {
                    self.absent_since = None;
                    return Err(StreamError::NoStream.into());
                }
                tokio::time::sleep(RETRY).await;
                return Ok(());
            }
            info => info?,
        };
        self.absent_since = None;
        self.ages = info.config.max_age > 0;
        self.end = info.state.last_seq;
        if let Some(created) = &self.created
            && (*created != info.created || info.state.last_seq < self.cursor.position())
        {
            self.cursor = Cursor::new(self.reader.clone(), self.pattern().clone(), 0);
            self.known = Known::default();
            self.complete = false;
            self.doubtful = false;
            self.queue.push_back(Update::Restarted);
        }
        self.created = Some(info.created);
        self.check_at = Instant::now() + self.check;
        self.phase = Phase::Read;
        Ok(())
    }

    async fn read(&mut self) -> Result<(), KvError> {
        if let Some(stored) = self.cursor.next().await? {
            self.pause = self.pause.max(NEXT_LOOK);
            return self.take(stored);
        }
        if !self.complete {
            self.known.complete(self.cursor.position().max(self.end));
            self.complete = true;
            self.queue.push_back(Update::Current);
        } else if self.doubtful && self.has_reason_to_sweep().await? {
            self.known.begin_sweep();
            let cursor = Cursor::new(self.reader.clone(), self.pattern().clone(), 0);
            self.sweep = Some(cursor);
            self.phase = Phase::Sweep;
            return Ok(());
        }
        self.rest();
        Ok(())
    }

    fn take(&mut self, stored: Stored) -> Result<(), KvError> {
        let (revision, live) = (stored.sequence, !is_marker(&stored));
        let Ok(gap) = self.known.note(&stored.subject, revision, live) else {
            self.phase = Phase::Full;
            return Ok(());
        };
        if let Some(gap) = gap.filter(|_| self.whole) {
            self.queue.push_back(Update::Missed {
                after: gap.after,
                before: gap.before,
            });
        }
        self.queue.push_back(match Entry::parse(stored) {
            Ok(entry) => Update::Entry(entry),
            Err(KvError::Unreadable { revision, source }) => Update::Unreadable {
                revision,
                error: source,
            },
            Err(error) => return Err(error),
        });
        Ok(())
    }

    /// Asks whether something may have gone without a word. Of a watch of all keys the number of
    /// keys tells.
    async fn has_reason_to_sweep(&mut self) -> Result<bool, KvError> {
        if self.known.count() == 0 {
            return Ok(false);
        }
        let StreamSummary { state, .. } = self.reader.info().await?;
        if state == self.verified {
            return Ok(false);
        }
        let same = usize::try_from(state.num_subjects) == Ok(self.known.count());
        let all_there = self.whole && same && state.last_seq == self.cursor.position();
        self.verified = state;
        Ok(!all_there)
    }

    async fn sweep(&mut self) -> Result<(), KvError> {
        let Some(cursor) = &mut self.sweep else {
            self.phase = Phase::Check;
            return Ok(());
        };
        if let Some(stored) = cursor.next().await? {
            self.known.sweep(&stored.subject);
            return Ok(());
        }
        self.sweep = None;
        for (subject, revision) in self.known.end_sweep() {
            // What is no key of `T` was told as unreadable, and is of no concern now.
            if let Ok(key) = parse_key(subject) {
                self.queue.push_back(Update::Vanished { key, revision });
            }
        }
        self.rest();
        Ok(())
    }

    fn rest(&mut self) {
        self.doubtful = false;
        self.phase = Phase::Wait;
        self.look_at = Instant::now() + self.pause;
    }

    async fn wait(&mut self) -> Result<(), KvError> {
        tokio::select! {
            signal = self.signals.next() => match signal {
                Signal::Changed => {
                    self.pause = FIRST_LOOK;
                    self.phase = Phase::Read;
                }
                Signal::Denied => {
                    let pattern = self.pattern().clone();
                    return Err(SubscribeError::Denied { pattern }.into());
                }
                Signal::Ended => return Err(KvError::Closed),
            },
            state = self.states.changed() => match state {
                // Another connection: whatever happened in between.
                Some(State::Connected { .. }) => self.doubt(),
                Some(_) => {}
                None => return Err(KvError::Closed),
            },
            () = tokio::time::sleep_until(self.look_at.min(self.check_at)) => {
                self.pause = (self.pause * 2).min(LAST_LOOK);
                self.phase = Phase::Read;
                if Instant::now() >= self.check_at {
                    self.phase = Phase::Check;
                    self.doubtful = self.whole || self.ages;
                }
            }
        }
        Ok(())
    }
}

impl<T> fmt::Debug for Update<T>
where
    T: Topic + fmt::Debug,
    T::Payload: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(entry) => f.debug_tuple("Entry").field(entry).finish(),
            Self::Unreadable { revision, error } => f
                .debug_struct("Unreadable")
                .field("revision", revision)
                .field("error", error)
                .finish(),
            Self::Current => f.write_str("Current"),
            Self::Missed { after, before } => f
                .debug_struct("Missed")
                .field("after", after)
                .field("before", before)
                .finish(),
            Self::Vanished { key, revision } => f
                .debug_struct("Vanished")
                .field("key", key)
                .field("revision", revision)
                .finish(),
            Self::Restarted => f.write_str("Restarted"),
        }
    }
}

impl<T: Topic> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("filter", &self.filter)
            .field("revision", &self.cursor.position())
            .finish_non_exhaustive()
    }
}
