//! A message as a stream keeps it, in the two forms in which JetStream hands it out.

use crate::Headers;
use crate::wire::{Delivery, headers_of};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// JetStream's number of the error that means that there is no such message.
const NO_MESSAGE: u32 = 10037;

/// A message of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// As the server wrote it.
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    /// When it was stored, by the server's clock.
    pub(crate) time: SystemTime,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

/// What a question for a message comes to.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    Message(Stored),
    Nothing,
    Refused { code: u32, description: String },
}

/// An answer that no stream gives; holds what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Found {
    /// Reads a message that comes as it is, with the stream's headers added.
    pub(crate) fn from_direct(answer: Delivery) -> Result<Self, Malformed> {
        match answer.status {
            None => {}
            Some(404) => return Ok(Self::Nothing),
            Some(code) => {
                return Ok(Self::Refused {
                    code: u32::from(code),
                    description: answer.description,
                });
            }
        }
        let header = |name| answer.headers.get(name).ok_or(Malformed(name));
        let subject = header("Nats-Subject")?.to_owned();
        let sequence = header("Nats-Sequence")?
            .parse()
            .map_err(|_| Malformed("Nats-Sequence"))?;
        let time = parse_time(header("Nats-Time-Stamp")?).ok_or(Malformed("Nats-Time-Stamp"))?;
        Ok(Self::Message(Stored {
            subject,
            sequence,
            time,
            headers: answer.headers,
            payload: answer.payload,
        }))
    }

    /// Reads a message that comes within JSON.
    pub(crate) fn from_json(answer: &[u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Answer {
            error: Option<Fault>,
            message: Option<Message>,
        }
        #[derive(Deserialize)]
        struct Fault {
            #[serde(default)]
            err_code: u32,
            #[serde(default)]
            description: String,
        }
        #[derive(Deserialize)]
        struct Message {
            subject: String,
            seq: u64,
            time: String,
            #[serde(default)]
            hdrs: String,
            #[serde(default)]
            data: String,
        }
        let answer: Answer = serde_json::from_slice(answer).map_err(|_| Malformed("JSON"))?;
        match answer {
            Answer {
                error: Some(fault), ..
            } if fault.err_code == NO_MESSAGE => Ok(Self::Nothing),
            Answer {
                error: Some(fault), ..
            } => Ok(Self::Refused {
                code: fault.err_code,
                description: fault.description,
            }),
            Answer {
                message: Some(message),
                ..
            } => {
                let block = STANDARD
                    .decode(message.hdrs)
                    .map_err(|_| Malformed("headers"))?;
                let headers = match block.as_slice() {
                    [] => Headers::new(),
                    block => headers_of(block).map_err(|_| Malformed("headers"))?,
                };
                let payload = STANDARD
                    .decode(message.data)
                    .map_err(|_| Malformed("data"))?;
                Ok(Self::Message(Stored {
                    subject: message.subject,
                    sequence: message.seq,
                    time: parse_time(&message.time).ok_or(Malformed("time"))?,
                    headers,
                    payload: payload.into(),
                }))
            }
            Answer { .. } => Err(Malformed("neither message nor error")),
        }
    }
}

/// Reads a time as servers write it; `None` where it is none, or before 1970.
pub(crate) fn parse_time(text: &str) -> Option<SystemTime> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339)
        .ok()?
        .unix_timestamp_nanos();
    let since = Duration::from_nanos(u64::try_from(nanos).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        let mut headers = Headers::new();
        headers.append("KV-Operation", "DEL").unwrap();
        Stored {
            subject: "$KV.b.k".into(),
            sequence: 7,
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
            headers,
            payload: Bytes::from_static(b"hi"),
        }
    }

    #[test]
    fn a_message_within_json_is_read() {
        let json = br#"{"type":"x","message":{"subject":"$KV.b.k","seq":7,
            "hdrs":"TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg==","data":"aGk=",
            "time":"1970-01-01T00:00:01.5Z"}}"#;
        assert_eq!(Found::from_json(json), Ok(Found::Message(stored())));
        let none = br#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        assert_eq!(Found::from_json(none), Ok(Found::Nothing));
        let other = br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        assert!(matches!(
            Found::from_json(other),
            Ok(Found::Refused { code: 10059, .. })
        ));
        for bad in [
            "",
            "{}",
            r#"{"message":{"subject":"a","seq":-1,"time":"1970-01-01T00:00:00Z"}}"#,
            r#"{"message":{"subject":"a","seq":1,"time":"yesterday"}}"#,
            r#"{"message":{"subject":"a","seq":1,"time":"1970-01-01T00:00:00Z","data":"?"}}"#,
            r#"{"message":{"subject":"a","seq":1,"time":"1970-01-01T00:00:00Z","hdrs":"aGk="}}"#,
            r#"{"message":{"subject":"a","seq":1,"time":"1970-01-01T00:00:00Z","hdrs":"*"}}"#,
            r#"{"message":{"subject":"a","seq":1,"time":"1970-01-01T00:00:00Z","hdrs":"SFRUUC8xLjE="}}"#,
            r#"{"message":{"subject":"a","seq":"3","time":"1970-01-01T00:00:00Z"}}"#,
        ] {
            assert!(Found::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_as_it_is_bears_its_place_in_headers() {
        let mut delivery = Delivery {
            sid: 1,
            subject: "_INBOX_n.x".into(),
            reply: None,
            status: None,
            description: String::new(),
            headers: Headers::new(),
            payload: Bytes::from_static(b"hi"),
        };
        assert_eq!(
            Found::from_direct(delivery.clone()),
            Err(Malformed("Nats-Subject"))
        );
        for (name, value) in [
            ("KV-Operation", "DEL"),
            ("Nats-Subject", "$KV.b.k"),
            ("Nats-Sequence", "7"),
            ("Nats-Time-Stamp", "1970-01-01T00:00:01.5Z"),
        ] {
            delivery.headers.append(name, value).unwrap();
        }
        let Ok(Found::Message(found)) = Found::from_direct(delivery.clone()) else {
            panic!("a message");
        };
        assert_eq!(
            (found.subject, found.sequence, found.time),
            (stored().subject, 7, stored().time)
        );
        delivery.status = Some(404);
        assert_eq!(Found::from_direct(delivery), Ok(Found::Nothing));
    }

    #[test]
    fn times_are_read_as_servers_write_them() {
        let at = |nanos| Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos));
        assert_eq!(parse_time("1970-01-01T00:00:01Z"), at(1_000_000_000));
        assert_eq!(parse_time("1970-01-01T01:00:00.000000001+01:00"), at(1));
        for bad in [
            "",
            "0001-01-01T00:00:00Z",
            "1970-01-01",
            "9999-12-31T23:59:60Z",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
