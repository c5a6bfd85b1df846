//! A dead letter.

use crate as swarm_bus;
#[cfg(any(feature = "client", test))]
use crate::MessageId;
use crate::{ForgedIdentity, Headers, Raw, Token, Topic};
use bytes::Bytes;
use std::time::{Duration, SystemTime};

/// Where letters lie: `dead.{stream}.{consumer}.{sequence}`.
#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic(
    "dead.{stream}.{consumer}.{sequence}",
    payload = Bytes,
    codec = Raw,
    delivery = stored,
    verify = DeadLetterTopic::verify_headers,
    crate = swarm_bus
)]
pub struct DeadLetterTopic {
    /// The stream that the original lay in.
    pub stream: Token,
    /// The consumer that gave it up.
    pub consumer: Token,
    /// The original's number in the stream.
    pub sequence: u64,
}

impl DeadLetterTopic {
    /// The header that says which stream.
    pub(super) const STREAM: &str = "Dead-Letter-Stream";
    /// The header that says which consumer.
    pub(super) const CONSUMER: &str = "Dead-Letter-Consumer";

    fn verify_headers(&self, _: &Bytes, headers: &Headers) -> Result<(), ForgedIdentity> {
        for (name, proven) in [
            (Self::STREAM, &self.stream),
            (Self::CONSUMER, &self.consumer),
        ] {
            let claimed = headers.get(name).unwrap_or_default();
            if *proven != claimed {
                return Err(ForgedIdentity {
                    claimed: claimed.to_owned(),
                    proven: proven.clone(),
                });
            }
        }
        Ok(())
    }

    /// Returns the id by which a letter is stored once.
    #[cfg(any(feature = "client", test))]
    pub(super) fn id(&self) -> MessageId {
        MessageId::parse(self.subject().as_str()).expect("three short tokens make an id")
    }

    /// Returns the id by which a letter is replayed once.
    #[cfg(any(feature = "client", test))]
    pub(super) fn replay_id(&self) -> MessageId {
        let id = format!("replay.{}", self.subject());
        MessageId::parse(&id).expect("a word more makes an id")
    }
}

/// Why a message was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It was delivered as often as its consumer allows, and never acknowledged.
    MaxDeliveries,
    /// Its consumer terminated it.
    Terminated {
        /// Why, where the consumer said so. Needs server 2.10.4.
        reason: Option<String>,
    },
}

/// A message as it lay in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OriginalMessage {
    /// What it was published to, as the server wrote it.
    pub subject: String,
    /// Its headers.
    pub headers: Headers,
    /// What it carries.
    pub payload: Bytes,
    /// When its stream took it.
    pub stored: SystemTime,
}

/// What is there of the message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Original {
    /// All of it.
    Kept(OriginalMessage),
    /// It left no room for the letter's headers, and lies where it was.
    TooLarge {
        /// What it was published to.
        subject: String,
        /// How large its headers and payload are, in bytes.
        size: u64,
    },
    /// Nothing: it was gone when the letter was written.
    Gone,
}

/// A message that a consumer could not use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its number among the letters.
    pub sequence: u64,
    /// Which message, of which consumer.
    pub origin: DeadLetterTopic,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When it was given up, by the server's clock.
    pub at: SystemTime,
    /// Why.
    pub cause: Cause,
    /// The message.
    pub original: Original,
}

/// A message among the letters is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// Its subject is none of a letter.
    #[error("`{subject}` is no subject of a dead letter")]
    Subject {
        /// As it lies there.
        subject: String,
    },
    /// A header is missing, or says nothing that a letter says.
    #[error("the header `{name}` of dead letter {sequence} is missing or wrong")]
    Header {
        /// The letter's number.
        sequence: u64,
        /// Which header.
        name: &'static str,
    },
    /// Its headers and its subject disagree.
    #[error("the dead letter {sequence} is forged")]
    Forged {
        /// The letter's number.
        sequence: u64,
        /// In what they disagree.
        source: ForgedIdentity,
    },
}

/// Writes a moment as `2026-01-31T12:00:00.000000000Z`; what lies beyond that form becomes its end.
pub(super) fn write_time(time: SystemTime) -> String {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let time = time.clamp(SystemTime::UNIX_EPOCH, latest);
    humantime::format_rfc3339_nanos(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_make_an_id() {
        let longest = Token::parse(&"x".repeat(Token::MAX_LENGTH)).unwrap();
        let topic = DeadLetterTopic {
            stream: longest.clone(),
            consumer: longest,
            sequence: u64::MAX,
        };
        assert_ne!(topic.id().as_str(), topic.replay_id().as_str());
    }
}
