//! What can go wrong with objects.

use super::{BucketNameError, Digest, LinkTarget, ObjectName, ParseInfoError, UploadId};
use crate::client::{PublishError, SubscribeError};
use crate::envelope::HeaderError;
use crate::stream::{FollowError, StreamError};
use std::io;
use std::time::Duration;

/// Why an object was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The stream of the bucket is not readable or not as asked.
    /// [`NoStream`](StreamError::NoStream) means that there is no such bucket.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A chunk or the description was not stored.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The name of the bucket is none.
    #[error(transparent)]
    Bucket(#[from] BucketNameError),
    /// There is no such object, or none any more.
    #[error("there is no object `{name}`")]
    NotFound {
        /// Its name.
        name: ObjectName,
    },
    /// It is a link, and not an object.
    #[error("`{name}` is a link to {target}")]
    Link {
        /// Its name.
        name: ObjectName,
        /// What it points to.
        target: LinkTarget,
    },
    /// It is an object, and not a link to a bucket.
    #[error("`{name}` is no link to a bucket")]
    NoLink {
        /// Its name.
        name: ObjectName,
    },
    /// A link leads back to itself.
    #[error("the link `{name}` leads back to itself")]
    LinkLoop {
        /// The name that was looked for.
        name: ObjectName,
    },
    /// Links follow each other, more than are followed.
    #[error("more than {max} links follow each other from `{name}`")]
    TooManyLinks {
        /// The name that was looked for.
        name: ObjectName,
        /// How many are followed.
        max: usize,
    },
    /// A link cannot take the place of an object.
    #[error("`{name}` is an object, which a link does not replace")]
    Occupied {
        /// Its name.
        name: ObjectName,
    },
    /// The watch has no signal of changes.
    #[error(transparent)]
    Subscribe(SubscribeError),
    /// What the bucket says of the object cannot be read.
    #[error("the description of `{name}` cannot be read")]
    Description {
        /// The name that it stands under.
        name: ObjectName,
        /// Why.
        source: ParseInfoError,
    },
    /// A description cannot be read, so it is not known what is in use.
    #[error("the description under `{subject}` cannot be read")]
    Unclear {
        /// The subject that it stands under.
        subject: String,
        /// Why.
        source: ParseInfoError,
    },
    /// What was to be uploaded, or what was downloaded before, cannot be read.
    #[error("the source cannot be read")]
    Source(#[source] io::Error),
    /// What was downloaded cannot be written.
    #[error("the download cannot be written")]
    Sink(#[source] io::Error),
    /// Nothing moved for as long as was allowed. It can be resumed.
    #[error("nothing moved for {after:?}")]
    Interrupted {
        /// For how long.
        after: Duration,
        /// What kept it.
        source: Box<Self>,
    },
    /// The source does not begin with what was uploaded before. Upload it anew.
    #[error("the source does not begin with what was uploaded before")]
    SourceChanged,
    /// What was downloaded before is not there any more as it was. Download it anew.
    #[error("the first part has {found} bytes of {expected}")]
    PartChanged {
        /// How many bytes there are.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// The chunks of the upload were not written by this crate, or by two at a time. Upload it anew.
    #[error("the upload {upload} cannot be resumed")]
    NotResumable {
        /// Which upload.
        upload: UploadId,
    },
    /// The object was replaced or deleted meanwhile. Download it anew.
    #[error("`{name}` was replaced or deleted meanwhile")]
    Replaced {
        /// Its name.
        name: ObjectName,
    },
    /// The chunks that are there are not those of the description.
    #[error("{bytes} bytes in {chunks} chunks are there, of {expected_bytes} in {expected_chunks}")]
    Incomplete {
        /// How many bytes are there, or more than that.
        bytes: u64,
        /// In how many chunks.
        chunks: u64,
        /// How many bytes should be there.
        expected_bytes: u64,
        /// In how many chunks.
        expected_chunks: u64,
    },
    /// All bytes are there and are not those that were put.
    #[error("the digest is {found}, not {expected}")]
    WrongDigest {
        /// Of what came.
        found: Digest,
        /// Of what was put.
        expected: Digest,
    },
    /// The object is stored; what its name stood for before could not be removed.
    /// [`sweep`](super::ObjectStore::sweep) removes it.
    #[error("the chunks of the object before are still there")]
    LeftOver {
        /// What they stand under.
        upload: UploadId,
        /// Why.
        source: Box<Self>,
    },
    /// Others write the same name again and again.
    #[error("others write `{name}` at the same time")]
    Contended {
        /// The name.
        name: ObjectName,
    },
    /// There are more objects than are held here at a time.
    #[error("more than {max} objects")]
    TooMany {
        /// How many are held.
        max: usize,
    },
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

impl ObjectError {
    /// Says whether it passes by waiting.
    pub(super) fn is_interruption(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_interruption(),
            Self::Publish(error) => matches!(
                error,
                PublishError::Disconnected
                    | PublishError::QueueFull { .. }
                    | PublishError::Unconfirmed { .. }
                    | PublishError::NoStream { .. }
            ),
            _ => false,
        }
    }
}

impl From<SubscribeError> for ObjectError {
    /// Takes the failure to find a connection in time.
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Closed => Self::Closed,
            _ => PublishError::Disconnected.into(),
        }
    }
}

impl From<FollowError> for ObjectError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Stream(error) => error.into(),
            FollowError::Subscribe(SubscribeError::Closed) | FollowError::Closed => Self::Closed,
            FollowError::Subscribe(error) => Self::Subscribe(error),
            FollowError::Full { max } => Self::TooMany { max },
        }
    }
}

impl From<HeaderError> for ObjectError {
    fn from(error: HeaderError) -> Self {
        PublishError::from(error).into()
    }
}
