//! One client in two worlds: a real server and the one in the process hear the same from it.

use super::real::Real;
use crate::rig::{SOON, token};
use bytes::{Buf, BytesMut};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;
use swarm_bus::testing::Server;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long what only a real server takes time for may take.
const PATIENCE: Duration = Duration::from_secs(3);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What a client hears, by where it heard it: `<client>/<sid>`, `group <queue>` or
/// `<client> errors`. What lies between two servers by nature is not in it.
pub(super) type Heard = BTreeMap<String, Vec<String>>;

/// One connection, read operation by operation.
struct Wire {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    /// What to write to acknowledge, by what is the same in both worlds.
    acks: HashMap<String, String>,
}

/// One client, connected to both.
pub(super) struct Pair {
    pub(super) name: &'static str,
    ours: Wire,
    theirs: Wire,
    /// The queue groups of its subscriptions.
    pub(super) queues: HashMap<String, String>,
    last_ack: Option<String>,
}

impl Pair {
    pub(super) async fn connect(
        name: &'static str,
        echo: bool,
        ours: &Server,
        theirs: &Real,
    ) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", theirs.port.number()))
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let mut pair = Self {
            name,
            ours: Wire::new(Box::new(ours.connect(&token(name)).unwrap())),
            theirs: Wire::new(Box::new(stream)),
            queues: HashMap::new(),
            last_ack: None,
        };
        // Inboxes of their own, because what a stream sends may overtake what the API answers.
        let connect = format!(
            "CONNECT {{\"verbose\":false,\"echo\":{echo},\"headers\":true,\"no_responders\":true,\
             \"user\":\"{name}\",\"pass\":\"p\"}}\r\nSUB _INBOX.{name}.r.* 0\r\nSUB _INBOX.{name}.pull.> 8\r\nSUB _INBOX.{name}.ack 9\r\n"
        );
        pair.send(connect.as_bytes()).await;
        pair
    }

    /// Says the same to both.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.ours.send(bytes).await;
        self.theirs.send(bytes).await;
    }

    pub(super) async fn publish(
        &mut self,
        subject: &str,
        reply: &str,
        headers: &[(&str, String)],
        payload: &str,
    ) {
        self.send(&publication(subject, reply, headers, payload))
            .await;
    }

    /// Says a word of acknowledgement for what came last from a consumer, and asks for its receipt.
    pub(super) async fn ack(&mut self, word: &str) {
        let Some(last) = &self.last_ack else {
            return;
        };
        let reply = format!("_INBOX.{}.ack", self.name);
        for wire in [&mut self.ours, &mut self.theirs] {
            let to = wire.acks[last].clone();
            wire.send(&publication(&to, &reply, &[], word)).await;
        }
    }

    /// Hears what both have said so far. The real one is given time for as much as the other said.
    pub(super) async fn hear(&mut self) -> [Heard; 2] {
        let Self {
            name,
            ours,
            theirs,
            queues,
            last_ack,
        } = self;
        let place = |sid: &str| match queues.get(sid) {
            Some(queue) => format!("group {queue}"),
            None => format!("{name}/{sid}"),
        };
        let (mut here, mut there) = (Heard::new(), Heard::new());
        ours.sync(name, &place, &mut here, last_ack).await;
        theirs.sync(name, &place, &mut there, &mut None).await;
        [here, there]
    }

    /// Hears more of the real server until it has said as much as expected.
    pub(super) async fn hear_more(&mut self, there: &mut Heard) -> bool {
        let Self {
            name,
            theirs,
            queues,
            ..
        } = self;
        let place = |sid: &str| match queues.get(sid) {
            Some(queue) => format!("group {queue}"),
            None => format!("{name}/{sid}"),
        };
        let more = theirs.op();
        match tokio::time::timeout(Duration::from_millis(5), more).await {
            Ok(op) => {
                theirs.note(op, name, &place, there, &mut None);
                true
            }
            Err(_) => false,
        }
    }
}

/// Waits until all have heard of the real server as much as of the other; returns both.
pub(super) async fn settle(pairs: &mut [Pair]) -> [Heard; 2] {
    let (mut here, mut there) = (Heard::new(), Heard::new());
    for pair in &mut *pairs {
        let [ours, theirs] = pair.hear().await;
        merge(&mut here, ours);
        merge(&mut there, theirs);
    }
    let count = |heard: &Heard| heard.values().map(Vec::len).sum::<usize>();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while count(&there) < count(&here) && tokio::time::Instant::now() < deadline {
        for pair in &mut *pairs {
            pair.hear_more(&mut there).await;
        }
    }
    [here, there]
}

pub(super) fn merge(into: &mut Heard, more: Heard) {
    for (place, mut said) in more {
        into.entry(place).or_default().append(&mut said);
    }
}

pub(super) fn publication(
    subject: &str,
    reply: &str,
    headers: &[(&str, String)],
    payload: &str,
) -> Vec<u8> {
    let mut block = String::new();
    if !headers.is_empty() {
        block.push_str("NATS/1.0\r\n");
        for (name, value) in headers {
            write!(block, "{name}: {value}\r\n").unwrap();
        }
        block.push_str("\r\n");
    }
    let total = block.len() + payload.len();
    match headers.is_empty() {
        true => format!("PUB {subject} {reply} {total}\r\n{payload}\r\n"),
        false => format!(
            "HPUB {subject} {reply} {} {total}\r\n{block}{payload}\r\n",
            block.len()
        ),
    }
    .into_bytes()
}

/// One operation of a server.
enum Op {
    Pong,
    Line(String),
    Message {
        head: Vec<String>,
        headers: String,
        payload: String,
    },
    End,
}

impl Wire {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            acks: HashMap::new(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        // Whoever was cut off is heard by what it said last.
        let _ = tokio::time::timeout(SOON, self.stream.write_all(bytes))
            .await
            .unwrap();
    }

    async fn sync(
        &mut self,
        name: &str,
        place: &impl Fn(&str) -> String,
        heard: &mut Heard,
        last: &mut Option<String>,
    ) {
        self.send(b"PING\r\n").await;
        loop {
            match tokio::time::timeout(SOON, self.op())
                .await
                .expect("a server answers")
            {
                Op::Pong => return,
                Op::End => {
                    heard
                        .entry(format!("{name} errors"))
                        .or_default()
                        .push("(end)".into());
                    return;
                }
                op => self.note(op, name, place, heard, last),
            }
        }
    }

    fn note(
        &mut self,
        op: Op,
        name: &str,
        place: &impl Fn(&str) -> String,
        heard: &mut Heard,
        last: &mut Option<String>,
    ) {
        match op {
            Op::Pong | Op::End => {}
            // A server asks in its own time whether a client lives.
            Op::Line(line) if line == "PING" || line.starts_with("INFO") => {}
            Op::Line(line) => heard
                .entry(format!("{name} errors"))
                .or_default()
                .push(line),
            Op::Message {
                mut head,
                headers,
                payload,
            } => {
                let sid = head.remove(1);
                if let Some(reply) = head.get_mut(1)
                    && reply.starts_with("$JS.ACK.")
                {
                    let mut tokens: Vec<&str> = reply.split('.').collect();
                    // Of what is pending a server keeps account itself, and that is off when messages
                    // leave the stream; CONSUMER.INFO counts anew, and is compared.
                    (tokens[7], tokens[8]) = ("time", "pending");
                    let same = tokens.join(".");
                    self.acks
                        .insert(same.clone(), std::mem::replace(reply, same.clone()));
                    *last = Some(same);
                }
                let said = format!(
                    "{} | {} | {}",
                    head.join(" "),
                    alike(&headers),
                    alike_json(&payload)
                );
                // Which of several subscriptions to an inbox hears that nobody serves is not fixed.
                let place = if sid == "8" {
                    // Consumers deliver at the same time, each in order.
                    let of = head.get(1).map_or(&head[0], |reply| reply);
                    let from = if of.starts_with("$JS.ACK.") { 2 } else { 3 };
                    let consumer: Vec<&str> = of.split('.').skip(from).take(2).collect();
                    format!("{name} reads {}", consumer.join(" "))
                } else {
                    match headers.starts_with("NATS/1.0 503") {
                        true => format!("{name} nobody"),
                        false => place(&sid),
                    }
                };
                heard.entry(place).or_default().push(said);
            }
        }
    }

    /// Reads one operation. Dropping the future loses nothing.
    async fn op(&mut self) -> Op {
        loop {
            if let Some(op) = self.parse() {
                return op;
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Op::End,
                Ok(_) => {}
            }
        }
    }

    fn parse(&mut self) -> Option<Op> {
        let end = self.buffer.windows(2).position(|two| two == b"\r\n")?;
        let line = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        let mut fields = line.split_ascii_whitespace().map(ToOwned::to_owned);
        let kind = fields.next().unwrap();
        if kind != "MSG" && kind != "HMSG" {
            self.buffer.advance(end + 2);
            return Some(if kind == "PONG" {
                Op::Pong
            } else {
                Op::Line(line)
            });
        }
        let mut head: Vec<String> = fields.collect();
        let total: usize = head.pop().unwrap().parse().unwrap();
        let block: usize = match kind.as_str() {
            "HMSG" => head.pop().unwrap().parse().unwrap(),
            _ => 0,
        };
        if self.buffer.len() < end + 2 + total + 2 {
            return None;
        }
        self.buffer.advance(end + 2);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (headers, payload) = (
            text(&self.buffer[..block]),
            text(&self.buffer[block..total]),
        );
        self.buffer.advance(total + 2);
        Some(Op::Message {
            head,
            headers,
            payload,
        })
    }
}

/// Leaves dates out of headers.
fn alike(headers: &str) -> String {
    let lines = headers.split("\r\n").filter(|line| !line.is_empty());
    let lines = lines.map(|line| match line.split_once(':') {
        Some(("Nats-Time-Stamp", _)) => "Nats-Time-Stamp: time",
        _ => line,
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// Leaves dates out of JSON, and what says the same as if it were not there.
fn alike_json(payload: &str) -> String {
    match serde_json::from_str::<Value>(payload) {
        Ok(mut value) if value.is_object() => {
            strip(&mut value);
            value.to_string()
        }
        _ => payload.to_owned(),
    }
}

fn strip(value: &mut Value) {
    const TIMES: [&str; 6] = [
        "created",
        "first_ts",
        "last_ts",
        "time",
        "last_active",
        "timestamp",
    ];
    match value {
        Value::Object(map) => {
            for value in map.values_mut() {
                strip(value);
            }
            map.retain(|name, value| {
                let empty = match value {
                    Value::Null => true,
                    Value::Bool(flag) => !*flag,
                    Value::Number(number) => number.as_i64() == Some(0),
                    Value::String(text) => text.is_empty(),
                    Value::Array(list) => list.is_empty(),
                    Value::Object(map) => map.is_empty(),
                };
                !empty
                    && !TIMES.contains(&name.as_str())
                    && !matches!(name.as_str(), "cluster" | "id")
            });
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}
