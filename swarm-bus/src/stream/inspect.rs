//! Looking into streams: which there are, what they hold, each message by its number.

use super::{StreamError, StreamSummary};
use crate::client::{Client, Message, ReceiveError, wall_clock};
use crate::wire::Delivery;
use crate::{Headers, Pattern, Token, Topic};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// How many pages of the list are asked for at most; a page has 256 streams.
const MAX_PAGES: usize = 256;

/// What a stream is, and what it holds at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// The subjects that it keeps.
    pub subjects: Vec<String>,
    /// What makes a message leave it, in JetStream's words.
    pub retention: String,
    /// Where it lies: `file` or `memory`.
    pub storage: String,
    /// How many servers keep it.
    pub replicas: u64,
    /// How old a message may become.
    #[serde(rename = "max_age_seconds", serialize_with = "seconds")]
    pub max_age: Option<Duration>,
    /// How many bytes it may hold.
    pub max_bytes: Option<u64>,
    /// How many messages it may hold.
    pub max_messages: Option<u64>,
    /// How many messages of one subject it may hold.
    pub max_messages_per_subject: Option<u64>,
    /// How many bytes a message may have, its headers included.
    pub max_message_size: Option<u64>,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// How many messages it holds.
    pub messages: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// How many subjects they have.
    pub num_subjects: u64,
    /// The number of its first message.
    pub first_sequence: u64,
    /// The number of its last message.
    pub last_sequence: u64,
    /// How many consumers read it.
    pub consumers: u64,
    /// The streams that it takes messages from, or is a copy of.
    pub sources: Vec<SourceInfo>,
}

/// How far a stream is with another one that it takes messages from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SourceInfo {
    /// The name of the other one.
    pub stream: String,
    /// What the other one's API begins with, where it is of another domain.
    pub api: Option<String>,
    /// How many messages are still to be taken, as far as was heard.
    pub lag: u64,
    /// How long ago something was heard of it; `None` where nothing was yet.
    #[serde(rename = "silent_seconds", serialize_with = "seconds")]
    pub silent: Option<Duration>,
}

fn seconds<S: serde::Serializer>(age: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs()).serialize(to)
}

/// A message as a stream keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// Its number in the stream.
    pub sequence: u64,
    /// When the stream took it, by the server's clock: RFC 3339 in UTC.
    pub time: String,
    /// Where it was published.
    pub subject: String,
    /// What travels with it.
    pub headers: Headers,
    /// What it carries.
    pub payload: Bytes,
}

impl StoredMessage {
    /// Reads it as a message of a topic.
    ///
    /// # Errors
    /// [`ReceiveError`], as a subscription would yield in its place.
    pub fn read<T: Topic>(&self) -> Result<Message<T>, ReceiveError> {
        let delivery = Delivery {
            sid: 0,
            subject: self.subject.clone(),
            reply: None,
            status: None,
            description: String::new(),
            headers: self.headers.clone(),
            payload: self.payload.clone(),
        };
        Message::decode(delivery, wall_clock())
    }
}

impl Client {
    /// Lists the streams, by name.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            total: usize,
            // `null` where there is none
            streams: Option<Vec<StreamSummary>>,
        }
        let list = self.api(format_args!("STREAM.LIST"));
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let body = json!({"offset": found.len()});
            let page: Page = self.stream_request(&list, &body).await?;
            let before = found.len();
            found.extend(page.streams.into_iter().flatten().map(StreamInfo::from));
            if found.len() == before || found.len() >= page.total {
                break;
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Looks at a stream.
    ///
    /// # Errors
    /// [`StreamError`]; [`NoStream`](StreamError::NoStream) when there is none.
    pub async fn stream_info(&self, stream: &Token) -> Result<StreamInfo, StreamError> {
        Ok(self.stream_summary(stream, &Value::Null).await?.into())
    }

    /// Reads the first message of a stream from a number on that was published to one of these
    /// subjects; `None` when there is none. Nothing is taken out.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn stream_message(
        &self,
        stream: &Token,
        from: u64,
        subjects: &Pattern,
    ) -> Result<Option<StoredMessage>, StreamError> {
        let wanted = json!({"seq": from.max(1), "next_by_subj": subjects});
        let stored = self.stored_message(stream, &wanted).await?;
        Ok(stored.map(|stored| StoredMessage {
            sequence: stored.sequence,
            time: humantime::format_rfc3339_nanos(stored.time).to_string(),
            subject: stored.subject,
            headers: stored.headers,
            payload: stored.payload,
        }))
    }

    /// Deletes messages from a stream, for good: those of some subjects or all, but for the last
    /// `keep`. Returns how many there were.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn purge_stream(
        &self,
        stream: &Token,
        subjects: Option<&Pattern>,
        keep: u64,
    ) -> Result<u64, StreamError> {
        #[derive(Deserialize)]
        struct Purged {
            #[serde(default)]
            purged: u64,
        }
        let mut body = serde_json::Map::new();
        if let Some(subjects) = subjects {
            body.insert("filter".to_owned(), json!(subjects));
        }
        if keep > 0 {
            body.insert("keep".to_owned(), json!(keep));
        }
        let subject = self.api(format_args!("STREAM.PURGE.{stream}"));
        let purged: Purged = self.stream_request(&subject, &body.into()).await?;
        Ok(purged.purged)
    }

    /// Deletes a stream with all that it holds, for good; a bucket is one, too.
    ///
    /// # Errors
    /// [`StreamError`]; [`NoStream`](StreamError::NoStream) when there is none.
    pub async fn delete_stream(&self, stream: &Token) -> Result<(), StreamError> {
        #[derive(Deserialize)]
        struct Deleted {}
        let subject = self.api(format_args!("STREAM.DELETE.{stream}"));
        let Deleted {} = self.stream_request(&subject, &Value::Null).await?;
        Ok(())
    }
}
