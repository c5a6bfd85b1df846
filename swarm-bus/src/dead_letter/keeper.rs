//! Turns advisories into letters.

use super::headers::write;
use super::streams::is_own;
use super::{
    Advisories, Advisory, DeadLetterTopic, KEEPER, LETTERS_STREAM, Original, OriginalMessage,
    advisories_stream, fetch, keeper_consumer, letters_stream,
};
use crate::Topic as _;
use crate::client::{Client, PublishError, State, Stored};
use crate::stream::{Consumer, ConsumerConfig, Delivered, StreamConfig, StreamError};
use crate::wire::encode::Publication;
use std::time::Duration;

/// After how long an advisory comes again whose letter was not stored.
const AGAIN: Duration = Duration::from_secs(5);
/// How long to wait where the stream of advisories cannot be read.
const PAUSE: Duration = Duration::from_secs(1);

/// Turns advisories into dead letters. Several may run: they share the work.
pub struct Keeper {
    client: Client,
    consumer: Consumer<Advisories>,
}

/// What became of one advisory.
#[derive(Debug)]
#[non_exhaustive]
pub enum Kept {
    /// A letter is stored.
    Letter {
        /// Which message, of which consumer.
        origin: DeadLetterTopic,
        /// Its number among the letters.
        sequence: u64,
        /// Whether it was stored before, and the advisory came again.
        duplicate: bool,
        /// Whether it holds the original.
        whole: bool,
    },
    /// It speaks of the streams of dead letters themselves.
    Own(Advisories),
    /// It is no advisory of this server; it does not come again.
    Refused {
        /// Why not, for people.
        reason: String,
    },
}

/// Why an advisory is no letter yet. It comes again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The original could not be read.
    #[error("the original {sequence} of {stream} cannot be read yet")]
    Original {
        /// Of which stream.
        stream: crate::Token,
        /// Which message.
        sequence: u64,
        /// Why.
        source: StreamError,
    },
    /// It could not be seen whether there is a letter already.
    #[error("the letters cannot be read yet")]
    Before {
        /// Why.
        source: StreamError,
    },
    /// The letter could not be stored.
    #[error("the letter cannot be stored yet")]
    Letter(#[from] PublishError),
    /// The stream of advisories cannot be read.
    #[error("the advisories cannot be read")]
    Advisories(#[from] StreamError),
}

impl Keeper {
    /// Makes sure of both streams and the consumer as they are by default, and begins.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn start(client: &Client) -> Result<Self, StreamError> {
        Self::start_with(
            client,
            &advisories_stream(),
            &letters_stream(),
            &keeper_consumer(),
        )
        .await
    }

    /// Makes sure of streams and consumer with other limits than the defaults, and begins. Their
    /// names and subjects stay what they are by default.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn start_with(
        client: &Client,
        advisories: &StreamConfig,
        letters: &StreamConfig,
        consumer: &ConsumerConfig,
    ) -> Result<Self, StreamError> {
        // Letters first: an advisory may wait already.
        client.ensure_stream(letters).await?;
        client.ensure_stream(advisories).await?;
        client.ensure_consumer(consumer).await?;
        Ok(Self {
            client: client.clone(),
            consumer: client
                .consumer::<Advisories>(&advisories.name, &KEEPER)
                .await?
                // Each is read for as long as it lives with the keeper.
                .batch(8),
        })
    }

    /// Waits for the next advisory and stores its letter. What failed comes again by itself.
    ///
    /// # Errors
    /// [`KeepError`].
    pub async fn next(&mut self) -> Result<Kept, KeepError> {
        let delivered = self.consumer.next().await?;
        let kept = self.keep(&delivered).await;
        let told = match &kept {
            Ok(_) => {
                let within = self.client.core.options.timeout;
                delivered
                    .ack_confirmed(within)
                    .await
                    .map_err(|e| e.to_string())
            }
            Err(_) => delivered.nak(AGAIN).map_err(|error| error.to_string()),
        };
        if let Err(error) = told {
            // It comes again, and its letter is known then.
            tracing::debug!(error, "the word about an advisory did not arrive");
        }
        kept
    }

    /// Keeps letters until the client closes; tells `note` what becomes of each advisory.
    pub async fn run(mut self, mut note: impl FnMut(Result<Kept, KeepError>)) {
        while !matches!(
            self.client.states().current(),
            State::Closed | State::Draining
        ) {
            let kept = self.next().await;
            let wait = matches!(&kept, Err(KeepError::Advisories(_)));
            note(kept);
            if wait {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn keep(&self, delivered: &Delivered<Advisories>) -> Result<Kept, KeepError> {
        let message = match &delivered.content {
            Ok(message) => message,
            Err(error) => {
                let mut reason = error.to_string();
                if let Some(source) = std::error::Error::source(error) {
                    reason = format!("{reason}: {source}");
                }
                tracing::warn!(reason, "what came as an advisory is none");
                return Ok(Kept::Refused { reason });
            }
        };
        if is_own(&message.topic.stream) {
            return Ok(Kept::Own(message.topic.clone()));
        }
        let advisory = &message.payload;
        let origin = DeadLetterTopic {
            stream: advisory.stream.clone(),
            consumer: advisory.consumer.clone(),
            sequence: advisory.sequence,
        };
        // A server that was killed may have forgotten what it had told, what was acknowledged, and
        // the ids of letters; the original may be gone by now.
        let before = self.stored_before(&origin).await?;
        if let Some((sequence, true)) = before {
            return Ok(Kept::Letter {
                origin,
                sequence,
                duplicate: true,
                whole: true,
            });
        }
        let original = self.original(advisory).await?;
        if let (Some((sequence, false)), Original::Gone) = (before, &original) {
            return Ok(Kept::Letter {
                origin,
                sequence,
                duplicate: true,
                whole: false,
            });
        }
        let stored = match self.store(&origin, advisory, &original).await {
            Err(PublishError::TooLarge { .. }) => {
                let smaller = without_content(&original);
                let stored = self.store(&origin, advisory, &smaller).await?;
                return Ok(kept(origin, &stored, &smaller));
            }
            stored => stored?,
        };
        Ok(kept(origin, &stored, &original))
    }

    /// Looks for the letter of a message; returns its number, and whether it holds the original.
    async fn stored_before(
        &self,
        origin: &DeadLetterTopic,
    ) -> Result<Option<(u64, bool)>, KeepError> {
        let found = fetch::last(&self.client, &LETTERS_STREAM, &origin.subject()).await;
        let found = found.map_err(|source| KeepError::Before { source })?;
        Ok(found.map(|found| {
            let sequence = found.sequence;
            let letter = super::shelf::read(found);
            let whole = letter.map(|letter| matches!(letter.original, Original::Kept(_)));
            (sequence, whole.unwrap_or(false))
        }))
    }

    async fn original(&self, advisory: &Advisory) -> Result<Original, KeepError> {
        let (stream, sequence) = (&advisory.stream, advisory.sequence);
        match fetch::by_sequence(&self.client, stream, sequence).await {
            Ok(Some(found)) => Ok(Original::Kept(found.message)),
            Ok(None) | Err(StreamError::NoStream) => Ok(Original::Gone),
            Err(source) => Err(KeepError::Original {
                stream: stream.clone(),
                sequence,
                source,
            }),
        }
    }

    async fn store(
        &self,
        origin: &DeadLetterTopic,
        advisory: &Advisory,
        original: &Original,
    ) -> Result<Stored, PublishError> {
        let (headers, payload) = write(advisory, original)?;
        self.client
            .bytes(origin.subject(), headers, payload)
            .id(origin.id())
            .store_bytes()
            .await
    }
}

fn kept(origin: DeadLetterTopic, stored: &Stored, original: &Original) -> Kept {
    Kept::Letter {
        origin,
        sequence: stored.sequence,
        duplicate: stored.duplicate,
        whole: matches!(original, Original::Kept(_)),
    }
}

/// What a letter says of a message that it has no room for.
fn without_content(original: &Original) -> Original {
    match original {
        Original::Kept(OriginalMessage {
            subject,
            headers,
            payload,
            ..
        }) => Original::TooLarge {
            subject: subject.clone(),
            size: Publication::new(subject, headers, payload).size() as u64,
        },
        other => other.clone(),
    }
}
