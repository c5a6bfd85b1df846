//! What can go wrong with buckets.

use super::BucketNameError;
use crate::client::{PublishError, ReceiveError, SubscribeError};
use crate::codec::EncodeError;
use crate::envelope::HeaderError;
use crate::stream::{FollowError, StreamError, Unsupported};

/// Why a bucket was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// The stream of the bucket is not readable or not as asked.
    /// [`NoStream`](StreamError::NoStream) means that there is no such bucket.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The write was not stored, or it is not known whether it was.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The watch has no signal of changes.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The name of the bucket is none.
    #[error(transparent)]
    Bucket(#[from] BucketNameError),
    /// The key holds a byte that other clients do not accept: letters, digits, `-`, `/`, `_`, `=`
    /// and `.` are what a key is made of.
    #[error("`{key}` is no key of a bucket")]
    Key {
        /// The key.
        key: String,
    },
    /// Somebody else has written the key. Read it again, decide again, write again.
    #[error("`{key}` is not at the revision expected")]
    Conflict {
        /// The key.
        key: String,
        /// The revision that it is at, where the server says it; 0 where there is none.
        present: Option<u64>,
    },
    /// The value is there and cannot be read.
    #[error("revision {revision} cannot be read")]
    Unreadable {
        /// Which revision.
        revision: u64,
        /// Why.
        source: ReceiveError,
    },
    /// A bucket keeps from 1 to 64 revisions of a key.
    #[error("a history of {0} is none: it may be from 1 to 64")]
    History(u8),
    /// There are more keys than are held here at a time.
    #[error("more than {max} keys")]
    TooManyKeys {
        /// How many are held.
        max: usize,
    },
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

impl From<EncodeError> for KvError {
    fn from(error: EncodeError) -> Self {
        PublishError::from(error).into()
    }
}

impl From<HeaderError> for KvError {
    fn from(error: HeaderError) -> Self {
        PublishError::from(error).into()
    }
}

impl From<Unsupported> for KvError {
    fn from(error: Unsupported) -> Self {
        StreamError::from(error).into()
    }
}

impl From<FollowError> for KvError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Stream(error) => error.into(),
            FollowError::Subscribe(error) => error.into(),
            FollowError::Full { max } => Self::TooManyKeys { max },
            FollowError::Closed => Self::Closed,
        }
    }
}
