//! `/connz?auth=1`: the connections.

use super::{MonitorError, counter, gauge, parse};
use crate::Metric;
use serde::Deserialize;
use std::time::Duration;

/// The connections of a server.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Connz {
    /// The id of the server.
    pub server_id: String,
    /// How many there are; more than are listed where the server cut the list.
    pub total: u64,
    /// Those listed.
    pub connections: Vec<Connection>,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Connection {
    /// Its number, never used twice by one server process.
    pub cid: u64,
    /// What it is: `Client`, `Router`, `Leafnode`.
    pub kind: String,
    /// The address that it comes from.
    pub ip: String,
    /// The name that the client gave itself.
    pub name: String,
    /// Whom it was taken for; only in `?auth=1`.
    pub authorized_user: String,
    /// The round trip, as the server writes it: `1.5ms`.
    rtt: String,
    /// Bytes that wait to be sent to it.
    pub pending_bytes: u64,
    /// Messages received from it.
    pub in_msgs: u64,
    /// Messages sent to it.
    pub out_msgs: u64,
    /// Bytes received from it.
    pub in_bytes: u64,
    /// Bytes sent to it.
    pub out_bytes: u64,
    /// Subscriptions that it holds.
    pub subscriptions: u64,
}

impl Connz {
    /// Parses the body of `/connz?auth=1`.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub fn parse(json: &[u8]) -> Result<Self, MonitorError> {
        parse(json)
    }

    /// Returns the connections of one user: empty is the proof that the user is cut off, as long as
    /// [`is_complete`](Self::is_complete).
    pub fn of_user<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Connection> {
        self.connections
            .iter()
            .filter(move |connection| connection.authorized_user == user)
    }

    /// Says whether every connection is listed. The server lists 1,024 unless `?limit=` says more.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.connections.len() as u64 >= self.total
    }

    /// Returns the figures, with a label for each connection.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![gauge(
            "nats_connz_total",
            "Connections, listed or not.",
            self.total,
        )];
        for connection in &self.connections {
            let figures = [
                gauge(
                    "nats_connz_pending_bytes",
                    "Bytes that wait to be sent to the connection.",
                    connection.pending_bytes,
                ),
                gauge(
                    "nats_connz_subscriptions",
                    "Subscriptions that the connection holds.",
                    connection.subscriptions,
                ),
                counter(
                    "nats_connz_in_msgs",
                    "Messages received from the connection.",
                    connection.in_msgs,
                ),
                counter(
                    "nats_connz_out_msgs",
                    "Messages sent to the connection.",
                    connection.out_msgs,
                ),
                counter(
                    "nats_connz_in_bytes",
                    "Bytes received from the connection.",
                    connection.in_bytes,
                ),
                counter(
                    "nats_connz_out_bytes",
                    "Bytes sent to the connection.",
                    connection.out_bytes,
                ),
            ];
            let rtt = connection.rtt().map(|rtt| {
                Metric::new(
                    crate::MetricKind::Gauge,
                    "nats_connz_rtt_seconds",
                    "Round trip of the connection.",
                    rtt.as_secs_f64(),
                )
            });
            metrics.extend(figures.into_iter().chain(rtt).map(|metric| {
                metric
                    .label("cid", connection.cid.to_string())
                    .label("name", &connection.name)
                    .label("user", &connection.authorized_user)
            }));
        }
        metrics
    }
}

impl Connection {
    /// Returns the round trip that the server measured last.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        go_duration(&self.rtt)
    }
}

/// Reads Go's notation of a duration: `1m2.5s`, `310µs`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|at| *at > 0)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "μs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    (!text.is_empty())
        .then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        assert_eq!(go_duration("1m2.5s"), Some(Duration::from_millis(62_500)));
        assert_eq!(go_duration("310µs"), Some(Duration::from_micros(310)));
        assert_eq!(go_duration("1.5ms"), Some(Duration::from_micros(1_500)));
        for bad in ["", "5", "ms", "1..5s", "1y", "s1", "9".repeat(400).as_str()] {
            assert_eq!(go_duration(bad), None, "{bad}");
        }
        assert_eq!(go_duration(&format!("{}h", "9".repeat(400))), None);
    }

    #[test]
    fn a_cut_list_is_no_proof() {
        let connz =
            Connz::parse(br#"{"total":2,"connections":[{"authorized_user":"a"}]}"#).unwrap();
        assert!(!connz.is_complete());
        assert_eq!(connz.of_user("a").count(), 1);
        assert_eq!(connz.of_user("b").count(), 0);
    }
}
