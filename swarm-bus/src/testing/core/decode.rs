//! What a client sends, read piece by piece. Strict where a server is lenient: what no client of
//! today sends is an error and not a guess.

use crate::wire::{LineTooLong, take_line};
use crate::{Pattern, Subject};
use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;

/// The longest line, as servers have it.
const MAX_LINE: usize = 4096;

/// What a client asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ClientOp {
    Connect(Hello),
    Publish(Publish),
    /// A publication whose subject is none; it is not passed on, and the client is told.
    BadPublish,
    Subscribe {
        pattern: Pattern,
        queue: Option<String>,
        sid: String,
    },
    /// A subscription whose pattern is none.
    BadSubscribe,
    Unsubscribe {
        sid: String,
        max: Option<u64>,
    },
    Ping,
    Pong,
}

/// What a client says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Hello {
    pub(super) verbose: bool,
    pub(super) echo: bool,
    pub(super) headers: bool,
    pub(super) no_responders: bool,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            verbose: false,
            echo: true,
            headers: false,
            no_responders: false,
        }
    }
}

/// A message on its way in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Publish {
    pub(super) subject: Subject,
    pub(super) reply: Option<String>,
    /// From `NATS/1.0` to the empty line, as it came; empty where there is none.
    pub(super) headers: Bytes,
    pub(super) payload: Bytes,
}

/// Why a client is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offence {
    Unknown,
    Malformed,
    LineTooLong,
    PayloadTooLarge,
}

impl Offence {
    /// What the client is told, if anything.
    pub(super) fn text(self) -> Option<&'static str> {
        match self {
            Self::Unknown => Some("Unknown Protocol Operation"),
            Self::Malformed => None,
            Self::LineTooLong => Some("maximum control line exceeded"),
            Self::PayloadTooLarge => Some("Maximum Payload Violation"),
        }
    }
}

/// A publication whose line is read and whose body is awaited.
#[derive(Debug)]
struct Head {
    subject: String,
    reply: Option<String>,
    header_length: usize,
    total: usize,
}

/// Turns bytes into operations. It holds at most one line, then at most one message.
#[derive(Debug)]
pub(super) struct Decoder {
    max_payload: usize,
    scanned: usize,
    head: Option<Head>,
}

impl Decoder {
    pub(super) fn new(max_payload: usize) -> Self {
        Self {
            max_payload,
            scanned: 0,
            head: None,
        }
    }

    /// Takes the next operation off the front of `from`, or `None` where it is not all there yet.
    pub(super) fn decode(&mut self, from: &mut BytesMut) -> Result<Option<ClientOp>, Offence> {
        loop {
            if let Some(head) = self.head.take() {
                if from.len() < head.total + 2 {
                    self.head = Some(head);
                    return Ok(None);
                }
                return body(head, from).map(Some);
            }
            let Some(line) = take_line(from, &mut self.scanned, MAX_LINE)
                .map_err(|LineTooLong| Offence::LineTooLong)?
            else {
                return Ok(None);
            };
            if let Some(op) = self.operation(&line)? {
                return Ok(Some(op));
            }
        }
    }

    /// Reads one line; `None` where it is the head of a message.
    fn operation(&mut self, line: &[u8]) -> Result<Option<ClientOp>, Offence> {
        let line = std::str::from_utf8(line).map_err(|_| Offence::Unknown)?;
        let at = line.find([' ', '\t']).unwrap_or(line.len());
        let (name, rest) = line.split_at(at);
        let is = |operation: &str| name.eq_ignore_ascii_case(operation);
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(5).collect();
        // A word that takes fields and has none is no operation.
        let takes_fields = !is("PING") && !is("PONG");
        if fields.is_empty() && takes_fields {
            return Err(Offence::Unknown);
        }
        if is("PUB") {
            let head = match fields.as_slice() {
                [subject, total] => self.publish_head(subject, None, "0", total),
                [subject, reply, total] => self.publish_head(subject, Some(reply), "0", total),
                _ => Err(Offence::Malformed),
            };
            self.head = Some(head?);
            return Ok(None);
        }
        if is("HPUB") {
            let head = match fields.as_slice() {
                [subject, headers, total] => self.publish_head(subject, None, headers, total),
                [subject, reply, headers, total] => {
                    self.publish_head(subject, Some(reply), headers, total)
                }
                _ => Err(Offence::Malformed),
            };
            self.head = Some(head?);
            return Ok(None);
        }
        Ok(Some(if is("PING") {
            ClientOp::Ping
        } else if is("PONG") {
            ClientOp::Pong
        } else if is("SUB") {
            match fields.as_slice() {
                [pattern, sid] => subscribe(pattern, None, sid),
                [pattern, queue, sid] => subscribe(pattern, Some(queue), sid),
                _ => return Err(Offence::Malformed),
            }
        } else if is("UNSUB") {
            let (sid, max) = match fields.as_slice() {
                [sid] => (sid, None),
                [sid, max] => (sid, Some(max.parse().map_err(|_| Offence::Malformed)?)),
                _ => return Err(Offence::Malformed),
            };
            let sid = (*sid).to_owned();
            ClientOp::Unsubscribe { sid, max }
        } else if is("CONNECT") {
            ClientOp::Connect(serde_json::from_str(rest).map_err(|_| Offence::Malformed)?)
        } else {
            return Err(Offence::Unknown);
        }))
    }

    fn publish_head(
        &self,
        subject: &str,
        reply: Option<&str>,
        header_length: &str,
        total: &str,
    ) -> Result<Head, Offence> {
        let number = |text: &str| text.parse::<usize>().map_err(|_| Offence::Malformed);
        let (header_length, total) = (number(header_length)?, number(total)?);
        if header_length > total {
            return Err(Offence::Malformed);
        }
        if total > self.max_payload {
            return Err(Offence::PayloadTooLarge);
        }
        Ok(Head {
            subject: subject.to_owned(),
            reply: reply.map(ToOwned::to_owned),
            header_length,
            total,
        })
    }
}

fn subscribe(pattern: &str, queue: Option<&str>, sid: &str) -> ClientOp {
    match Pattern::parse(pattern) {
        Ok(pattern) => ClientOp::Subscribe {
            pattern,
            queue: queue.map(ToOwned::to_owned),
            sid: sid.to_owned(),
        },
        Err(_) => ClientOp::BadSubscribe,
    }
}

fn body(head: Head, from: &mut BytesMut) -> Result<ClientOp, Offence> {
    let (headers, payload) = from[..head.total].split_at(head.header_length);
    // Copies, so that one small message does not keep the whole read buffer alive.
    let headers = Bytes::copy_from_slice(headers);
    let payload = Bytes::copy_from_slice(payload);
    from.advance(head.total);
    if from.get(..2) != Some(b"\r\n") {
        return Err(Offence::Unknown);
    }
    from.advance(2);
    let whole = headers.starts_with(b"NATS/1.0") && headers.ends_with(b"\r\n\r\n");
    if !headers.is_empty() && !whole {
        return Err(Offence::Malformed);
    }
    Ok(match Subject::parse(&head.subject) {
        Ok(subject) => ClientOp::Publish(Publish {
            subject,
            reply: head.reply,
            headers,
            payload,
        }),
        Err(_) => ClientOp::BadPublish,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &[u8] = b"CONNECT {\"echo\":false,\"headers\":true,\"no_responders\":true}\r\n\
        PING\r\nSUB a.* 1\r\nsub a.> group 2\r\nUNSUB 1\r\nUNSUB 2 5\r\n\
        PUB a.b 5\r\nhello\r\nPUB a.b _INBOX.x 0\r\n\r\nSUB a..b 3\r\nPUB a.* 0\r\n\r\n\
        HPUB a.b r 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nhi\r\npong\r\n";

    fn all(chunks: impl IntoIterator<Item = Vec<u8>>) -> Result<Vec<ClientOp>, Offence> {
        let mut decoder = Decoder::new(1 << 20);
        let mut buffer = BytesMut::new();
        let mut ops = Vec::new();
        for chunk in chunks {
            buffer.extend_from_slice(&chunk);
            while let Some(op) = decoder.decode(&mut buffer)? {
                ops.push(op);
            }
        }
        assert!(buffer.is_empty());
        Ok(ops)
    }

    #[test]
    fn a_stream_of_operations_is_read() {
        let ops = all([STREAM.to_vec()]).unwrap();
        assert_eq!(ops.len(), 12);
        let ClientOp::Connect(hello) = &ops[0] else {
            panic!("{:?}", ops[0]);
        };
        assert!(!hello.echo && hello.headers && hello.no_responders && !hello.verbose);
        assert_eq!(ops[8], ClientOp::BadSubscribe);
        assert_eq!(ops[9], ClientOp::BadPublish);
        let ClientOp::Publish(publish) = &ops[10] else {
            panic!("{:?}", ops[10]);
        };
        assert_eq!(publish.headers, &b"NATS/1.0\r\nA: 1\r\n\r\n"[..]);
        assert_eq!(
            (&publish.payload[..], publish.reply.as_deref()),
            (&b"hi"[..], Some("r"))
        );
    }

    #[test]
    fn each_offence_has_its_name() {
        for (bytes, offence) in [
            ("GET / HTTP/1.1\r\n", Offence::Unknown),
            ("\u{fc}\r\n", Offence::Unknown),
            ("PUB a\r\n", Offence::Malformed),
            ("PUB a -1\r\n", Offence::Malformed),
            ("PUB a 1048577\r\n", Offence::PayloadTooLarge),
            ("PUB a 99999999999999999999\r\n", Offence::Malformed),
            ("HPUB a 5 4\r\nabcd\r\n", Offence::Malformed),
            ("HPUB a 4 4\r\nabcd\r\n", Offence::Malformed),
            ("PUB a 2\r\nabcd\r\n", Offence::Unknown),
            ("SUB a\r\n", Offence::Malformed),
            ("UNSUB 1 x\r\n", Offence::Malformed),
            ("CONNECT x\r\n", Offence::Malformed),
        ] {
            assert_eq!(all([bytes.as_bytes().to_vec()]), Err(offence), "{bytes}");
        }
        assert_eq!(all([vec![b'x'; MAX_LINE + 1]]), Err(Offence::LineTooLong));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(cuts in prop::collection::vec(1_usize..40, 1..60)) {
            let mut chunks = Vec::new();
            let mut rest = STREAM;
            for cut in cuts {
                let (chunk, tail) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk.to_vec());
                rest = tail;
            }
            chunks.push(rest.to_vec());
            prop_assert_eq!(all(chunks).unwrap(), all([STREAM.to_vec()]).unwrap());
        }
    }
}
