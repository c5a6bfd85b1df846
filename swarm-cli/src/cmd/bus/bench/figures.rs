//! What was measured, in figures.

use std::time::Duration;

use serde::Serialize;

use crate::report::table;

/// What one sort of message came to.
#[derive(Serialize)]
pub(super) struct Measured {
    what: &'static str,
    messages: usize,
    payload_bytes: usize,
    seconds: f64,
    per_second: f64,
    /// From the call to its confirmation or answer; nothing where nothing is waited for.
    latency_milliseconds: Option<Percentiles>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Measured {
    /// What so many messages came to; with the time that each took, where it was waited for.
    pub(super) fn new(
        what: &'static str,
        messages: usize,
        payload_bytes: usize,
        took: Duration,
        latencies: Vec<Duration>,
    ) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            what,
            messages,
            payload_bytes,
            seconds,
            per_second: messages as f64 / seconds.max(f64::EPSILON),
            latency_milliseconds: percentiles(latencies),
        }
    }
}

/// The nearest ranks; nothing of nothing.
fn percentiles(mut latencies: Vec<Duration>) -> Option<Percentiles> {
    latencies.sort_unstable();
    let last = latencies.len().checked_sub(1)?;
    let at = |percent: usize| {
        let rank = (latencies.len() * percent).div_ceil(100);
        latencies[rank.saturating_sub(1).min(last)].as_secs_f64() * 1e3
    };
    Some(Percentiles {
        p50: at(50),
        p90: at(90),
        p99: at(99),
        max: at(100),
    })
}

pub(super) fn text(all: &[Measured]) -> String {
    let heading = [
        "what",
        "messages",
        "bytes",
        "seconds",
        "per second",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "max ms",
    ];
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            let mut row = vec![
                one.what.to_owned(),
                one.messages.to_string(),
                one.payload_bytes.to_string(),
                format!("{:.2}", one.seconds),
                format!("{:.0}", one.per_second),
            ];
            match &one.latency_milliseconds {
                Some(of) => {
                    row.extend([of.p50, of.p90, of.p99, of.max].map(|ms| format!("{ms:.2}")));
                }
                None => row.extend(["-"; 4].map(str::to_owned)),
            }
            row
        })
        .collect();
    table(&heading, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_ranks() {
        let hundred = (1..=100).rev().map(Duration::from_millis).collect();
        let of = percentiles(hundred).unwrap();
        assert_eq!((of.p50, of.p90, of.p99, of.max), (50.0, 90.0, 99.0, 100.0));
        let one = percentiles(vec![Duration::from_millis(7)]).unwrap();
        assert_eq!((one.p50, one.max), (7.0, 7.0));
        assert_eq!(percentiles(Vec::new()), None);
    }
}
