//! Requests of readers that wait for messages.

use super::Context;
use super::time::nanos;
use crate::Subject;
use crate::testing::core::message::Message;
use serde::Deserialize;
use std::collections::VecDeque;
use std::time::Duration;

const PENDING_MESSAGES: &str = "Nats-Pending-Messages";
/// More often nobody needs to hear that there is nothing.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(1);
const PENDING_BYTES: &str = "Nats-Pending-Bytes";

/// What a reader asks for.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Ask {
    batch: i64,
    expires: i64,
    max_bytes: i64,
    no_wait: bool,
    idle_heartbeat: i64,
}

impl Default for Ask {
    /// One message, without an end: what an empty request asks for.
    fn default() -> Self {
        Self {
            batch: 1,
            expires: 0,
            max_bytes: 0,
            no_wait: false,
            idle_heartbeat: 0,
        }
    }
}

impl Ask {
    /// Reads a request: nothing, a number, or JSON.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, &'static str> {
        let text = payload.trim_ascii();
        if text.first() == Some(&b'{') {
            #[derive(Deserialize)]
            struct Batch {
                #[serde(default)]
                batch: i64,
            }
            let bad = |_| "invalid JSON";
            let mut ask: Self = serde_json::from_slice(text).map_err(bad)?;
            // An object that names no batch says 0.
            ask.batch = serde_json::from_slice::<Batch>(text).map_err(bad)?.batch;
            if ask.idle_heartbeat > 0 && ask.idle_heartbeat.saturating_mul(2) > ask.expires {
                return Err("heartbeat value too large");
            }
            return Ok(ask);
        }
        let number = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok());
        Ok(Self {
            batch: number.unwrap_or(1),
            ..Self::default()
        })
    }

    pub(super) fn no_wait(&self) -> bool {
        self.no_wait
    }

    /// Says whether the request is for what is there at this moment alone.
    pub(super) fn is_instant(&self) -> bool {
        self.no_wait && self.expires == 0
    }

    /// Returns which limit of a consumer is exceeded.
    pub(super) fn exceeds(&self, batch: i64, expires: i64, bytes: i64) -> Option<String> {
        if batch > 0 && self.batch > batch {
            return Some(format!("Exceeded MaxRequestBatch of {batch}"));
        }
        if expires > 0 && self.expires > expires {
            return Some(format!(
                "Exceeded MaxRequestExpires of {:?}",
                nanos(expires)
            ));
        }
        (bytes > 0 && self.max_bytes > bytes)
            .then(|| format!("Exceeded MaxRequestMaxBytes of {bytes}"))
    }
}

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    reply: Subject,
    left: i64,
    bytes: i64,
    delivered: bool,
    no_wait: bool,
    expires: Option<Duration>,
    heartbeat: Option<(Duration, Duration)>,
}

impl Waiting {
    fn counts(&self) -> [(&'static str, String); 2] {
        [
            (PENDING_MESSAGES, self.left.to_string()),
            (PENDING_BYTES, self.bytes.to_string()),
        ]
    }
}

/// The requests of one consumer, served in turn.
#[derive(Debug, Default)]
pub(super) struct WaitQueue(VecDeque<Waiting>);

impl WaitQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Counts the messages that are asked for.
    pub(super) fn asked(&self) -> u64 {
        let left = self
            .0
            .iter()
            .map(|waiting| waiting.left.max(0).unsigned_abs());
        left.fold(0, u64::saturating_add)
    }

    pub(super) fn add(&mut self, ask: &Ask, reply: Subject, now: Duration) {
        let heartbeat = match nanos(ask.idle_heartbeat) {
            Duration::ZERO => Duration::ZERO,
            pause => pause.max(SHORTEST_HEARTBEAT),
        };
        self.0.push_back(Waiting {
            reply,
            left: ask.batch,
            bytes: ask.max_bytes,
            delivered: false,
            no_wait: ask.no_wait,
            expires: (ask.expires != 0).then(|| now.saturating_add(nanos(ask.expires))),
            heartbeat: (!heartbeat.is_zero()).then(|| (now.saturating_add(heartbeat), heartbeat)),
        });
    }

    /// Finds who gets a message of this size next, and counts it.
    pub(super) fn take(&mut self, size: usize, context: &mut Context<'_>) -> Option<Subject> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        while let Some(mut first) = self.0.pop_front() {
            if first.bytes > 0 {
                if size > first.bytes {
                    let line = "409 Message Size Exceeds MaxBytes";
                    let status = Message::status(&first.reply, line, &first.counts());
                    context.send(status);
                    continue;
                }
                first.bytes -= size;
                if first.bytes == 0 {
                    first.left = 1;
                }
            }
            let over = first.expires.is_some_and(|expires| expires <= context.now);
            if over || !context.is_awaited(&first.reply) {
                continue;
            }
            first.delivered = true;
            first.left = first.left.saturating_sub(1);
            if let Some((at, pause)) = &mut first.heartbeat {
                *at = context.now.saturating_add(*pause);
            }
            let reply = first.reply.clone();
            if first.left > 0 {
                self.0.push_back(first);
            }
            return Some(reply);
        }
        None
    }

    /// Ends the requests whose time is over and those that nobody awaits any more; `drained` says
    /// that there is nothing more to deliver. `place` is where the consumer stands.
    pub(super) fn sweep(&mut self, drained: bool, place: (u64, u64), context: &mut Context<'_>) {
        self.0.retain_mut(|waiting| {
            let over = waiting
                .expires
                .is_some_and(|expires| expires <= context.now);
            if over || (drained && waiting.no_wait && waiting.delivered) {
                let line = "408 Request Timeout";
                context.send(Message::status(&waiting.reply, line, &waiting.counts()));
                return false;
            }
            if !context.is_awaited(&waiting.reply) {
                return false;
            }
            if let Some((at, pause)) = &mut waiting.heartbeat
                && *at <= context.now
            {
                *at = context.now.saturating_add(*pause);
                let headers = [
                    ("Nats-Last-Consumer", place.0.to_string()),
                    ("Nats-Last-Stream", place.1.to_string()),
                ];
                let line = "100 Idle Heartbeat";
                context.send(Message::status(&waiting.reply, line, &headers));
            }
            true
        });
    }

    /// Tells all who wait that the consumer is gone.
    pub(super) fn end(&mut self, context: &mut Context<'_>) {
        for waiting in self.0.drain(..) {
            context.send(Message::status(&waiting.reply, "409 Consumer Deleted", &[]));
        }
    }

    /// Returns when something is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let times = |waiting: &Waiting| {
            let heartbeat = waiting.heartbeat.map(|(at, _)| at);
            waiting.expires.into_iter().chain(heartbeat)
        };
        self.0.iter().flat_map(times).min()
    }

    /// Forgets all, as a server does that is killed.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
