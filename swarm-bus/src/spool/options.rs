//! How a spool is drained.

use crate::{Pattern, Token};
use std::time::Duration;

/// How many messages of one subject may be on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// As many as may be at all, by one connection. See the [module](super) for what keeps the
    /// order then, and for what may break it.
    #[default]
    Pipelined,
    /// One: the next goes when the stream has the one before, so that nothing can break the order.
    /// Each subject has one message a round trip: see the [module](super#order) for why it cannot have
    /// more.
    Strict,
}

/// What becomes of messages that may be stored already where that cannot be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Unsettled {
    /// They wait, and all of their subject after them; it is asked again every half minute.
    #[default]
    Hold,
    /// They are sent again: a stream whose duplicate window has passed keeps them twice.
    Send,
}

/// How a spool is drained.
///
/// # Defaults
/// 25,000 messages a second, 1,024 on their way, pipelined; two minutes of duplicate window, what
/// cannot be settled is held.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DrainOptions {
    /// How many messages go in a second at most.
    pub per_second: u32,
    /// How many messages may be on their way.
    pub in_flight: usize,
    /// How many of one subject.
    pub order: Order,
    /// For how long the streams know ids again, at least
    /// ([`StreamConfig::duplicate_window`](crate::stream::StreamConfig::duplicate_window)).
    pub duplicate_window: Duration,
    /// Which stream keeps which subjects. Where none is named, JetStream is asked, which takes a
    /// right (`$JS.API.STREAM.NAMES`).
    pub streams: Vec<(Pattern, Token)>,
    /// What becomes of messages that may be stored already where that cannot be found out.
    pub unsettled: Unsettled,
    /// How long the acknowledgement of a message is awaited.
    pub timeout: Duration,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self {
            per_second: 25_000,
            in_flight: 1024,
            order: Order::default(),
            duplicate_window: Duration::from_secs(120),
            streams: Vec::new(),
            unsettled: Unsettled::default(),
            timeout: Duration::from_secs(5),
        }
    }
}
