//! Looking through dead letters, replaying and discarding them.

use super::{
    DeadLetter, DeadLetterError, DeadLetterTopic, LETTERS_STREAM, Original, OriginalMessage, fetch,
    headers,
};
use crate::client::{Client, Message, PublishError, ReceiveError, Stored};
use crate::stream::StreamError;
use crate::topic::Filter;
use crate::wire::Delivery;
use crate::{ParseSubjectError, Subject, Topic};
use std::time::Duration;

/// The dead letters of a server.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    client: Client,
}

/// Why a letter was not replayed. It is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is nothing to replay: the original was gone when the letter was written, or is gone
    /// now from the stream where a large one was left.
    #[error("the original message is gone")]
    Gone,
    /// The original's subject is none that this crate publishes to.
    #[error("`{subject}` cannot be published to")]
    Subject {
        /// As the server wrote it.
        subject: String,
        /// Why.
        source: ParseSubjectError,
    },
    /// It was not stored; [`PublishError::Unconfirmed`] means that it may have been, and another
    /// try does not double it.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The original could not be read, or the letter not taken away after it was replayed: another
    /// try does not double it then.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl DeadLetters {
    /// Opens the letters; whether there are any is seen by [`next`](Self::next).
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
        }
    }

    /// Returns the first letter of a filter from a number on, or `None`. To see all, begin with 0
    /// and go on with the number after the one that came.
    ///
    /// The inner `Err` is a message that is no letter; its number is the outer value.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn next(
        &self,
        filter: impl Into<Filter<DeadLetterTopic>>,
        from: u64,
    ) -> Result<Option<(u64, Result<DeadLetter, DeadLetterError>)>, StreamError> {
        let filter = filter.into();
        let stream = &LETTERS_STREAM;
        let found = fetch::next_from(&self.client, stream, from, filter.pattern()).await?;
        Ok(found.map(|found| (found.sequence, read(found))))
    }

    /// Returns up to `limit` letters of a filter from a number on.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn list(
        &self,
        filter: impl Into<Filter<DeadLetterTopic>>,
        mut from: u64,
        limit: usize,
    ) -> Result<Vec<Result<DeadLetter, DeadLetterError>>, StreamError> {
        let filter = filter.into();
        let mut letters = Vec::new();
        while letters.len() < limit
            && let Some((sequence, letter)) = self.next(filter.clone(), from).await?
        {
            letters.push(letter);
            from = sequence + 1;
        }
        Ok(letters)
    }

    /// Returns the letter with a number, or `None`.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn inspect(
        &self,
        sequence: u64,
    ) -> Result<Option<Result<DeadLetter, DeadLetterError>>, StreamError> {
        let found = fetch::by_sequence(&self.client, &LETTERS_STREAM, sequence).await?;
        Ok(found.map(read))
    }

    /// Publishes the original again to its own subject, with its headers and a new id, then takes
    /// the letter away. All consumers of that subject see it.
    ///
    /// Tried again after a failure in the middle it is not doubled, as long as its stream remembers
    /// ids ([`duplicate_window`](crate::stream::StreamConfig::duplicate_window)). What it expected
    /// of its stream when it was first published (`Nats-Expected-…`) is not said again.
    ///
    /// # Errors
    /// [`ReplayError`]; the letter is kept.
    pub async fn replay(
        &self,
        letter: &DeadLetter,
        within: Duration,
    ) -> Result<Stored, ReplayError> {
        let original = self.original(letter).await?;
        let subject = Subject::parse(&original.subject).map_err(|source| ReplayError::Subject {
            subject: original.subject.clone(),
            source,
        })?;
        self.publish(letter, original, subject, within).await
    }

    /// Publishes the original to another topic, then takes the letter away: to one that a single
    /// consumer reads, so that those who had no trouble with the message do not see it twice.
    ///
    /// # Errors
    /// [`ReplayError`]; the letter is kept.
    pub async fn replay_to<T: Topic>(
        &self,
        letter: &DeadLetter,
        topic: &T,
        within: Duration,
    ) -> Result<Stored, ReplayError> {
        let original = self.original(letter).await?;
        self.publish(letter, original, topic.subject(), within)
            .await
    }

    /// Takes a letter away for good; says whether it was there.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn discard(&self, sequence: u64) -> Result<bool, StreamError> {
        fetch::delete(&self.client, &LETTERS_STREAM, sequence).await
    }

    async fn original(&self, letter: &DeadLetter) -> Result<OriginalMessage, ReplayError> {
        let origin = &letter.origin;
        match &letter.original {
            Original::Kept(message) => Ok(message.clone()),
            Original::Gone => Err(ReplayError::Gone),
            Original::TooLarge { .. } => {
                match fetch::by_sequence(&self.client, &origin.stream, origin.sequence).await {
                    Ok(Some(found)) => Ok(found.message),
                    Ok(None) | Err(StreamError::NoStream) => Err(ReplayError::Gone),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    async fn publish(
        &self,
        letter: &DeadLetter,
        original: OriginalMessage,
        subject: Subject,
        within: Duration,
    ) -> Result<Stored, ReplayError> {
        let again = headers::replayed(&original.headers);
        let stored = self
            .client
            .bytes(subject, again, original.payload)
            .id(letter.origin.replay_id())
            .within(within)
            .store_bytes()
            .await?;
        self.discard(letter.sequence).await?;
        Ok(stored)
    }
}

impl DeadLetter {
    /// Reads the original as a message of a topic; `None` where the letter does not hold it.
    pub fn message<T: Topic>(&self) -> Option<Result<Message<T>, ReceiveError>> {
        let Original::Kept(original) = &self.original else {
            return None;
        };
        let delivery = Delivery {
            sid: 0,
            subject: original.subject.clone(),
            reply: None,
            status: None,
            description: String::new(),
            headers: original.headers.clone(),
            payload: original.payload.clone(),
        };
        Some(Message::decode(delivery, original.stored))
    }
}

pub(super) fn read(found: fetch::Found) -> Result<DeadLetter, DeadLetterError> {
    let fetch::Found { sequence, message } = found;
    headers::read(
        sequence,
        &message.subject,
        &message.headers,
        message.payload,
    )
}
