//! Follows the subjects of a filter in a stream: what stands under each now, then each change.

use super::known::{Gap, Known};
use super::{Contents, Cursor, Reader, Stored, StreamError};
use crate::Pattern;
use crate::client::{Signal, Signals, State, StateWatch, SubscribeError};
use std::collections::VecDeque;
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

/// What following a stream yields.
pub(crate) enum Followed {
    /// A message: in order, each once.
    Message(Stored),
    /// What the stream does not hold any more, before the message that comes next.
    Missed(Gap),
    /// What is there is told; changes follow.
    Current,
    /// Something stood under a subject, and nothing there says when it went.
    Vanished { subject: String, revision: u64 },
    /// The stream is another one of the same name, or has lost its end. What is there follows from
    /// its beginning.
    Restarted,
}

/// Why a stream cannot be followed any more.
#[derive(Debug)]
pub(crate) enum FollowError {
    Stream(StreamError),
    Subscribe(SubscribeError),
    /// There are more subjects than are held.
    Full {
        max: usize,
    },
    Closed,
}

impl From<StreamError> for FollowError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<SubscribeError> for FollowError {
    fn from(error: SubscribeError) -> Self {
        Self::Subscribe(error)
    }
}

/// What of a stream is followed.
pub(crate) struct Scope {
    /// The messages that are read.
    pub(crate) filter: Pattern,
    /// What is subscribed to, to be told of changes.
    pub(crate) signal: Pattern,
    /// Whether the filter lets all messages of the stream through.
    pub(crate) whole: bool,
    /// Says whether a message marks that nothing stands under its subject any more.
    pub(crate) is_marker: Box<dyn Fn(&Stored) -> bool + Send + Sync>,
    /// How many subjects are held.
    pub(crate) max: usize,
}

/// Follows a stream.
///
/// It reads the stream itself, from the message that it has come to, and lets a subscription tell it
/// when to look; so it goes on after a loss of the connection, a replacement, or a restart of the
/// server, without a gap and without a double.
pub(crate) struct Follow {
    reader: Reader,
    scope: Scope,
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
    /// The last message of all subjects when the stream was asked last.
    end: u64,
    queue: VecDeque<Followed>,
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
    /// Nothing more: there are more subjects than are held.
    Full,
}

impl Follow {
    pub(crate) async fn open(reader: Reader, scope: Scope) -> Result<Self, SubscribeError> {
        let signals = reader.client.signals(&scope.signal)?;
        signals.barrier().await?;
        let now = Instant::now();
        Ok(Self {
            signals,
            states: reader.client.states(),
            cursor: Cursor::new(reader.clone(), scope.filter.clone(), 0),
            sweep: None,
            reader,
            known: Known::new(scope.max),
            scope,
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

    /// Sets how often the stream is asked whether it is still the same and, where it is whole or
    /// messages grow too old, still has what was told of; beside each new connection.
    pub(crate) fn check_every(&mut self, time: Duration) {
        self.check = time;
        self.check_at = Instant::now() + time;
    }

    /// Returns the number of the last message that was told.
    pub(crate) fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Waits for what comes next, through losses and replacements of the connection. Dropping the
    /// future before it is ready loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Followed, FollowError> {
        loop {
            if let Some(followed) = self.queue.pop_front() {
                return Ok(followed);
            }
            let step = match self.phase {
                Phase::Check => self.check().await,
                Phase::Read => self.read().await,
                Phase::Sweep => self.sweep().await,
                Phase::Wait => self.wait().await,
                Phase::Full => Err(FollowError::Full {
                    max: self.scope.max,
                }),
            };
            match step {
                Ok(()) => {}
                Err(FollowError::Stream(error)) if error.is_interruption() => {
                    self.doubt();
                    self.connection().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Has the stream asked, and what is known held against it.
    fn doubt(&mut self) {
        self.phase = Phase::Check;
        self.sweep = None;
        self.doubtful = true;
    }

    async fn connection(&mut self) -> Result<(), FollowError> {
        tokio::time::sleep(RETRY).await;
        self.states
            .until(|state| state.is_connected() || matches!(state, State::Draining))
            .await
            .filter(State::is_connected)
            .map(drop)
            .ok_or(FollowError::Closed)
    }

    async fn check(&mut self) -> Result<(), FollowError> {
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
        let contents = info.contents();
        self.ages = info.ages();
        self.end = contents.last_seq;
        if let Some(created) = &self.created
            && (*created != info.created || contents.last_seq < self.cursor.position())
        {
            self.cursor = Cursor::new(self.reader.clone(), self.scope.filter.clone(), 0);
            self.known = Known::new(self.scope.max);
            self.complete = false;
            self.doubtful = false;
            self.queue.push_back(Followed::Restarted);
        }
        self.created = Some(info.created);
        self.check_at = Instant::now() + self.check;
        self.phase = Phase::Read;
        Ok(())
    }

    async fn read(&mut self) -> Result<(), FollowError> {
        if let Some(stored) = self.cursor.next().await? {
            self.pause = self.pause.max(NEXT_LOOK);
            self.take(stored);
            return Ok(());
        }
        if !self.complete {
            self.known.complete(self.cursor.position().max(self.end));
            self.complete = true;
            self.queue.push_back(Followed::Current);
        } else if self.doubtful && self.has_reason_to_sweep().await? {
            self.known.begin_sweep();
            let cursor = Cursor::new(self.reader.clone(), self.scope.filter.clone(), 0);
            self.sweep = Some(cursor);
            self.phase = Phase::Sweep;
            return Ok(());
        }
        self.rest();
        Ok(())
    }

    fn take(&mut self, stored: Stored) {
        let (revision, live) = (stored.sequence, !(self.scope.is_marker)(&stored));
        let Ok(gap) = self.known.note(&stored.subject, revision, live) else {
            self.phase = Phase::Full;
            return;
        };
        if let Some(gap) = gap.filter(|_| self.scope.whole) {
            self.queue.push_back(Followed::Missed(gap));
        }
        self.queue.push_back(Followed::Message(stored));
    }

    /// Asks whether something may have gone without a word. Of a whole stream the number of
    /// subjects tells.
    async fn has_reason_to_sweep(&mut self) -> Result<bool, FollowError> {
        if self.known.count() == 0 {
            return Ok(false);
        }
        let state = self.reader.info().await?.contents();
        if state == self.verified {
            return Ok(false);
        }
        let same = usize::try_from(state.num_subjects) == Ok(self.known.count());
        let all_there = self.scope.whole && same && state.last_seq == self.cursor.position();
        self.verified = state;
        Ok(!all_there)
    }

    async fn sweep(&mut self) -> Result<(), FollowError> {
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
            self.queue
                .push_back(Followed::Vanished { subject, revision });
        }
        self.rest();
        Ok(())
    }

    fn rest(&mut self) {
        self.doubtful = false;
        self.phase = Phase::Wait;
        self.look_at = Instant::now() + self.pause;
    }

    async fn wait(&mut self) -> Result<(), FollowError> {
        tokio::select! {
            signal = self.signals.next() => match signal {
                Signal::Changed => {
                    self.pause = FIRST_LOOK;
                    self.phase = Phase::Read;
                }
                Signal::Denied => {
                    let pattern = self.scope.signal.clone();
                    return Err(SubscribeError::Denied { pattern }.into());
                }
                Signal::Ended => return Err(FollowError::Closed),
            },
            state = self.states.changed() => match state {
                // Another connection: whatever happened in between.
                Some(State::Connected { .. }) => self.doubt(),
                Some(_) => {}
                None => return Err(FollowError::Closed),
            },
            () = tokio::time::sleep_until(self.look_at.min(self.check_at)) => {
                self.pause = (self.pause * 2).min(LAST_LOOK);
                self.phase = Phase::Read;
                if Instant::now() >= self.check_at {
                    self.phase = Phase::Check;
                    self.doubtful = self.scope.whole || self.ages;
                }
            }
        }
        Ok(())
    }
}
