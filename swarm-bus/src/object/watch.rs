//! Follows the objects of a bucket.

use super::info::Described;
use super::link::Link;
use super::name::{descriptions, each_description};
use super::store::MAX_OBJECTS;
use super::{ObjectError, ObjectInfo, ObjectName, ObjectStore, ParseInfoError};
use crate::stream::{Follow, Followed, Scope, Stored};
use std::fmt;
use std::time::Duration;

/// What an [`ObjectWatch`] yields.
#[derive(Debug)]
#[non_exhaustive]
pub enum ObjectUpdate {
    /// An object is there, new or in place of another; all its chunks are.
    Object(ObjectInfo),
    /// A name is a link.
    Link(Link),
    /// An object or link was deleted. Before [`Current`](Self::Current) it may be one that nothing
    /// was told of.
    Deleted {
        /// Its name.
        name: ObjectName,
    },
    /// A description that cannot be read, in its place.
    Unreadable {
        /// The subject that it stands under.
        subject: String,
        /// Why.
        error: ParseInfoError,
    },
    /// What is there is told; changes follow. After [`Restarted`](Self::Restarted) it comes again.
    Current,
    /// An object that was there is gone, and nothing says when it went: it grew too old, or somebody
    /// removed its description. Noticed with each new connection and, where the bucket has a
    /// `max_age`, at each check.
    Vanished {
        /// Its name.
        name: ObjectName,
    },
    /// The bucket is another one of the same name, or has lost its end: what came before is void.
    /// What is there follows from its beginning.
    Restarted,
}

/// Follows the objects of a bucket; made by [`ObjectStore::watch`].
///
/// It reads the stream itself, from the description that it has come to, and lets a subscription
/// tell it when to look; so it goes on after a loss of the connection, a replacement, or a restart of
/// the server, without a gap and without a double. It holds the subject of each object that it told
/// of, a million at most.
pub struct ObjectWatch {
    store: ObjectStore,
    follow: Follow,
}

impl ObjectStore {
    /// Follows the objects: first what is there, then each change in order.
    ///
    /// # Errors
    /// [`ObjectError::Subscribe`] when this user may not, or there is no connection in time.
    pub async fn watch(&self) -> Result<ObjectWatch, ObjectError> {
        let store = self.clone();
        let is_marker =
            move |stored: &Stored| matches!(store.describe(stored), Ok(Described::Deleted));
        let scope = Scope {
            filter: descriptions(&self.bucket),
            signal: each_description(&self.bucket),
            // The chunks are there as well.
            whole: false,
            is_marker: Box::new(is_marker),
            max: MAX_OBJECTS,
        };
        Ok(ObjectWatch {
            store: self.clone(),
            follow: Follow::open(self.reader.clone(), scope).await?,
        })
    }
}

impl ObjectWatch {
    /// Sets how often the stream is asked whether it is still the same and, where objects grow too
    /// old, still has what was told of; beside each new connection. 20 s at first.
    #[must_use]
    pub fn check_every(mut self, time: Duration) -> Self {
        self.follow.check_every(time);
        self
    }

    /// Waits for the next update, through losses and replacements of the connection.
    ///
    /// Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    /// [`ObjectError`] when the bucket is gone, this user may not, there are more objects than it
    /// holds, or the client is closed. A lost connection is no error.
    pub async fn next(&mut self) -> Result<ObjectUpdate, ObjectError> {
        loop {
            let named = |subject: &str| ObjectName::of_subject(subject, &self.store.bucket);
            match self.follow.next().await? {
                Followed::Message(stored) => {
                    return Ok(match self.store.describe(&stored) {
                        Ok(Described::Object(info)) => ObjectUpdate::Object(info),
                        Ok(Described::Link(link)) => ObjectUpdate::Link(link),
                        Ok(Described::Deleted) => match named(&stored.subject) {
                            Some(name) => ObjectUpdate::Deleted { name },
                            None => continue,
                        },
                        Err(error) => ObjectUpdate::Unreadable {
                            subject: stored.subject,
                            error,
                        },
                    });
                }
                Followed::Current => return Ok(ObjectUpdate::Current),
                Followed::Restarted => return Ok(ObjectUpdate::Restarted),
                Followed::Vanished { subject, .. } => {
                    // What stands under no name was told as unreadable, and is of no concern now.
                    if let Some(name) = named(&subject) {
                        return Ok(ObjectUpdate::Vanished { name });
                    }
                }
                // Told of whole streams only.
                Followed::Missed(_) => {}
            }
        }
    }
}

impl fmt::Debug for ObjectWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectWatch")
            .field("bucket", &self.store.bucket)
            .field("position", &self.follow.position())
            .finish_non_exhaustive()
    }
}
