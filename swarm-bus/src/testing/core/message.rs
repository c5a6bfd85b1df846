//! A message inside the server, and its form on the wire.

use crate::Subject;
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt::Write as _;

/// A message on its way through the server.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Where it goes: what subscriptions are matched with.
    pub(super) route: Subject,
    /// What it says it was published to; a stored message keeps the subject it was stored under.
    pub(super) subject: Subject,
    pub(super) reply: Option<String>,
    /// From `NATS/1.0` to the empty line; empty where there is none.
    pub(super) headers: Bytes,
    pub(super) payload: Bytes,
}

impl Message {
    /// An answer of the server itself.
    pub(super) fn answer(to: &Subject, payload: impl Into<Bytes>) -> Self {
        Self {
            route: to.clone(),
            subject: to.clone(),
            reply: None,
            headers: Bytes::new(),
            payload: payload.into(),
        }
    }

    /// A word of the server: a status line and headers, no payload.
    pub(super) fn status(to: &Subject, line: &str, headers: &[(&str, String)]) -> Self {
        Self {
            headers: block(line, headers),
            ..Self::answer(to, Bytes::new())
        }
    }

    /// Writes it for a subscription; without its headers for a client that knows none.
    pub(super) fn write(&self, to: &mut BytesMut, sid: &str, with_headers: bool) {
        let headers = match with_headers {
            true => &self.headers[..],
            false => &[],
        };
        let total = headers.len() + self.payload.len();
        let mut line = String::with_capacity(self.subject.as_str().len() + sid.len() + 48);
        line.push_str(if headers.is_empty() { "MSG " } else { "HMSG " });
        let _ = write!(line, "{} {sid} ", self.subject);
        if let Some(reply) = &self.reply {
            let _ = write!(line, "{reply} ");
        }
        if !headers.is_empty() {
            let _ = write!(line, "{} ", headers.len());
        }
        let _ = write!(line, "{total}\r\n");
        to.reserve(line.len() + total + 2);
        to.put_slice(line.as_bytes());
        to.put_slice(headers);
        to.put_slice(&self.payload);
        to.put_slice(b"\r\n");
    }
}

/// Writes a header block; `status` is what follows `NATS/1.0`.
fn block(status: &str, headers: &[(&str, String)]) -> Bytes {
    let mut text = String::from("NATS/1.0");
    if !status.is_empty() {
        let _ = write!(text, " {status}");
    }
    text.push_str("\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    Bytes::from(text)
}

/// Adds headers to a block that may be empty.
pub(super) fn with_headers(present: &Bytes, more: &[(&str, String)]) -> Bytes {
    let added = block("", more);
    if present.len() < 4 {
        return added;
    }
    let mut all = BytesMut::from(&present[..present.len() - 2]);
    all.put_slice(&added["NATS/1.0\r\n".len()..]);
    all.freeze()
}

/// Returns the first value of a header. As in a server, the name's case counts.
pub(super) fn header<'a>(headers: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(headers).ok()?;
    text.split("\r\n").skip(1).find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim_start_matches(' '))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_with_and_without_its_headers() {
        let mut message = Message::answer(&Subject::from_static("a.b"), "hi");
        message.reply = Some("r".into());
        message.headers = with_headers(&Bytes::new(), &[("A", "1".into())]);
        message.headers = with_headers(&message.headers, &[("B", "2".into())]);
        let mut to = BytesMut::new();
        message.write(&mut to, "7", true);
        message.write(&mut to, "8", false);
        assert_eq!(
            std::str::from_utf8(&to).unwrap(),
            "HMSG a.b 7 r 24 26\r\nNATS/1.0\r\nA: 1\r\nB: 2\r\n\r\nhi\r\nMSG a.b 8 r 2\r\nhi\r\n"
        );
        assert_eq!(header(&message.headers, "B"), Some("2"));
        assert_eq!(header(&message.headers, "b"), None);
        assert_eq!(header(b"", "A"), None);
    }
}
