//! Taking messages in: duplicates, what publishers expect, roll-ups.

use super::{Purge, Stream};
use crate::testing::core::jetstream::Context;
use crate::testing::core::jetstream::config::RetentionPolicy;
use crate::testing::core::jetstream::error::ApiError;
use crate::testing::core::jetstream::store::{Stored, passes};
use crate::testing::core::jetstream::time::nanos;
use crate::testing::core::message::{Message, header};
use crate::{Pattern, Subject};
use serde_json::json;
use std::time::Duration;

impl Stream {
    /// Takes in what was published, and acknowledges it where that is asked for.
    pub(in crate::testing::core::jetstream) fn publish(
        &mut self,
        message: &Message,
        context: &mut Context<'_>,
    ) {
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
}

/// What became of a publication.
enum Taken {
    New(u64),
    Known(u64),
    /// Neither kept nor answered: a roll-up that means nothing.
    Silently,
}
