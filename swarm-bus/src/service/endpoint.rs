//! One endpoint: what it is, and what it did.

use super::{EndpointInfo, EndpointStats, QUEUE_GROUP, ServiceName};
use crate::client::{Fault, Message, Outcome, ReceiveError, Requests};
use crate::{Call, Pattern, Token};
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest text of an error that is kept, in bytes.
const ERROR_BYTES: usize = 256;

/// What an endpoint of a service shall be.
///
/// # Defaults
/// In the queue group `q`, without metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// Its name, for people and tools.
    pub name: ServiceName,
    /// The queue group among which requests are shared; `None`: each instance gets all.
    pub queue_group: Option<Token>,
    /// What it notes about itself.
    pub metadata: BTreeMap<String, String>,
}

impl EndpointConfig {
    /// Describes an endpoint with the defaults.
    #[must_use]
    pub fn new(name: ServiceName) -> Self {
        Self {
            name,
            queue_group: Some(QUEUE_GROUP),
            metadata: BTreeMap::new(),
        }
    }
}

pub(super) struct Endpoint {
    config: EndpointConfig,
    pattern: Pattern,
    counted: Mutex<Counted>,
}

impl Endpoint {
    pub(super) fn new(config: EndpointConfig, pattern: Pattern) -> Self {
        Self {
            config,
            pattern,
            counted: Mutex::default(),
        }
    }

    fn queue_group(&self) -> String {
        let group = self.config.queue_group.as_ref();
        group.map_or(String::new(), ToString::to_string)
    }

    pub(super) fn info(&self) -> EndpointInfo {
        EndpointInfo {
            name: self.config.name.to_string(),
            subject: self.pattern.to_string(),
            queue_group: self.queue_group(),
            metadata: self.config.metadata.clone(),
        }
    }

    pub(super) fn stats(&self) -> EndpointStats {
        let counted = self.counted();
        EndpointStats {
            name: self.config.name.to_string(),
            subject: self.pattern.to_string(),
            queue_group: self.queue_group(),
            num_requests: counted.requests,
            num_errors: counted.errors,
            last_error: counted.last_error.clone(),
            processing_time: counted.time,
            average_processing_time: counted.average(),
            data: None,
        }
    }

    pub(super) fn reset(&self) {
        *self.counted() = Counted::default();
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers requests until `stop`. A handler that panics costs its asker the answer 500, and the
    /// endpoint nothing.
    pub(super) async fn run<C, F, A>(
        self: Arc<Self>,
        requests: Requests<C>,
        stop: impl Future<Output = ()>,
        handler: F,
    ) where
        C: Call,
        F: Fn(Message<C>) -> A,
        A: Future<Output = Result<C::Reply, Fault>>,
    {
        let handler = &handler;
        let guarded = |message| async move {
            let answer = AssertUnwindSafe(async { handler(message).await });
            answer
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(Fault::new(500, "the handler panicked")))
        };
        let note = |outcome: Outcome<'_>| self.counted().note(&outcome);
        requests.serve_noted(stop, guarded, note).await;
    }
}

#[derive(Debug, Default, PartialEq)]
struct Counted {
    requests: u64,
    errors: u64,
    time: Duration,
    last_error: String,
}

impl Counted {
    fn note(&mut self, outcome: &Outcome<'_>) {
        match outcome {
            Outcome::Answered { took } => self.handled(*took),
            Outcome::Failed { fault, took } => {
                self.handled(*took);
                self.failed(1, &format!("{}:{}", fault.code, fault.description));
            }
            Outcome::Unserved(ReceiveError::Denied { pattern }) => {
                self.failed(0, &format!("403:subscribing to {pattern} is not permitted"));
            }
            Outcome::Unserved(error @ ReceiveError::Missed { count }) => {
                self.requests += count;
                self.failed(*count, &format!("503:{error}"));
            }
            Outcome::Unserved(error) => {
                self.requests += 1;
                self.failed(1, &format!("400:{error}"));
            }
            Outcome::Unsent(error) => self.failed(1, &format!("500:{error}")),
        }
    }

    fn handled(&mut self, took: Duration) {
        self.requests += 1;
        self.time = self.time.saturating_add(took);
    }

    fn failed(&mut self, count: u64, text: &str) {
        self.errors += count;
        text[..text.floor_char_boundary(ERROR_BYTES)].clone_into(&mut self.last_error);
    }

    /// In whole nanoseconds.
    fn average(&self) -> Duration {
        let requests = u128::from(self.requests);
        let nanos = self.time.as_nanos().checked_div(requests).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_requests_adds_up() {
        let mut counted = Counted::default();
        assert_eq!(counted.average(), Duration::ZERO);
        let took = Duration::from_nanos(10);
        counted.note(&Outcome::Answered { took });
        let fault = Fault::new(404, "ä".repeat(ERROR_BYTES));
        counted.note(&Outcome::Failed {
            fault: &fault,
            took: Duration::from_nanos(5),
        });
        assert_eq!((counted.requests, counted.errors), (2, 1));
        assert_eq!(counted.average(), Duration::from_nanos(7), "truncated");
        assert!(counted.last_error.starts_with("404:ä") && counted.last_error.len() <= ERROR_BYTES);
        counted.note(&Outcome::Unserved(&ReceiveError::Missed { count: 3 }));
        assert_eq!((counted.requests, counted.errors), (5, 4));
    }
}
