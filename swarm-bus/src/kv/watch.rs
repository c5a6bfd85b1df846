//! Follows the keys of a bucket.

use super::bucket::MAX_KEYS;
use super::entry::{is_marker, parse_key};
use super::{Entry, KvError};
use crate::Topic;
use crate::client::ReceiveError;
use crate::stream::{Follow, Followed, Reader, Scope};
use crate::topic::Filter;
use std::fmt;
use std::time::Duration;

/// What a [`Watch`] yields.
#[non_exhaustive]
pub enum Update<T: Topic> {
    /// A revision of a key: in order, each once. Before [`Current`](Self::Current) it belongs to
    /// the present state.
    Entry(Entry<T>),
    /// A revision that cannot be read, in its place.
    Unreadable {
        /// Which revision.
        revision: u64,
        /// Why; it holds the subject.
        error: ReceiveError,
    },
    /// The present state is complete; changes follow. After [`Restarted`](Self::Restarted) it comes
    /// again.
    Current,
    /// The bucket does not hold the revisions between these any more: later ones of the same keys,
    /// which come, have replaced them, or they were removed. Told by a watch of all keys of a bucket
    /// that has keys of this type only; to a narrower one it looks the same when other keys were
    /// written.
    Missed {
        /// The last revision before the gap.
        after: u64,
        /// The first revision behind it, which comes next.
        before: u64,
    },
    /// A key that had a value is not in the bucket any more, and nothing there says when it went: it
    /// grew too old, or somebody removed even the mark of its deletion.
    Vanished {
        /// Which key.
        key: T,
        /// The last revision that was seen of it.
        revision: u64,
    },
    /// The bucket is another one of the same name, or has lost its end: what came before is void.
    /// The present state follows from its beginning. It is noticed with a new connection, or within
    /// half a minute; what came in between may be of the other bucket already, and comes again.
    Restarted,
}

/// Follows the keys of a filter in a bucket.
///
/// It reads the stream itself, from the revision that it has come to, and lets a subscription tell
/// it when to look; so it goes on after a loss of the connection, a replacement, or a restart of the
/// server, without a gap and without a double. It holds the subject of each key that it told of, a
/// million at most.
pub struct Watch<T: Topic> {
    filter: Filter<T>,
    follow: Follow,
}

impl<T: Topic> Watch<T> {
    pub(super) async fn open(reader: Reader, filter: Filter<T>) -> Result<Self, KvError> {
        let pattern = filter.pattern().clone();
        let bucket = reader.stream.as_str();
        let bucket = bucket.strip_prefix("KV_").unwrap_or(bucket);
        let scope = Scope {
            whole: pattern == *T::any().pattern() || pattern.as_str() == format!("$KV.{bucket}.>"),
            signal: pattern.clone(),
            filter: pattern,
            is_marker: Box::new(is_marker),
            max: MAX_KEYS,
        };
        let follow = Follow::open(reader, scope).await?;
        Ok(Self { filter, follow })
    }

    /// Sets how often the stream is asked whether it is still the same and still has what was told
    /// of, beside each new connection; 20 s at first. A narrower watch than of all keys asks for the
    /// latter only where values grow too old.
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
    /// [`KvError`] when the bucket is gone, this user may not, there are more keys than it holds, or
    /// the client is closed. A lost connection is no error.
    pub async fn next(&mut self) -> Result<Update<T>, KvError> {
        loop {
            return Ok(match self.follow.next().await? {
                Followed::Message(stored) => match Entry::parse(stored) {
                    Ok(entry) => Update::Entry(entry),
                    Err(KvError::Unreadable { revision, source }) => Update::Unreadable {
                        revision,
                        error: source,
                    },
                    Err(error) => return Err(error),
                },
                Followed::Missed(gap) => Update::Missed {
                    after: gap.after,
                    before: gap.before,
                },
                Followed::Current => Update::Current,
                Followed::Vanished { subject, revision } => match parse_key(subject) {
                    Ok(key) => Update::Vanished { key, revision },
                    // What is no key of `T` was told as unreadable, and is of no concern now.
                    Err(_) => continue,
                },
                Followed::Restarted => Update::Restarted,
            });
        }
    }
}

impl<T> fmt::Debug for Update<T>
where
    T: Topic + fmt::Debug,
    T::Payload: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(entry) => f.debug_tuple("Entry").field(entry).finish(),
            Self::Unreadable { revision, error } => f
                .debug_struct("Unreadable")
                .field("revision", revision)
                .field("error", error)
                .finish(),
            Self::Current => f.write_str("Current"),
            Self::Missed { after, before } => f
                .debug_struct("Missed")
                .field("after", after)
                .field("before", before)
                .finish(),
            Self::Vanished { key, revision } => f
                .debug_struct("Vanished")
                .field("key", key)
                .field("revision", revision)
                .finish(),
            Self::Restarted => f.write_str("Restarted"),
        }
    }
}

impl<T: Topic> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("filter", &self.filter)
            .field("revision", &self.follow.position())
            .finish_non_exhaustive()
    }
}
