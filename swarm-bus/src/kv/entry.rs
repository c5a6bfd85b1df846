//! One revision of a key.

use super::KvError;
use crate::client::{Message, ReceiveError};
use crate::stream::Stored;
use crate::topic::ParseTopicError;
use crate::wire::Delivery;
use crate::{Subject, Topic};
use std::fmt;
use std::time::{Duration, SystemTime};

/// The header that says what a message without a value means.
pub(super) const OPERATION: &str = "KV-Operation";
/// It marks a deleted key.
pub(super) const DELETE: &str = "DEL";
/// It marks a deleted key whose history is gone too.
pub(super) const PURGE: &str = "PURGE";
/// The header by which a server itself marks what it removed by age; from 2.11 on.
const REASON: &str = "Nats-Marker-Reason";

/// A revision of a key.
pub struct Entry<T: Topic> {
    /// Which key.
    pub key: T,
    /// Its number: it counts the writes to the bucket, whatever their key.
    pub revision: u64,
    /// When it was written, by the server's clock.
    pub time: SystemTime,
    /// What was written.
    pub content: Content<T::Payload>,
}

/// The value of a key, as it was read.
pub struct Value<T: Topic> {
    /// The value.
    pub value: T::Payload,
    /// Its revision, for [`update`](super::Bucket::update).
    pub revision: u64,
    /// When it was written, by the server's clock.
    pub time: SystemTime,
}

impl<T: Topic> Value<T> {
    /// Returns how old the value is at a time; zero where the clocks disagree.
    #[must_use]
    pub fn age_at(&self, now: SystemTime) -> Duration {
        now.duration_since(self.time).unwrap_or_default()
    }
}

impl<T> fmt::Debug for Value<T>
where
    T: Topic,
    T::Payload: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("value", &self.value)
            .field("revision", &self.revision)
            .field("time", &self.time)
            .finish()
    }
}

/// What a revision of a key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<V> {
    /// The key has a value.
    Value(V),
    /// The key was deleted; what it had before is kept as far as the history reaches.
    Deleted,
    /// The key was deleted and its history too.
    Purged,
}

impl<V> Content<V> {
    /// Returns the value, if there is one.
    #[must_use]
    pub fn value(&self) -> Option<&V> {
        match self {
            Self::Value(value) => Some(value),
            Self::Deleted | Self::Purged => None,
        }
    }

    /// Takes the value out, if there is one.
    #[must_use]
    pub fn into_value(self) -> Option<V> {
        match self {
            Self::Value(value) => Some(value),
            Self::Deleted | Self::Purged => None,
        }
    }
}

impl<T: Topic> Entry<T> {
    /// Returns how old the revision is at a time; zero where the clocks disagree.
    #[must_use]
    pub fn age_at(&self, now: SystemTime) -> Duration {
        now.duration_since(self.time).unwrap_or_default()
    }

    /// Reads what the stream keeps.
    pub(crate) fn parse(stored: Stored) -> Result<Self, KvError> {
        let (revision, time) = (stored.sequence, stored.time);
        let unreadable = |source| KvError::Unreadable { revision, source };
        let (key, content) = match marker(&stored) {
            Some(content) => (parse_key(stored.subject).map_err(unreadable)?, content),
            None => {
                let delivery = Delivery {
                    sid: 0,
                    subject: stored.subject,
                    reply: None,
                    status: None,
                    description: String::new(),
                    headers: stored.headers,
                    payload: stored.payload,
                };
                let message = Message::<T>::decode(delivery, time).map_err(unreadable)?;
                (message.topic, Content::Value(message.payload))
            }
        };
        Ok(Self {
            key,
            revision,
            time,
            content,
        })
    }
}

/// Says whether a message marks a key that is gone.
pub(super) fn is_marker(stored: &Stored) -> bool {
    marker::<()>(stored).is_some()
}

fn marker<V>(stored: &Stored) -> Option<Content<V>> {
    match stored.headers.get(OPERATION) {
        Some(DELETE) => return Some(Content::Deleted),
        Some(PURGE) => return Some(Content::Purged),
        _ => {}
    }
    match stored.headers.get(REASON)? {
        "Purge" => Some(Content::Purged),
        _ => Some(Content::Deleted),
    }
}

pub(super) fn parse_key<T: Topic>(subject: String) -> Result<T, ReceiveError> {
    Subject::parse(&subject)
        .map_err(ParseTopicError::from)
        .and_then(|subject| T::parse(&subject))
        .map_err(|source| ReceiveError::Subject { subject, source })
}

impl<T> fmt::Debug for Entry<T>
where
    T: Topic + fmt::Debug,
    T::Payload: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("revision", &self.revision)
            .field("time", &self.time)
            .field("content", &self.content)
            .finish()
    }
}

#[cfg(all(test, feature = "derive"))]
#[allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]
mod tests {
    use super::*;
    use crate::{Headers, Token};

    #[derive(Topic, Debug, PartialEq)]
    #[topic("$KV.rooms.{room}", payload = u32, delivery = stored)]
    struct Room {
        room: Token,
    }

    fn stored(subject: &str, payload: &'static str, headers: &[(&str, &str)]) -> Stored {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.append(name, value).unwrap();
        }
        Stored {
            subject: subject.into(),
            sequence: 4,
            time: SystemTime::UNIX_EPOCH,
            headers: all,
            payload: payload.into(),
        }
    }

    #[test]
    fn values_and_markers_are_told_apart() {
        for (payload, headers, content) in [
            ("7", &[][..], Content::Value(7)),
            ("", &[("KV-Operation", "DEL")], Content::Deleted),
            ("", &[("KV-Operation", "PURGE")], Content::Purged),
            ("7", &[("KV-Operation", "PUT")], Content::Value(7)),
            ("", &[("Nats-Marker-Reason", "MaxAge")], Content::Deleted),
        ] {
            let entry = Entry::<Room>::parse(stored("$KV.rooms.a", payload, headers)).unwrap();
            assert_eq!((entry.key.room.as_str(), entry.revision), ("a", 4));
            assert_eq!(entry.content, content);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_revision() {
        for (subject, payload, schema) in [
            ("$KV.rooms.a", "seven", "1"),
            ("$KV.rooms.a.b", "7", "1"),
            ("$KV.rooms.a b", "7", "1"),
            ("$KV.rooms.a", "7", "2"),
        ] {
            let entry = Entry::<Room>::parse(stored(subject, payload, &[("Swarm-Schema", schema)]));
            let refused = matches!(entry, Err(KvError::Unreadable { revision: 4, .. }));
            assert!(refused, "{subject}");
        }
    }
}
