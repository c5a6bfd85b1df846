//! A roll-up of telemetry: what a room keeps of many samples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ContentError, MAX_INTEGER, MessageContent, check_time, check_token, check_version};

/// Names in one roll-up.
const MAX_SERIES: usize = 128;

/// Readings of a span of time, summed up, as one message.
///
/// Event type `org.sovereign-swarm.telemetry.rollup`. Samples travel on the bus; a room keeps
/// the roll-up, subject to the server's retention. Matrix carries no floats: a name says its unit
/// (`cpu_permille`, `battery_millivolt`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
#[non_exhaustive]
pub struct Rollup {
    /// Begin of the span: milliseconds since 1970, UTC.
    pub from: u64,
    /// End of the span.
    pub to: u64,
    /// What was read, by name; at most 128 names.
    pub series: BTreeMap<String, Summary>,
}

/// The readings of one name over a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many there were, at least one.
    pub count: u64,
    /// The least.
    pub min: i64,
    /// The mean, rounded towards zero.
    pub mean: i64,
    /// The greatest.
    pub max: i64,
    /// The last.
    pub last: i64,
}

impl Summary {
    /// Sums up readings; none give `None`.
    pub fn of(readings: impl IntoIterator<Item = i64>) -> Option<Self> {
        let mut readings = readings.into_iter();
        let first = readings.next()?;
        let (mut sum, mut count) = (i128::from(first), 1_u64);
        let mut summary = Self {
            count,
            min: first,
            mean: first,
            max: first,
            last: first,
        };
        for reading in readings {
            sum += i128::from(reading);
            count += 1;
            summary.min = summary.min.min(reading);
            summary.max = summary.max.max(reading);
            summary.last = reading;
        }
        summary.count = count;
        summary.mean =
            i64::try_from(sum / i128::from(count)).expect("a mean lies within its range");
        Some(summary)
    }

    fn check(&self) -> Result<(), ContentError> {
        let ordered = self.min <= self.mean
            && self.mean <= self.max
            && (self.min..=self.max).contains(&self.last);
        let in_range = [self.min, self.max]
            .iter()
            .all(|n| n.unsigned_abs() <= MAX_INTEGER as u64);
        if !in_range || self.count > MAX_INTEGER as u64 {
            return Err(ContentError::Field {
                field: "series",
                reason: "at or beyond 2^53",
            });
        }
        if self.count == 0 || !ordered {
            return Err(ContentError::Field {
                field: "series",
                reason: "not a summary",
            });
        }
        Ok(())
    }
}

impl Rollup {
    /// Makes an empty roll-up of a span, in milliseconds since 1970.
    pub fn new(from: u64, to: u64) -> Self {
        Self {
            from,
            to,
            series: BTreeMap::new(),
        }
    }

    /// The same with one more name.
    pub fn with(mut self, name: impl Into<String>, summary: Summary) -> Self {
        self.series.insert(name.into(), summary);
        self
    }
}

impl MessageContent for Rollup {
    const TYPE: &'static str = "org.sovereign-swarm.telemetry.rollup";
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: u64,
    from: u64,
    to: u64,
    series: BTreeMap<String, Summary>,
}

impl TryFrom<Wire> for Rollup {
    type Error = ContentError;

    fn try_from(wire: Wire) -> Result<Self, ContentError> {
        check_version(wire.v)?;
        check_time("from", wire.from)?;
        check_time("to", wire.to)?;
        if wire.from > wire.to {
            return Err(ContentError::Field {
                field: "to",
                reason: "before `from`",
            });
        }
        if wire.series.len() > MAX_SERIES {
            return Err(ContentError::Field {
                field: "series",
                reason: "more than 128 names",
            });
        }
        for (name, summary) in &wire.series {
            check_token("series", name)?;
            summary.check()?;
        }
        Ok(Self {
            from: wire.from,
            to: wire.to,
            series: wire.series,
        })
    }
}

impl From<Rollup> for Wire {
    fn from(rollup: Rollup) -> Self {
        Self {
            v: 1,
            from: rollup.from,
            to: rollup.to,
            series: rollup.series,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{decode, encode};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    proptest! {
        #[test]
        fn every_summary_of_readings_is_one_that_is_accepted(
            readings in prop::collection::vec(-MAX_INTEGER..=MAX_INTEGER, 1..50)
        ) {
            let summary = Summary::of(readings).unwrap();
            let rollup = Rollup::new(1, 2).with("x", summary);
            let wire = Value::Object(encode(&rollup).unwrap());
            prop_assert_eq!(decode::<Rollup>(&wire).unwrap(), rollup);
        }
    }

    #[test]
    fn a_summary_that_contradicts_itself_is_refused() {
        let wire = json!({"v": 1, "from": 1, "to": 2, "series":
            {"x": {"count": 1, "min": 5, "mean": 4, "max": 6, "last": 5}}});
        assert!(decode::<Rollup>(&wire).is_err());
        assert!(Summary::of([]).is_none());
    }
}
