//! Entry points for fuzzing; outside semver.

use super::core::{Core, Limits};
#[cfg(feature = "derive")]
use crate::Topic as _;
use crate::object::{Described, Mark, ObjectName, UploadId, deleted_json};
use crate::stream::{Found, Stored};
use crate::wire::{Decoder, Delivery, ServerOp, headers_of};
use crate::{Codec, Json, Pattern, Subject, Token, monitor};
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Parses text as token, subject and pattern, and holds the results to the laws between them.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_subject(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (left, right) = text.split_once('\n').unwrap_or((text, text));
    if let Ok(token) = Token::parse(left) {
        assert_eq!(
            Subject::parse(left).expect("a token is a subject"),
            token.into()
        );
    }
    if let Ok(subject) = Subject::parse(left) {
        let pattern = Pattern::parse(left).expect("a subject is a pattern");
        assert!(pattern.is_literal() && pattern.matches(&subject));
        assert!(Pattern::ALL.matches(&subject));
    }
    if let (Ok(a), Ok(b)) = (Pattern::parse(left), Pattern::parse(right)) {
        assert_eq!(a.overlaps(&b), b.overlaps(&a));
        if a.contains(&b) {
            assert!(a.overlaps(&b));
        }
        if let Some(subject) = b.as_subject() {
            assert_eq!(a.contains(&b), a.matches(&subject));
            assert_eq!(a.overlaps(&b), a.matches(&subject));
        }
    }
    #[cfg(feature = "derive")]
    if let Ok(subject) = Subject::parse(left)
        && let Ok(topic) = crate::topics::Commands::parse(&subject)
    {
        assert_eq!(topic.subject(), subject);
    }
}

/// Reads monitoring JSON as each kind and takes its figures.
pub fn fuzz_monitor(data: &[u8]) {
    if let Ok(varz) = monitor::Varz::parse(data) {
        let _ = varz.metrics();
    }
    if let Ok(connz) = monitor::Connz::parse(data) {
        let _ = connz.metrics();
    }
    if let Ok(jsz) = monitor::Jsz::parse(data) {
        let _ = jsz.metrics();
    }
}

/// Decodes a payload by the codec that the first byte chooses, and holds what is read to what it
/// encodes to.
///
/// # Panics
/// When a value does not survive being encoded.
pub fn fuzz_payload(data: &[u8]) {
    let Some((codec, data)) = data.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(data);
    match codec % 3 {
        0 => payload::<Json>(&bytes),
        #[cfg(feature = "msgpack")]
        1 => payload::<crate::MessagePack>(&bytes),
        #[cfg(feature = "cbor")]
        2 => payload::<crate::Cbor>(&bytes),
        _ => {}
    }
}

fn payload<C: Codec<Value> + Codec<Vec<String>>>(bytes: &Bytes) {
    if let Ok(value) = <C as Codec<Value>>::decode(bytes) {
        let again = <C as Codec<Value>>::encode(&value).expect("it came from this encoding");
        let again = <C as Codec<Value>>::decode(&again).expect("it was just encoded");
        assert_eq!(again, value);
    }
    if let Ok(texts) = <C as Codec<Vec<String>>>::decode(bytes) {
        let again = <C as Codec<Vec<String>>>::encode(&texts).expect("texts have a form");
        assert_eq!(
            <C as Codec<Vec<String>>>::decode(&again).expect("it was just encoded"),
            texts
        );
    }
}

/// Reads bytes as a server's side of the protocol, at once and in pieces whose lengths the first
/// byte gives, which must come to the same; and decodes the payloads.
///
/// # Panics
/// When it matters where the bytes are cut.
pub fn fuzz_wire(data: &[u8]) {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let whole = read(data, data.len().max(1));
    let pieces = read(data, usize::from(*first % 16) + 1);
    assert_eq!(whole.0, pieces.0);
    // A line without an end is noticed sooner or later, as the pieces come.
    assert_eq!(whole.1, pieces.1);
    #[cfg(feature = "derive")]
    for op in whole.0 {
        if let ServerOp::Message(message) = op {
            let _ = <Json as Codec<crate::topics::NodeEvent>>::decode(&message.payload);
            let _ = <Json as Codec<crate::topics::Samples>>::decode(&message.payload);
        }
    }
}

fn read(data: &[u8], piece: usize) -> (Vec<ServerOp>, bool) {
    let mut decoder = Decoder::new(1 << 16);
    let mut buffer = BytesMut::new();
    let mut ops = Vec::new();
    for piece in data.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(op)) => ops.push(op),
                Ok(None) => break,
                Err(_) => return (ops, true),
            }
        }
    }
    (ops, false)
}

/// Reads bytes as a client's side of the protocol, at once and in pieces whose lengths the first
/// byte gives, which must come to the same; what the server says must be the protocol.
///
/// # Panics
/// When it matters where the bytes are cut, or the server says what no client understands.
pub fn fuzz_server(data: &[u8]) {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let whole = served(data, data.len().max(1));
    let pieces = served(data, usize::from(*first % 16) + 1);
    assert_eq!(whole, pieces);
    // The other client numbers its subscriptions as it likes, which ours would not understand.
    let [_, listener] = whole;
    let mut decoder = Decoder::new(1 << 24);
    let mut said = BytesMut::from(&listener[..]);
    while let Some(op) = decoder
        .decode(&mut said)
        .expect("the server speaks the protocol")
    {
        drop(op);
    }
    assert!(said.is_empty(), "an operation is cut off");
}

/// Returns what a server says to a client that sends this, and to one that listens to everything.
fn served(data: &[u8], piece: usize) -> [Vec<u8>; 2] {
    let mut core = Core::new(Limits::default());
    let all = || crate::permissions::Permissions {
        publish_allow: Vec::new(),
        publish_deny: vec!["denied.>".into()],
        subscribe_allow: Vec::new(),
        subscribe_deny: vec!["denied.>".into()],
        allow_responses: None,
    };
    core.admit("client", all());
    core.admit("listener", all());
    let start = Duration::from_secs(1_700_000_000);
    let listener = core.handle_connect("listener", start);
    core.handle_bytes(
        listener,
        b"CONNECT {\"headers\":true}\r\nSUB > 1\r\n",
        start,
    );
    let client = core.handle_connect("client", start);
    for piece in data.chunks(piece) {
        core.handle_bytes(client, piece, start);
    }
    core.handle_timeout(start + Duration::from_secs(3600));
    [client, listener].map(|id| {
        let output = core.take_output(id);
        output.map_or_else(Vec::new, |output| output.bytes.to_vec())
    })
}

/// Reads a message of a stream in both forms in which JetStream hands it out.
///
/// # Panics
/// When what was read says less than it must.
pub fn fuzz_stored(data: &[u8]) {
    if let Ok(Found::Message(stored)) = Found::from_json(data) {
        assert!(stored.payload.len() <= data.len());
        read_as_entry(stored);
    }
    let Ok(headers) = headers_of(data) else {
        return;
    };
    let subject = headers.get("Nats-Subject").map(str::to_owned);
    let delivery = Delivery {
        sid: 1,
        subject: "_INBOX".to_owned(),
        reply: None,
        status: None,
        description: String::new(),
        headers,
        payload: Bytes::new(),
    };
    if let Ok(Found::Message(stored)) = Found::from_direct(delivery) {
        assert_eq!(Some(stored.subject.clone()), subject);
        read_as_entry(stored);
    }
}

/// Reads a message as a revision of a key, if it is one.
fn read_as_entry(stored: Stored) {
    #[cfg(all(feature = "client", feature = "derive"))]
    {
        let (subject, revision) = (stored.subject.clone(), stored.sequence);
        if let Ok(entry) = crate::kv::Entry::<crate::topics::NodeEvents>::parse(stored) {
            assert_eq!(entry.key.subject().as_str(), subject);
            assert_eq!(entry.revision, revision);
        }
    }
    #[cfg(not(all(feature = "client", feature = "derive")))]
    drop(stored);
}

/// Reads what answers a program: a stream's receipt of a message and its description, services and
/// their figures, and the subject that a message of a consumer is acknowledged by.
///
/// # Panics
/// When what was read is written otherwise, or a receipt names no stream.
#[cfg(feature = "client")]
pub fn fuzz_answer(data: &[u8]) {
    use crate::MessageId;
    use crate::client::{Answer, Stored};
    use crate::service::{ServiceInfo, ServicePing, ServiceStats};
    let payload = Bytes::copy_from_slice(data);
    written_back::<ServicePing>(&payload);
    written_back::<ServiceInfo>(&payload);
    written_back::<ServiceStats>(&payload);
    if let Ok(summary) = serde_json::from_slice::<crate::stream::StreamSummary>(data) {
        let _ = summary.contents();
        let _ = crate::stream::StreamInfo::from(summary);
    }
    let delivery = |status, payload| Delivery {
        sid: 1,
        subject: "_INBOX".to_owned(),
        reply: None,
        status,
        description: String::new(),
        headers: crate::Headers::new(),
        payload,
    };
    let id = MessageId::from_checked("an-id");
    for status in [None, Some(503)] {
        let answer = Answer::Message(delivery(status, payload.clone()));
        if let Ok(stored) = Stored::read(Some(answer), "a.b", &id) {
            assert!(!stored.stream.is_empty() && stored.id == id);
        }
    }
    if let Ok(reply) = std::str::from_utf8(data) {
        let place = crate::stream::Place::parse(reply);
        assert!(place.is_none() || reply.starts_with("$JS.ACK."));
    }
}

#[cfg(feature = "client")]
fn written_back<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
    payload: &Bytes,
) {
    if let Ok(value) = <Json as Codec<T>>::decode(payload) {
        let written = <Json as Codec<T>>::encode(&value).expect("it came from JSON");
        let again = <Json as Codec<T>>::decode(&written).expect("it was just written");
        assert_eq!(again, value);
    }
}

/// Reads bytes as what a server tells of a message that was given up; and as a dead letter, headers
/// and payload, whose message can be published again.
///
/// # Panics
/// When what was read is written otherwise, or would be taken for a message of before.
#[cfg(all(feature = "client", feature = "derive"))]
pub fn fuzz_letter(data: &[u8]) {
    use crate::dead_letter::{Advisory, Original, read_letter, replayed};
    written_back::<Advisory>(&Bytes::copy_from_slice(data));
    let end = data.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, payload) = data.split_at(end.map_or(data.len(), |end| end + 4));
    let Ok(headers) = headers_of(head) else {
        return;
    };
    let place = |name| headers.get(name).unwrap_or("1");
    let subject = format!(
        "dead.{}.{}.{}",
        place("Dead-Letter-Stream"),
        place("Dead-Letter-Consumer"),
        place("Dead-Letter-Sequence"),
    );
    let payload = Bytes::copy_from_slice(payload);
    if let Ok(letter) = read_letter(1, &subject, &headers, payload)
        && let Original::Kept(message) = letter.original
    {
        let again = replayed(&message.headers);
        assert!(again.id().is_none());
        assert!(again.iter().count() <= headers.iter().count());
    }
}

/// Reads bytes as the description of an object, which is written back and read again; and as the
/// mark of a chunk and the names in subjects.
///
/// # Panics
/// When what was read is written otherwise.
pub fn fuzz_object(data: &[u8]) {
    const BUCKET: Token = Token::from_static("b");
    let text = String::from_utf8_lossy(data);
    if let Ok(mark) = text.parse::<Mark>() {
        assert_eq!(mark.to_string().parse(), Ok(mark));
    }
    if let Ok(id) = text.parse::<UploadId>() {
        let subject = id.subject(&BUCKET);
        assert_eq!(subject.tokens().last(), Some(id.as_str()));
        assert!(Subject::parse(subject.as_str()).is_ok());
    }
    // A description stands under the subject of its name; whatever stands elsewhere is refused.
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    let named = serde_json::from_slice::<Named>(data).ok();
    let name = named.and_then(|named| ObjectName::parse(&named.name).ok());
    let subject = name.map(|name| name.subject(&BUCKET).to_string());
    let subject = subject.as_deref().unwrap_or("$O.b.M.YQ==");
    let parse = |json: &[u8]| Described::parse(json, &BUCKET, subject, SystemTime::UNIX_EPOCH);
    match parse(data) {
        Ok(Described::Object(info)) => {
            let deleted = parse(&deleted_json(&info.name, &BUCKET, &info.upload));
            assert_eq!(deleted.ok(), Some(Described::Deleted));
            let written = parse(&info.to_json(&BUCKET, 1));
            assert_eq!(written.ok(), Some(Described::Object(info)));
        }
        Ok(Described::Link(link)) => {
            let id = "N".parse().expect("a letter is an id");
            let written = parse(&link.to_json(&BUCKET, &id));
            assert_eq!(written.ok(), Some(Described::Link(link)));
        }
        Ok(Described::Deleted) | Err(_) => {}
    }
}

/// Reads bytes as the files of a spool, and goes on with what is there.
///
/// # Panics
/// When what reads back was not written, or something is lost on the way.
#[cfg(feature = "spool")]
pub fn fuzz_spool(data: &[u8]) {
    crate::spool::fuzz::files(data);
}
