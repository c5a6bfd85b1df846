//! Publishes a session's own state, on transitions only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::SessionState;
use super::session::{Inner, Session};
use crate::budget::{Budget, BudgetConfig, Offer};
use crate::error::Error;
use crate::event::{StateContent, check_type, encode};
use crate::id::{EventId, RoomId};

/// What became of a state that was to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Published {
    /// The homeserver has it.
    Sent(EventId),
    /// It is what stands there already.
    Unchanged,
    /// Too many came before it: it is sent after this time, unless a newer one takes its place.
    /// [`Session::close`](crate::Session::close) sends it sooner.
    Held(Duration),
}

type Key = (RoomId, String);

pub(super) struct Publisher {
    budget: Mutex<Budget<Key, Value>>,
    wake: Notify,
    began: Instant,
}

impl Publisher {
    pub(super) fn new(config: BudgetConfig) -> Self {
        Self {
            budget: Mutex::new(Budget::new(config)),
            wake: Notify::new(),
            began: Instant::now(),
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget<Key, Value>> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sends what is held once its time has come and the homeserver is there, until the
    /// session's end.
    pub(super) async fn run(inner: Arc<Inner>) {
        let publisher = &inner.publisher;
        let mut state = inner.shared.state.subscribe();
        loop {
            let connected = *state.borrow_and_update() == SessionState::Connected;
            let due = publisher.budget().next_deadline().filter(|_| connected);
            let at = due.map(|due| publisher.began + Duration::from_millis(due));
            let come = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = come => publisher.send_due(&inner).await,
                () = publisher.wake.notified() => {}
                changed = state.changed() => {
                    if changed.is_err() || inner.shared.check_open().is_err() {
                        return;
                    }
                    // What failed while the homeserver was away need not wait any longer.
                    if !connected && *state.borrow() == SessionState::Connected {
                        publisher.budget().retry();
                    }
                }
            }
        }
    }

    async fn send_due(&self, inner: &Inner) {
        loop {
            let next = self.budget().poll(self.now());
            let Some((key, content)) = next else { return };
            // A failure is held again by `put`.
            let _ = Box::pin(put(inner, key, content)).await;
        }
    }
}

async fn put(inner: &Inner, key: Key, content: Value) -> Result<EventId, Error> {
    let result = inner.put_state(&key.0, &key.1, &content).await;
    if let Err(error) = &result {
        tracing::debug!(room = %key.0, event_type = key.1, %error, "state is held back");
        inner
            .publisher
            .budget()
            .failed(&key, content, inner.publisher.now());
        inner.publisher.wake.notify_one();
    }
    result
}

impl Session {
    /// Publishes a state under this user's own id, when it differs from what stands there and
    /// the budget allows.
    ///
    /// # Errors
    /// When the content cannot be one, the session is not in the room, or the homeserver cannot be
    /// reached or refuses. After a failure that may pass the state stays held, and is sent when
    /// the homeserver is back.
    pub async fn publish_state<T: StateContent>(
        &self,
        room: &RoomId,
        content: &T,
    ) -> Result<Published, Error> {
        check_type(T::TYPE)?;
        let content = Value::Object(encode(content)?);
        let inner = &self.inner;
        inner.shared.check_open()?;
        let standing = inner.shared.read(room, |entry| {
            entry.state.content(T::TYPE, &inner.config.user).cloned()
        })?;
        let key = (room.clone(), T::TYPE.to_owned());
        let publisher = &inner.publisher;
        let now = publisher.now();
        let offer = {
            let mut budget = publisher.budget();
            if let Some(standing) = standing {
                budget.seed(key.clone(), standing);
            }
            budget.offer(key.clone(), content.clone(), now)
        };
        match offer {
            Offer::Unchanged => Ok(Published::Unchanged),
            Offer::Held { until } => {
                publisher.wake.notify_one();
                Ok(Published::Held(Duration::from_millis(
                    until.saturating_sub(now),
                )))
            }
            Offer::Publish => Box::pin(put(inner, key, content))
                .await
                .map(Published::Sent),
        }
    }

    /// Publishes at once whatever is held back.
    pub(super) async fn publish_held(&self) {
        let held = self.inner.publisher.budget().drain();
        for (key, content) in held {
            // Nobody is left to be told; `put` logs it.
            let _ = Box::pin(put(&self.inner, key, content)).await;
        }
    }
}
