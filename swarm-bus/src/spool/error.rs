//! What can go wrong with a spool.

use crate::MessageId;
use crate::codec::EncodeError;
use crate::envelope::HeaderError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another spool of this one, holds the directory.
    #[error("another spool holds the directory; end it or use a directory of its own")]
    Locked,
    /// The limits make no sense together.
    #[error("the limits cannot be: {0}")]
    Limits(&'static str),
    /// A newer program wrote it.
    #[error("`{file}` has version {version}, known is 1; open it with the program that wrote it")]
    Version {
        /// Which file.
        file: String,
        /// What it says.
        version: u16,
    },
    /// A file does not belong to this spool.
    #[error("`{file}` is not of this spool; move it elsewhere")]
    Foreign {
        /// Which.
        file: String,
    },
    /// The file system failed.
    #[error("cannot {operation} `{file}`")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file of the directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn io(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            file: file.to_owned(),
            source,
        }
    }
}

/// Why a message is not in the spool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The spool is full ([`Full::Refuse`](super::Full::Refuse)).
    #[error("the spool is full: {bytes} bytes, of {max} at most")]
    Full {
        /// How many bytes it has.
        bytes: u64,
        /// How many it may have.
        max: u64,
    },
    /// The message is larger than the spool takes.
    #[error("{size} bytes are more than the {max} that the spool takes")]
    TooLarge {
        /// Headers and payload, in bytes.
        size: usize,
        /// How many may be.
        max: usize,
    },
    /// So much is on its way to the disk that there was no place in time; the message was not taken.
    #[error("the disk did not take what waits within {after:?}")]
    Busy {
        /// How long was waited.
        after: Duration,
    },
    /// The disk did not confirm the message in time; it may still be spooled under this id.
    #[error("the disk did not confirm the message within the time")]
    Unconfirmed {
        /// The id that it bears.
        id: MessageId,
    },
    /// The disk failed. The message is not spooled; should the process die before the next message
    /// is, it may be found on the disk all the same.
    #[error("cannot write to the spool")]
    Io(#[source] Arc<io::Error>),
    /// The payload has no form in its encoding.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A header cannot be written.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The spool is closed.
    #[error("the spool is closed")]
    Closed,
}

/// Why a spool is not drained by this client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// It is being drained already.
    #[error("the spool is being drained already")]
    Busy,
    /// The spool is closed.
    #[error("the spool is closed")]
    Closed,
}
