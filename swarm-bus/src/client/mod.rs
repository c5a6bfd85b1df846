//! The client: one connection, kept.
//!
//! ```text
//!  publish, request          subscribe, serve
//!        │                          ▲
//!        ▼                          │ mailboxes: bounded, counted
//!   ┌─ topology ────────────────────┴─┐    supervisor: seeks a connection for ever,
//!   │  subscriptions, current link    │◄── replaces it on reload (make before break),
//!   └────────┬────────────────▲───────┘    drains it at the end
//!            ▼                │
//!        outbound          replies, routes
//!        └──────── link ──────┘            one TLS connection; never mended
//! ```
//!
//! # What is promised
//! - **Nothing blocks without bound.** [`Client::publish`] never waits; everything that waits has a
//!   time limit.
//! - **A publication says what it is worth**: [`Queued`], [`Flushed`] (proven by a round trip),
//!   [`Stored`] (acknowledged by a stream).
//! - **A loss is told.** A full queue is an error; a full subscription yields
//!   [`ReceiveError::Missed`] at the place of the loss; a denial is an error where somebody waits,
//!   and an item of [`Client::denials`] in any case.
//! - **A reload loses nothing and doubles nothing** of what is published by this crate, which gives
//!   each message an id. What other software publishes without a `Nats-Msg-Id` may come twice
//!   within the moment of the replacement; it is not lost either.
//! - **A loss of the connection** loses what was [`Queued`] and not sent, and what others published
//!   meanwhile without a stream. Subscriptions resume by themselves.

mod backlog;
mod backoff;
mod denials;
mod domain;
mod error;
mod id;
mod link;
mod mailbox;
mod many;
mod options;
mod ordered;
mod publish;
mod request;
mod serve;
mod signal;
mod state;
mod statistics;
mod subscribe;
mod subscriptions;
mod supervisor;

pub use backlog::{Dropped, Drops};
pub use denials::{Denials, Denied, Operation};
pub use error::{
    DrainError, Fault, FlushError, LinkError, ProtocolError, PublishError, ReceiveError,
    ReloadError, RequestError, SubscribeError,
};
pub use many::{ManyBounds, ManyEnd, Replies};
#[cfg(feature = "testing")]
pub(crate) use options::Connector;
pub use options::{Options, ParseServerAddrError, ServerAddr};
pub use publish::{Flushed, Outgoing, Queued, Stored};
pub use serve::{Request, Requests, Responder};
pub use state::{ServerInfo, State, StateWatch};
pub use statistics::Statistics;
pub use subscribe::{Message, Subscription};

#[cfg(feature = "spool")]
pub(crate) use backoff::pause as backoff_pause;
#[cfg(feature = "spool")]
pub(crate) use id::random_u32;
#[cfg(feature = "spool")]
pub(crate) use link::Link;
pub(crate) use link::{Answer, Expected, ExpectedMany};
pub(crate) use ordered::{InOrder, Storing, Unsent};
pub(crate) use serve::Outcome;
pub(crate) use signal::{Signal, Signals};
pub(crate) use subscriptions::wall_clock;

use crate::Token;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use subscriptions::Topology;
use supervisor::{Command, Supervisor};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// A connection to the bus that is sought for ever and outlives its losses. Clones share it; it
/// closes when the last clone and the last subscription are dropped.
#[derive(Clone)]
pub struct Client {
    pub(crate) core: Arc<Core>,
    commands: mpsc::Sender<Command>,
    /// Whose streams are meant, where it is not the server's own.
    domain: Option<Arc<Token>>,
}

/// What clients and the supervisor share.
pub(crate) struct Core {
    pub(crate) options: Arc<Options>,
    counters: Arc<statistics::Counters>,
    topology: Topology,
    state: watch::Sender<State>,
    denials: broadcast::Sender<Denied>,
    backlog: backlog::Backlog,
    ids: id::IdSource,
}

impl Client {
    /// Starts to connect, in the background and for ever. A server that is not there yet is no
    /// error; what keeps it from connecting is seen in [`states`](Self::states).
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let core = Arc::new(Core {
            options: Arc::new(options),
            counters: Arc::default(),
            topology: Topology::new(),
            state: watch::Sender::new(State::Connecting {
                attempts: 0,
                error: None,
            }),
            denials: broadcast::Sender::new(denials::CAPACITY),
            backlog: backlog::Backlog::new(),
            ids: id::IdSource::new(),
        });
        let (commands, receiver) = mpsc::channel(16);
        tokio::spawn(Supervisor::new(Arc::clone(&core), receiver).run());
        Self {
            core,
            commands,
            domain: None,
        }
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    /// [`ConnectError`] with what went wrong last, when there is none in time or the server refuses.
    pub async fn connected(&self, within: Duration) -> Result<Arc<ServerInfo>, ConnectError> {
        let mut states = self.states();
        let settled = states.until(|state| {
            matches!(
                state,
                State::Connected { .. } | State::Refused { .. } | State::Closed
            )
        });
        let state = match tokio::time::timeout(within, settled).await {
            Ok(Some(state)) => state,
            Ok(None) => State::Closed,
            Err(_) => self.states().current(),
        };
        match state {
            State::Connected { server } => Ok(server),
            state => Err(ConnectError {
                cause: state.error().cloned(),
            }),
        }
    }

    /// Follows the state of the connection.
    #[must_use]
    pub fn states(&self) -> StateWatch {
        StateWatch::new(self.core.state.subscribe())
    }

    /// Follows what the server does not permit, as far as nobody waits for it.
    #[must_use]
    pub fn denials(&self) -> Denials {
        Denials::new(self.core.denials.subscribe())
    }

    /// Follows what is dropped of topics with
    /// [`Offline::DropOldest`](crate::Offline::DropOldest).
    #[must_use]
    pub fn drops(&self) -> Drops {
        Drops::new(self.core.backlog.drops.subscribe())
    }

    /// Replaces the connection by a new one, for a new certificate: the new one is proven before
    /// the old one is let go, nothing is lost and nothing doubled. Without a connection it makes
    /// the next attempt at once, also after [`State::Refused`].
    ///
    /// # Errors
    /// [`ReloadError`] when no new connection came about; the old one goes on.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        let (done, result) = oneshot::channel();
        let sent = self.commands.send(Command::Reload(done)).await;
        sent.map_err(|_| ReloadError::Closed)?;
        result.await.unwrap_or(Err(ReloadError::Closed))
    }

    /// Ends in order: subscriptions give what they hold and end, answers that are owed or awaited
    /// get their time, everything published reaches the server.
    ///
    /// # Errors
    /// [`DrainError`]; the client is closed in any case.
    pub async fn drain(&self, within: Duration) -> Result<(), DrainError> {
        let (done, result) = oneshot::channel();
        let command = Command::Drain { within, done };
        let sent = self.commands.send(command).await;
        sent.map_err(|_| DrainError::Closed)?;
        result.await.unwrap_or(Err(DrainError::Closed))
    }

    /// An id that no other service has.
    pub(crate) fn service_id(&self) -> Token {
        Token::parse(&self.core.ids.token()).expect("hexadecimal digits are a token")
    }

    /// Returns a token that nobody can guess.
    pub(crate) fn random_token(&self) -> String {
        self.core.ids.token()
    }

    /// Returns what was counted so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let link = self.core.topology.current();
        self.core.counters.snapshot(
            self.core.state.borrow().is_connected(),
            link.as_ref().map_or(0, |link| link.out.pending()),
            self.core.topology.count(),
            link.map_or(0, |link| link.replies.count()),
            self.core.backlog.len(),
        )
    }

    /// Counts a message that a consumer was given and its filter does not let through.
    pub(crate) fn count_foreign(&self) {
        statistics::count(&self.core.counters.foreign, 1);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("options", &self.core.options)
            .field("state", &*self.core.state.borrow())
            .finish_non_exhaustive()
    }
}

/// There is no connection yet. It is sought further.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not connected")]
pub struct ConnectError {
    /// What went wrong last, if an attempt has failed.
    #[source]
    pub cause: Option<Arc<LinkError>>,
}
