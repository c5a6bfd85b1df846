//! Reads and writes the keys of a bucket.

use super::config::{assert_bucket, bucket_name, stream_name};
use super::entry::{DELETE, OPERATION, PURGE, is_marker, parse_key};
use super::name::is_key;
use super::{AnyKey, BucketConfig, Entry, KvError, Value, View, Watch};
use crate::client::{Client, PublishError};
use crate::envelope::sealed;
use crate::stream::{Cursor, Ensured, Reader, WRONG_SEQUENCE};
use crate::topic::Filter;
use crate::{Headers, Pattern, Subject, Token, Topic};
use bytes::Bytes;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

/// The header of the revision that a key must be at for a write to be taken.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
/// The header that asks a stream to drop what is before.
const ROLLUP: &str = "Nats-Rollup";
/// The header of the age limit of a single value.
const TTL: &str = "Nats-TTL";
/// How often a key is created anew that others create and delete at the same time.
const ATTEMPTS: usize = 16;
/// How many keys are held at a time, by a list of keys or a watch.
pub(super) const MAX_KEYS: usize = 1 << 20;

/// A bucket: the last value of each key of `T`. Clones are alike.
///
/// Reading and writing wait as long as [`Options::timeout`](crate::client::Options::timeout) says.
/// A write whose confirmation is lost on the way is repeated under the same id within that time and
/// stored once; [`PublishError::Unconfirmed`] means that it may have been stored or not.
pub struct Bucket<T> {
    reader: Reader,
    name: Token,
    key: PhantomData<fn() -> T>,
}

impl Client {
    /// Makes a bucket what it shall be. Needs the right to make streams
    /// ([`with_stream_keeper`](crate::permissions::Policy::with_stream_keeper)).
    ///
    /// # Errors
    /// [`KvError::Stream`], as [`ensure_stream`](Self::ensure_stream); [`KvError::History`].
    pub async fn ensure_bucket(&self, config: &BucketConfig) -> Result<Ensured, KvError> {
        if !(1..=BucketConfig::MAX_HISTORY).contains(&config.history) {
            return Err(KvError::History(config.history));
        }
        Ok(self.ensure_stream(&config.stream()).await?)
    }

    /// Opens the bucket of `T`, which exists.
    ///
    /// # Errors
    /// [`KvError::Stream`]; with [`NoStream`](crate::stream::StreamError::NoStream) when there is no
    /// such bucket.
    pub async fn bucket<T: Topic>(&self) -> Result<Bucket<T>, KvError> {
        const { assert_bucket::<T>() };
        self.open_bucket(bucket_name::<T>()).await
    }

    /// Opens a bucket whose name is known only when the program runs, and which exists; values are
    /// bytes.
    ///
    /// # Errors
    /// [`KvError::Bucket`], [`KvError::Stream`]; with
    /// [`NoStream`](crate::stream::StreamError::NoStream) when there is no such bucket.
    pub async fn any_bucket(&self, name: &Token) -> Result<Bucket<AnyKey>, KvError> {
        let config = BucketConfig::named(name.clone())?;
        self.open_bucket(config.bucket().clone()).await
    }

    async fn open_bucket<T: Topic>(&self, name: Token) -> Result<Bucket<T>, KvError> {
        let (reader, _) = Reader::open(self, stream_name(name.as_str())).await?;
        Ok(Bucket {
            reader,
            name,
            key: PhantomData,
        })
    }
}

impl<T: Topic> Bucket<T> {
    /// Returns the name of the bucket.
    #[must_use]
    pub fn name(&self) -> Token {
        self.name.clone()
    }

    /// Reads the last value of a key; `None` where it has none or was deleted.
    ///
    /// Where several servers keep the bucket, one may answer that is a moment behind; what
    /// [`update`](Self::update) expects is checked by the leader.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn get(&self, key: &T) -> Result<Option<Value<T>>, KvError> {
        let entry = self.entry(key).await?;
        Ok(entry.and_then(|entry| {
            let (revision, time) = (entry.revision, entry.time);
            let value = entry.content.into_value()?;
            Some(Value {
                value,
                revision,
                time,
            })
        }))
    }

    /// Reads the last revision of a key, also where that is its deletion.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn entry(&self, key: &T) -> Result<Option<Entry<T>>, KvError> {
        let stored = self.reader.last(&check(key)?).await?;
        stored.map(Entry::parse).transpose()
    }

    /// Reads one revision of a key, as long as the bucket keeps it; `None` where it does not, or where
    /// the revision is of another key.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn revision(&self, key: &T, revision: u64) -> Result<Option<Entry<T>>, KvError> {
        let stored = self.reader.numbered(&check(key)?, revision).await?;
        stored.map(Entry::parse).transpose()
    }

    /// Writes a value, whatever is there; returns its revision.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn put(&self, key: &T, value: &T::Payload) -> Result<u64, KvError> {
        let (headers, payload) = sealed::<T::Codec, _, KvError>(T::SCHEMA, value)?;
        self.write(key, payload, headers).await
    }

    /// Writes a value where there is none, or none any more; returns its revision.
    ///
    /// # Errors
    /// [`KvError::Conflict`] when there is one.
    pub async fn create(&self, key: &T, value: &T::Payload) -> Result<u64, KvError> {
        let (headers, payload) = sealed::<T::Codec, _, KvError>(T::SCHEMA, value)?;
        self.create_with(key, payload, headers).await
    }

    /// Writes a value where there is none, which the server removes when its time is up, in whole
    /// seconds. The bucket must allow it ([`BucketConfig::value_ttl`]).
    ///
    /// # Errors
    /// [`KvError::Conflict`] when there is one;
    /// [`Unsupported`](crate::stream::StreamError::Unsupported) before anything is written where the
    /// server is older than 2.11 and would keep the value for ever.
    pub async fn create_for(
        &self,
        key: &T,
        value: &T::Payload,
        time: Duration,
    ) -> Result<u64, KvError> {
        self.reader.client.server_version()?.check_message_ttl()?;
        let (mut headers, payload) = sealed::<T::Codec, _, KvError>(T::SCHEMA, value)?;
        headers.set(TTL, &format!("{}s", time.as_secs().max(1)))?;
        self.create_with(key, payload, headers).await
    }

    /// Replaces the revision that was read; returns the new one. 0 stands for a key that was never
    /// written.
    ///
    /// # Errors
    /// [`KvError::Conflict`] when the key is at another revision.
    pub async fn update(&self, key: &T, value: &T::Payload, revision: u64) -> Result<u64, KvError> {
        let (mut headers, payload) = sealed::<T::Codec, _, KvError>(T::SCHEMA, value)?;
        headers.set(EXPECTED, &revision.to_string())?;
        self.write(key, payload, headers).await
    }

    /// Deletes a key; what it had before is kept as far as the history reaches. With a revision,
    /// only if the key is at that one.
    ///
    /// # Errors
    /// [`KvError::Conflict`] when the key is at another revision.
    pub async fn delete(&self, key: &T, revision: Option<u64>) -> Result<u64, KvError> {
        self.remove(key, revision, DELETE).await
    }

    /// Deletes a key and its history. With a revision, only if the key is at that one.
    ///
    /// # Errors
    /// [`KvError::Conflict`] when the key is at another revision;
    /// [`PublishError::Refused`] where the bucket does not allow it
    /// ([`BucketConfig::allow_purge`]).
    pub async fn purge(&self, key: &T, revision: Option<u64>) -> Result<u64, KvError> {
        self.remove(key, revision, PURGE).await
    }

    /// Reads what the bucket keeps of a key, the oldest first; at most
    /// [`MAX_HISTORY`](BucketConfig::MAX_HISTORY) revisions. An inner `Err` is one that cannot be
    /// read.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn history(&self, key: &T) -> Result<Vec<Result<Entry<T>, KvError>>, KvError> {
        let mut cursor = self.cursor(check(key)?.into());
        let mut entries = Vec::new();
        while let Some(stored) = cursor.next().await? {
            entries.push(Entry::parse(stored));
            // Somebody may write faster than this reads.
            if entries.len() > usize::from(BucketConfig::MAX_HISTORY) {
                drop(entries.remove(0));
            }
        }
        Ok(entries)
    }

    /// Lists the keys that have a value, in no order; what is no key of `T` is left out. It reads the
    /// values too: JetStream has no cheaper question that tells what was deleted.
    ///
    /// # Errors
    /// [`KvError`]; [`TooManyKeys`](KvError::TooManyKeys) beyond a million.
    pub async fn keys(&self, filter: impl Into<Filter<T>>) -> Result<Vec<T>, KvError>
    where
        T: Hash + Eq,
    {
        let mut cursor = self.cursor(filter.into().pattern().clone());
        let mut keys = HashSet::new();
        while let Some(stored) = cursor.next().await? {
            let gone = is_marker(&stored);
            let Ok(key) = parse_key(stored.subject) else {
                continue;
            };
            match gone {
                true => drop(keys.remove(&key)),
                false => drop(keys.insert(key)),
            }
            if keys.len() > MAX_KEYS {
                return Err(KvError::TooManyKeys { max: MAX_KEYS });
            }
        }
        Ok(keys.into_iter().collect())
    }

    /// Follows the keys of a filter: first all revisions that the bucket keeps of them, of which
    /// the last one of each is its present state, then each change.
    ///
    /// # Errors
    /// [`KvError::Subscribe`] or [`KvError::Stream`] when this user may not.
    pub async fn watch(&self, filter: impl Into<Filter<T>>) -> Result<Watch<T>, KvError> {
        Watch::open(self.reader.clone(), filter.into()).await
    }

    /// Follows the keys of a filter and holds their present state.
    ///
    /// # Errors
    /// [`KvError`], as [`watch`](Self::watch).
    pub async fn view(&self, filter: impl Into<Filter<T>>) -> Result<View<T>, KvError>
    where
        T: Hash + Eq + Clone,
        T::Payload: Sync,
    {
        Ok(View::start(self.watch(filter).await?))
    }

    /// Says how many writes the bucket has seen: the last revision of all keys.
    ///
    /// # Errors
    /// [`KvError::Stream`].
    pub async fn last_revision(&self) -> Result<u64, KvError> {
        let state = self.reader.info().await?.contents();
        Ok(state.last_seq)
    }

    fn cursor(&self, filter: Pattern) -> Cursor {
        Cursor::new(self.reader.clone(), filter, 0)
    }

    async fn create_with(&self, key: &T, value: Bytes, headers: Headers) -> Result<u64, KvError> {
        let subject = check(key)?;
        let mut expected = 0;
        let mut attempts = 0..ATTEMPTS;
        loop {
            attempts.next();
            let mut headers = headers.clone();
            headers.set(EXPECTED, &expected.to_string())?;
            let conflict = match self.write(key, value.clone(), headers).await {
                Err(conflict @ KvError::Conflict { .. }) => conflict,
                done => return done,
            };
            // What is there may say that nothing is there any more. That is replaced, unless it is
            // what was expected already.
            match self.reader.last_of_leader(&subject).await? {
                Some(stored)
                    if is_marker(&stored) && stored.sequence > expected && !attempts.is_empty() =>
                {
                    expected = stored.sequence;
                }
                _ => return Err(conflict),
            }
        }
    }

    async fn remove(
        &self,
        key: &T,
        revision: Option<u64>,
        operation: &str,
    ) -> Result<u64, KvError> {
        let mut headers = Headers::new();
        headers.set(OPERATION, operation)?;
        if operation == PURGE {
            headers.set(ROLLUP, "sub")?;
        }
        if let Some(revision) = revision {
            headers.set(EXPECTED, &revision.to_string())?;
        }
        self.write(key, Bytes::new(), headers).await
    }

    async fn write(&self, key: &T, value: Bytes, headers: Headers) -> Result<u64, KvError> {
        let subject = check(key)?;
        let client = &self.reader.client;
        let message = client.bytes(client.key(subject.clone()), headers, value);
        match message.store_bytes().await {
            Ok(stored) => Ok(stored.sequence),
            Err(PublishError::Refused { code, description }) if WRONG_SEQUENCE.contains(&code) => {
                Err(KvError::Conflict {
                    key: key_of(&subject).to_owned(),
                    present: last_number(&description),
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the subject of a key, if every client accepts the key.
fn check<T: Topic>(key: &T) -> Result<Subject, KvError> {
    let subject = key.subject();
    match is_key(key_of(&subject)) {
        true => Ok(subject),
        false => Err(KvError::Key {
            key: key_of(&subject).to_owned(),
        }),
    }
}

/// Returns the key in a subject `$KV.<bucket>.<key>`.
fn key_of(subject: &Subject) -> &str {
    let mut parts = subject.as_str().splitn(3, '.');
    parts.nth(2).unwrap_or_default()
}

/// Reads the revision out of `wrong last sequence: 7`.
fn last_number(description: &str) -> Option<u64> {
    description.rsplit(' ').next()?.parse().ok()
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Self {
        Self {
            reader: self.reader.clone(),
            name: self.name.clone(),
            key: PhantomData,
        }
    }
}

impl<T: Topic> fmt::Debug for Bucket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_revision_is_read_from_the_refusal() {
        assert_eq!(last_number("wrong last sequence: 7"), Some(7));
        assert_eq!(last_number("wrong last sequence"), None);
        assert_eq!(last_number(""), None);
    }

    #[test]
    fn the_key_is_what_follows_the_bucket() {
        assert_eq!(key_of(&Subject::from_static("$KV.b.a.c")), "a.c");
        assert_eq!(key_of(&Subject::from_static("$KV.b")), "");
    }
}
