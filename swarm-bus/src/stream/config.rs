//! What streams and consumers shall be, as data.

use super::Source;
use crate::{Pattern, Token};
use std::collections::BTreeMap;
use std::time::Duration;

/// What makes a message leave a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// The limits alone.
    #[default]
    Limits,
    /// The first acknowledgement: each message is one piece of work.
    WorkQueue,
    /// The acknowledgement of every consumer that exists.
    Interest,
}

/// Where a stream lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// On disk: survives the server.
    #[default]
    File,
    /// In memory: gone with the server.
    Memory,
}

/// What gives way when a stream is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Discard {
    /// The oldest message.
    #[default]
    Old,
    /// The new one, and its publisher is told.
    New,
}

/// What a stream shall be.
///
/// # Defaults
/// On disk, one replica, no limit, limits retention, the oldest gives way, duplicates are known for
/// two minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamConfig {
    /// Its name.
    pub name: Token,
    /// The subjects that it keeps; may be empty where it takes messages from other streams.
    pub subjects: Vec<Pattern>,
    /// The streams that it takes messages from.
    pub sources: Vec<Source>,
    /// The stream that it is a copy of, by number too. It has no subjects and no sources then.
    pub mirror: Option<Source>,
    /// What makes a message leave it.
    pub retention: Retention,
    /// Where it lies.
    pub storage: Storage,
    /// What gives way when it is full.
    pub discard: Discard,
    /// How many servers keep it.
    pub replicas: u8,
    /// How old a message may become.
    pub max_age: Option<Duration>,
    /// How many bytes it may hold.
    pub max_bytes: Option<u64>,
    /// How many messages it may hold.
    pub max_messages: Option<u64>,
    /// How many messages of one subject it may hold.
    pub max_messages_per_subject: Option<u64>,
    /// How many bytes one message may have.
    pub max_message_size: Option<u32>,
    /// For how long the id of a message is remembered, to know it again.
    pub duplicate_window: Duration,
    /// Whether the last message of a subject can be read without a consumer
    /// ([`Right::ReadLast`](crate::permissions::Right::ReadLast)). Needs server 2.9.
    pub direct_get: bool,
    /// Whether single messages are protected from deletion.
    pub deny_delete: bool,
    /// Whether a message may ask that it replace its predecessors.
    pub allow_rollup: bool,
    /// Whether it lies compressed. Needs server 2.10.
    pub compressed: bool,
    /// Whether a message may be given an age limit of its own. Needs server 2.11.
    pub message_ttl: bool,
    /// What people and tools note about it. Needs server 2.10.
    pub metadata: BTreeMap<String, String>,
}

impl StreamConfig {
    /// Describes a stream with the defaults.
    #[must_use]
    pub fn new(name: Token, subjects: Vec<Pattern>) -> Self {
        Self {
            name,
            subjects,
            sources: Vec::new(),
            mirror: None,
            retention: Retention::default(),
            storage: Storage::default(),
            discard: Discard::default(),
            replicas: 1,
            max_age: None,
            max_bytes: None,
            max_messages: None,
            max_messages_per_subject: None,
            max_message_size: None,
            duplicate_window: Duration::from_secs(120),
            direct_get: false,
            deny_delete: false,
            allow_rollup: false,
            compressed: false,
            message_ttl: false,
            metadata: BTreeMap::new(),
        }
    }
}

/// Where in a stream a new consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest message.
    #[default]
    First,
    /// With what comes after it was made.
    New,
    /// With the last message.
    Last,
    /// With the last message of each subject.
    LastPerSubject,
    /// With this sequence number.
    Sequence(u64),
}

/// What a durable pull consumer shall be.
///
/// # Defaults
/// From the first message, all subjects, 30 s to acknowledge, redelivered without end, at most
/// 1,000 unacknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// The stream that it reads.
    pub stream: Token,
    /// Its name, by which it survives its readers.
    pub durable: Token,
    /// Where it begins; cannot be changed later.
    pub start: Start,
    /// Which subjects it reads; empty for all. More than one needs server 2.10.
    pub filters: Vec<Pattern>,
    /// After how long an unacknowledged message comes again.
    pub ack_wait: Duration,
    /// How often a message comes at most. What is not acknowledged then stays in the stream and
    /// does not come again.
    pub max_deliver: Option<u32>,
    /// How many messages may be unacknowledged at a time.
    pub max_ack_pending: u32,
    /// How long to wait before each redelivery, in place of `ack_wait`.
    pub backoff: Vec<Duration>,
}

impl ConsumerConfig {
    /// Describes a consumer with the defaults.
    #[must_use]
    pub fn new(stream: Token, durable: Token) -> Self {
        Self {
            stream,
            durable,
            start: Start::default(),
            filters: Vec::new(),
            ack_wait: Duration::from_secs(30),
            max_deliver: None,
            max_ack_pending: 1000,
            backoff: Vec::new(),
        }
    }
}
