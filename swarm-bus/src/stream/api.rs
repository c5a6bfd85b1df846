//! JetStream's requests and answers: JSON over subjects.
//!
//! <https://docs.nats.io/reference/reference-protocols/nats_api_reference>

use super::{
    ConsumerConfig, Discard, Retention, Source, Start, Storage, StreamConfig, StreamError,
};
use crate::Headers;
use crate::client::{Client, RequestError};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The field of a stream's configuration that says where it takes messages from.
pub(super) const SOURCES: &str = "sources";

/// JetStream's numbers of errors that mean that something does not exist.
const NO_STREAM: u32 = 10059;
const NO_CONSUMER: u32 = 10014;

/// JetStream's numbers of errors that mean that a subject is at another message than was expected.
/// A cluster may give the second, which does not say at which.
pub(crate) const WRONG_SEQUENCE: [u32; 2] = [10071, 10164];

/// An error in an answer of JetStream.
#[derive(Debug, Deserialize)]
pub(crate) struct ApiFault {
    #[serde(default)]
    pub(crate) err_code: u32,
    #[serde(default)]
    pub(crate) description: String,
}

impl ApiFault {
    pub(crate) fn new(err_code: u32, description: String) -> Self {
        Self {
            err_code,
            description,
        }
    }
}

impl From<ApiFault> for StreamError {
    fn from(fault: ApiFault) -> Self {
        match fault.err_code {
            NO_STREAM => Self::NoStream,
            NO_CONSUMER => Self::NoConsumer,
            code => Self::Refused {
                code,
                description: fault.description,
            },
        }
    }
}

impl Client {
    /// Asks JetStream; returns the answer's `config`.
    pub(super) async fn stream_api(
        &self,
        subject: &str,
        body: &Value,
    ) -> Result<Map<String, Value>, StreamError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            config: Map<String, Value>,
        }
        let answer: Answer = self.stream_request(subject, body).await?;
        Ok(answer.config)
    }

    /// Asks JetStream; returns the answer.
    pub(crate) async fn stream_request<A: DeserializeOwned>(
        &self,
        subject: &str,
        body: &Value,
    ) -> Result<A, StreamError> {
        #[derive(Deserialize)]
        struct Outcome {
            error: Option<ApiFault>,
        }
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let within = self.core.options.timeout;
        let answer = self.ask(subject, &Headers::new(), &body, within).await;
        let answer = answer.map_err(|error| match error {
            RequestError::NoResponders { .. } => StreamError::NoJetStream,
            error => error.into(),
        })?;
        let outcome: Outcome =
            serde_json::from_slice(&answer.payload).map_err(StreamError::Answer)?;
        match outcome.error {
            Some(fault) => Err(fault.into()),
            None => serde_json::from_slice(&answer.payload).map_err(StreamError::Answer),
        }
    }
}

fn nanos(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX >> 1))
}

/// JetStream writes "no limit" as -1.
fn limit<N: Into<u64>>(limit: Option<N>) -> Value {
    limit.map_or(json!(-1), |limit| json!(limit.into()))
}

impl StreamConfig {
    /// Writes it as JetStream's configuration. What an old server does not know is left out where
    /// it is not asked for.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let Value::Object(mut config) = json!({
            "name": self.name,
            "subjects": self.subjects,
            "retention": match self.retention {
                Retention::Limits => "limits",
                Retention::WorkQueue => "workqueue",
                Retention::Interest => "interest",
            },
            "storage": match self.storage {
                Storage::File => "file",
                Storage::Memory => "memory",
            },
            "discard": match self.discard {
                Discard::Old => "old",
                Discard::New => "new",
            },
            "num_replicas": self.replicas,
            "max_age": nanos(self.max_age.unwrap_or_default()),
            "max_bytes": limit(self.max_bytes),
            "max_msgs": limit(self.max_messages),
            "max_msgs_per_subject": limit(self.max_messages_per_subject),
            "max_msg_size": limit(self.max_message_size),
            "duplicate_window": nanos(self.duplicate_window),
        }) else {
            unreachable!("an object literal is an object");
        };
        let flags = [
            ("allow_direct", self.direct_get),
            ("deny_delete", self.deny_delete),
            ("allow_rollup_hdrs", self.allow_rollup),
        ];
        for (name, value) in flags {
            config.insert(name.into(), json!(value));
        }
        if !self.sources.is_empty() {
            let sources: Vec<_> = self.sources.iter().map(Source::to_json).collect();
            config.insert(SOURCES.into(), json!(sources));
        }
        if let Some(mirror) = &self.mirror {
            config.insert("mirror".into(), mirror.to_json());
        }
        if self.compressed {
            config.insert("compression".into(), json!("s2"));
        }
        if self.message_ttl {
            config.insert("allow_msg_ttl".into(), json!(true));
        }
        if !self.metadata.is_empty() {
            config.insert("metadata".into(), json!(self.metadata));
        }
        config
    }
}

impl Source {
    fn to_json(&self) -> Value {
        let mut source = json!({"name": self.stream});
        if let Some(filter) = &self.filter {
            source["filter_subject"] = json!(filter);
        }
        if let Some(external) = &self.external {
            let (api, deliver) = (external.api.as_str(), external.deliver.as_str());
            source["external"] = json!({"api": api, "deliver": deliver});
        }
        source
    }
}

impl ConsumerConfig {
    /// Writes it as JetStream's configuration.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let (policy, sequence) = match self.start {
            Start::First => ("all", None),
            Start::New => ("new", None),
            Start::Last => ("last", None),
            Start::LastPerSubject => ("last_per_subject", None),
            Start::Sequence(sequence) => ("by_start_sequence", Some(sequence)),
        };
        let Value::Object(mut config) = json!({
            "durable_name": self.durable,
            "deliver_policy": policy,
            "ack_policy": "explicit",
            "ack_wait": nanos(self.backoff.first().copied().unwrap_or(self.ack_wait)),
            "max_deliver": limit(self.max_deliver),
            "max_ack_pending": self.max_ack_pending,
            "replay_policy": "instant",
        }) else {
            unreachable!("an object literal is an object");
        };
        if let Some(sequence) = sequence {
            config.insert("opt_start_seq".into(), json!(sequence));
        }
        match self.filters.as_slice() {
            [] => {}
            [one] => drop(config.insert("filter_subject".into(), json!(one))),
            several => drop(config.insert("filter_subjects".into(), json!(several))),
        }
        if !self.backoff.is_empty() {
            let pauses: Vec<_> = self.backoff.iter().copied().map(nanos).collect();
            config.insert("backoff".into(), json!(pauses));
        }
        config
    }
}

/// The beginning of what servers note of themselves in metadata (ADR-44), from 2.11 on.
const OF_THE_SERVER: &str = "_nats.";

/// Returns the first field of `asked` that `given` does not have alike. A server leaves fields out
/// that are false, zero or empty, and adds notes of its own.
pub(super) fn difference<'a>(
    asked: &'a Map<String, Value>,
    given: &Map<String, Value>,
) -> Option<&'a str> {
    asked
        .iter()
        .find(|(name, value)| {
            let given = given.get(*name).unwrap_or(&Value::Null);
            match (name.as_str(), *value, given) {
                ("metadata", Value::Object(value), Value::Object(given)) => {
                    let noted = given.keys().filter(|name| !name.starts_with(OF_THE_SERVER));
                    noted.count() != value.len()
                        || value
                            .iter()
                            .any(|(name, note)| given.get(name) != Some(note))
                }
                _ => given != *value && !(is_empty(value) && is_empty(given)),
            }
        })
        .map(|(name, _)| name.as_str())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pattern, Token};

    #[test]
    fn what_a_server_leaves_out_is_told_from_what_it_ignores() {
        let mut config =
            StreamConfig::new(Token::from_static("S"), vec![Pattern::from_static("a")]);
        let mut given = config.to_json();
        given.remove("allow_direct");
        given.remove("max_age");
        assert_eq!(difference(&config.to_json(), &given), None);
        config.compressed = true;
        assert_eq!(difference(&config.to_json(), &given), Some("compression"));
    }

    #[test]
    fn what_a_server_notes_of_itself_is_no_difference() {
        let mut config =
            StreamConfig::new(Token::from_static("S"), vec![Pattern::from_static("a")]);
        let note = |text: &str| ("owner".to_owned(), text.to_owned());
        config.metadata.extend([note("lab")]);
        let mut given = config.to_json();
        given["metadata"]["_nats.ver"] = "2.15.1".into();
        assert_eq!(difference(&config.to_json(), &given), None);
        config.metadata.extend([note("attic")]);
        assert_eq!(difference(&config.to_json(), &given), Some("metadata"));
        config.metadata.clear();
        assert_eq!(
            difference(&config.to_json(), &given),
            None,
            "nothing is asked"
        );
    }
}
