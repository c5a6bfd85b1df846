//! What is said in a room, as its readers get it.

use serde_json::Value;

use crate::event::{ContentError, MessageContent, decode};
use crate::id::{EventId, RoomId, UserId};

/// A message, or something that should have been one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Where.
    pub room: RoomId,
    /// The event.
    pub event_id: EventId,
    /// Who. With [`Body::Text`] and [`Body::Typed`] proven: a device said it that its user
    /// cross-signed.
    pub sender: UserId,
    /// When the homeserver took it: milliseconds since 1970, UTC, by its clock.
    pub at: u64,
    /// What.
    pub body: Body,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Body {
    /// Text for people.
    Text(String),
    /// A content of some type.
    Typed {
        /// The type.
        event_type: String,
        /// The content, as it came.
        content: Value,
    },
    /// It could not be decrypted. When its key comes later, the message comes again, readable,
    /// under the same event id.
    Undecryptable {
        /// Why, in one line.
        reason: String,
    },
    /// It came unencrypted into a room whose messages are encrypted: the homeserver or somebody
    /// with its help may have made it up. What it says is withheld.
    NotEncrypted,
}

impl Message {
    /// What it says as a `T`; `None` when it is of another type.
    pub fn decode<T: MessageContent>(&self) -> Option<Result<T, ContentError>> {
        match &self.body {
            Body::Typed {
                event_type,
                content,
            } if event_type == T::TYPE => Some(decode(content)),
            _ => None,
        }
    }

    /// What it says, when it is text for people.
    pub fn text(&self) -> Option<&str> {
        match &self.body {
            Body::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Reads a timeline event; `None` for state and for what names no sender or event.
    pub(super) fn parse(room: &RoomId, event: &Value, reading: Reading<'_>) -> Option<Self> {
        if event.get("state_key").is_some() {
            return None;
        }
        let event_type = event.get("type")?.as_str()?;
        let content = event.get("content")?;
        let is_empty = content.as_object().is_none_or(serde_json::Map::is_empty);
        let body = match reading {
            Reading::Undecryptable(reason) => Body::Undecryptable {
                reason: reason.to_owned(),
            },
            // A redacted message lost its content, and with it its encryption.
            Reading::Plain if is_empty => return None,
            Reading::Plain => Body::NotEncrypted,
            Reading::Decrypted => match (event_type, content.get("body").and_then(Value::as_str)) {
                ("m.room.message", Some(text)) => Body::Text(text.to_owned()),
                _ => Body::Typed {
                    event_type: event_type.to_owned(),
                    content: content.clone(),
                },
            },
        };
        Some(Self {
            room: room.clone(),
            event_id: EventId::parse(event.get("event_id")?.as_str()?).ok()?,
            sender: UserId::parse(event.get("sender")?.as_str()?).ok()?,
            at: event.get("origin_server_ts").and_then(Value::as_u64)?,
            body,
        })
    }
}

/// How an event came to be readable, or not.
#[derive(Clone, Copy)]
pub(super) enum Reading<'a> {
    Decrypted,
    Plain,
    Undecryptable(&'a str),
}

/// What a reader of a room gets next.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Received {
    /// A message.
    Message(Box<Message>),
    /// Messages that this reader will not get: it fell behind, or the room's history could not be
    /// fetched after an outage.
    Missed {
        /// How many, where that is known.
        count: Option<u64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(event: &Value, reading: Reading<'_>) -> Option<Message> {
        Message::parse(&RoomId::parse("!r").unwrap(), event, reading)
    }

    fn event(event_type: &str, content: Value) -> Value {
        json!({"type": event_type, "content": content, "sender": "@a:s", "event_id": "$1",
            "origin_server_ts": 5})
    }

    #[test]
    fn what_came_in_the_clear_is_withheld() {
        let event = event(
            "m.room.message",
            json!({"body": "trust me", "msgtype": "m.text"}),
        );
        let message = parse(&event, Reading::Plain).unwrap();
        assert_eq!(message.body, Body::NotEncrypted);
        assert_eq!(
            parse(&event, Reading::Decrypted).unwrap().text(),
            Some("trust me")
        );
    }

    #[test]
    fn state_and_redacted_messages_are_no_messages() {
        let mut state = event("org.example.x", json!({"a": 1}));
        state["state_key"] = json!("");
        assert!(parse(&state, Reading::Plain).is_none());
        assert!(parse(&event("m.room.encrypted", json!({})), Reading::Plain).is_none());
    }
}
