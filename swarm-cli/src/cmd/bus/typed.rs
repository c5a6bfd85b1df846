//! Messages as people and programs read them, whatever their topic.

use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use swarm_bus::client::Message;
use swarm_bus::stream::StoredMessage;
use swarm_bus::topics::{Commands, NodeEndpoints, NodeEvents, Telemetry, TrustBundle};
use swarm_bus::{Subject, Topic};

use crate::report::{Failure, chain};

/// Reads what was given as the payload of a topic: JSON of its type.
pub(super) fn given<T: DeserializeOwned>(payload: &[u8], topic: &str) -> Result<T, Failure> {
    serde_json::from_slice(payload).map_err(|error| {
        Failure::input(format!(
            "the payload is not of the topic's type: {}",
            chain(&error)
        ))
        .hint(format!(
            "what it may be is said by: swarm bus topics --schema {topic}"
        ))
    })
}

/// The payload of a type that has a form in JSON.
pub(super) fn plain<P: Serialize>(payload: &P) -> Value {
    serde_json::to_value(payload).unwrap_or_default()
}

/// Bytes that are nothing to be read.
pub(super) fn opaque(bytes: &bytes::Bytes) -> Value {
    json!({ "bytes": bytes.len() })
}

/// A message that was heard.
#[derive(Serialize)]
pub(super) struct Heard {
    pub(super) subject: String,
    pub(super) age_milliseconds: Option<u128>,
    pub(super) payload: Value,
}

impl Heard {
    pub(super) fn new<T: Topic>(message: &Message<T>, show: &dyn Fn(&T::Payload) -> Value) -> Self {
        let payload = show(&message.payload);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let sent = payload
            .get("at")
            .or_else(|| payload.get("sent"))
            .and_then(Value::as_u64);
        Self {
            subject: message.topic.subject().to_string(),
            age_milliseconds: sent.map(|sent| now.saturating_sub(sent.into())),
            payload,
        }
    }

    pub(super) fn line(&self) -> String {
        let age = self
            .age_milliseconds
            .map(|age| format!(" ({age} ms old)"))
            .unwrap_or_default();
        format!("{}{age}  {}", self.subject, self.payload)
    }
}

/// Reads a stored message as the topic that its subject is of.
pub(super) fn stored(message: &StoredMessage) -> Result<Value, String> {
    read::<NodeEvents>(message, plain)
        .or_else(|| read::<Telemetry>(message, plain))
        .or_else(|| read::<NodeEndpoints>(message, plain))
        .or_else(|| read::<TrustBundle>(message, opaque))
        .or_else(|| read::<Commands>(message, plain))
        .unwrap_or_else(|| Ok(unknown(&message.payload)))
}

fn read<T: Topic>(
    message: &StoredMessage,
    show: fn(&T::Payload) -> Value,
) -> Option<Result<Value, String>> {
    let subject = Subject::parse(&message.subject).ok()?;
    T::parse(&subject).ok()?;
    let read = message.read::<T>();
    Some(
        read.map(|message| show(&message.payload))
            .map_err(|error| chain(&error)),
    )
}

/// A message of no topic of the mesh.
fn unknown(payload: &bytes::Bytes) -> Value {
    serde_json::from_slice(payload).unwrap_or_else(|_| opaque(payload))
}
