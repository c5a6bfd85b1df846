//! What a client sends. Subjects, patterns and headers are of types that cannot break a line; `&str`
//! is for answers' subjects, which were one token of a line when they were read.

use crate::{Headers, Pattern};
use bytes::{BufMut, BytesMut};
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

pub(crate) fn connect(to: &mut BytesMut, connect: &Connect<'_>) {
    let json = serde_json::to_vec(connect).expect("strings and flags have a form in JSON");
    to.put_slice(b"CONNECT ");
    to.put_slice(&json);
    to.put_slice(b"\r\n");
}

pub(crate) fn subscribe(to: &mut BytesMut, sid: u64, pattern: &Pattern, queue: Option<&str>) {
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

pub(crate) fn unsubscribe(to: &mut BytesMut, sid: u64) {
    to.put_slice(b"UNSUB ");
    number(to, sid);
    to.put_slice(b"\r\n");
}

pub(crate) fn publish(
    to: &mut BytesMut,
    subject: &str,
    reply: Option<&str>,
    headers: &Headers,
    payload: &[u8],
) {
    let header_length = header_length(headers);
    to.reserve(subject.len() + header_length + payload.len() + 64);
    to.put_slice(if header_length > 0 { b"HPUB " } else { b"PUB " });
    to.put_slice(subject.as_bytes());
    to.put_u8(b' ');
    if let Some(reply) = reply {
        to.put_slice(reply.as_bytes());
        to.put_u8(b' ');
    }
    if header_length > 0 {
        number(to, header_length as u64);
        to.put_u8(b' ');
    }
    number(to, (header_length + payload.len()) as u64);
    to.put_slice(b"\r\n");
    if header_length > 0 {
        to.put_slice(b"NATS/1.0\r\n");
        for (name, value) in headers.iter() {
            to.put_slice(name.as_bytes());
            to.put_slice(b": ");
            to.put_slice(value.as_bytes());
            to.put_slice(b"\r\n");
        }
        to.put_slice(b"\r\n");
    }
    to.put_slice(payload);
    to.put_slice(b"\r\n");
}

/// How many bytes the headers take on the wire; they count as payload.
pub(crate) fn header_length(headers: &Headers) -> usize {
    if headers.is_empty() {
        return 0;
    }
    let lines: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    "NATS/1.0\r\n".len() + lines + 2
}

fn number(to: &mut BytesMut, mut value: u64) {
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

    #[test]
    fn operations_are_written_as_the_protocol_says() {
        let mut to = BytesMut::new();
        subscribe(&mut to, 7, &Pattern::from_static("a.*"), Some("q"));
        unsubscribe(&mut to, 70);
        publish(&mut to, "a.b", None, &Headers::new(), b"hi");
        let mut headers = Headers::new();
        headers.append("A", "1").unwrap();
        publish(&mut to, "a.b", Some("r"), &headers, b"");
        assert_eq!(
            std::str::from_utf8(&to).unwrap(),
            "SUB a.* q 7\r\nUNSUB 70\r\nPUB a.b 2\r\nhi\r\n\
             HPUB a.b r 18 18\r\nNATS/1.0\r\nA: 1\r\n\r\n\r\n"
        );
        assert_eq!(header_length(&headers), 18);
    }
}
