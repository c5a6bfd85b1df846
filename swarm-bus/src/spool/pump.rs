//! Feeds a client with what is spooled.

use super::answers::{Event, answer};
use super::handle::{Spool, message_id, seal};
use super::loss::LossReason;
use super::options::{DrainOptions, Order};
use super::rate::Rate;
use super::reader::{Reader, Waiting};
use super::window::{Bounds, Moment, Outcome, Verdict, Window};
use super::writer::Shared;
use super::{lock, now_steady};
use crate::client::{Client, PublishError, StateWatch};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How many numbers are declared as sent at a time: a confirmation of the disk for each so many.
const RESERVE: u64 = 1 << 16;
/// How many messages that wait for an answer are passed over in search of other subjects: at least,
/// for each one on its way, at most. They are looked at again with each answer.
const AHEAD: (usize, usize, usize) = (64, 8, 1024);
/// How many messages are sent before answers are looked at.
pub(super) const TURN: usize = 256;
/// The shortest and the longest pause before a message is sent again.
pub(super) const RETRY: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(10));

/// Gives the right to drain back, however the task ends.
struct Right(Arc<Shared>);

impl Drop for Right {
    fn drop(&mut self) {
        self.0.draining.store(false, Release);
    }
}

/// Why nothing is sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Answers are looked at first.
    Turn,
    /// For an answer, or a pause to end.
    Answer,
    /// For messages.
    Messages,
    /// For a connection.
    Link,
    /// For this time.
    Until(Duration),
}

pub(super) struct Pump {
    pub(super) shared: Arc<Shared>,
    /// Keeps the spool open.
    _spool: Spool,
    _right: Right,
    pub(super) client: Client,
    pub(super) options: DrainOptions,
    pub(super) window: Window,
    rate: Rate,
    reader: Reader,
    pub(super) flying: FuturesUnordered<BoxFuture<'static, Event>>,
    changed: watch::Receiver<u64>,
    states: StateWatch,
    /// Up to which number the disk knows that messages may be sent.
    reserved: u64,
    /// How many messages were passed over that wait for an answer.
    pub(super) passed: usize,
}

impl Pump {
    pub(super) fn new(spool: Spool, client: Client, options: DrainOptions) -> Self {
        let shared = Arc::clone(spool.shared());
        let messages = options.in_flight.max(1);
        let bounds = Bounds {
            messages,
            per_subject: match options.order {
                Order::Pipelined => messages,
                Order::Strict => 1,
            },
            // A quarter is left for what is long on its way.
            known: options.duplicate_window * 3 / 4,
            doubt: shared.doubt.load(Acquire),
        };
        Self {
            _right: Right(Arc::clone(&shared)),
            window: Window::new(bounds),
            rate: Rate::new(options.per_second),
            reader: Reader::new(Arc::clone(&shared)),
            flying: FuturesUnordered::new(),
            changed: shared.changed.subscribe(),
            states: client.states(),
            reserved: 0,
            passed: 0,
            shared,
            _spool: spool,
            client,
            options,
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment {
            steady: now_steady(),
            wall: Duration::from_millis(self.shared.clock.now_millis()),
        }
    }

    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<Duration>) {
        loop {
            self.changed.borrow_and_update();
            let wait = self.pump().await;
            self.publish_gauges();
            let wake = self.window.wakes_at(now_steady());
            tokio::select! {
                biased;
                within = &mut stopped => {
                    if let Ok(within) = within {
                        self.finish(within).await;
                    }
                    return;
                }
                Some(event) = self.flying.next() => self.take(event),
                () = ready(wait, wake, &mut self.changed, &mut self.states) => {}
            }
            self.take_ready();
            let link = self.client.link().map_or(0, |link| link.id);
            if let Some(number) = self.window.rewind(link, now_steady()) {
                self.reader.rewind(number);
                self.passed = 0;
            }
        }
    }

    /// Waits for what is on its way, and leaves no doubt on disk if there is none.
    async fn finish(&mut self, within: Duration) {
        let answers = async {
            while self.window.flying() > 0
                && let Some(event) = self.flying.next().await
            {
                self.take(event);
            }
        };
        let _ = tokio::time::timeout(within, answers).await;
        if self.reserved > 0 && !self.window.is_in_doubt() {
            // What a process before this one may have sent, and was not settled, stays in doubt.
            let first = lock(&self.shared.ledger).first_waiting();
            let inherited = self.window.inherited();
            let doubt = match first.is_some_and(|first| first < inherited) {
                true => inherited,
                false => 0,
            };
            let _ = self.shared.reserve(self.reserved, doubt).await;
        }
    }

    /// Sends what can be sent.
    async fn pump(&mut self) -> Wait {
        for _ in 0..TURN {
            let now = self.now();
            let ahead = AHEAD.2.min(AHEAD.0 + AHEAD.1 * self.window.flying());
            if self.window.is_full() || self.passed >= ahead {
                return Wait::Answer;
            }
            if let Err(until) = self.rate.check(now.steady) {
                return Wait::Until(until);
            }
            let Some(link) = self.client.link() else {
                return Wait::Link;
            };
            let Some(waiting) = self.reader.next().await else {
                return Wait::Messages;
            };
            let number = waiting.number;
            let Some(record) = waiting.record() else {
                // Whole when it was found, and not since: not met in practice.
                self.drop_one(number, None, LossReason::Damaged);
                continue;
            };
            if self
                .shared
                .is_expired(record.time, self.shared.clock.now_millis())
            {
                self.drop_one(number, Some(record.subject), LossReason::Age);
                continue;
            }
            if number >= self.reserved {
                let next = number + RESERVE;
                let doubt = next.max(self.shared.doubt.load(Acquire));
                if self.shared.reserve(next, doubt).await.is_err() {
                    return Wait::Until(now.steady + Duration::from_secs(1));
                }
                self.reserved = next;
            }
            match self.window.offer(number, record.subject, link.id, now) {
                Verdict::Flying => {}
                Verdict::Later { soon } => self.passed += usize::from(soon),
                Verdict::Stored => {
                    if self.shared.finish(number) {
                        self.shared.counters.drained.fetch_add(1, Relaxed);
                        self.shared.counters.settled.fetch_add(1, Relaxed);
                        self.shared.changed.send_modify(|count| *count += 1);
                    }
                }
                Verdict::Settle => {
                    if let Some(subject) = record.parse_subject() {
                        self.settle(subject, record.time);
                    }
                }
                Verdict::Send => {
                    if let Err(wait) = self.send(&link, &waiting, now.steady) {
                        return wait;
                    }
                }
            }
            self.reader.pass(number);
        }
        Wait::Turn
    }

    fn send(
        &mut self,
        link: &Arc<crate::client::Link>,
        waiting: &Waiting,
        now: Duration,
    ) -> Result<(), Wait> {
        let number = waiting.number;
        let parts = waiting.record().and_then(|record| {
            Some((
                record.parse_subject()?,
                record.parse_headers()?,
                record.payload,
            ))
        });
        let Some((subject, mut headers, payload)) = parts else {
            return Ok(());
        };
        let id = message_id(&self.shared.prefix, number);
        seal(&mut headers, &id);
        let payload = waiting.bytes.slice_ref(payload);
        let sent = self
            .client
            .store_by(link, subject.as_str(), &headers, &payload);
        match sent {
            Ok(expected) => {
                self.rate.take(now);
                let timeout = self.options.timeout;
                self.flying
                    .push(answer(number, subject, id, expected, timeout).boxed());
                Ok(())
            }
            Err(PublishError::TooLarge { .. }) => {
                let now = self.now();
                self.window
                    .answer(number, subject.as_str(), &Outcome::Hopeless, now, |_| {
                        RETRY.0
                    });
                self.drop_one(number, Some(subject.as_str()), LossReason::Refused);
                Ok(())
            }
            Err(error) => {
                self.window.recall(number, subject.as_str());
                Err(match error {
                    PublishError::QueueFull { .. } => Wait::Until(now + Duration::from_millis(2)),
                    _ => Wait::Until(now + Duration::from_millis(10)),
                })
            }
        }
    }

    pub(super) fn drop_one(&self, number: u64, subject: Option<&str>, reason: LossReason) {
        if self.shared.finish(number) {
            self.shared.lose(reason, subject.map(str::to_owned), 1);
            self.shared.changed.send_modify(|count| *count += 1);
        }
    }

    fn publish_gauges(&self) {
        let (blocked, held) = self.window.blocked(now_steady());
        let counters = &self.shared.counters;
        counters.blocked.store(blocked as u64, Relaxed);
        counters.held.store(held as u64, Relaxed);
        let denied = self.window.denied() as u64;
        counters.denied.store(denied, Relaxed);
    }
}

/// Waits until there may be something to do, by `wake` at the latest.
async fn ready(
    wait: Wait,
    wake: Option<Duration>,
    changed: &mut watch::Receiver<u64>,
    states: &mut StateWatch,
) {
    let now = now_steady();
    let until = match wait {
        Wait::Until(until) => wake.map_or(until, |wake| wake.min(until)),
        // Looked at now and then in any case: for what cannot be read at the moment.
        _ => wake.unwrap_or(now + Duration::from_secs(1)),
    };
    let pause = tokio::time::sleep(until.saturating_sub(now));
    match wait {
        Wait::Turn => tokio::task::yield_now().await,
        Wait::Messages => {
            tokio::select! {
                _ = changed.changed() => {}
                () = pause => {}
            }
        }
        Wait::Link => {
            tokio::select! {
                Some(_) = states.changed() => {}
                () = pause => {}
            }
        }
        Wait::Answer | Wait::Until(_) => pause.await,
    }
}
