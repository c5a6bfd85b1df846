//! What a consumer lets through, and when to have again what a server gave it by mistake.
//!
//! JetStream holds a message against the filter of a consumer when it delivers it first. What comes
//! again is loaded by its number alone (nats-server 2.9.10, `server/consumer.go`, `getNextMsg`; the
//! same in 2.15). The number need not be that of the consumer's message any more: in a cluster, a
//! server that leads the consumer after another died may for a moment have another message under the
//! number than that one had, and the filter may have been changed since.

use crate::Pattern;
use serde_json::{Map, Value};
use std::time::Duration;

/// How long until a message that was given by mistake comes again, the first time.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest time until then.
const LONGEST: Duration = Duration::from_secs(60);

/// The filters of a consumer, as its server says; none lets everything through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filters(Vec<Pattern>);

impl Filters {
    /// Reads them from a consumer's configuration. With one that cannot be read there are none:
    /// nothing is held back that the server may have meant.
    pub(crate) fn parse(config: &Map<String, Value>) -> Self {
        let one = config.get("filter_subject").into_iter();
        let many = config.get("filter_subjects").and_then(Value::as_array);
        let texts: Option<Vec<&str>> = one
            .chain(many.into_iter().flatten())
            .map(Value::as_str)
            .collect();
        let patterns = texts
            .unwrap_or_default()
            .into_iter()
            .filter(|text| !text.is_empty())
            .map(|text| Pattern::parse(text).ok());
        Self(patterns.collect::<Option<_>>().unwrap_or_default())
    }

    /// Says whether a message of a subject is for the consumer.
    pub(crate) fn let_through(&self, subject: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|filter| filter.takes(subject))
    }
}

/// How long to wait for a message that was given by mistake, having come so many times: servers
/// that differ agree soon, and one that keeps to it is not asked often.
pub(crate) fn pause(deliveries: u64) -> Duration {
    let doublings = deliveries.saturating_sub(1).min(16) as u32;
    (SHORTEST * (1 << doublings)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filters(config: Value) -> Filters {
        let Value::Object(config) = config else {
            panic!("not an object");
        };
        Filters::parse(&config)
    }

    #[test]
    fn one_filter_or_several_are_read_and_let_through_what_they_name() {
        let one = filters(json!({"filter_subject": "lab.*.temperature"}));
        assert!(one.let_through("lab.attic.temperature"));
        for foreign in [
            "lab.attic.pressure",
            "lab.attic",
            "lab.attic.temperature.x",
            "",
        ] {
            assert!(!one.let_through(foreign), "{foreign}");
        }
        let many = filters(json!({"filter_subjects": ["lab.attic.>", "hall"]}));
        assert!(many.let_through("lab.attic.pressure") && many.let_through("hall"));
        assert!(!many.let_through("lab.cellar.pressure"));
    }

    #[test]
    fn without_a_filter_that_can_be_read_everything_comes_through() {
        for config in [
            json!({}),
            json!({"filter_subject": ""}),
            json!({"filter_subject": 3}),
            json!({"filter_subject": "a..b"}),
            json!({"filter_subjects": ["a", "b..c"]}),
            json!({"filter_subjects": "a"}),
            json!({"filter_subjects": []}),
        ] {
            let filters = filters(config.clone());
            assert!(filters.let_through("x.y"), "{config}");
        }
    }

    #[test]
    fn a_subject_that_this_crate_would_not_make_is_judged_too() {
        let filters = filters(json!({"filter_subject": "lab.>"}));
        assert!(filters.let_through("lab.\u{7f} odd"));
        assert!(!filters.let_through("hall.\u{7f} odd"));
        for odd in [".", "..", "lab", "lab.", "*", ">"] {
            let _ = filters.let_through(odd);
        }
    }

    #[test]
    fn the_pause_grows_and_has_an_end() {
        let pauses: Vec<_> = (0..10).map(|n| pause(n).as_millis()).collect();
        assert_eq!(
            pauses,
            [
                500, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000
            ]
        );
        assert_eq!(pause(u64::MAX), LONGEST);
    }
}
