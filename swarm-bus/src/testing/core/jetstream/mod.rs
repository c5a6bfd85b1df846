//! JetStream, as far as this crate's client uses it: streams, pull consumers, direct reads.
//!
//! Its behaviour, its numbers and its words are those of nats-server 2.9.10, against which it is
//! tested. What a server has and this one has not is answered by an error that says so.

mod api;
mod config;
mod consumer;
mod direct;
mod error;
mod store;
mod stream;
mod time;
mod waiting;

use super::message::Message;
use crate::{Pattern, Subject};
use std::collections::BTreeMap;
use std::time::Duration;
use stream::Stream;

/// How many streams there may be.
const MAX_STREAMS: usize = 4096;

/// What streams need to know of their surroundings, and where they send.
pub(super) struct Context<'a> {
    /// The time since 1970.
    pub(super) now: Duration,
    /// Says whether anybody subscribes to a subject.
    pub(super) interest: &'a dyn Fn(&Subject) -> bool,
    pub(super) out: &'a mut Vec<Message>,
    /// Counts what needs an id.
    pub(super) ids: &'a mut u64,
}

impl Context<'_> {
    fn send(&mut self, message: Message) {
        self.out.push(message);
    }

    fn is_awaited(&self, reply: &Subject) -> bool {
        (self.interest)(reply)
    }

    fn id(&mut self) -> String {
        *self.ids += 1;
        format!("{:022}", self.ids)
    }
}

/// All streams of the server.
#[derive(Debug, Default)]
pub(super) struct JetStream {
    streams: BTreeMap<String, Stream>,
}

/// How a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamState {
    /// How many messages it holds.
    pub messages: u64,
    /// How many bytes it holds, as a server counts.
    pub bytes: u64,
    /// The number of its first message.
    pub first_sequence: u64,
    /// The number of the last message that it took in.
    pub last_sequence: u64,
    /// How many consumers it has.
    pub consumers: usize,
}

impl JetStream {
    /// Handles a message that somebody published; says whether it was for a stream or the API.
    pub(super) fn handle(
        &mut self,
        message: &Message,
        from_client: bool,
        context: &mut Context<'_>,
    ) -> bool {
        let mut taken = false;
        let subject = message.route.as_str();
        if from_client && subject.starts_with("$JS.API.") {
            self.handle_api(message, context);
            taken = true;
        } else if from_client && subject.starts_with("$JS.ACK.") {
            taken = self.handle_ack(message, context);
        }
        for stream in self.streams.values_mut() {
            if stream.keeps(&message.route) {
                stream.publish(message, context);
                taken = true;
            }
        }
        taken
    }

    /// `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<delivery>.<time>.<pending>`
    fn handle_ack(&mut self, message: &Message, context: &mut Context<'_>) -> bool {
        let tokens: Vec<&str> = message.route.tokens().collect();
        let [_, _, stream, consumer, deliveries, sequence, delivery, _, _] = tokens[..] else {
            return false;
        };
        let Some(stream) = self.streams.get_mut(stream) else {
            return false;
        };
        if !stream.consumers.contains_key(consumer) {
            return false;
        }
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let place = [deliveries, sequence, delivery].map(number);
        stream.handle_ack(consumer, place, message, context);
        true
    }

    /// Returns when something is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.streams.values().filter_map(Stream::due).min()
    }

    /// Looks at what falls due.
    pub(super) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        for stream in self.streams.values_mut() {
            stream.handle_timeout(context);
        }
    }

    /// Keeps what a server finds again that was killed: what is on disk.
    pub(super) fn restart(&mut self, now: Duration) {
        self.streams
            .retain(|_, stream| stream.config.storage == config::StorageType::File);
        for stream in self.streams.values_mut() {
            stream.restart(now);
        }
    }

    /// Returns how a stream stands; `None` when there is none.
    pub(super) fn state(&self, name: &str) -> Option<StreamState> {
        let stream = self.streams.get(name)?;
        Some(StreamState {
            messages: stream.store.len(),
            bytes: stream.store.bytes(),
            first_sequence: stream.store.first(),
            last_sequence: stream.store.last(),
            consumers: stream.consumers.len(),
        })
    }

    /// Returns what a stream holds of the subjects of a pattern, in order.
    pub(super) fn messages<'a>(
        &'a self,
        name: &str,
        pattern: &'a Pattern,
    ) -> impl Iterator<Item = (u64, &'a Subject, &'a [u8])> {
        let stored = self.streams.get(name).map(|stream| stream.store.iter());
        stored
            .into_iter()
            .flatten()
            .filter(|(_, stored)| pattern.matches(&stored.subject))
            .map(|(sequence, stored)| (sequence, &stored.subject, &stored.payload[..]))
    }
}
