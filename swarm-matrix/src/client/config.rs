//! What a session is made of, and what becomes of it.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::budget::BudgetConfig;
use crate::client::Endpoint;
use crate::event::{NodeState, StateContent};
use crate::id::UserId;
use crate::login::LoginToken;

/// Why no login token can be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Whoever mints refuses this identity, as when its certificate is revoked: the session ends.
    #[error("refused: {0}")]
    Refused(String),
    /// Whoever mints cannot be reached: it is tried again.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

type TokenFuture = Pin<Box<dyn Future<Output = Result<LoginToken, TokenError>> + Send>>;

/// Gives a fresh login token whenever one is needed.
#[derive(Clone)]
pub(crate) struct TokenSource(Arc<dyn Fn() -> TokenFuture + Send + Sync>);

impl TokenSource {
    pub(crate) async fn token(&self) -> Result<LoginToken, TokenError> {
        (self.0)().await
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource(..)")
    }
}

/// What a [`Session`](crate::Session) is made of.
///
/// # Defaults
/// State of the type [`NodeState`] is followed; a request for news stands 30 seconds; after a
/// failure the next is made after 250 milliseconds to 15 seconds, doubling, with jitter; 1,024
/// messages a room are kept for readers; [`BudgetConfig::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionConfig {
    /// The way to the homeserver.
    pub endpoint: Endpoint,
    /// Whose session.
    pub user: UserId,
    /// The session's own directory; made when there is none.
    pub store: PathBuf,
    /// What the device is called in lists.
    pub device_name: String,
    /// How long a request for news stands open.
    pub poll: Duration,
    /// The first and the longest wait after a failure.
    pub backoff: (Duration, Duration),
    /// Messages a room that are kept for readers.
    pub messages: usize,
    /// How often state is published.
    pub budget: BudgetConfig,
    pub(crate) state_types: BTreeSet<&'static str>,
    pub(crate) tokens: TokenSource,
}

impl SessionConfig {
    /// A session of `user`, kept in `store`, that asks `tokens` for a login token when it needs
    /// one: at its first login, and when the homeserver has forgotten it.
    pub fn new<F, Fut>(
        endpoint: Endpoint,
        user: UserId,
        store: impl Into<PathBuf>,
        tokens: F,
    ) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<LoginToken, TokenError>> + Send + 'static,
    {
        Self {
            endpoint,
            user,
            store: store.into(),
            device_name: "swarm node".to_owned(),
            poll: Duration::from_secs(30),
            backoff: (Duration::from_millis(250), Duration::from_secs(15)),
            messages: 1_024,
            budget: BudgetConfig::default(),
            state_types: BTreeSet::from([NodeState::TYPE]),
            tokens: TokenSource(Arc::new(move || Box::pin(tokens()))),
        }
    }

    /// The same following one more type of state.
    pub fn with_state<T: StateContent>(mut self) -> Self {
        self.state_types.insert(T::TYPE);
        self
    }
}

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// It has not yet heard from the homeserver.
    Connecting,
    /// It is up to date.
    Connected,
    /// The homeserver cannot be reached; it is tried again.
    Disconnected {
        /// Failures in a row.
        attempts: u32,
        /// How long until the next attempt.
        retry_in: Duration,
        /// Why, in one line.
        error: String,
    },
    /// The account is cut off, or the identity refused. For good: nothing is tried again.
    Revoked {
        /// Why, in one line.
        reason: String,
    },
    /// The session was closed.
    Closed,
}

impl SessionState {
    /// Whether nothing follows this state.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Revoked { .. } | Self::Closed)
    }
}

/// Whether others can tell that this device is its user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// Not known yet.
    Unknown,
    /// This device is signed by its user's cross-signing key: others share keys with it.
    CrossSigned,
    /// The user has a cross-signing key that this device does not hold: its store was lost.
    /// Others give it no keys. An administrator can permit a new identity
    /// ([`Admin::permit_new_identity`](crate::Admin::permit_new_identity)), which
    /// [`Session::renew_identity`](crate::Session::renew_identity) then makes.
    Lost,
}
