//! Matrix rooms as shared state.
#![forbid(unsafe_code)]

mod alerts;
mod apply;
mod budget;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod error;
pub mod event;
mod id;
mod log;
mod login;
mod power;
#[cfg(feature = "client")]
mod quarantine;
mod rooms;
mod state;
#[cfg(feature = "testing")]
pub mod testing;

pub use alerts::{AlertBook, AlertBookConfig, Outcome, Route, Standing};
pub use apply::{Applied, Change, Refusal};
pub use budget::{Budget, BudgetConfig, Offer};
pub use event::{Acknowledgement, Alert, AlertState, Rollup, Severity, Summary};
pub use event::{ContentError, MessageContent, NodeState, NodeStatus, StateContent};
pub use id::{EventId, IdError, Localpart, RoomAlias, RoomId, ServerName, UserId};
pub use log::{Log, Next};
pub use login::{
    BACKDATE_SECONDS, DEFAULT_LIFETIME_SECONDS, IssueError, LoginToken, RESERVED_LOCALPARTS,
    TokenIssuer,
};
pub use power::{Rank, creator_is_implicit, power_levels};
pub use rooms::RoomSpec;
pub use state::{Membership, RoomState, Snapshot, StateEntry};

#[cfg(feature = "client")]
pub use client::{
    AlertEvent, Alerts, Body, Endpoint, Identity, MeshRooms, Message, Messages, Published,
    Received, Session, SessionConfig, SessionState, StateWatch, TokenError,
};
#[cfg(feature = "client")]
pub use error::{Cause, Error};
#[cfg(feature = "client")]
pub use quarantine::{Admin, CutOff, IdentityPermit, SharedSecret};
