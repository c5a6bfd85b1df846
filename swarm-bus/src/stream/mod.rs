//! JetStream: streams that keep messages, and durable consumers that read them at least once.
//!
//! What streams and consumers shall be is plain data ([`StreamConfig`], [`ConsumerConfig`]);
//! [`Client::ensure_stream`](crate::client::Client::ensure_stream) makes it so.

mod config;
mod source;
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
mod inspect;
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

pub use config::{ConsumerConfig, Discard, Retention, Start, Storage, StreamConfig};
pub use source::{External, Gaps, Origin, Source};
pub use version::{ParseVersionError, ServerVersion, Unsupported};

#[cfg(feature = "client")]
pub(crate) use api::{ApiFault, WRONG_SEQUENCE};
#[cfg(feature = "client")]
pub use consumer::{Consumer, Delivered, Undecodable};
#[cfg(feature = "client")]
pub(crate) use cursor::Cursor;
#[cfg(feature = "client")]
pub use ensure::Ensured;
#[cfg(feature = "client")]
pub use error::StreamError;
#[cfg(feature = "client")]
pub use inspect::{SourceInfo, StoredMessage, StreamInfo};
#[cfg(feature = "client")]
pub(crate) use read::{Contents, Reader, StreamSummary};
#[cfg(feature = "testing")]
pub(crate) use stored::Found;
#[cfg(feature = "client")]
pub(crate) use stored::Stored;
