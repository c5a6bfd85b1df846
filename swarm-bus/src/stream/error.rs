//! What can go wrong with streams.

use super::Unsupported;
use crate::client::{PublishError, RequestError};
use crate::envelope::HeaderError;

/// Why a stream or consumer is not as asked, or not readable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The request did not come through. A denial is
    /// [`PublishError::Denied`](crate::client::PublishError::Denied) in it, never a timeout.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server has no streams, or none for this user.
    #[error("the server has no JetStream for this user")]
    NoJetStream,
    /// There is no such stream.
    #[error("there is no such stream")]
    NoStream,
    /// There is no such consumer.
    #[error("there is no such consumer")]
    NoConsumer,
    /// The server is too old for it.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The server took the request and left out a part of it without a word.
    #[error("the server ignored `{field}`")]
    Ignored {
        /// The field of JetStream's configuration.
        field: String,
    },
    /// JetStream refuses.
    #[error("{description} ({code})")]
    Refused {
        /// JetStream's number of the error.
        code: u32,
        /// JetStream's words.
        description: String,
    },
    /// The answer cannot be read.
    #[error("the server's answer cannot be read")]
    Answer(#[source] serde_json::Error),
    /// The answer is JSON or a message, and not what a stream says.
    #[error("the server's answer is malformed: {what}")]
    Malformed {
        /// What in it.
        what: &'static str,
    },
}

impl From<PublishError> for StreamError {
    fn from(error: PublishError) -> Self {
        Self::Request(error.into())
    }
}

impl From<HeaderError> for StreamError {
    fn from(error: HeaderError) -> Self {
        PublishError::from(error).into()
    }
}
