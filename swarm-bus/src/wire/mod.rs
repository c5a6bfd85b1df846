//! The NATS client protocol: bytes to operations and back, without any I/O.
//!
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>

mod batch;
mod complaint;
mod decode;
pub(crate) mod encode;
mod info;
mod line;

pub(crate) use batch::Batch;
#[cfg(feature = "client")]
pub(crate) use batch::Batches;
pub(crate) use complaint::Complaint;
#[cfg(feature = "client")]
pub use decode::ProtocolError;
pub(crate) use decode::{Decoder, headers_of};
pub(crate) use info::Info;
#[cfg(feature = "testing")]
pub(crate) use line::{LineTooLong, take_line};

use crate::Headers;
use bytes::Bytes;

/// What a server sends.
#[derive(Debug, PartialEq)]
pub(crate) enum ServerOp {
    Info(Box<Info>),
    Message(Delivery),
    Ping,
    Pong,
    Ok,
    Err(Complaint),
}

/// One message as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delivery {
    pub(crate) sid: u64,
    /// As the server wrote it: other software may use subjects that [`crate::Subject`] refuses.
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    /// The number in the first line of the headers, by which the server speaks for itself.
    pub(crate) status: Option<u16>,
    pub(crate) description: String,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}
