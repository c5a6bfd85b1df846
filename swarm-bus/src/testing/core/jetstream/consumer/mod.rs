//! A pull consumer: what it has delivered, what is owed an acknowledgement, what comes again.

mod acks;

use super::Context;
use super::config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use super::store::{Store, Stored, passes};
use super::time::{nanos, rfc3339};
use super::waiting::{Ask, WaitQueue};
use crate::testing::core::message::{Message, with_headers};
use crate::{Pattern, Subject};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A server gathers what falls due within this time.
const ACK_WAIT_DELAY: Duration = Duration::from_millis(1);

/// A message that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy)]
struct Pending {
    delivery: u64,
    at: Duration,
}

/// What is to be delivered next.
enum Next {
    Again { sequence: u64, deliveries: u64 },
    Fresh { sequence: u64 },
    Stalled,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) config: ConsumerConfig,
    pub(super) filter: Option<Pattern>,
    stream: String,
    created: Duration,
    /// The first number in the stream that was not looked at.
    next: u64,
    /// The number of the next delivery.
    next_delivery: u64,
    /// Up to which delivery, and which message, all is acknowledged.
    floor: (u64, u64),
    pending: BTreeMap<u64, Pending>,
    /// How often each message came again.
    redelivered: BTreeMap<u64, u64>,
    /// What is to come again, in order.
    again: VecDeque<u64>,
    /// What to read first where a consumer begins with the last message of each subject, and where
    /// it goes on then.
    first: VecDeque<u64>,
    resume: u64,
    waiting: WaitQueue,
    /// What counts as acknowledged since the stream asked.
    settled: Vec<u64>,
    last_active: Duration,
}

impl Consumer {
    pub(super) fn new(
        stream: &str,
        name: String,
        config: ConsumerConfig,
        store: &Store,
        now: Duration,
    ) -> Self {
        let filter = config.filter();
        let (first, last) = (store.first(), store.last());
        let mut skip = VecDeque::new();
        let wanted = match config.deliver_policy {
            DeliverPolicy::All => first,
            // Without a filter a server goes by the last number, even where no message bears it.
            DeliverPolicy::Last if filter.is_none() => last,
            DeliverPolicy::Last => store.last_of(filter.as_ref()).map_or(0, |(last, _)| last),
            DeliverPolicy::LastPerSubject => {
                let mut all: Vec<u64> = store.last_per_subject(filter.as_ref()).collect();
                all.sort_unstable();
                skip = all.into();
                skip.front().copied().unwrap_or(last)
            }
            DeliverPolicy::ByStartSequence => config.opt_start_seq,
            DeliverPolicy::New | DeliverPolicy::ByStartTime => last + 1,
        };
        let next = match first {
            0 => 1,
            first => wanted.max(first).min(last + 1),
        };
        Self {
            name,
            filter,
            stream: stream.to_owned(),
            created: now,
            next,
            next_delivery: 1,
            floor: (0, 0),
            pending: BTreeMap::new(),
            redelivered: BTreeMap::new(),
            again: VecDeque::new(),
            first: skip,
            resume: last,
            waiting: WaitQueue::default(),
            settled: Vec::new(),
            last_active: now,
            config,
        }
    }

    /// Takes a change. Says whether there may be something to deliver after it.
    pub(super) fn update(&mut self, config: ConsumerConfig) -> bool {
        let wakes = config.max_ack_pending != self.config.max_ack_pending;
        self.filter = config.filter();
        self.config = config;
        wakes
    }

    /// Takes a reader's request.
    pub(super) fn handle_request(
        &mut self,
        reply: &Subject,
        payload: &[u8],
        store: &Store,
        context: &mut Context<'_>,
    ) {
        let mut refuse = |line: &str| context.send(Message::status(reply, line, &[]));
        let ask = match Ask::parse(payload) {
            Ok(ask) => ask,
            Err(text) => return refuse(&format!("400 Bad Request - {text}")),
        };
        let config = &self.config;
        let (batch, expires) = (config.max_request_batch, config.max_request_expires);
        if let Some(text) = ask.exceeds(batch, expires, config.max_request_bytes) {
            return refuse(&format!("409 {text}"));
        }
        self.last_active = context.now;
        if ask.no_wait() {
            let there = self.unread(store) + self.again.len() as u64;
            if there == 0 && ask.is_instant() {
                return context.send(Message::status(reply, "404 No Messages", &[]));
            }
            if there > 0 {
                self.waiting.sweep(false, self.place(), context);
                if there < self.waiting.asked() {
                    return context.send(Message::status(reply, "408 Requests Pending", &[]));
                }
            }
        }
        let room = usize::try_from(self.config.max_waiting).unwrap_or(usize::MAX);
        if self.waiting.len() >= room {
            self.waiting.sweep(false, self.place(), context);
        }
        if self.waiting.len() >= room {
            return context.send(Message::status(reply, "409 Exceeded MaxWaiting", &[]));
        }
        self.waiting.add(&ask, reply.clone(), context.now);
        self.deliver(store, context);
    }

    /// Delivers what there is to those who wait.
    pub(super) fn deliver(&mut self, store: &Store, context: &mut Context<'_>) {
        let mut stalled = false;
        while !self.waiting.is_empty() {
            let (sequence, deliveries, fresh) = match self.find_next(store, context) {
                Next::Again {
                    sequence,
                    deliveries,
                } => (sequence, deliveries, false),
                Next::Fresh { sequence } => (sequence, 1, true),
                Next::Stalled => {
                    stalled = true;
                    break;
                }
                Next::Nothing => break,
            };
            let Some(stored) = store.message(sequence) else {
                break;
            };
            if !self.deliver_one(store, sequence, deliveries, fresh, stored, context) {
                break;
            }
        }
        self.waiting.sweep(!stalled, self.place(), context);
    }

    fn find_next(&mut self, store: &Store, context: &mut Context<'_>) -> Next {
        while let Some(sequence) = self.again.front().copied() {
            let deliveries = self.redelivered.get(&sequence).map_or(0, |count| *count) + 2;
            let max = u64::try_from(self.config.max_deliver).unwrap_or(0);
            let exceeded = max > 0 && deliveries > max;
            if !exceeded && store.message(sequence).is_some() {
                return Next::Again {
                    sequence,
                    deliveries,
                };
            }
            self.again.pop_front();
            if exceeded {
                *self.redelivered.entry(sequence).or_default() += 1;
                if deliveries == max + 1 {
                    let body = json!({"stream_seq": sequence, "deliveries": max});
                    self.advise("MAX_DELIVERIES", "max_deliver", body, context);
                }
            }
            self.pending.remove(&sequence);
        }
        if self.is_stalled() {
            return Next::Stalled;
        }
        let start = self.first.front().copied().unwrap_or(self.next);
        match store.next(self.filter.as_ref(), start) {
            Some((sequence, _)) => Next::Fresh { sequence },
            None => {
                self.first.clear();
                self.next = self.next.max(store.last() + 1);
                Next::Nothing
            }
        }
    }

    /// Delivers one message; says whether there was somebody to take it.
    fn deliver_one(
        &mut self,
        store: &Store,
        sequence: u64,
        deliveries: u64,
        fresh: bool,
        stored: &Stored,
        context: &mut Context<'_>,
    ) -> bool {
        let before = (self.next, self.first.clone());
        if fresh {
            if self.first.pop_front().is_some() && self.first.is_empty() {
                self.next = self.next.max(self.resume);
            }
            self.next = self.next.max(sequence + 1);
        }
        let reply = format!(
            "$JS.ACK.{}.{}.{deliveries}.{sequence}.{}.{}.{}",
            self.stream,
            self.name,
            self.next_delivery,
            stored.at.as_nanos(),
            self.unread(store),
        );
        let (headers, payload) = match self.config.headers_only {
            false => (stored.headers.clone(), stored.payload.clone()),
            true => {
                let size = ("Nats-Msg-Size", stored.payload.len().to_string());
                (with_headers(&stored.headers, &[size]), Bytes::new())
            }
        };
        let size = stored.subject.as_str().len() + reply.len() + headers.len() + payload.len();
        let Some(to) = self.waiting.take(size, context) else {
            (self.next, self.first) = before;
            return false;
        };
        if !fresh {
            self.again.pop_front();
            *self.redelivered.entry(sequence).or_default() += 1;
        }
        let delivery = self.next_delivery;
        self.next_delivery += 1;
        self.last_active = context.now;
        match self.config.ack_policy {
            AckPolicy::None => {
                self.floor = (delivery, sequence);
                self.settled.push(sequence);
            }
            AckPolicy::All | AckPolicy::Explicit => {
                let at = context.now;
                self.pending
                    .entry(sequence)
                    .and_modify(|pending| pending.at = at)
                    .or_insert(Pending { delivery, at });
            }
        }
        context.send(Message {
            route: to,
            subject: stored.subject.clone(),
            reply: Some(reply),
            headers,
            payload,
        });
        true
    }

    /// Returns what counts as acknowledged since it was asked last.
    pub(super) fn take_settled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.settled)
    }

    /// Says whether too much is unacknowledged.
    fn is_stalled(&self) -> bool {
        let max = usize::try_from(self.config.max_ack_pending).unwrap_or(0);
        max > 0 && self.pending.len() >= max
    }

    /// How long an unacknowledged message may be so before it comes again.
    fn patience(&self, sequence: u64) -> Duration {
        let wait = match self.config.backoff.as_slice() {
            [] => self.config.ack_wait,
            pauses => {
                let came_again = self.redelivered.get(&sequence).map_or(0, |count| *count);
                let at = usize::try_from(came_again).unwrap_or(usize::MAX);
                pauses[at.min(pauses.len() - 1)]
            }
        };
        nanos(wait)
    }

    /// Returns when something is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let queued = |sequence: &u64| self.again.contains(sequence);
        let redelivery = self
            .pending
            .iter()
            .filter(|(sequence, _)| !queued(sequence))
            .map(|(sequence, pending)| pending.at.saturating_add(self.patience(*sequence)))
            .min()
            .map(|at| at.saturating_add(ACK_WAIT_DELAY));
        let forgotten = self.is_forgotten_at();
        [redelivery, self.waiting.due(), forgotten]
            .into_iter()
            .flatten()
            .min()
    }

    /// Looks at what falls due.
    pub(super) fn handle_timeout(&mut self, store: &Store, context: &mut Context<'_>) {
        let first = store.first();
        let gone: Vec<u64> = self
            .pending
            .range(..first)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in gone {
            self.pending.remove(&sequence);
            self.forget(sequence);
        }
        let is_due = |(sequence, pending): &(&u64, &Pending)| {
            !self.again.contains(sequence)
                && pending.at.saturating_add(self.patience(**sequence)) <= context.now
        };
        let due: Vec<u64> = self
            .pending
            .iter()
            .filter(is_due)
            .map(|(sequence, _)| *sequence)
            .collect();
        if let Some(oldest) = due.first().map(|first| self.pending[first].at) {
            let shift = context.now.saturating_sub(oldest);
            for sequence in &due {
                if let Some(pending) = self.pending.get_mut(sequence) {
                    pending.at = pending.at.saturating_add(shift);
                }
            }
        }
        self.again.extend(due);
        self.deliver(store, context);
    }

    /// Takes note that a message left the stream: that counts as its acknowledgement. Says whether
    /// there may be something to deliver after it.
    pub(super) fn handle_removed(&mut self, sequence: u64, context: &mut Context<'_>) -> bool {
        let was_stalled = self.is_stalled();
        let Some(pending) = self.pending.get(&sequence).copied() else {
            return false;
        };
        let deliveries = self.redelivered.get(&sequence).map_or(1, |count| *count);
        self.term(sequence, pending.delivery, deliveries, context);
        was_stalled
    }

    /// Takes note that the stream was purged up to its new first message.
    pub(super) fn handle_purged(&mut self, first: u64, last: u64) {
        let first = if first == 0 { last + 1 } else { first };
        self.next = self.next.max(first);
        self.first.retain(|sequence| *sequence >= first);
        if self.floor.1 < first {
            self.floor = (self.next_delivery - 1, first - 1);
        }
        self.pending.clear();
        self.again.retain(|sequence| *sequence >= self.next);
    }

    /// Says whether the consumer still needs a message.
    pub(super) fn needs(&self, sequence: u64, subject: &Subject) -> bool {
        if !passes(self.filter.as_ref(), subject) || sequence <= self.floor.1 {
            return false;
        }
        match self.config.ack_policy {
            AckPolicy::None | AckPolicy::All => true,
            AckPolicy::Explicit => sequence >= self.next || self.pending.contains_key(&sequence),
        }
    }

    /// Counts what was not delivered yet.
    fn unread(&self, store: &Store) -> u64 {
        match self.config.deliver_policy {
            DeliverPolicy::LastPerSubject => {
                let last = store.last_per_subject(self.filter.as_ref());
                last.filter(|last| *last >= self.next).count() as u64
            }
            _ => store.count(self.filter.as_ref(), self.next),
        }
    }

    fn place(&self) -> (u64, u64) {
        (self.next_delivery - 1, self.next - 1)
    }

    /// When a consumer that nobody asks any more is forgotten, if it ever is.
    fn is_forgotten_at(&self) -> Option<Duration> {
        let threshold = nanos(self.config.inactive_threshold);
        (!threshold.is_zero() && self.waiting.is_empty())
            .then(|| self.last_active.saturating_add(threshold))
    }

    pub(super) fn is_forgotten(&self, now: Duration) -> bool {
        self.is_forgotten_at().is_some_and(|at| at <= now)
    }

    /// Tells all who wait that the consumer is gone.
    pub(super) fn end(&mut self, context: &mut Context<'_>) {
        self.waiting.end(context);
    }

    /// Keeps what a server finds again that was killed.
    pub(super) fn restart(&mut self, now: Duration) {
        self.waiting.clear();
        self.last_active = now;
    }

    pub(super) fn info(&mut self, store: &Store, context: &mut Context<'_>) -> Value {
        self.waiting.sweep(false, self.place(), context);
        let place = |(consumer, stream): (u64, u64)| json!({"consumer_seq": consumer, "stream_seq": stream});
        json!({
            "stream_name": self.stream,
            "name": self.name,
            "created": rfc3339(self.created),
            "config": self.config,
            "delivered": place(self.place()),
            "ack_floor": place(self.floor),
            "num_ack_pending": self.pending.len(),
            "num_redelivered": self.redelivered.len(),
            "num_waiting": self.waiting.len(),
            "num_pending": self.unread(store),
        })
    }
}
