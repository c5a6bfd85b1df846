//! What a bucket shall be, as data.

use super::bucket_of;
use super::name::{BucketNameError, is_bucket_name};
use crate::stream::{Discard, Storage, StreamConfig};
use crate::{Pattern, Token, Topic};
use std::time::Duration;

/// What a bucket shall be.
///
/// # Defaults
/// The last value of each key, for ever, on disk, one replica, no limit of size, purges allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketConfig {
    bucket: Token,
    /// How many revisions of a key it keeps: 1 to 64; other clients refuse more.
    pub history: u8,
    /// How old a revision may become. What is removed by age leaves no trace; a watch notices it
    /// within half a minute.
    pub max_age: Option<Duration>,
    /// How many bytes it may hold. A write that finds no room is refused.
    pub max_bytes: Option<u64>,
    /// How many bytes a value may have, its headers included.
    pub max_value_size: Option<u32>,
    /// Where it lies.
    pub storage: Storage,
    /// How many servers keep it.
    pub replicas: u8,
    /// Whether a write may ask that it replace what is before it. Other clients' `purge` needs it;
    /// and with it, who may write one key can remove all others.
    pub allow_purge: bool,
    /// Whether it lies compressed. Needs server 2.10.
    pub compressed: bool,
    /// Whether a value may be given an age limit of its own. Needs server 2.11.
    pub value_ttl: bool,
}

impl BucketConfig {
    /// The most revisions of a key.
    pub const MAX_HISTORY: u8 = 64;

    /// Describes the bucket of `T` with the defaults.
    #[must_use]
    pub fn new<T: Topic>() -> Self {
        const { assert_bucket::<T>() };
        Self::of(bucket_name::<T>())
    }

    /// Describes a bucket whose name is known only when the program runs, with the defaults.
    ///
    /// # Errors
    /// [`BucketNameError`].
    pub fn named(bucket: Token) -> Result<Self, BucketNameError> {
        match is_bucket_name(bucket.as_str().as_bytes()) {
            true => Ok(Self::of(bucket)),
            false => Err(BucketNameError(bucket)),
        }
    }

    fn of(bucket: Token) -> Self {
        Self {
            bucket,
            history: 1,
            max_age: None,
            max_bytes: None,
            max_value_size: None,
            storage: Storage::default(),
            replicas: 1,
            allow_purge: true,
            compressed: false,
            value_ttl: false,
        }
    }

    /// Returns the name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &Token {
        &self.bucket
    }

    /// Returns the stream that the bucket is.
    #[must_use]
    pub fn stream(&self) -> StreamConfig {
        let subjects = Pattern::from_checked(format!("$KV.{}.>", self.bucket));
        let mut stream = StreamConfig::new(stream_name(self.bucket.as_str()), vec![subjects]);
        stream.storage = self.storage;
        stream.discard = Discard::New;
        stream.replicas = self.replicas;
        stream.max_age = self.max_age;
        stream.max_bytes = self.max_bytes;
        stream.max_messages_per_subject = Some(u64::from(self.history));
        stream.max_message_size = self.max_value_size;
        if let Some(age) = self.max_age {
            stream.duplicate_window = stream.duplicate_window.min(age);
        }
        stream.direct_get = true;
        stream.deny_delete = true;
        stream.allow_rollup = self.allow_purge;
        stream.compressed = self.compressed;
        stream.message_ttl = self.value_ttl;
        stream
    }
}

/// Holds at compile time when `T` is of a bucket.
pub(super) const fn assert_bucket<T: Topic>() {
    assert!(
        bucket_of(&T::TEMPLATE).is_some(),
        "the template of a bucket is `$KV.<bucket>.<key>`"
    );
    assert!(
        matches!(T::DELIVERY, crate::Delivery::Stored),
        "a bucket needs `delivery = stored`"
    );
}

pub(super) fn bucket_name<T: Topic>() -> Token {
    let name = bucket_of(&T::TEMPLATE).expect("asserted when it was compiled");
    Token::parse(name).expect("a bucket's name is a token")
}

/// Returns the name of a bucket's stream.
pub(crate) fn stream_name(bucket: &str) -> Token {
    Token::parse(&format!("KV_{bucket}")).expect("a bucket's name leaves room for the prefix")
}

#[cfg(all(test, feature = "derive"))]
mod tests {
    use super::*;

    #[derive(Topic)]
    #[topic("$KV.rooms.{room}", payload = u32, delivery = stored)]
    struct Room {
        room: Token,
    }

    #[test]
    fn a_bucket_is_the_stream_that_other_clients_make() {
        let mut config = BucketConfig::new::<Room>();
        config.max_age = Some(Duration::from_secs(10));
        let stream = config.stream();
        assert_eq!(stream.name, "KV_rooms");
        assert_eq!(stream.subjects, [Pattern::from_static("$KV.rooms.>")]);
        assert_eq!(stream.max_messages_per_subject, Some(1));
        assert_eq!(stream.duplicate_window, Duration::from_secs(10));
        assert_eq!(stream.discard, Discard::New);
        assert!(stream.direct_get && stream.deny_delete && stream.allow_rollup);
    }
}
