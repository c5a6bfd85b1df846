//! What JetStream says of a stream: the answer to `STREAM.INFO`.

use super::inspect::{SourceInfo, StreamInfo};
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;

/// As JetStream describes a stream; a limit that is not there is -1 or 0.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StreamSummary {
    /// When it was made: tells it from another one of the same name.
    pub(crate) created: String,
    #[serde(default)]
    pub(super) config: Settings,
    #[serde(default)]
    pub(super) state: State,
    sources: Option<Vec<SourceState>>,
    mirror: Option<SourceState>,
    /// How many subjects there are, of those that were asked for.
    #[serde(default)]
    pub(super) total: usize,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Settings {
    name: String,
    subjects: Option<Vec<String>>,
    retention: String,
    storage: String,
    pub(super) num_replicas: u64,
    pub(super) allow_direct: bool,
    max_age: i64,
    max_bytes: i64,
    max_msgs: i64,
    max_msgs_per_subject: i64,
    max_msg_size: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    num_subjects: u64,
    consumer_count: u64,
    /// The subjects that were asked for, with the number of messages of each.
    pub(super) subjects: HashMap<String, u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct SourceState {
    name: String,
    external: Option<Elsewhere>,
    lag: u64,
    /// In nanoseconds; -1 for never.
    active: i64,
}

#[derive(Debug, Clone, Deserialize)]
struct Elsewhere {
    api: String,
}

/// What a stream holds. Two that are equal are of the same messages, as long as it is the same
/// stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    messages: u64,
    first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) num_subjects: u64,
}

impl StreamSummary {
    /// Says whether messages grow too old.
    pub(crate) fn ages(&self) -> bool {
        self.config.max_age > 0
    }

    pub(crate) fn contents(&self) -> Contents {
        Contents {
            messages: self.state.messages,
            first_seq: self.state.first_seq,
            last_seq: self.state.last_seq,
            num_subjects: self.state.num_subjects,
        }
    }
}

impl From<SourceState> for SourceInfo {
    fn from(source: SourceState) -> Self {
        let silent = u64::try_from(source.active).ok();
        Self {
            stream: source.name,
            api: source.external.map(|external| external.api),
            lag: source.lag,
            silent: silent.map(Duration::from_nanos),
        }
    }
}

impl From<StreamSummary> for StreamInfo {
    fn from(summary: StreamSummary) -> Self {
        let StreamSummary {
            created,
            config,
            state,
            sources,
            mirror,
            ..
        } = summary;
        let sources = sources.into_iter().flatten().chain(mirror);
        let limit = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
        Self {
            name: config.name,
            subjects: config.subjects.unwrap_or_default(),
            retention: config.retention,
            storage: config.storage,
            replicas: config.num_replicas,
            max_age: limit(config.max_age).map(Duration::from_nanos),
            max_bytes: limit(config.max_bytes),
            max_messages: limit(config.max_msgs),
            max_messages_per_subject: limit(config.max_msgs_per_subject),
            max_message_size: limit(config.max_msg_size),
            created,
            messages: state.messages,
            bytes: state.bytes,
            num_subjects: state.num_subjects,
            first_sequence: state.first_seq,
            last_sequence: state.last_seq,
            consumers: state.consumer_count,
            sources: sources.map(SourceInfo::from).collect(),
        }
    }
}
