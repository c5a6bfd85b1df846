//! A stream: what it takes in, what it lets go, and its consumers.

mod take;

use super::Context;
use super::config::{ConsumerConfig, RetentionPolicy, StorageType, StreamConfig};
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

    /// Makes a consumer, or changes one. Says whether there may be something to deliver after it.
    pub(super) fn ensure_consumer(
        &mut self,
        name: String,
        config: ConsumerConfig,
        now: Duration,
    ) -> Result<bool, ApiError> {
        let config = config.check(&self.config)?;
        if let Some(present) = self.consumers.get_mut(&name) {
            config.check_update(&present.config)?;
            return Ok(present.update(config));
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
        Ok(false)
    }

    /// Lets a consumer deliver what it can.
    pub(super) fn wake(&mut self, consumer: &str, context: &mut Context<'_>) {
        if let Some(consumer) = self.consumers.get_mut(consumer) {
            consumer.deliver(&self.store, context);
        }
        self.settle();
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
        let going = matching.into_iter().take(going).filter(before);
        let removed: Removed = going
            .filter_map(|sequence| self.store.remove(self.config.storage, sequence))
            .collect();
        let count = removed.len() as u64;
        // A server tells its consumers of each message that a purge takes out of memory, but not
        // of those in files.
        if filter.is_some() && self.config.storage == StorageType::Memory {
            self.after_removal(removed, context);
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
