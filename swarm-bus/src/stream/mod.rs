//! JetStream: streams that keep messages, and durable consumers that read them at least once.
//!
//! What streams and consumers shall be is plain data ([`StreamConfig`], [`ConsumerConfig`]);
//! [`Client::ensure_stream`](crate::client::Client::ensure_stream) makes it so.

mod config;
mod source;
mod taken;
mod version;

#[cfg(feature = "client")]
mod api;
#[cfg(feature = "client")]
mod consumer;
#[cfg(feature = "client")]
mod cursor;
#[cfg(feature = "client")]
mod ensure;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod filters;
#[cfg(feature = "client")]
mod follow;
#[cfg(feature = "client")]
mod inspect;
#[cfg(feature = "client")]
mod known;
#[cfg(feature = "client")]
mod last;
#[cfg(feature = "client")]
mod read;
#[cfg(any(feature = "client", feature = "testing"))]
#[cfg_attr(
    not(feature = "client"),
    allow(dead_code, reason = "fuzzing reads, and looks at results only")
)]
mod stored;
#[cfg(feature = "client")]
mod summary;

pub use config::{ConsumerConfig, Discard, Retention, Start, Storage, StreamConfig};
pub use source::{External, Gaps, Origin, Source};
pub use taken::{Taken, Taking};
pub use version::{ParseVersionError, ServerVersion, Unsupported};

#[cfg(feature = "client")]
pub(crate) use api::{ApiFault, WRONG_SEQUENCE};
#[cfg(all(feature = "client", feature = "testing"))]
pub(crate) use consumer::Place;
#[cfg(feature = "client")]
pub use consumer::{Consumer, Delivered, Undecodable};
#[cfg(feature = "client")]
pub(crate) use cursor::Cursor;
#[cfg(feature = "client")]
pub use ensure::Ensured;
#[cfg(feature = "client")]
pub use error::StreamError;
#[cfg(feature = "client")]
pub(crate) use follow::{Follow, FollowError, Followed, Scope};
#[cfg(feature = "client")]
pub use inspect::{SourceInfo, StoredMessage, StreamInfo};
#[cfg(feature = "client")]
pub(crate) use read::Reader;
#[cfg(feature = "testing")]
pub(crate) use stored::Found;
#[cfg(any(feature = "client", feature = "testing"))]
pub(crate) use stored::Stored;
#[cfg(feature = "client")]
pub(crate) use summary::{Contents, StreamSummary};
