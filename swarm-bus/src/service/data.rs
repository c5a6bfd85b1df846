//! What services say of themselves, as JSON.

use super::{ServiceName, ServiceVersion};
use crate::Token;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// That a service is there: the answer to `$SRV.PING`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServicePing {
    #[serde(rename = "type")]
    pub(crate) kind: PingType,
    /// Its name, shared with its like.
    pub name: ServiceName,
    /// The instance.
    pub id: Token,
    /// Its version.
    pub version: ServiceVersion,
    /// What it notes about itself.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// What a service offers: the answer to `$SRV.INFO`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceInfo {
    #[serde(rename = "type")]
    pub(crate) kind: InfoType,
    /// Its name, shared with its like.
    pub name: ServiceName,
    /// The instance.
    pub id: Token,
    /// Its version.
    pub version: ServiceVersion,
    /// What it notes about itself.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What it is for, for people.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub description: String,
    /// What can be asked of it.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub endpoints: Vec<EndpointInfo>,
}

/// What can be asked of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointInfo {
    /// Its name.
    pub name: String,
    /// Where it is asked: a subject or a pattern, as the service wrote it.
    pub subject: String,
    /// The queue group among which requests are shared; empty where each instance gets all.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub queue_group: String,
    /// What it notes about itself.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// What a service did: the answer to `$SRV.STATS`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceStats {
    #[serde(rename = "type")]
    pub(crate) kind: StatsType,
    /// Its name, shared with its like.
    pub name: ServiceName,
    /// The instance.
    pub id: Token,
    /// Its version.
    pub version: ServiceVersion,
    /// What it notes about itself.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Its endpoints, one by one.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub endpoints: Vec<EndpointStats>,
    /// Since when it is there, or counts anew.
    pub started: Started,
}

/// What an endpoint did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Its name.
    pub name: String,
    /// Where it is asked.
    pub subject: String,
    /// The queue group among which requests are shared; empty where each instance gets all.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub queue_group: String,
    /// How many requests came.
    pub num_requests: u64,
    /// How many of them failed.
    pub num_errors: u64,
    /// How the last one failed, `code:description`; empty where none has.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub last_error: String,
    /// How long its handler was at work in all.
    #[serde(with = "nanos")]
    pub processing_time: Duration,
    /// The same by request; zero where there was none.
    #[serde(with = "nanos")]
    pub average_processing_time: Duration,
    /// What the service adds, if anything.
    #[serde(default)]
    pub data: Option<Value>,
}

/// A moment, written as `2026-01-31T12:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Started(pub SystemTime);

impl Serialize for Started {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // A time that has no such form is none that a clock shows.
        let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let time = self.0.clamp(SystemTime::UNIX_EPOCH, latest);
        to.collect_str(&humantime::format_rfc3339_millis(time))
    }
}

impl<'de> Deserialize<'de> for Started {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// What kind of answer it is: anything else is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PingType {
    #[serde(rename = "io.nats.micro.v1.ping_response")]
    Ping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InfoType {
    #[serde(rename = "io.nats.micro.v1.info_response")]
    Info,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StatsType {
    #[serde(rename = "io.nats.micro.v1.stats_response")]
    Stats,
}

/// Some libraries write `null` where there is nothing.
fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

mod nanos {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_json_is_that_of_the_specification() {
        let stats = ServiceStats {
            kind: StatsType::Stats,
            name: ServiceName::parse("calc").unwrap(),
            id: Token::from_static("x1"),
            version: "1.0.0".parse().unwrap(),
            metadata: BTreeMap::new(),
            started: Started(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)),
            endpoints: vec![EndpointStats {
                name: "halve".into(),
                subject: "calc.halve".into(),
                queue_group: "q".into(),
                num_requests: 2,
                num_errors: 1,
                last_error: "422:odd".into(),
                processing_time: Duration::from_micros(3),
                average_processing_time: Duration::from_nanos(1500),
                data: None,
            }],
        };
        let expected = json!({
            "type": "io.nats.micro.v1.stats_response",
            "name": "calc", "id": "x1", "version": "1.0.0", "metadata": {},
            "started": "2023-11-14T22:13:20.123Z",
            "endpoints": [{
                "name": "halve", "subject": "calc.halve", "queue_group": "q",
                "num_requests": 2, "num_errors": 1, "last_error": "422:odd",
                "processing_time": 3000, "average_processing_time": 1500, "data": null,
            }],
        });
        assert_eq!(serde_json::to_value(&stats).unwrap(), expected);
        assert_eq!(
            serde_json::from_value::<ServiceStats>(expected).unwrap(),
            stats
        );
    }

    #[test]
    fn what_others_leave_out_is_empty_and_another_type_is_refused() {
        let mut info = json!({
            "type": "io.nats.micro.v1.info_response",
            "name": "calc", "id": "x1", "version": "1.0.0", "metadata": null,
            "endpoints": [{"name": "a", "subject": "b", "queue_group": "q", "metadata": null}],
            "more": 1,
        });
        let read: ServiceInfo = serde_json::from_value(info.clone()).unwrap();
        assert!(read.description.is_empty() && read.metadata.is_empty());
        info["type"] = json!("io.nats.micro.v1.ping_response");
        assert!(serde_json::from_value::<ServiceInfo>(info).is_err());
    }

    proptest! {
        #[test]
        fn any_time_is_read_or_refused(text in "\\PC{0,40}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,12})?Z?") {
            if let Ok(started) = serde_json::from_value::<Started>(json!(text)) {
                prop_assert!(serde_json::to_value(started).is_ok());
            }
        }
    }
}
