//! What a client sends. Subjects, patterns and headers are of types that cannot break a line; `&str`
//! is for answers' subjects, which were one token of a line when they were read.

use super::Batch;
use crate::envelope::ID;
use crate::{Headers, MessageId, Pattern};
use bytes::{BufMut, Bytes};
use serde::Serialize;

/// The body of `CONNECT`.
#[derive(Debug, Serialize)]
pub(crate) struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    echo: bool,
    headers: bool,
    no_responders: bool,
    protocol: u8,
    lang: &'static str,
    version: &'static str,
    name: &'a str,
}

impl<'a> Connect<'a> {
    pub(crate) fn new(name: &'a str) -> Self {
        Self {
            verbose: false,
            pedantic: false,
            tls_required: true,
            echo: true,
            headers: true,
            no_responders: true,
            protocol: 1,
            lang: "rust-swarm-bus",
            version: env!("CARGO_PKG_VERSION"),
            name,
        }
    }
}

pub(crate) const PING: &[u8] = b"PING\r\n";
pub(crate) const PONG: &[u8] = b"PONG\r\n";

pub(crate) fn connect(to: &mut Vec<u8>, connect: &Connect<'_>) {
    let json = serde_json::to_vec(connect).expect("strings and flags have a form in JSON");
    to.put_slice(b"CONNECT ");
    to.put_slice(&json);
    to.put_slice(b"\r\n");
}

pub(crate) fn subscribe(to: &mut Vec<u8>, sid: u64, pattern: &Pattern, queue: Option<&str>) {
    to.put_slice(b"SUB ");
    to.put_slice(pattern.as_str().as_bytes());
    to.put_u8(b' ');
    if let Some(queue) = queue {
        to.put_slice(queue.as_bytes());
        to.put_u8(b' ');
    }
    number(to, sid);
    to.put_slice(b"\r\n");
}

pub(crate) fn unsubscribe(to: &mut Vec<u8>, sid: u64) {
    to.put_slice(b"UNSUB ");
    number(to, sid);
    to.put_slice(b"\r\n");
}

/// A message to be published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publication<'a> {
    pub(crate) subject: &'a str,
    pub(crate) headers: &'a Headers,
    /// Written as a header after the others, without being one: every message has it, and making a
    /// header of it would cost more than writing it.
    pub(crate) id: Option<&'a MessageId>,
    pub(crate) payload: &'a Bytes,
}

const VERSION: &[u8] = b"NATS/1.0\r\n";

impl<'a> Publication<'a> {
    /// A message whose id, if it has one, is among its headers.
    pub(crate) fn new(subject: &'a str, headers: &'a Headers, payload: &'a Bytes) -> Self {
        Self {
            subject,
            headers,
            id: None,
            payload,
        }
    }

    /// How many bytes headers and payload take; what a server limits.
    pub(crate) fn size(&self) -> usize {
        self.header_length() + self.payload.len()
    }

    /// About how many bytes it takes.
    pub(crate) fn length(&self) -> usize {
        self.size() + self.subject.len()
    }

    fn header_length(&self) -> usize {
        let lines = self.headers.iter().map(|(name, value)| line(name, value));
        let id = self.id.map_or(0, |id| line(ID, id.as_str()));
        match lines.sum::<usize>() + id {
            0 => 0,
            lines => VERSION.len() + lines + 2,
        }
    }

    pub(crate) fn write(&self, to: &mut Batch, reply: Option<&str>) {
        let header_length = self.header_length();
        to.text(|to| self.write_head(to, header_length, reply));
        to.payload(self.payload);
        to.text(|to| to.put_slice(b"\r\n"));
    }

    fn write_head(&self, to: &mut Vec<u8>, header_length: usize, reply: Option<&str>) {
        to.reserve(self.subject.len() + header_length + 64);
        to.put_slice(if header_length > 0 { b"HPUB " } else { b"PUB " });
        to.put_slice(self.subject.as_bytes());
        to.put_u8(b' ');
        if let Some(reply) = reply {
            to.put_slice(reply.as_bytes());
            to.put_u8(b' ');
        }
        if header_length > 0 {
            number(to, header_length as u64);
            to.put_u8(b' ');
        }
        number(to, (header_length + self.payload.len()) as u64);
        to.put_slice(b"\r\n");
        if header_length > 0 {
            to.put_slice(VERSION);
            let id = self.id.map(|id| (ID, id.as_str()));
            for (name, value) in self.headers.iter().chain(id) {
                to.put_slice(name.as_bytes());
                to.put_slice(b": ");
                to.put_slice(value.as_bytes());
                to.put_slice(b"\r\n");
            }
            to.put_slice(b"\r\n");
        }
    }
}

fn line(name: &str, value: &str) -> usize {
    name.len() + value.len() + 4
}

fn number(to: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    to.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    #[test]
    fn operations_are_written_as_the_protocol_says() {
        let mut to = Batch::default();
        to.text(|to| subscribe(to, 7, &Pattern::from_static("a.*"), Some("q")));
        to.text(|to| unsubscribe(to, 70));
        let (mut headers, hi) = (Headers::new(), Bytes::from_static(b"hi"));
        Publication::new("a.b", &headers, &hi).write(&mut to, None);
        headers.append("A", "1").unwrap();
        let empty = Bytes::new();
        let mut message = Publication::new("a.b", &headers, &empty);
        message.write(&mut to, Some("r"));
        assert_eq!(message.size(), 18);
        let id = MessageId::parse("x").unwrap();
        message.id = Some(&id);
        message.payload = &hi;
        message.write(&mut to, None);
        let length = to.remaining();
        assert_eq!(
            std::str::from_utf8(&to.copy_to_bytes(length)).unwrap(),
            "SUB a.* q 7\r\nUNSUB 70\r\nPUB a.b 2\r\nhi\r\n\
             HPUB a.b r 18 18\r\nNATS/1.0\r\nA: 1\r\n\r\n\r\n\
             HPUB a.b 34 36\r\nNATS/1.0\r\nA: 1\r\nNats-Msg-Id: x\r\n\r\nhi\r\n"
        );
    }
}
