//! `/jsz?streams=1`: JetStream.

use super::{MonitorError, counter, gauge, parse};
use crate::Metric;
use serde::Deserialize;

/// What JetStream holds.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Jsz {
    /// Whether it is off.
    pub disabled: bool,
    /// Bytes held in memory.
    pub memory: u64,
    /// Bytes held on disk.
    pub storage: u64,
    /// Streams.
    pub streams: u64,
    /// Consumers.
    pub consumers: u64,
    /// Messages in all streams.
    pub messages: u64,
    /// Bytes in all streams.
    pub bytes: u64,
    api: Api,
    account_details: Vec<Account>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
struct Api {
    total: u64,
    errors: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
struct Account {
    name: String,
    stream_detail: Vec<Stream>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
struct Stream {
    name: String,
    state: StreamState,
}

/// What one stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct StreamState {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
    /// The sequence number of the first message.
    pub first_seq: u64,
    /// The sequence number of the last message.
    pub last_seq: u64,
    /// Consumers.
    pub consumer_count: u64,
}

impl Jsz {
    /// Parses the body of `/jsz?streams=1`.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub fn parse(json: &[u8]) -> Result<Self, MonitorError> {
        parse(json)
    }

    /// Returns the account, name and state of each stream; only in `?streams=1`.
    pub fn stream_states(&self) -> impl Iterator<Item = (&str, &str, StreamState)> {
        self.account_details.iter().flat_map(|account| {
            account
                .stream_detail
                .iter()
                .map(|stream| (account.name.as_str(), stream.name.as_str(), stream.state))
        })
    }

    /// Returns the figures.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![
            gauge(
                "nats_jsz_disabled",
                "Whether JetStream is off.",
                u64::from(self.disabled),
            ),
            gauge(
                "nats_jsz_memory_bytes",
                "Bytes held in memory.",
                self.memory,
            ),
            gauge(
                "nats_jsz_storage_bytes",
                "Bytes held on disk.",
                self.storage,
            ),
            gauge("nats_jsz_streams", "Streams.", self.streams),
            gauge("nats_jsz_consumers", "Consumers.", self.consumers),
            gauge(
                "nats_jsz_messages",
                "Messages in all streams.",
                self.messages,
            ),
            gauge("nats_jsz_bytes", "Bytes in all streams.", self.bytes),
            counter(
                "nats_jsz_api_total",
                "Requests to the JetStream API.",
                self.api.total,
            ),
            counter(
                "nats_jsz_api_errors",
                "Failed requests to the JetStream API.",
                self.api.errors,
            ),
        ];
        for (account, stream, state) in self.stream_states() {
            let figures = [
                gauge(
                    "nats_jsz_stream_messages",
                    "Messages in the stream.",
                    state.messages,
                ),
                gauge("nats_jsz_stream_bytes", "Bytes in the stream.", state.bytes),
                counter(
                    "nats_jsz_stream_last_seq",
                    "Last sequence number.",
                    state.last_seq,
                ),
                gauge(
                    "nats_jsz_stream_consumers",
                    "Consumers of the stream.",
                    state.consumer_count,
                ),
            ];
            metrics.extend(
                figures
                    .into_iter()
                    .map(|metric| metric.label("account", account).label("stream", stream)),
            );
        }
        metrics
    }
}
