//! The client: sessions, sync, encryption; the only place that names the SDK underneath.

mod config;
mod endpoint;
mod failure;
mod login;
mod make;
mod message;
mod publish;
mod session;
mod shared;
mod store;
mod sync;
mod timeline;
mod watch;

pub use config::{Identity, SessionConfig, SessionState, TokenError};
pub use endpoint::Endpoint;
pub use make::MeshRooms;
pub use message::{Body, Message, Received};
pub use publish::Published;
pub use session::Session;
pub use watch::{AlertEvent, Alerts, Messages, StateWatch};
