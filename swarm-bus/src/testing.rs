//! Entry points for fuzzing; outside semver.

#[cfg(feature = "derive")]
use crate::Topic as _;
use crate::wire::{Decoder, ServerOp};
use crate::{Pattern, Subject, Token, monitor};
use bytes::BytesMut;

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
        use crate::{Codec, Json};
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

/// Reads bytes as the files of a spool, and goes on with what is there.
///
/// # Panics
/// When what reads back was not written, or something is lost on the way.
#[cfg(feature = "spool")]
pub fn fuzz_spool(data: &[u8]) {
    crate::spool::fuzz::files(data);
}
