//! Single messages of a stream, by their number.

use super::OriginalMessage;
use crate::client::Client;
use crate::stream::StreamError;
use crate::wire::headers_of;
use crate::{Headers, Pattern, Subject, Token};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::{Value, json};

/// JetStream's number of the error that means that there is no such message.
const NO_MESSAGE: u32 = 10037;

/// A message of a stream, and its number.
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) message: OriginalMessage,
}

#[derive(Deserialize)]
struct Answer {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    subject: String,
    seq: u64,
    time: String,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl Message {
    fn read(self) -> Result<Found, serde_json::Error> {
        let wrong = |what: &'static str| move || serde_json::Error::custom(what);
        let bytes = |text: &str| STANDARD.decode(text).ok();
        let block = bytes(&self.hdrs).ok_or_else(wrong("headers that are no base64"))?;
        let headers = match block.as_slice() {
            [] => Headers::new(),
            block => headers_of(block)
                .ok()
                .ok_or_else(wrong("headers that are none"))?,
        };
        let payload = bytes(&self.data).ok_or_else(wrong("data that are no base64"))?;
        let stored = humantime::parse_rfc3339(&self.time)
            .ok()
            .ok_or_else(wrong("a time that is none"))?;
        Ok(Found {
            sequence: self.seq,
            message: OriginalMessage {
                subject: self.subject,
                headers,
                payload: payload.into(),
                stored,
            },
        })
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
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    match client.stream_request::<Answer>(&subject, body).await {
        Ok(answer) => answer.message.read().map(Some).map_err(StreamError::Answer),
        Err(StreamError::Refused {
            code: NO_MESSAGE, ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
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
    let subject = format!("$JS.API.STREAM.MSG.DELETE.{stream}");
    let body = json!({"seq": sequence, "no_erase": true});
    let deleted: Deleted = client.stream_request(&subject, &body).await?;
    Ok(deleted.success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_within_json_is_read_and_what_is_none_is_an_error() {
        let block = STANDARD.encode("NATS/1.0\r\nA: 1\r\n\r\n");
        let json = json!({
            "subject": "a.b", "seq": 3, "time": "2026-01-02T03:04:05.123456789Z",
            "hdrs": block, "data": STANDARD.encode("hi"),
        });
        let read = |json: Value| serde_json::from_value::<Message>(json)?.read();
        let found = read(json.clone()).unwrap();
        assert_eq!(
            (found.sequence, found.message.headers.get("A")),
            (3, Some("1"))
        );
        assert_eq!(found.message.payload, "hi");
        for (field, value) in [
            ("hdrs", json!("*")),
            ("hdrs", json!(STANDARD.encode("HTTP/1.1"))),
            ("data", json!("*")),
            ("time", json!("then")),
            ("seq", json!("3")),
        ] {
            let mut json = json.clone();
            json[field] = value;
            assert!(read(json).is_err(), "{field}");
        }
    }
}
