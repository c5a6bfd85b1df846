//! Single messages of a stream, by their number.

use super::OriginalMessage;
use crate::client::Client;
use crate::stream::{Stored, StreamError};
use crate::{Pattern, Subject, Token};
use serde::Deserialize;
use serde_json::{Value, json};

/// A message of a stream, and its number.
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) message: OriginalMessage,
}

impl From<Stored> for Found {
    fn from(stored: Stored) -> Self {
        Self {
            sequence: stored.sequence,
            message: OriginalMessage {
                subject: stored.subject,
                headers: stored.headers,
                payload: stored.payload,
                stored: stored.time,
            },
        }
    }
}

/// Reads a message by its number; `None` where it is gone.
pub(super) async fn by_sequence(
    client: &Client,
    stream: &Token,
    sequence: u64,
) -> Result<Option<Found>, StreamError> {
    fetch(client, stream, &json!({"seq": sequence})).await
}

/// Reads the first message of a pattern from a number on; `None` where there is none.
pub(super) async fn next_from(
    client: &Client,
    stream: &Token,
    sequence: u64,
    pattern: &Pattern,
) -> Result<Option<Found>, StreamError> {
    let body = json!({"seq": sequence.max(1), "next_by_subj": pattern});
    fetch(client, stream, &body).await
}

/// Reads the last message of a subject; `None` where there is none.
pub(super) async fn last(
    client: &Client,
    stream: &Token,
    subject: &Subject,
) -> Result<Option<Found>, StreamError> {
    fetch(client, stream, &json!({"last_by_subj": subject})).await
}

async fn fetch(
    client: &Client,
    stream: &Token,
    body: &Value,
) -> Result<Option<Found>, StreamError> {
    let stored = client.stored_message(stream, body).await?;
    Ok(stored.map(Found::from))
}

/// Deletes a message; says whether it was there.
pub(super) async fn delete(
    client: &Client,
    stream: &Token,
    sequence: u64,
) -> Result<bool, StreamError> {
    #[derive(Deserialize)]
    struct Deleted {
        #[serde(default)]
        success: bool,
    }
    // Looked for first: JetStream has no number of its own for the deletion of what is not there.
    if by_sequence(client, stream, sequence).await?.is_none() {
        return Ok(false);
    }
    let subject = client.api(format_args!("STREAM.MSG.DELETE.{stream}"));
    let body = json!({"seq": sequence, "no_erase": true});
    let deleted: Deleted = client.stream_request(&subject, &body).await?;
    Ok(deleted.success)
}
