//! What buckets of both kinds have in common: each is a stream.

use serde::Serialize;
use serde_json::json;
use swarm_bus::Token;
use swarm_bus::client::{Client, PublishError, RequestError};
use swarm_bus::stream::{StreamError, StreamInfo};

use super::advice::{self, Advise as _};
use super::size::size;
use crate::report::{Failure, Output, chain, table};

/// State or objects.
pub(super) struct Kind {
    /// With what the name of a stream begins that is a bucket of the kind.
    pub(super) prefix: &'static str,
    /// The command for them.
    pub(super) command: &'static str,
    /// Whether it is keys that are kept, each a subject of the stream.
    pub(super) has_keys: bool,
}

impl Kind {
    /// Why a bucket cannot be looked into.
    pub(super) fn unreadable(&self, bucket: &Token, error: StreamError) -> Failure {
        match advice::bucket(&error, self.command) {
            Some(hint) if !matches!(error, StreamError::NoStream) => {
                Failure::failed(chain(&error)).hint(hint)
            }
            _ => self.failure(bucket, error),
        }
    }

    fn failure(&self, bucket: &Token, error: StreamError) -> Failure {
        match error {
            StreamError::NoStream => Failure::failed(format!("there is no bucket {bucket}"))
                .hint(format!("which there are: swarm bus {} ls", self.command)),
            error => error.into_failure(),
        }
    }
}

/// A bucket in a list.
#[derive(Serialize)]
struct Shown<'a> {
    bucket: &'a str,
    #[serde(flatten)]
    stream: &'a StreamInfo,
}

/// What a bucket is, and what it holds.
#[derive(Serialize)]
struct Described<'a> {
    bucket: &'a Token,
    stream: &'a str,
    /// RFC 3339 in UTC.
    created: &'a str,
    storage: &'a str,
    replicas: u64,
    bytes: u64,
    max_bytes: Option<u64>,
    max_age_seconds: Option<u64>,
    #[serde(flatten)]
    state: Option<State>,
}

/// What only a bucket of state has.
#[derive(Serialize)]
struct State {
    /// Deleted ones are among them as long as that they were is kept.
    keys: u64,
    /// All revisions of all keys that are kept, deletions among them.
    values: u64,
    /// How many revisions of a key it keeps.
    history: Option<u64>,
    max_value_bytes: Option<u64>,
    /// The last one of all keys.
    revision: u64,
}

/// Lists the buckets of a kind: all of them where one may ask for all, else the mesh's own.
pub(super) async fn list(
    client: &Client,
    kind: &Kind,
    own: &Token,
    output: Output,
) -> Result<(), Failure> {
    let streams = match client.streams().await {
        Err(StreamError::Request(RequestError::Publish(PublishError::Denied { .. }))) => {
            match client.stream_info(&stream(kind, own)?).await {
                Ok(own) => vec![own],
                Err(StreamError::NoStream) => Vec::new(),
                Err(error) => return Err(error.into_failure()),
            }
        }
        streams => streams.map_err(StreamError::into_failure)?,
    };
    let all: Vec<_> = streams
        .iter()
        .filter_map(|stream| {
            let bucket = stream.name.strip_prefix(kind.prefix)?;
            Some(Shown { bucket, stream })
        })
        .collect();
    output.show(&all, || {
        if all.is_empty() {
            return "there is no bucket".to_owned();
        }
        let rows: Vec<_> = all.iter().map(Shown::row).collect();
        table(
            &["bucket", "messages", "size", "at most", "age", "made"],
            &rows,
        )
    })
}

impl Shown<'_> {
    fn row(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let age = self.stream.max_age;
        vec![
            self.bucket.to_owned(),
            self.stream.messages.to_string(),
            size(self.stream.bytes),
            self.stream.max_bytes.map_or_else(dash, size),
            age.map_or_else(dash, |age| humantime::format_duration(age).to_string()),
            self.stream.created.clone(),
        ]
    }
}

/// Shows what a bucket is, and what it holds.
pub(super) async fn info(
    client: &Client,
    kind: &Kind,
    bucket: &Token,
    output: Output,
) -> Result<(), Failure> {
    let info = client.stream_info(&stream(kind, bucket)?).await;
    let info = info.map_err(|error| kind.unreadable(bucket, error))?;
    let described = Described {
        bucket,
        stream: &info.name,
        created: &info.created,
        storage: &info.storage,
        replicas: info.replicas,
        bytes: info.bytes,
        max_bytes: info.max_bytes,
        max_age_seconds: info.max_age.map(|age| age.as_secs()),
        state: kind.has_keys.then_some(State {
            keys: info.num_subjects,
            values: info.messages,
            history: info.max_messages_per_subject,
            max_value_bytes: info.max_message_size,
            revision: info.last_sequence,
        }),
    };
    output.show(&described, || described.text(&info))
}

impl Described<'_> {
    fn text(&self, info: &StreamInfo) -> String {
        let limit = |limit: Option<String>| {
            limit.map_or("no limit".to_owned(), |limit| format!("at most {limit}"))
        };
        let age = info
            .max_age
            .map(|age| humantime::format_duration(age).to_string());
        let mut lines = vec![
            format!("bucket      {}", self.bucket),
            format!("stream      {}", self.stream),
            format!("made        {}", self.created),
            format!(
                "kept        in {}, on {} server(s)",
                self.storage, self.replicas
            ),
            format!("age         {}", limit(age)),
            format!(
                "size        {}, {}",
                size(self.bytes),
                limit(self.max_bytes.map(size))
            ),
        ];
        if let Some(state) = &self.state {
            let history = state.history.map(|history| format!("{history} of a key"));
            lines.extend([
                format!("keys        {}", state.keys),
                format!("values      {}, {}", state.values, limit(history)),
                format!("value size  {}", limit(state.max_value_bytes.map(size))),
                format!("revision    {}", state.revision),
            ]);
        }
        lines.join("\n")
    }
}

/// Deletes a bucket, if that is meant.
pub(super) async fn remove(
    client: &Client,
    kind: &Kind,
    bucket: &Token,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    let stream = stream(kind, bucket)?;
    let failure = |error| kind.failure(bucket, error);
    let held = client.stream_info(&stream).await.map_err(failure)?;
    if !yes {
        return Err(Failure::input(format!(
            "{bucket} holds {} messages of {}, and what is deleted is gone for good",
            held.messages,
            size(held.bytes)
        ))
        .hint(format!(
            "to do it say --yes; to look first: swarm bus {} ls {bucket}",
            kind.command
        )));
    }
    client.delete_stream(&stream).await.map_err(failure)?;
    output.show(
        &json!({ "bucket": bucket, "messages": held.messages }),
        || format!("{bucket} is gone, with {} messages", held.messages),
    )
}

fn stream(kind: &Kind, bucket: &Token) -> Result<Token, Failure> {
    Token::parse(&format!("{}{bucket}", kind.prefix))
        .map_err(|_| Failure::input(format!("{bucket} is too long for a bucket")))
}
