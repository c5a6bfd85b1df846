//! Signs that something has changed on the bus.

use super::mailbox::Item;
use super::subscribe::Inbox;
use super::subscriptions::Purpose;
use super::{Client, SubscribeError};
use crate::Pattern;

/// A subscription that says that something came, not what: it holds one message at most, and what
/// comes on top of that is no loss.
pub(crate) struct Signals(Inbox);

/// What a subscription to signals yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// At least one message came since.
    Changed,
    /// This user may not, or no longer, subscribe to that.
    Denied,
    /// The client is closed.
    Ended,
}

impl Client {
    pub(crate) fn signals(&self, pattern: &Pattern) -> Result<Signals, SubscribeError> {
        self.open_inbox(pattern, None, Purpose::Signals)
            .map(Signals)
    }
}

impl Signals {
    /// Waits for the next signal. Dropping the future before it is ready loses nothing.
    pub(crate) async fn next(&mut self) -> Signal {
        match std::future::poll_fn(|context| self.0.poll_next(context)).await {
            Some(Item::Parcel(_) | Item::Missed(_)) => Signal::Changed,
            Some(Item::Denied) => Signal::Denied,
            None => Signal::Ended,
        }
    }

    /// Waits until the server has the subscription.
    pub(crate) async fn barrier(&self) -> Result<(), SubscribeError> {
        self.0.barrier().await
    }
}
