//! The configuration of streams and consumers, as requests and answers write it, and what a server
//! refuses of it.

use super::error::ApiError;
use crate::{Pattern, Token};
use serde::{Deserialize, Serialize};

/// How long a text may be that only people read.
const MAX_DESCRIPTION: usize = 4096;
/// The shortest age and duplicate window: 100 ms.
const SHORTEST: i64 = 100_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RetentionPolicy {
    #[default]
    Limits,
    Interest,
    Workqueue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StorageType {
    #[default]
    File,
    Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Discard {
    #[default]
    Old,
    New,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliverPolicy {
    #[default]
    All,
    Last,
    New,
    ByStartSequence,
    ByStartTime,
    LastPerSubject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AckPolicy {
    #[default]
    None,
    All,
    Explicit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReplayPolicy {
    #[default]
    Instant,
    Original,
}

/// Times are nanoseconds; -1 is no limit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subjects: Vec<String>,
    pub(super) retention: RetentionPolicy,
    pub(super) max_consumers: i64,
    pub(super) max_msgs: i64,
    pub(super) max_bytes: i64,
    pub(super) max_age: i64,
    pub(super) max_msgs_per_subject: i64,
    pub(super) max_msg_size: i64,
    pub(super) discard: Discard,
    pub(super) storage: StorageType,
    pub(super) num_replicas: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) no_ack: bool,
    pub(super) duplicate_window: i64,
    pub(super) allow_direct: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) discard_new_per_subject: bool,
    pub(super) deny_delete: bool,
    pub(super) deny_purge: bool,
    pub(super) allow_rollup_hdrs: bool,
    pub(super) sealed: bool,
    pub(super) mirror_direct: bool,
    #[serde(skip_serializing)]
    pub(super) mirror: Option<serde_json::Value>,
    #[serde(skip_serializing)]
    pub(super) sources: Option<serde_json::Value>,
    #[serde(skip_serializing)]
    pub(super) republish: Option<serde_json::Value>,
}

/// Times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ConsumerConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) durable_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    pub(super) deliver_policy: DeliverPolicy,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) opt_start_seq: u64,
    pub(super) ack_policy: AckPolicy,
    pub(super) ack_wait: i64,
    pub(super) max_deliver: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) backoff: Vec<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) filter_subject: String,
    pub(super) replay_policy: ReplayPolicy,
    pub(super) max_waiting: i64,
    pub(super) max_ack_pending: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) headers_only: bool,
    #[serde(rename = "max_batch")]
    pub(super) max_request_batch: i64,
    #[serde(rename = "max_expires")]
    pub(super) max_request_expires: i64,
    #[serde(rename = "max_bytes")]
    pub(super) max_request_bytes: i64,
    pub(super) inactive_threshold: i64,
    pub(super) num_replicas: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) mem_storage: bool,
    #[serde(skip_serializing)]
    idle_heartbeat: i64,
    #[serde(skip_serializing)]
    deliver_subject: String,
    #[serde(skip_serializing)]
    opt_start_time: Option<serde_json::Value>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn or_unlimited(limit: i64) -> i64 {
    if limit == 0 { -1 } else { limit }
}

/// Says whether a text can be the name of a stream or consumer.
pub(super) fn is_name(text: &str) -> bool {
    Token::parse(text).is_ok() && !text.contains(['/', '\\'])
}

impl StreamConfig {
    pub(super) fn patterns(&self) -> impl Iterator<Item = Pattern> {
        self.subjects
            .iter()
            .filter_map(|text| Pattern::parse(text).ok())
    }

    /// Fills in what was left open, and checks the rest.
    pub(super) fn check(mut self) -> Result<Self, ApiError> {
        let invalid = |text: &'static str| Err(ApiError::invalid_stream(text));
        if !is_name(&self.name) {
            return invalid("stream name is required and can not contain '.', '*', '>'");
        }
        if self.description.len() > MAX_DESCRIPTION {
            return invalid("stream description is too long, maximum allowed is 4096");
        }
        for (given, what) in [
            (self.mirror.is_some(), "mirrors"),
            (self.sources.is_some(), "sources"),
            (self.republish.is_some(), "republishing"),
            (self.sealed, "sealed streams"),
            (self.mirror_direct, "mirrors"),
        ] {
            if given {
                return Err(ApiError::absent(what));
            }
        }
        match self.num_replicas {
            ..0 => return Err(ApiError::NEGATIVE_REPLICAS),
            0 => self.num_replicas = 1,
            1 => {}
            2..=5 => return Err(ApiError::REPLICAS),
            _ => return invalid("maximum replicas is 5"),
        }
        self.max_msgs = or_unlimited(self.max_msgs);
        self.max_msgs_per_subject = or_unlimited(self.max_msgs_per_subject);
        self.max_bytes = or_unlimited(self.max_bytes);
        self.max_msg_size = or_unlimited(self.max_msg_size);
        self.max_consumers = or_unlimited(self.max_consumers);
        if self.duplicate_window == 0 {
            const DEFAULT: i64 = 120_000_000_000;
            self.duplicate_window = match self.max_age {
                0 => DEFAULT,
                age => age.min(DEFAULT),
            };
        }
        if self.max_age > 0 && self.max_age < SHORTEST {
            return invalid("max age needs to be >= 100ms");
        }
        if self.duplicate_window < 0 {
            return invalid("duplicates window can not be negative");
        }
        if self.max_age != 0 && self.duplicate_window > self.max_age {
            return invalid("duplicates window can not be larger then max age");
        }
        if self.duplicate_window < SHORTEST {
            return invalid("duplicates window needs to be >= 100ms");
        }
        if self.deny_purge && self.allow_rollup_hdrs {
            return invalid("roll-ups require the purge permission");
        }
        if self.discard_new_per_subject {
            if self.discard != Discard::New {
                return invalid("discard new per subject requires discard new policy to be set");
            }
            if self.max_msgs_per_subject <= 0 {
                return invalid("discard new per subject requires max msgs per subject > 0");
            }
        }
        if self.subjects.is_empty() {
            self.subjects.push(self.name.clone());
        }
        self.check_subjects()?;
        Ok(self)
    }

    fn check_subjects(&self) -> Result<(), ApiError> {
        const API: Pattern = Pattern::from_static("$JS.API.>");
        let mut seen: Vec<Pattern> = Vec::new();
        for text in &self.subjects {
            let pattern =
                Pattern::parse(text).map_err(|_| ApiError::invalid_stream("invalid subject"))?;
            if seen.contains(&pattern) {
                return Err(ApiError::invalid_stream("duplicate subjects detected"));
            }
            if API.contains(&pattern) {
                return Err(ApiError::invalid_stream(
                    "subjects overlap with jetstream api",
                ));
            }
            seen.push(pattern);
        }
        for one in &seen {
            let other = seen
                .iter()
                .find(|other| *other != one && other.overlaps(one));
            if let Some(other) = other {
                return Err(ApiError::invalid_stream(format!(
                    "subject \"{one}\" overlaps with \"{other}\""
                )));
            }
        }
        Ok(())
    }

    /// Checks what may not change in a stream that exists.
    pub(super) fn check_update(&self, old: &Self) -> Result<(), ApiError> {
        let fixed = [
            (
                self.max_consumers != old.max_consumers,
                "stream configuration update can not change MaxConsumers",
            ),
            (
                self.storage != old.storage,
                "stream configuration update can not change storage type",
            ),
            (
                self.retention != old.retention,
                "stream configuration update can not change retention policy",
            ),
            (
                !self.deny_delete && old.deny_delete,
                "stream configuration update can not cancel deny message deletes",
            ),
            (
                !self.deny_purge && old.deny_purge,
                "stream configuration update can not cancel deny purge",
            ),
        ];
        match fixed.into_iter().find(|(changed, _)| *changed) {
            Some((_, text)) => Err(ApiError::invalid_stream(text)),
            None => Ok(()),
        }
    }
}

impl ConsumerConfig {
    pub(super) fn filter(&self) -> Option<Pattern> {
        Pattern::parse(&self.filter_subject).ok()
    }

    pub(super) fn is_durable(&self) -> bool {
        !self.durable_name.is_empty()
    }

    /// Fills in what was left open, and checks the rest.
    pub(super) fn check(mut self, stream: &StreamConfig) -> Result<Self, ApiError> {
        const ACK_WAIT: i64 = 30_000_000_000;
        if !self.deliver_subject.is_empty() {
            return Err(ApiError::absent("push consumers"));
        }
        if self.opt_start_time.is_some() || self.deliver_policy == DeliverPolicy::ByStartTime {
            return Err(ApiError::absent("consumers that start at a time"));
        }
        if self.replay_policy == ReplayPolicy::Original {
            return Err(ApiError::absent("replay at the original pace"));
        }
        if self.max_waiting == 0 {
            self.max_waiting = 512;
        }
        let acks = self.ack_policy != AckPolicy::None;
        if self.ack_wait == 0 && acks {
            self.ack_wait = ACK_WAIT;
        }
        if self.max_deliver == 0 {
            self.max_deliver = -1;
        }
        if let Some(first) = self.backoff.first() {
            self.ack_wait = *first;
        }
        if self.max_ack_pending == 0 && acks {
            self.max_ack_pending = 1000;
        }
        if self.num_replicas < 0 {
            return Err(ApiError::NEGATIVE_REPLICAS);
        }
        if self.num_replicas > stream.num_replicas {
            return Err(ApiError::CONSUMER_REPLICAS);
        }
        self.check_backoff()?;
        if !acks && stream.retention == RetentionPolicy::Workqueue {
            return Err(ApiError::PULL_REQUIRES_ACK);
        }
        if self.max_waiting < 0 {
            return Err(ApiError::MAX_WAITING_NEGATIVE);
        }
        if self.idle_heartbeat > 0 {
            return Err(ApiError::HEARTBEAT_REQUIRES_PUSH);
        }
        self.check_filter(stream)?;
        self.check_start()?;
        if self.is_durable() && !self.name.is_empty() && self.name != self.durable_name {
            return Err(ApiError::DURABLE_AND_NAME);
        }
        // For consumers that are forgotten when nobody asks.
        if !self.is_durable() && self.inactive_threshold == 0 {
            self.inactive_threshold = 5_000_000_000;
        }
        Ok(self)
    }

    fn check_backoff(&self) -> Result<(), ApiError> {
        let count = i64::try_from(self.backoff.len()).unwrap_or(i64::MAX);
        match count > 0 && self.max_deliver <= count {
            true => Err(ApiError::BACKOFF),
            false => Ok(()),
        }
    }

    fn check_filter(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if self.filter_subject.is_empty() {
            return Ok(());
        }
        let filter = self.filter().ok_or(ApiError::FILTER_NOT_SUBSET)?;
        let fits = |subject: Pattern| {
            subject.contains(&filter) || (!filter.is_literal() && filter.contains(&subject))
        };
        match stream.patterns().any(fits) {
            true => Ok(()),
            false => Err(ApiError::FILTER_NOT_SUBSET),
        }
    }

    fn check_start(&self) -> Result<(), ApiError> {
        let (policy, by_sequence) = match self.deliver_policy {
            DeliverPolicy::All => ("all", false),
            DeliverPolicy::Last => ("last", false),
            DeliverPolicy::New => ("new", false),
            DeliverPolicy::LastPerSubject => ("last per subject", false),
            DeliverPolicy::ByStartSequence => ("by start sequence", true),
            DeliverPolicy::ByStartTime => ("by start time", false),
        };
        let wrong = match (by_sequence, self.opt_start_seq) {
            (false, 1..) => "optional start sequence is also set",
            (true, 0) => "optional start sequence is not set",
            _ if self.deliver_policy == DeliverPolicy::LastPerSubject
                && self.filter_subject.is_empty() =>
            {
                "optional filter subject is not set"
            }
            _ => return Ok(()),
        };
        Err(ApiError::consumer_policy(format!(
            "consumer delivery policy is deliver {policy}, but {wrong}"
        )))
    }

    /// Checks what may not change in a consumer that exists.
    pub(super) fn check_update(&self, old: &Self) -> Result<(), ApiError> {
        let fixed = [
            (
                self.deliver_policy != old.deliver_policy,
                "deliver policy can not be updated",
            ),
            (
                self.opt_start_seq != old.opt_start_seq,
                "start sequence can not be updated",
            ),
            (
                self.ack_policy != old.ack_policy,
                "ack policy can not be updated",
            ),
            (
                self.max_waiting != old.max_waiting,
                "max waiting can not be updated",
            ),
        ];
        match fixed.into_iter().find(|(changed, _)| *changed) {
            Some((_, text)) => Err(ApiError::consumer_create(text)),
            None => Ok(()),
        }
    }
}
