//! What can go wrong between a session and its homeserver.

use std::path::PathBuf;
use std::time::Duration;

use crate::event::ContentError;
use crate::id::{IdError, RoomAlias, RoomId, UserId};

/// An error of another layer, kept as the source.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The homeserver's address is not one, or is not fit for what it is used for.
    #[error("`{url}` cannot be the homeserver's address: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The HTTP client cannot be made of the TLS configuration.
    #[error("the http client cannot be made")]
    Http(#[source] Cause),
    /// A file or directory of the session's store.
    #[error("cannot {verb} `{path}`")]
    Store {
        /// What was tried: `read`, `write`, `open`.
        verb: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// Another process has the store open.
    #[error("the store `{0}` is in use by another process")]
    StoreInUse(PathBuf),
    /// The store belongs to somebody else.
    #[error("the store belongs to {found}, not to {wanted}")]
    StoreOwner {
        /// Whose it is.
        found: UserId,
        /// Whose it should be.
        wanted: UserId,
    },
    /// The homeserver does not answer, or the connection to it cannot be made.
    #[error("the homeserver cannot be reached")]
    Unreachable(#[source] Cause),
    /// The homeserver refuses.
    #[error("the homeserver refuses ({status}, {code}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Matrix's error code: `M_FORBIDDEN`.
        code: String,
        /// What it says.
        message: String,
    },
    /// The homeserver asks to wait: too many requests.
    #[error("the homeserver asks to wait")]
    RateLimited {
        /// For how long, where it says so.
        retry_after: Option<Duration>,
    },
    /// The homeserver answers something that is not Matrix.
    #[error("the homeserver's answer is not understood")]
    Answer(#[source] Cause),
    /// The account is cut off: locked, deactivated, or its identity refused.
    #[error("the account is cut off: {0}")]
    Revoked(String),
    /// No login token can be had at the moment.
    #[error("no login token can be had: {0}")]
    TokenUnavailable(String),
    /// No room has that alias.
    #[error("there is no room {0}")]
    NoRoom(RoomAlias),
    /// The room under the alias was made by somebody who has no business with it.
    #[error("{alias} is a room made by {found}, not by {wanted}")]
    RoomTaken {
        /// The alias.
        alias: RoomAlias,
        /// Who made the room.
        found: String,
        /// Who should have.
        wanted: UserId,
    },
    /// The session does not take part in the room.
    #[error("not in the room {0}")]
    UnknownRoom(RoomId),
    /// The room is not encrypted, so nothing is said in it.
    #[error("the room {0} is not encrypted")]
    NotEncrypted(RoomId),
    /// A state type that the session was not configured to follow.
    #[error("state of the type `{0}` was not declared in the session's configuration")]
    UndeclaredState(&'static str),
    /// Something took longer than it may.
    #[error("no {what} within {after:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// A content cannot be sent.
    #[error("the content cannot be sent")]
    Content(#[from] ContentError),
    /// A name is malformed.
    #[error("a name is malformed")]
    Id(#[from] IdError),
    /// Encryption failed, or this device has no identity to encrypt under.
    #[error("encryption failed")]
    Encryption(#[source] Cause),
    /// The session is just changing its device; try again.
    #[error("the session is not ready")]
    NotReady,
    /// The session is closed.
    #[error("the session is closed")]
    Closed,
}

impl Error {
    /// Whether trying again later may do.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::RateLimited { .. }
            | Self::TokenUnavailable(_)
            | Self::Timeout { .. }
            | Self::NotReady
            | Self::NoRoom(_) => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }
}
