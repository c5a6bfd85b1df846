//! How the connection stands.

use super::{LinkError, ServerAddr};
use crate::stream::ServerVersion;
use std::sync::Arc;
use tokio::sync::watch;

/// How the connection stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum State {
    /// There is none; it is being sought, for ever.
    Connecting {
        /// How many attempts failed in a row.
        attempts: u32,
        /// Why the last one failed, or why the connection before went.
        error: Option<Arc<LinkError>>,
    },
    /// There is one, and every subscription is live.
    Connected {
        /// With whom.
        server: Arc<ServerInfo>,
    },
    /// The server knows no such user, or no longer. Nothing is tried until
    /// [`reload`](super::Client::reload).
    Refused {
        /// How it said so.
        error: Arc<LinkError>,
    },
    /// Nothing new is taken; what is under way is finished.
    Draining,
    /// It is over.
    Closed,
}

impl State {
    /// Says whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Returns what went wrong last, if anything.
    #[must_use]
    pub fn error(&self) -> Option<&Arc<LinkError>> {
        match self {
            Self::Connecting { error, .. } => error.as_ref(),
            Self::Refused { error } => Some(error),
            _ => None,
        }
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Where it was reached.
    pub address: ServerAddr,
    /// Its id, new at each start.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version; 0.0.0 where it gives none that can be read.
    pub version: ServerVersion,
    /// The largest message that it takes, in bytes.
    pub max_payload: usize,
    /// Whether it has streams.
    pub jetstream: bool,
}

/// Follows the [`State`]. It may skip a state that did not last, never the latest.
#[derive(Debug, Clone)]
pub struct StateWatch(watch::Receiver<State>);

impl StateWatch {
    pub(super) fn new(receiver: watch::Receiver<State>) -> Self {
        Self(receiver)
    }

    /// Returns the state as it is now.
    #[must_use]
    pub fn current(&self) -> State {
        self.0.borrow().clone()
    }

    /// Waits for a state that was not seen yet; `None` after [`State::Closed`] was.
    pub async fn changed(&mut self) -> Option<State> {
        let over = matches!(&*self.0.borrow(), State::Closed);
        if over && !self.0.has_changed().unwrap_or(false) {
            return None;
        }
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }

    /// Waits for a state that `wanted` accepts, the present one included; `None` when the client
    /// closes before.
    pub async fn until(&mut self, mut wanted: impl FnMut(&State) -> bool) -> Option<State> {
        let mut accepted = false;
        let state = self
            .0
            .wait_for(|state| {
                accepted = wanted(state);
                accepted || matches!(state, State::Closed)
            })
            .await
            .ok()?
            .clone();
        accepted.then_some(state)
    }
}
