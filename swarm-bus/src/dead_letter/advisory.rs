//! What a server tells when a consumer gives a message up.

use super::Cause;
use crate as swarm_bus;
use crate::{Filter, ForgedIdentity, Headers, Token, Topic};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::SystemTime;

/// Where the server tells it: `$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.{consumer}`.
#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic(
    "$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.{consumer}",
    payload = Advisory,
    delivery = stored,
    verify = Advisories::verify_body,
    crate = swarm_bus
)]
pub struct Advisories {
    /// Which kind: one of [`KINDS`](Self::KINDS).
    pub kind: Token,
    /// The stream that the message lies in.
    pub stream: Token,
    /// The consumer that gave it up.
    pub consumer: Token,
}

impl Advisories {
    /// A message was delivered as often as its consumer allows.
    pub const MAX_DELIVERIES: Token = Token::from_static("MAX_DELIVERIES");
    /// A message was terminated.
    pub const MSG_TERMINATED: Token = Token::from_static("MSG_TERMINATED");
    /// Those that make a dead letter.
    pub const KINDS: [Token; 2] = [Self::MAX_DELIVERIES, Self::MSG_TERMINATED];

    pub(super) fn of_kind(kind: Token) -> Filter<Self> {
        Self::filter(Some(&kind), None, None)
    }

    /// The server writes subject and body alike; somebody else may not.
    fn verify_body(&self, body: &Advisory, _: &Headers) -> Result<(), ForgedIdentity> {
        let kind = match body.kind {
            AdvisoryType::MaxDeliver => Self::MAX_DELIVERIES,
            AdvisoryType::Terminated => Self::MSG_TERMINATED,
        };
        let pairs = [
            (&kind, &self.kind),
            (&body.stream, &self.stream),
            (&body.consumer, &self.consumer),
        ];
        match pairs
            .into_iter()
            .find(|(claimed, proven)| claimed != proven)
        {
            Some((claimed, proven)) => Err(ForgedIdentity {
                claimed: claimed.to_string(),
                proven: proven.clone(),
            }),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum AdvisoryType {
    #[serde(rename = "io.nats.jetstream.advisory.v1.max_deliver")]
    MaxDeliver,
    #[serde(rename = "io.nats.jetstream.advisory.v1.terminated")]
    Terminated,
}

/// That a consumer gave a message up, as the server tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Advisory {
    #[serde(rename = "type")]
    kind: AdvisoryType,
    /// When, by the server's clock.
    #[serde(rename = "timestamp", with = "rfc3339")]
    pub at: SystemTime,
    /// The stream that the message lies in.
    pub stream: Token,
    /// The consumer that gave it up.
    pub consumer: Token,
    /// The message's number in the stream.
    #[serde(rename = "stream_seq")]
    pub sequence: u64,
    /// How often it was delivered.
    #[serde(default)]
    pub deliveries: u64,
    /// Why it was terminated, where the consumer said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Advisory {
    /// Returns why it was given up.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self.kind {
            AdvisoryType::MaxDeliver => Cause::MaxDeliveries,
            AdvisoryType::Terminated => Cause::Terminated {
                reason: self.reason.clone().filter(|reason| !reason.is_empty()),
            },
        }
    }
}

mod rfc3339 {
    use super::{Deserialize, Deserializer, Serializer, SystemTime};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::super::letter::write_time(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Codec as _, Json};
    use serde_json::json;

    fn topic(kind: Token) -> Advisories {
        Advisories {
            kind,
            stream: Token::from_static("S"),
            consumer: Token::from_static("C"),
        }
    }

    fn body(kind: &str) -> serde_json::Value {
        json!({
            "type": format!("io.nats.jetstream.advisory.v1.{kind}"),
            "id": "xyz", "timestamp": "2026-01-02T03:04:05.123456789Z",
            "stream": "S", "consumer": "C", "stream_seq": 7, "deliveries": 3,
        })
    }

    #[test]
    fn what_the_server_tells_is_read_and_held_against_its_subject() {
        let terminated = topic(Advisories::MSG_TERMINATED);
        let mut json = body("terminated");
        json["reason"] = json!("no sense");
        let read: Advisory = Json::decode(&json.to_string().into()).unwrap();
        assert_eq!((read.sequence, read.deliveries), (7, 3));
        let reason = Some("no sense".to_owned());
        assert_eq!(read.cause(), Cause::Terminated { reason });
        assert_eq!(terminated.verify(&read, &Headers::new()), Ok(()));
        let other = topic(Advisories::MAX_DELIVERIES);
        assert!(
            other.verify(&read, &Headers::new()).is_err(),
            "another kind"
        );
        json["stream"] = json!("T");
        let forged: Advisory = Json::decode(&json.to_string().into()).unwrap();
        let forged = terminated.verify(&forged, &Headers::new()).unwrap_err();
        assert_eq!(
            (forged.claimed.as_str(), forged.proven.as_str()),
            ("T", "S")
        );
    }

    #[test]
    fn what_is_no_advisory_is_an_error() {
        for (field, value) in [
            ("type", json!("io.nats.jetstream.advisory.v1.nak")),
            ("stream", json!("a.>")),
            ("stream_seq", json!(-1)),
            ("timestamp", json!("now")),
            ("consumer", json!(null)),
        ] {
            let mut json = body("max_deliver");
            json[field] = value;
            let read: Result<Advisory, _> = Json::decode(&json.to_string().into());
            assert!(read.is_err(), "{json}");
        }
    }
}
