//! What a spool did not pass on.

use tokio::sync::broadcast;

/// How many losses a follower may lag behind.
pub(super) const CAPACITY: usize = 1024;

/// Why messages were not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LossReason {
    /// The spool was full, and they were the oldest.
    #[default]
    Full,
    /// They waited longer than they may.
    Age,
    /// The stream will never take them: they are larger than it or its server allows.
    Refused,
    /// The disk no longer has what was written.
    Damaged,
}

impl LossReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Full, Self::Age, Self::Refused, Self::Damaged];

    /// Returns the word for it in figures.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Age => "age",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
        }
    }
}

/// Messages of one subject that were not passed on. One that was on its way at that moment may have
/// arrived all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// Why.
    pub reason: LossReason,
    /// Their subject; `None` where the disk does not tell any more.
    pub subject: Option<String>,
    /// How many.
    pub count: u64,
}

/// Follows what a spool does not pass on.
#[derive(Debug)]
pub struct Losses(broadcast::Receiver<Loss>);

impl Losses {
    pub(super) fn new(receiver: broadcast::Receiver<Loss>) -> Self {
        Self(receiver)
    }

    /// Waits for the next loss; `None` after the spool closed. `Err` says how many were not kept
    /// because nobody looked; [`Statistics::dropped`](super::Statistics::dropped) counts all.
    pub async fn next(&mut self) -> Option<Result<Loss, u64>> {
        match self.0.recv().await {
            Ok(loss) => Some(Ok(loss)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Err(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
