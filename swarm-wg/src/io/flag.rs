//! Something that happens once, and waiting for it.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::lock;

/// Something that happens once.
#[derive(Default)]
pub(super) struct Flag {
    raised: Mutex<bool>,
    news: Condvar,
}

impl Flag {
    /// It has happened.
    pub(super) fn raise(&self) {
        *lock(&self.raised) = true;
        self.news.notify_all();
    }

    /// Waits for it, no longer than this; whether it has happened.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let raised = lock(&self.raised);
        let (raised, _) = self
            .news
            .wait_timeout_while(raised, timeout, |raised| !*raised)
            .unwrap_or_else(PoisonError::into_inner);
        *raised
    }
}
