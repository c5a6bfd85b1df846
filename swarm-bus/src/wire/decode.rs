//! What a server sends, read piece by piece.

use super::line::{LineTooLong, take_line};
use super::{Complaint, Delivery, Info, ServerOp};
use crate::Headers;
use bytes::{Buf, Bytes, BytesMut};

/// The longest line; `INFO` is by far the longest there is.
const MAX_LINE: usize = 64 << 10;

/// What is not the NATS protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A line has no end.
    #[error("a line is longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// A message is larger than the client takes.
    #[error("a message of {size} bytes is larger than {max}")]
    MessageTooLarge {
        /// What the server announced, in bytes.
        size: usize,
        /// What the client takes, in bytes.
        max: usize,
    },
    /// An operation that does not exist.
    #[error("unknown operation `{0}`")]
    UnknownOperation(String),
    /// An operation whose fields are wrong.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Bytes between the greeting and TLS, which nobody vouches for.
    #[error("data before the TLS handshake")]
    BeforeTls,
    /// The server greets or answers with the wrong operation.
    #[error("expected {expected}")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
    },
}

/// A message whose line is read and whose body is awaited.
#[derive(Debug)]
struct Head {
    sid: u64,
    subject: String,
    reply: Option<String>,
    header_length: usize,
    total: usize,
}

/// Turns bytes into operations. It holds at most one line, then at most one message.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_message: usize,
    scanned: usize,
    head: Option<Head>,
}

impl Decoder {
    pub(crate) fn new(max_message: usize) -> Self {
        Self {
            max_message,
            scanned: 0,
            head: None,
        }
    }

    /// Takes the next operation off the front of `from`, or `None` where it is not all there yet.
    pub(crate) fn decode(
        &mut self,
        from: &mut BytesMut,
    ) -> Result<Option<ServerOp>, ProtocolError> {
        loop {
            if let Some(head) = &self.head {
                if from.len() < head.total + 2 {
                    return Ok(None);
                }
                let head = self.head.take().expect("looked at a line above");
                return body(head, from).map(|message| Some(ServerOp::Message(message)));
            }
            let Some(line) = take_line(from, &mut self.scanned, MAX_LINE)
                .map_err(|LineTooLong| ProtocolError::LineTooLong)?
            else {
                return Ok(None);
            };
            if let Some(op) = self.operation(&line)? {
                return Ok(Some(op));
            }
        }
    }

    /// Reads one line; `None` where it is the head of a message.
    fn operation(&mut self, line: &[u8]) -> Result<Option<ServerOp>, ProtocolError> {
        let at = line
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t'))
            .unwrap_or(line.len());
        let (name, rest) = line.split_at(at);
        let is = |operation: &str| name.eq_ignore_ascii_case(operation.as_bytes());
        if is("MSG") {
            self.head = Some(self.message_head(rest, false)?);
            return Ok(None);
        }
        if is("HMSG") {
            self.head = Some(self.message_head(rest, true)?);
            return Ok(None);
        }
        Ok(Some(if is("PING") {
            ServerOp::Ping
        } else if is("PONG") {
            ServerOp::Pong
        } else if is("+OK") {
            ServerOp::Ok
        } else if is("INFO") {
            let info: Info =
                serde_json::from_slice(rest).map_err(|_| ProtocolError::Malformed("INFO"))?;
            ServerOp::Info(Box::new(info))
        } else if is("-ERR") {
            let text = String::from_utf8_lossy(rest);
            ServerOp::Err(Complaint::parse(text.trim().trim_matches('\'')))
        } else {
            let name = String::from_utf8_lossy(&name[..name.len().min(32)]);
            return Err(ProtocolError::UnknownOperation(name.into_owned()));
        }))
    }

    fn message_head(&self, rest: &[u8], with_headers: bool) -> Result<Head, ProtocolError> {
        const BAD: ProtocolError = ProtocolError::Malformed("MSG");
        let text = std::str::from_utf8(rest).map_err(|_| BAD)?;
        let mut fields = [""; 6];
        let mut count = 0;
        for (place, field) in fields.iter_mut().zip(text.split_ascii_whitespace()) {
            *place = field;
            count += 1;
        }
        let (subject, sid, reply, header_length, total) = match (with_headers, &fields[..count]) {
            (false, [subject, sid, total]) => (subject, sid, None, "0", total),
            (false, [subject, sid, reply, total]) => (subject, sid, Some(reply), "0", total),
            (true, [subject, sid, headers, total]) => (subject, sid, None, *headers, total),
            (true, [subject, sid, reply, headers, total]) => {
                (subject, sid, Some(reply), *headers, total)
            }
            _ => return Err(BAD),
        };
        let number = |text: &str| text.parse::<usize>().map_err(|_| BAD);
        let (header_length, total) = (number(header_length)?, number(total)?);
        if total > self.max_message {
            return Err(ProtocolError::MessageTooLarge {
                size: total,
                max: self.max_message,
            });
        }
        if header_length > total {
            return Err(BAD);
        }
        Ok(Head {
            sid: sid.parse().map_err(|_| BAD)?,
            subject: (*subject).to_owned(),
            reply: reply.map(|reply| (*reply).to_owned()),
            header_length,
            total,
        })
    }
}

fn body(head: Head, from: &mut BytesMut) -> Result<Delivery, ProtocolError> {
    let (headers, rest) = from[..head.total].split_at(head.header_length);
    let (status, description, headers) = match headers {
        [] => (None, String::new(), Headers::new()),
        block => header_block(block)?,
    };
    // A copy, so that one small message does not keep the whole read buffer alive.
    let payload = Bytes::copy_from_slice(rest);
    from.advance(head.total);
    if from.get(..2) != Some(b"\r\n") {
        return Err(ProtocolError::Malformed("MSG"));
    }
    from.advance(2);
    Ok(Delivery {
        sid: head.sid,
        subject: head.subject,
        reply: head.reply,
        status,
        description,
        headers,
        payload,
    })
}

/// Reads the headers of a message as they stand on the wire and in a stream.
pub(crate) fn headers_of(block: &[u8]) -> Result<Headers, ProtocolError> {
    header_block(block).map(|(_, _, headers)| headers)
}

type HeaderBlock = (Option<u16>, String, Headers);

/// `NATS/1.0[ status[ description]]`, then a line for each header. A line that is no header is
/// passed over: what other clients write there is no reason to cut the connection.
fn header_block(block: &[u8]) -> Result<HeaderBlock, ProtocolError> {
    let text = String::from_utf8_lossy(block);
    let mut lines = text.split("\r\n");
    let first = lines
        .next()
        .and_then(|line| line.strip_prefix("NATS/1.0"))
        .ok_or(ProtocolError::Malformed("HMSG"))?
        .trim();
    let (code, description) = first.split_once(' ').unwrap_or((first, ""));
    let mut headers = Headers::new();
    for line in lines {
        if let Some((name, value)) = line.split_once(':') {
            let _ = headers.append(name, value.trim());
        }
    }
    Ok((code.parse().ok(), description.trim().to_owned(), headers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &[u8] = b"INFO {\"version\":\"2.9.10\",\"max_payload\":1048576}\r\n\
        PING\r\nMSG a.b 1 5\r\nhello\r\n+OK\r\nMSG a.b 2 _INBOX.x 0\r\n\r\n\
        HMSG a 3 _INBOX.y 24 26\r\nNATS/1.0\r\nId: 1\r\nB:2\r\n\r\nhi\r\n\
        HMSG a 3 30 30\r\nNATS/1.0 503 No Responders\r\n\r\n\r\n\
        -ERR 'Authorization Violation'\r\npong\r\n";

    fn all(chunks: impl IntoIterator<Item = Vec<u8>>) -> Result<Vec<ServerOp>, ProtocolError> {
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
        assert_eq!(ops.len(), 9);
        let ServerOp::Message(with_headers) = &ops[5] else {
            panic!("{:?}", ops[5]);
        };
        assert_eq!(with_headers.headers.get("id"), Some("1"));
        assert_eq!(with_headers.headers.get("b"), Some("2"));
        assert_eq!(with_headers.payload, "hi");
        assert_eq!(with_headers.reply.as_deref(), Some("_INBOX.y"));
        let ServerOp::Message(nobody) = &ops[6] else {
            panic!("{:?}", ops[6]);
        };
        assert_eq!(nobody.status, Some(503));
        assert_eq!(nobody.description, "No Responders");
    }

    #[test]
    fn what_is_not_the_protocol_is_an_error() {
        for bad in [
            "HELLO\r\n",
            "MSG a 1\r\n",
            "MSG a x 1\r\n",
            "MSG a 1 -1\r\n",
            "MSG a 1 99999999999999999999\r\n",
            "MSG a 1 1048577\r\n",
            "HMSG a 1 5 4\r\nabcd\r\n",
            "HMSG a 1 4 4\r\nabcd\r\n",
            "MSG a 1 2\r\nabcd\r\n",
            "INFO x\r\n",
            "MSG a 1 r 1 1 1\r\n",
        ] {
            assert!(all([bad.as_bytes().to_vec()]).is_err(), "{bad}");
        }
        let endless = vec![b'x'; MAX_LINE + 1];
        assert_eq!(all([endless]), Err(ProtocolError::LineTooLong));
    }

    #[test]
    fn the_announced_size_alone_allocates_nothing() {
        let mut decoder = Decoder::new(1 << 30);
        let mut buffer = BytesMut::from(&b"MSG a 1 1073741824\r\n"[..]);
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        assert!(buffer.capacity() < 4096);
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

        #[test]
        fn published_messages_are_read_back(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            value in "[ -~]{0,30}",
        ) {
            let mut headers = Headers::new();
            headers.append("X", &value).unwrap();
            let payload = Bytes::from(payload);
            let mut to = crate::wire::Batch::default();
            crate::wire::encode::Publication::new("a.b", &headers, &payload).write(&mut to, Some("r"));
            let length = to.remaining();
            let to = to.copy_to_bytes(length);
            // A server passes HPUB on as HMSG with the subscription's number.
            let text = [b"HMSG a.b 9 r".as_slice(), &to[b"HPUB a.b r".len()..]].concat();
            let ops = all([text]).unwrap();
            let [ServerOp::Message(message)] = ops.as_slice() else { panic!("{ops:?}") };
            prop_assert_eq!(&message.payload[..], &payload[..]);
            prop_assert_eq!(message.headers.get("X"), Some(value.trim()));
        }
    }
}
