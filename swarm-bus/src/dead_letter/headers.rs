//! How the headers of a letter say what it is, and keep those of the original.

use super::letter::write_time;
use super::{
    Advisory, Cause, DeadLetter, DeadLetterError, DeadLetterTopic, Original, OriginalMessage,
};
use crate::envelope::{HeaderError, ID};
use crate::{Headers, Subject, Topic};
use bytes::Bytes;

/// How the names of a letter's own headers begin.
const OWN: &str = "Dead-Letter-";
/// What is put before the original's headers whose names would mean something here.
const KEPT: &str = "Dead-Letter-Kept-";
/// The headers that JetStream acts on begin so.
const SERVER: &str = "Nats-";

const STREAM: &str = DeadLetterTopic::STREAM;
const CONSUMER: &str = DeadLetterTopic::CONSUMER;
const SEQUENCE: &str = "Dead-Letter-Sequence";
const DELIVERIES: &str = "Dead-Letter-Deliveries";
const AT: &str = "Dead-Letter-At";
const CAUSE: &str = "Dead-Letter-Cause";
const REASON: &str = "Dead-Letter-Reason";
const ORIGINAL: &str = "Dead-Letter-Original";
const SUBJECT: &str = "Dead-Letter-Subject";
const STORED: &str = "Dead-Letter-Stored";
const SIZE: &str = "Dead-Letter-Size";

/// Writes the headers and the payload of a letter.
pub(super) fn write(
    advisory: &Advisory,
    original: &Original,
) -> Result<(Headers, Bytes), HeaderError> {
    let mut headers = Headers::new();
    headers.append(STREAM, advisory.stream.as_str())?;
    headers.append(CONSUMER, advisory.consumer.as_str())?;
    headers.append(SEQUENCE, &advisory.sequence.to_string())?;
    headers.append(DELIVERIES, &advisory.deliveries.to_string())?;
    headers.append(AT, &write_time(advisory.at))?;
    match advisory.cause() {
        Cause::MaxDeliveries => headers.append(CAUSE, "max-deliveries")?,
        Cause::Terminated { reason } => {
            headers.append(CAUSE, "terminated")?;
            if let Some(reason) = reason {
                headers.append(REASON, &reason.replace(char::is_control, " "))?;
            }
        }
    }
    let payload = match original {
        Original::Kept(message) => {
            headers.append(ORIGINAL, "kept")?;
            headers.append(SUBJECT, &message.subject)?;
            headers.append(STORED, &write_time(message.stored))?;
            for (name, value) in message.headers.iter() {
                headers.append(&escape(name), value)?;
            }
            message.payload.clone()
        }
        Original::TooLarge { subject, size } => {
            headers.append(ORIGINAL, "too-large")?;
            headers.append(SUBJECT, subject)?;
            headers.append(SIZE, &size.to_string())?;
            Bytes::new()
        }
        Original::Gone => {
            headers.append(ORIGINAL, "gone")?;
            Bytes::new()
        }
    };
    Ok((headers, payload))
}

/// Reads a message of the stream of letters.
pub(crate) fn read(
    sequence: u64,
    subject: &str,
    headers: &Headers,
    payload: Bytes,
) -> Result<DeadLetter, DeadLetterError> {
    let origin = Subject::parse(subject)
        .ok()
        .and_then(|subject| DeadLetterTopic::parse(&subject).ok())
        .ok_or_else(|| DeadLetterError::Subject {
            subject: subject.to_owned(),
        })?;
    origin
        .verify(&payload, headers)
        .map_err(|source| DeadLetterError::Forged { sequence, source })?;
    let wrong = |name| DeadLetterError::Header { sequence, name };
    let text = |name| headers.get(name).ok_or(wrong(name));
    let number = |name| text(name)?.parse::<u64>().map_err(|_| wrong(name));
    let time = |name| humantime::parse_rfc3339(text(name)?).map_err(|_| wrong(name));
    if number(SEQUENCE)? != origin.sequence {
        return Err(wrong(SEQUENCE));
    }
    let original = match text(ORIGINAL)? {
        "kept" => Original::Kept(OriginalMessage {
            subject: text(SUBJECT)?.to_owned(),
            stored: time(STORED)?,
            headers: unescaped(headers),
            payload,
        }),
        "too-large" => Original::TooLarge {
            subject: text(SUBJECT)?.to_owned(),
            size: number(SIZE)?,
        },
        "gone" => Original::Gone,
        _ => return Err(wrong(ORIGINAL)),
    };
    let cause = match text(CAUSE)? {
        "max-deliveries" => Cause::MaxDeliveries,
        "terminated" => Cause::Terminated {
            reason: headers.get(REASON).map(str::to_owned),
        },
        _ => return Err(wrong(CAUSE)),
    };
    Ok(DeadLetter {
        sequence,
        deliveries: number(DELIVERIES)?,
        at: time(AT)?,
        origin,
        cause,
        original,
    })
}

/// The headers of a message that is published again: all but its id, and but what it expected of
/// its stream then.
pub(crate) fn replayed(headers: &Headers) -> Headers {
    let mut again = Headers::new();
    for (name, value) in headers.iter() {
        if !name.eq_ignore_ascii_case(ID) && !begins(name, "Nats-Expected-") {
            // It was written before.
            let _ = again.append(name, value);
        }
    }
    again
}

fn escape(name: &str) -> String {
    match begins(name, SERVER) || begins(name, OWN) {
        true => format!("{KEPT}{name}"),
        false => name.to_owned(),
    }
}

/// The original's headers among the letter's.
fn unescaped(headers: &Headers) -> Headers {
    let mut original = Headers::new();
    for (name, value) in headers.iter() {
        let name = match begins(name, KEPT) {
            true => &name[KEPT.len()..],
            false if begins(name, SERVER) || begins(name, OWN) => continue,
            false => name,
        };
        // A name that was nothing but the prefix is none of an original.
        let _ = original.append(name, value);
    }
    original
}

fn begins(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Codec as _, Json};
    use proptest::prelude::*;
    use serde_json::json;
    use std::time::{Duration, SystemTime};

    fn advisory(reason: Option<&str>) -> Advisory {
        let kind = reason.map_or("max_deliver", |_| "terminated");
        let json = json!({
            "type": format!("io.nats.jetstream.advisory.v1.{kind}"),
            "timestamp": "2026-01-02T03:04:05.123456789Z",
            "stream": "S", "consumer": "C", "stream_seq": 7, "deliveries": 3, "reason": reason,
        });
        Json::decode(&json.to_string().into()).unwrap()
    }

    fn kept(headers: &[(&str, &str)]) -> Original {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.append(name, value).unwrap();
        }
        Original::Kept(OriginalMessage {
            subject: "a.b".into(),
            headers: all,
            payload: Bytes::from_static(b"\0\xff"),
            stored: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001),
        })
    }

    fn round_trip(advisory: &Advisory, original: &Original) -> DeadLetter {
        let (headers, payload) = write(advisory, original).unwrap();
        read(9, "dead.S.C.7", &headers, payload).unwrap()
    }

    #[test]
    fn what_a_letter_says_is_read_back() {
        let hostile = [
            ("Nats-Msg-Id", "1"),
            ("nats-rollup", "all"),
            ("Dead-Letter-Stream", "X"),
            ("Dead-Letter-Kept-Nats-Msg-Id", "0"),
            ("Trace", "t"),
            ("trace", "u"),
        ];
        let large = Original::TooLarge {
            subject: "a.b".into(),
            size: 5,
        };
        for original in [kept(&hostile), kept(&[]), large, Original::Gone] {
            for reason in [None, Some("no sense")] {
                let advisory = advisory(reason);
                let letter = round_trip(&advisory, &original);
                assert_eq!(letter.original, original);
                assert_eq!(letter.cause, advisory.cause());
                assert_eq!(
                    (letter.sequence, letter.deliveries, letter.at),
                    (9, 3, advisory.at)
                );
            }
        }
        let (headers, _) = write(&advisory(None), &kept(&hostile)).unwrap();
        assert!(
            headers.iter().all(|(name, _)| !begins(name, SERVER)),
            "{headers:?}"
        );
    }

    #[test]
    fn what_is_no_letter_is_an_error_and_never_a_panic() {
        let (headers, payload) = write(&advisory(None), &kept(&[])).unwrap();
        let read = |subject: &str, headers: &Headers| read(1, subject, headers, payload.clone());
        assert!(matches!(
            read("a.b", &headers),
            Err(DeadLetterError::Subject { .. })
        ));
        let other = read("dead.T.C.7", &headers);
        assert!(matches!(other, Err(DeadLetterError::Forged { .. })));
        let other = read("dead.S.C.8", &headers);
        assert!(matches!(
            other,
            Err(DeadLetterError::Header { name: SEQUENCE, .. })
        ));
        for (missing, _) in headers.iter() {
            let mut fewer = Headers::new();
            for (name, value) in headers.iter().filter(|(name, _)| *name != missing) {
                fewer.append(name, value).unwrap();
            }
            assert!(read("dead.S.C.7", &fewer).is_err(), "{missing}");
        }
    }

    #[test]
    fn a_replay_forgets_the_id_and_what_was_expected() {
        let Original::Kept(message) = kept(&[
            ("Nats-Msg-Id", "1"),
            ("Nats-Expected-Last-Sequence", "4"),
            ("Nats-Rollup", "sub"),
            ("A", "1"),
        ]) else {
            unreachable!()
        };
        let again = replayed(&message.headers);
        let names: Vec<_> = again.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Nats-Rollup", "A"]);
    }

    proptest! {
        #[test]
        fn any_headers_come_back(headers in prop::collection::vec(
            ("(Nats-|nats-|Dead-Letter-|Dead-Letter-Kept-)?[!-9;-~]{1,8}", "[!-~]{0,8}"), 0..8
        )) {
            let pairs: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let original = kept(&pairs);
            prop_assert_eq!(round_trip(&advisory(None), &original).original, original);
        }

        #[test]
        fn any_message_among_the_letters_is_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), "\\PC{0,30}"), 0..4),
            subject in "dead\\.S\\.C\\.[0-9]{1,22}|dead\\.S\\.C\\.7|\\PC{0,20}",
        ) {
            let (headers, payload) = write(&advisory(Some("x")), &kept(&[("A", "1")])).unwrap();
            let mut lines: Vec<_> = headers.iter().map(|(n, v)| (n, v.to_owned())).collect();
            for (at, text) in changes {
                let at = at.index(lines.len());
                lines[at].1 = text;
            }
            let mut changed = Headers::new();
            for (name, value) in &lines {
                let _ = changed.append(name, value);
            }
            let _ = read(1, &subject, &changed, payload);
        }
    }
}
