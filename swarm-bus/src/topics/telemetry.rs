//! What nodes measure.

use super::Timestamp;
use crate as swarm_bus;
use crate::{Token, Topic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The figures of one kind of one node: `swarm.telemetry.{node}.{kind}`.
#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic("swarm.telemetry.{node}.{kind}", payload = Samples, crate = swarm_bus)]
pub struct Telemetry {
    /// Who measured.
    pub node: Token,
    /// What was measured: `host`, `tunnel`, `battery`.
    pub kind: Token,
}

/// Figures taken at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Samples {
    /// When they were taken, by the publisher's clock.
    pub at: Timestamp,
    /// The figures by name; the unit belongs to the name: `load_1m`, `battery_volts`.
    values: BTreeMap<String, f64>,
}

impl Samples {
    /// Makes an empty set for a moment.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self {
            at,
            values: BTreeMap::new(),
        }
    }

    /// Sets a figure and says whether it was taken: JSON has no infinity and no NaN.
    pub fn set(&mut self, name: impl Into<String>, value: f64) -> bool {
        value.is_finite() && {
            self.values.insert(name.into(), value);
            true
        }
    }

    /// Returns a figure.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// Returns all figures by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_cannot_say_is_not_taken() {
        let mut samples = Samples::new(Timestamp(1));
        assert!(samples.set("load_1m", 0.5));
        assert!(!samples.set("load_5m", f64::NAN));
        assert!(!samples.set("load_15m", f64::INFINITY));
        let json = serde_json::to_string(&samples).unwrap();
        assert_eq!(json, r#"{"at":1,"values":{"load_1m":0.5}}"#);
        assert_eq!(serde_json::from_str::<Samples>(&json).unwrap(), samples);
    }
}
