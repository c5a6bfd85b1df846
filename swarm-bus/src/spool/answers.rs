//! What comes back of what was sent and asked, and what follows.

use super::handle::parse_message_id;
use super::loss::LossReason;
use super::now_steady;
use super::options::Unsettled;
use super::pump::{Pump, RETRY, TURN};
use super::settle::{self, Unanswered};
use super::window::{Found, Outcome, judge};
use crate::client::{PublishError, Stored, backoff_pause, random_u32};
use crate::{MessageId, Subject};
use futures_util::FutureExt;
use futures_util::stream::StreamExt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// JetStream's number of the error that a message is larger than the stream takes.
const TOO_LARGE: u32 = 10054;
/// How long to wait before it is asked again what could not be found out.
const HELD: Duration = Duration::from_secs(30);

/// Something that was waited for.
pub(super) enum Event {
    Answer {
        number: u64,
        subject: Subject,
        result: Result<Stored, PublishError>,
    },
    Last {
        subject: Subject,
        /// When the oldest message in doubt was put.
        time: u64,
        found: Found,
    },
}

impl Pump {
    /// Asks the stream what it has of a subject.
    pub(super) fn settle(&mut self, subject: Subject, time: u64) {
        let client = self.client.clone();
        let streams = self.options.streams.clone();
        let within = self.options.timeout;
        let prefix = self.shared.prefix.clone();
        let asked = async move {
            let last = settle::last(&client, &streams, &subject, within).await;
            let found = match last {
                Ok(last) => judge(&last, |id| parse_message_id(&prefix, id)),
                Err(Unanswered::Now) => Found::AskAgain,
                Err(Unanswered::Ever) => Found::Unknowable,
                Err(Unanswered::Silent) => Found::Silence,
            };
            Event::Last {
                subject,
                time,
                found,
            }
        };
        self.flying.push(asked.boxed());
    }

    /// Takes in the answers that are there.
    pub(super) fn take_ready(&mut self) {
        for _ in 0..4 * TURN {
            match self.flying.next().now_or_never().flatten() {
                Some(event) => self.take(event),
                None => break,
            }
        }
        // Nothing comes that would make place: what was passed over waits longer than for answers.
        if self.window.flying() == 0 {
            self.passed = 0;
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Answer {
                number,
                subject,
                result,
            } => self.answered(number, &subject, result),
            Event::Last {
                subject,
                time,
                found,
            } => self.found(&subject, time, found),
        }
    }

    fn answered(&mut self, number: u64, subject: &Subject, result: Result<Stored, PublishError>) {
        let counters = &self.shared.counters;
        let outcome = match &result {
            Ok(stored) => {
                if self.shared.finish(number) {
                    counters.drained.fetch_add(1, Relaxed);
                    counters
                        .duplicates
                        .fetch_add(u64::from(stored.duplicate), Relaxed);
                }
                self.shared.changed.send_modify(|count| *count += 1);
                Outcome::Stored
            }
            Err(PublishError::Refused { code, .. }) if *code == TOO_LARGE => {
                self.drop_one(number, Some(subject.as_str()), LossReason::Refused);
                Outcome::Hopeless
            }
            Err(PublishError::Refused { .. } | PublishError::NoStream { .. }) => Outcome::Missed,
            Err(PublishError::Denied { .. }) => Outcome::Denied,
            Err(_) => Outcome::Unknown,
        };
        if let Err(error) = &result {
            tracing::debug!(%subject, number, %error, "not stored");
            counters.retries.fetch_add(1, Relaxed);
        }
        if outcome == Outcome::Denied && !self.window.is_denied(subject.as_str()) {
            tracing::warn!(%subject, number, "waits: this user may not publish it");
        }
        let before = self.window.reordered;
        let now = self.now();
        let pause = |failures| backoff_pause(RETRY.0, RETRY.1, failures, random_u32());
        self.window
            .answer(number, subject.as_str(), &outcome, now, pause);
        let reordered = self.window.reordered - before;
        if reordered > 0 {
            tracing::warn!(%subject, number, "stored before an earlier message of its subject");
            self.shared.counters.reordered.fetch_add(reordered, Relaxed);
        }
    }

    fn found(&mut self, subject: &Subject, time: u64, mut found: Found) {
        if found == Found::Silence {
            found = self.window.weigh_silence(subject.as_str());
        }
        if found == Found::Unknowable {
            let waited = self
                .shared
                .clock
                .now_millis()
                .checked_sub(time)
                .map(Duration::from_millis);
            let known = self.options.duplicate_window * 3 / 4;
            // It was put so recently that the stream knows the id in any case.
            if waited.is_some_and(|waited| waited < known)
                || self.options.unsettled == Unsettled::Send
            {
                found = Found::Nothing;
            } else {
                tracing::warn!(%subject, "held: it cannot be found out what the stream has");
            }
        }
        let pause = match found {
            Found::Unknowable => HELD,
            _ => backoff_pause(RETRY.0, RETRY.1, 3, random_u32()),
        };
        self.window
            .settle(subject.as_str(), found, now_steady(), pause);
    }
}

/// Waits for the answer to a message.
pub(super) async fn answer(
    number: u64,
    subject: Subject,
    id: MessageId,
    mut expected: crate::client::Expected,
    timeout: Duration,
) -> Event {
    let answer = tokio::time::timeout(timeout, expected.answer()).await;
    let result = Stored::read(answer.ok().flatten(), subject.as_str(), &id);
    Event::Answer {
        number,
        subject,
        result,
    }
}
