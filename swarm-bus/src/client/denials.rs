//! What the server does not permit.

use tokio::sync::broadcast;

/// How many denials a follower may lag behind.
pub(super) const CAPACITY: usize = 256;

/// Something that the server did not permit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denied {
    /// What was tried.
    pub operation: Operation,
    /// The subject or pattern.
    pub subject: String,
    /// The queue group of a subscription.
    pub queue: Option<String>,
}

/// What can be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A publication.
    Publish,
    /// A subscription.
    Subscribe,
}

/// Follows what the server denies.
#[derive(Debug)]
pub struct Denials(broadcast::Receiver<Denied>);

impl Denials {
    pub(super) fn new(receiver: broadcast::Receiver<Denied>) -> Self {
        Self(receiver)
    }

    /// Waits for the next denial; `None` after the client closed. `Err` says how many were not kept
    /// because nobody looked; [`Statistics::denied`](super::Statistics::denied) counts all.
    pub async fn next(&mut self) -> Option<Result<Denied, u64>> {
        match self.0.recv().await {
            Ok(denied) => Some(Ok(denied)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Err(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
