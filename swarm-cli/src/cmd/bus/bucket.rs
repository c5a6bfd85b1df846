//! What buckets of both kinds have in common: each is a stream.

use std::str::FromStr;

use serde::Serialize;
use serde_json::json;
use swarm_bus::Token;
use swarm_bus::client::{Client, PublishError, RequestError};
use swarm_bus::stream::{StreamError, StreamInfo};

use super::advice::Advise as _;
use crate::report::{Failure, Output, table};

/// State or objects.
pub(super) struct Kind {
    /// With what the name of a stream begins that is a bucket of the kind.
    pub(super) prefix: &'static str,
    /// The command for them.
    pub(super) command: &'static str,
}

/// A number of bytes, such as `512KiB`, `16MiB` or `1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(u64);

impl Size {
    pub(super) fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let shift = match unit {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err("a size is a number with B, KiB, MiB, GiB or TiB".to_owned()),
        };
        let bytes = number.parse::<u64>().ok().filter(|number| *number > 0);
        bytes
            .and_then(|number| number.checked_mul(1 << shift))
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .map(Self)
            .ok_or_else(|| "a size is a number from 1 on with B, KiB, MiB, GiB or TiB".to_owned())
    }
}

/// Bytes in the unit that a person reads.
pub(super) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (bytes.max(1).ilog2() / 10).min(4);
    match unit {
        0 => format!("{bytes} B"),
        unit => {
            let whole = bytes as f64 / (1_u64 << (10 * unit)) as f64;
            format!("{whole:.1} {}", units[unit as usize])
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    bucket: &'a str,
    #[serde(flatten)]
    stream: &'a StreamInfo,
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

/// Deletes a bucket, if that is meant.
pub(super) async fn remove(
    client: &Client,
    kind: &Kind,
    bucket: &Token,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    let stream = stream(kind, bucket)?;
    let said = |error: StreamError| match error {
        StreamError::NoStream => Failure::failed(format!("there is no bucket {bucket}"))
            .hint(format!("which there are: swarm bus {} ls", kind.command)),
        error => error.into_failure(),
    };
    let held = client.stream_info(&stream).await.map_err(said)?;
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
    client.delete_stream(&stream).await.map_err(said)?;
    output.show(
        &json!({ "bucket": bucket, "messages": held.messages }),
        || format!("{bucket} is gone, with {} messages", held.messages),
    )
}

fn stream(kind: &Kind, bucket: &Token) -> Result<Token, Failure> {
    Token::parse(&format!("{}{bucket}", kind.prefix))
        .map_err(|_| Failure::input(format!("{bucket} is too long for a bucket")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_said() {
        for (text, bytes) in [
            ("1000", 1000),
            ("16MiB", 16 << 20),
            ("1B", 1),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in [
            "",
            "0",
            "MiB",
            "1 MiB",
            "1MB",
            "-1",
            "1.5GiB",
            "99999999TiB",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        for (bytes, said) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (512 << 20, "512.0 MiB"),
        ] {
            assert_eq!(size(bytes), said);
        }
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
    }
}
