//! A stream: what it takes in, what it lets go, and its consumers.

use super::Context;
use super::config::{ConsumerConfig, RetentionPolicy, StreamConfig};
use super::consumer::Consumer;
use super::error::ApiError;
use super::store::{Removed, Store, Stored, passes};
use super::time::{nanos, rfc3339};
use crate::testing::core::message::{Message, header};
use crate::{Pattern, Subject};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// How many consumers one stream may have.
const MAX_CONSUMERS: usize = 4096;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) config: StreamConfig,
    pub(super) store: Store,
    pub(super) consumers: BTreeMap<String, Consumer>,
    patterns: Vec<Pattern>,
    created: Duration,
    /// The ids of the duplicate window, and in which order they came.
    ids: HashMap<String, u64>,
    ids_in_order: VecDeque<(Duration, String)>,
    last_id: String,
}

/// Which messages to take out.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Purge {
    pub(super) seq: u64,
    pub(super) keep: u64,
    filter: String,
}

impl Stream {
    pub(super) fn new(config: StreamConfig, now: Duration) -> Self {
        Self {
            patterns: config.patterns().collect(),
            config,
            store: Store::default(),
            consumers: BTreeMap::new(),
            created: now,
            ids: HashMap::new(),
            ids_in_order: VecDeque::new(),
            last_id: String::new(),
        }
    }

    pub(super) fn keeps(&self, subject: &Subject) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(subject))
    }

    pub(super) fn overlaps(&self, config: &StreamConfig) -> bool {
        let mut others = config.patterns();
        others.any(|other| self.patterns.iter().any(|pattern| pattern.overlaps(&other)))
    }

    pub(super) fn update(&mut self, config: StreamConfig, context: &mut Context<'_>) {
        self.patterns = config.patterns().collect();
        let old = std::mem::replace(&mut self.config, config);
        let mut removed = self.store.enforce(&self.config);
        // A server of 2.9 does not look at the subjects where there was no limit before.
        if self.config.max_msgs_per_subject < old.max_msgs_per_subject {
            removed.append(&mut self.store.enforce_per_subject(&self.config, None));
        }
        self.after_removal(removed, context);
    }

    /// Takes in what was published, and acknowledges it where that is asked for.
    pub(super) fn publish(&mut self, message: &Message, context: &mut Context<'_>) {
        let result = self.take(message, context);
        let is_new = matches!(result, Ok(Taken::New(_)));
        self.acknowledge(message, result, context);
        for consumer in self.consumers.values_mut() {
            if is_new && passes(consumer.filter.as_ref(), &message.subject) {
                consumer.deliver(&self.store, context);
            }
        }
        self.settle();
    }

    fn acknowledge(
        &self,
        message: &Message,
        result: Result<Taken, ApiError>,
        context: &mut Context<'_>,
    ) {
        let reply = message
            .reply
            .as_deref()
            .and_then(|reply| Subject::parse(reply).ok());
        let (Some(reply), false) = (reply, self.config.no_ack) else {
            return;
        };
        let name = &self.config.name;
        let answer = match result {
            Ok(Taken::New(sequence)) => json!({"stream": name, "seq": sequence}),
            Ok(Taken::Known(sequence)) => {
                json!({"stream": name, "seq": sequence, "duplicate": true})
            }
            Ok(Taken::Silently) => return,
            Err(error) => json!({"error": error, "stream": name, "seq": 0}),
        };
        context.send(Message::answer(&reply, answer.to_string()));
    }

    fn take(&mut self, message: &Message, context: &mut Context<'_>) -> Result<Taken, ApiError> {
        self.forget_ids(context.now);
        let headers = &message.headers[..];
        let id = header(headers, "Nats-Msg-Id").filter(|id| !id.is_empty());
        if let Some(expected) = header(headers, "Nats-Expected-Stream")
            && !expected.is_empty()
            && expected != self.config.name
        {
            return Err(ApiError::EXPECTED_STREAM);
        }
        if let Some(known) = id.and_then(|id| self.ids.get(id)) {
            return Ok(Taken::Known(*known));
        }
        self.check_expected(message)?;
        let rollup = match header(headers, "Nats-Rollup").filter(|value| !value.is_empty()) {
            None => None,
            Some(_) if !self.config.allow_rollup_hdrs || self.config.deny_purge => {
                return Err(ApiError::rollup_failed("rollup not permitted"));
            }
            Some("sub") => Some(message.subject.as_str()),
            Some("all") => Some(""),
            Some(_) => return Ok(Taken::Silently),
        };
        let size = headers.len() + message.payload.len();
        if usize::try_from(self.config.max_msg_size).is_ok_and(|max| size > max) {
            return Err(ApiError::MESSAGE_TOO_LARGE);
        }
        if headers.len() > usize::from(u16::MAX) {
            return Err(ApiError::HEADERS_TOO_LARGE);
        }
        let id = id.map(ToOwned::to_owned);
        if !self.is_wanted(&message.subject) {
            let sequence = self.store.skip(context.now);
            // A copy of it will be told no number.
            self.note_id(id, 0, context.now);
            return Ok(Taken::New(sequence));
        }
        let stored = Stored {
            subject: message.subject.clone(),
            headers: message.headers.clone(),
            payload: message.payload.clone(),
            at: context.now,
        };
        let (sequence, removed) = self
            .store
            .store(&self.config, stored)
            .map_err(ApiError::store_failed)?;
        self.note_id(id, sequence, context.now);
        self.after_removal(removed, context);
        if let Some(subject) = rollup {
            self.purge(
                &Purge {
                    filter: subject.to_owned(),
                    keep: 1,
                    seq: 0,
                },
                context,
            );
        }
        Ok(Taken::New(sequence))
    }

    fn check_expected(&self, message: &Message) -> Result<(), ApiError> {
        let headers = &message.headers[..];
        let number = |name| header(headers, name).and_then(|value| value.parse::<u64>().ok());
        if let Some(expected) = number("Nats-Expected-Last-Subject-Sequence") {
            let subject = Pattern::from(&message.subject);
            let last = self
                .store
                .last_of(Some(&subject))
                .map_or(0, |(last, _)| last);
            if last != expected {
                return Err(ApiError::wrong_last_sequence(last));
            }
        }
        if let Some(expected) = number("Nats-Expected-Last-Sequence")
            && expected != self.store.last()
        {
            return Err(ApiError::wrong_last_sequence(self.store.last()));
        }
        match header(headers, "Nats-Expected-Last-Msg-Id") {
            Some(expected) if !expected.is_empty() && expected != self.last_id => {
                Err(ApiError::wrong_last_id(&self.last_id))
            }
            _ => Ok(()),
        }
    }

    /// Says whether a message is worth keeping: where interest decides, somebody must have it.
    fn is_wanted(&self, subject: &Subject) -> bool {
        let mut consumers = self.consumers.values();
        self.config.retention != RetentionPolicy::Interest
            || consumers.any(|consumer| passes(consumer.filter.as_ref(), subject))
    }

    fn note_id(&mut self, id: Option<String>, sequence: u64, now: Duration) {
        self.last_id = id.clone().unwrap_or_default();
        if let Some(id) = id {
            self.ids.insert(id.clone(), sequence);
            self.ids_in_order.push_back((now, id));
        }
    }

    fn forget_ids(&mut self, now: Duration) {
        let window = nanos(self.config.duplicate_window);
        while let Some((at, _)) = self.ids_in_order.front()
            && now.saturating_sub(*at) >= window
        {
            if let Some((_, id)) = self.ids_in_order.pop_front() {
                self.ids.remove(&id);
            }
        }
    }

    /// Lets the consumers take note of what is gone, and lets go what nobody needs after that.
    fn after_removal(&mut self, removed: Removed, context: &mut Context<'_>) {
        for consumer in self.consumers.values_mut() {
            let mut wake = false;
            for (sequence, _) in &removed {
                wake |= consumer.handle_removed(*sequence, context);
            }
            if wake {
                consumer.deliver(&self.store, context);
            }
        }
    }

    /// Takes a word of acknowledgement for one of the consumers.
    pub(super) fn handle_ack(
        &mut self,
        consumer: &str,
        place: [u64; 3],
        message: &Message,
        context: &mut Context<'_>,
    ) {
        let [deliveries, sequence, delivery] = place;
        let word = &message.payload[..];
        let reply = message
            .reply
            .as_deref()
            .and_then(|reply| Subject::parse(reply).ok());
        let Some(of) = self.consumers.get_mut(consumer) else {
            return;
        };
        let wake = of.handle_ack(sequence, delivery, deliveries, word, context);
        self.settle();
        let Some(of) = self.consumers.get_mut(consumer) else {
            return;
        };
        match (reply, word.strip_prefix(b"+NXT")) {
            (Some(reply), Some(ask)) => of.handle_request(&reply, ask, &self.store, context),
            (reply, _) => {
                if let Some(reply) = reply
                    && sequence > 0
                {
                    context.send(Message::answer(&reply, ""));
                }
                if wake {
                    of.deliver(&self.store, context);
                }
            }
        }
        self.settle();
    }

    /// Takes a reader's request; says nothing where there is no such consumer.
    pub(super) fn handle_request(
        &mut self,
        consumer: &str,
        reply: &Subject,
        payload: &[u8],
        context: &mut Context<'_>,
    ) {
        if let Some(consumer) = self.consumers.get_mut(consumer) {
            consumer.handle_request(reply, payload, &self.store, context);
            self.settle();
        }
    }

    /// Lets go what is acknowledged, where that ends a message's stay.
    fn settle(&mut self) {
        let taken = self.consumers.values_mut().map(|consumer| {
            let settled = consumer.take_settled();
            (consumer.name.clone(), settled)
        });
        let taken: Vec<_> = taken.filter(|(_, settled)| !settled.is_empty()).collect();
        for (by, settled) in taken {
            for sequence in settled {
                let Some(stored) = self.store.message(sequence) else {
                    continue;
                };
                let done = match self.config.retention {
                    RetentionPolicy::Limits => false,
                    RetentionPolicy::Workqueue => true,
                    RetentionPolicy::Interest => !self.is_needed(sequence, &stored.subject, &by),
                };
                if done {
                    self.store.remove(self.config.storage, sequence);
                }
            }
        }
    }

    fn is_needed(&self, sequence: u64, subject: &Subject, but_by: &str) -> bool {
        self.consumers
            .values()
            .any(|consumer| consumer.name != but_by && consumer.needs(sequence, subject))
    }

    /// Makes a consumer, or changes one.
    pub(super) fn ensure_consumer(
        &mut self,
        name: String,
        config: ConsumerConfig,
        now: Duration,
    ) -> Result<(), ApiError> {
        let config = config.check(&self.config)?;
        if let Some(present) = self.consumers.get_mut(&name) {
            config.check_update(&present.config)?;
            present.update(config);
            return Ok(());
        }
        let most = usize::try_from(self.config.max_consumers).unwrap_or(MAX_CONSUMERS);
        if self.consumers.len() >= most.min(MAX_CONSUMERS) {
            return Err(ApiError::MAXIMUM_CONSUMERS);
        }
        if self.config.retention == RetentionPolicy::Workqueue {
            self.check_work_queue(&config)?;
        }
        let stream = &self.config.name;
        let consumer = Consumer::new(stream, name.clone(), config, &self.store, now);
        self.consumers.insert(name, consumer);
        Ok(())
    }

    fn check_work_queue(&self, config: &ConsumerConfig) -> Result<(), ApiError> {
        use super::config::{AckPolicy, DeliverPolicy};
        if config.ack_policy != AckPolicy::Explicit {
            return Err(ApiError::WORKQUEUE_EXPLICIT);
        }
        if !self.consumers.is_empty() {
            let filter = config.filter().ok_or(ApiError::WORKQUEUE_UNFILTERED)?;
            let shared = |consumer: &Consumer| {
                let other = consumer.filter.as_ref();
                other.is_none_or(|other| other.contains(&filter) || filter.contains(other))
            };
            if self.consumers.values().any(shared) {
                return Err(ApiError::WORKQUEUE_NOT_UNIQUE);
            }
        }
        match config.deliver_policy {
            DeliverPolicy::All => Ok(()),
            _ => Err(ApiError::WORKQUEUE_NOT_ALL),
        }
    }

    /// Takes a consumer away; says whether there was one.
    pub(super) fn delete_consumer(&mut self, name: &str, context: &mut Context<'_>) -> bool {
        let Some(mut consumer) = self.consumers.remove(name) else {
            return false;
        };
        consumer.end(context);
        if self.config.retention == RetentionPolicy::Interest {
            let unneeded: Vec<u64> = self
                .store
                .iter()
                .filter(|(sequence, stored)| !self.is_needed(*sequence, &stored.subject, name))
                .map(|(sequence, _)| sequence)
                .collect();
            for sequence in unneeded {
                self.store.remove(self.config.storage, sequence);
            }
        }
        true
    }

    /// Takes one message out; says whether it was there.
    pub(super) fn delete_message(&mut self, sequence: u64, context: &mut Context<'_>) -> bool {
        let removed = self.store.remove(self.config.storage, sequence);
        let was_there = removed.is_some();
        self.after_removal(removed.into_iter().collect(), context);
        was_there
    }

    /// Takes messages out; returns how many.
    pub(super) fn purge(&mut self, purge: &Purge, context: &mut Context<'_>) -> u64 {
        let filter = match purge.filter.as_str() {
            "" | ">" => None,
            filter => match Pattern::parse(filter) {
                Ok(filter) => Some(filter),
                Err(_) => return 0,
            },
        };
        let matching: Vec<u64> = self
            .store
            .iter()
            .filter(|(_, stored)| passes(filter.as_ref(), &stored.subject))
            .map(|(sequence, _)| sequence)
            .collect();
        let kept = usize::try_from(purge.keep).unwrap_or(usize::MAX);
        let going = matching.len().saturating_sub(kept);
        let before = |sequence: &u64| purge.seq <= 1 || *sequence < purge.seq;
        if filter.is_none() {
            self.store.note_purge();
        }
        let mut count = 0;
        for sequence in matching.into_iter().take(going).filter(before) {
            let removed = self.store.remove(self.config.storage, sequence);
            count += 1;
            if filter.is_some() {
                self.after_removal(removed.into_iter().collect(), context);
            }
        }
        let first = match &filter {
            None => self.store.first(),
            Some(_) => self
                .store
                .next(filter.as_ref(), 0)
                .map_or(0, |(first, _)| first),
        };
        let asked = Pattern::parse(&purge.filter).ok();
        for consumer in self.consumers.values_mut() {
            // As a server does it: one with a filter goes by what was asked for, word for word.
            let touched = match (&consumer.filter, &asked) {
                (None, _) => true,
                (Some(own), Some(asked)) => own.contains(asked),
                (Some(_), None) => *purge == Purge::default(),
            };
            if touched {
                consumer.handle_purged(first, self.store.last());
            }
        }
        count
    }

    /// Returns when something is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let consumers = self.consumers.values().filter_map(Consumer::due);
        self.store
            .expires(&self.config)
            .into_iter()
            .chain(consumers)
            .min()
    }

    /// Looks at what falls due.
    pub(super) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        let removed = self.store.expire(&self.config, context.now);
        self.after_removal(removed, context);
        for consumer in self.consumers.values_mut() {
            consumer.handle_timeout(&self.store, context);
        }
        self.settle();
        let forgotten: Vec<String> = self
            .consumers
            .values()
            .filter(|consumer| consumer.is_forgotten(context.now))
            .map(|consumer| consumer.name.clone())
            .collect();
        for name in forgotten {
            self.delete_consumer(&name, context);
        }
    }

    /// Keeps what a server finds again that was killed.
    pub(super) fn restart(&mut self, now: Duration) {
        self.ids.clear();
        self.ids_in_order.clear();
        let window = nanos(self.config.duplicate_window);
        let id = |stored: &Stored| header(&stored.headers, "Nats-Msg-Id").map(ToOwned::to_owned);
        for (sequence, stored) in self.store.iter() {
            if let Some(id) = id(stored)
                && now.saturating_sub(stored.at) < window
            {
                self.ids.insert(id.clone(), sequence);
                self.ids_in_order.push_back((stored.at, id));
            }
        }
        self.last_id = self
            .store
            .last_of(None)
            .and_then(|(_, last)| id(last))
            .unwrap_or_default();
        self.consumers
            .retain(|_, consumer| !consumer.config.mem_storage);
        for consumer in self.consumers.values_mut() {
            consumer.restart(now);
        }
    }

    pub(super) fn info(&self) -> Value {
        let (first, last) = (self.store.first(), self.store.last());
        let first_at = self
            .store
            .message(first)
            .map_or(self.store.last_at(), |first| first.at);
        let date = |sequence: u64, at: Duration| match sequence {
            0 => "0001-01-01T00:00:00Z".to_owned(),
            _ => rfc3339(at),
        };
        let state = json!({
            "messages": self.store.len(),
            "bytes": self.store.bytes(),
            "first_seq": first,
            "first_ts": date(first, first_at),
            "last_seq": last,
            "last_ts": date(last, self.store.last_at()),
            "consumer_count": self.consumers.len(),
            "num_subjects": self.store.per_subject(None).count(),
            "num_deleted": match last > first {
                true => last + 1 - first - self.store.len(),
                false => 0,
            },
        });
        json!({"config": self.config, "created": rfc3339(self.created), "state": state})
    }
}

/// What became of a publication.
enum Taken {
    New(u64),
    Known(u64),
    /// Neither kept nor answered: a roll-up that means nothing.
    Silently,
}
