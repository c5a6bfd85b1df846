//! The words of acknowledgement, and what the server says of them.

use super::Consumer;
use crate::Subject;
use crate::testing::core::jetstream::Context;
use crate::testing::core::jetstream::config::AckPolicy;
use crate::testing::core::jetstream::time::{nanos, rfc3339};
use crate::testing::core::message::Message;
use serde_json::{Value, json};
use std::time::Duration;

impl Consumer {
    /// Takes a word of acknowledgement. Says whether there may be something to deliver after it.
    pub(in crate::testing::core::jetstream) fn handle_ack(
        &mut self,
        sequence: u64,
        delivery: u64,
        deliveries: u64,
        word: &[u8],
        context: &mut Context<'_>,
    ) -> bool {
        let was_stalled = self.is_stalled();
        match word {
            b"" | b"+ACK" | b"+OK" => self.ack(sequence, delivery),
            b"+WPI" => {
                if let Some(pending) = self.pending.get_mut(&sequence) {
                    pending.at = context.now;
                }
            }
            b"+TERM" => self.term(sequence, delivery, deliveries, context),
            word if word.starts_with(b"+NXT") => self.ack(sequence, delivery),
            word => {
                if let Some(delay) = word.strip_prefix(b"-NAK") {
                    self.nak(sequence, delivery, deliveries, delay, context);
                    return true;
                }
            }
        }
        was_stalled
    }

    fn ack(&mut self, sequence: u64, mut delivery: u64) {
        match self.config.ack_policy {
            AckPolicy::None => {}
            AckPolicy::Explicit => {
                if let Some(pending) = self.pending.remove(&sequence) {
                    delivery = pending.delivery;
                }
                if self.pending.is_empty() {
                    self.floor = (self.next_delivery - 1, self.next - 1);
                } else if delivery == self.floor.0.saturating_add(1) {
                    self.floor = (delivery, sequence);
                    let mut later = self.pending.range(sequence.saturating_add(1)..);
                    if let Some((sequence, pending)) = later.next() {
                        self.floor = (pending.delivery - 1, sequence - 1);
                    }
                }
                self.forget(sequence);
                self.settled.push(sequence);
            }
            AckPolicy::All => {
                if delivery <= self.floor.0 || sequence <= self.floor.1 {
                    return;
                }
                for acked in self.floor.1 + 1..=sequence.min(self.next) {
                    self.pending.remove(&acked);
                    self.forget(acked);
                    self.settled.push(acked);
                }
                self.floor = (delivery, sequence);
            }
        }
    }

    pub(super) fn forget(&mut self, sequence: u64) {
        self.redelivered.remove(&sequence);
        self.again.retain(|queued| *queued != sequence);
    }

    pub(super) fn term(
        &mut self,
        sequence: u64,
        delivery: u64,
        deliveries: u64,
        context: &mut Context<'_>,
    ) {
        self.ack(sequence, delivery);
        let body =
            json!({"consumer_seq": delivery, "stream_seq": sequence, "deliveries": deliveries});
        self.advise("MSG_TERMINATED", "terminated", body, context);
    }

    fn nak(
        &mut self,
        sequence: u64,
        delivery: u64,
        deliveries: u64,
        delay: &[u8],
        context: &mut Context<'_>,
    ) {
        if delivery <= self.floor.0 || delivery > self.next_delivery {
            return;
        }
        if !self.pending.is_empty() && !self.pending.contains_key(&sequence) {
            return;
        }
        let body =
            json!({"consumer_seq": delivery, "stream_seq": sequence, "deliveries": deliveries});
        self.advise("MSG_NAKED", "nak", body, context);
        if let Some(delay) = nak_delay(delay) {
            self.again.retain(|queued| *queued != sequence);
            if let Some(pending) = self.pending.get_mut(&sequence) {
                // The time to acknowledge is over when the delay is.
                let since = context.now.saturating_add(delay);
                pending.at = since.saturating_sub(nanos(self.config.ack_wait));
            }
        } else if !self.again.contains(&sequence) {
            self.again.push_back(sequence);
        }
    }

    pub(super) fn advise(&self, kind: &str, event: &str, body: Value, context: &mut Context<'_>) {
        let subject = format!(
            "$JS.EVENT.ADVISORY.CONSUMER.{kind}.{}.{}",
            self.stream, self.name
        );
        let Ok(subject) = Subject::parse(&subject) else {
            return;
        };
        let mut advisory = json!({
            "type": format!("io.nats.jetstream.advisory.v1.{event}"),
            "id": context.id(),
            "timestamp": rfc3339(context.now),
            "stream": self.stream,
            "consumer": self.name,
        });
        if let (Value::Object(advisory), Value::Object(body)) = (&mut advisory, body) {
            advisory.extend(body);
        }
        context.send(Message::answer(&subject, advisory.to_string()));
    }
}

/// Reads how long a message is not wanted: JSON with nanoseconds, or as Go writes durations, of
/// which whole numbers with one unit are understood.
fn nak_delay(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if text.starts_with('{') {
        let value: Value = serde_json::from_str(text).ok()?;
        return Some(nanos(
            value.get("delay").and_then(Value::as_i64).unwrap_or(0),
        ));
    }
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ns" => Some(Duration::from_nanos(number)),
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}
