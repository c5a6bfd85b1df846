//! What an object store shall be, as data.

use crate::Token;
use crate::kv::{BucketNameError, is_bucket_name};
use crate::stream::{Discard, Storage, StreamConfig};
use std::time::Duration;

/// What an object store shall be.
///
/// # Defaults
/// On disk, for ever, one replica, no limit of size.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectStoreConfig {
    bucket: Token,
    /// How old an object may become.
    pub max_age: Option<Duration>,
    /// How many bytes it may hold. A chunk that finds no room is refused.
    pub max_bytes: Option<u64>,
    /// Where it lies.
    pub storage: Storage,
    /// How many servers keep it.
    pub replicas: u8,
    /// Whether it lies compressed. Needs server 2.10.
    pub compressed: bool,
}

impl ObjectStoreConfig {
    /// Describes an object store with the defaults.
    ///
    /// # Errors
    /// [`BucketNameError`].
    pub fn new(bucket: Token) -> Result<Self, BucketNameError> {
        stream_name(&bucket)?;
        Ok(Self {
            bucket,
            max_age: None,
            max_bytes: None,
            storage: Storage::default(),
            replicas: 1,
            compressed: false,
        })
    }

    /// Returns the name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &Token {
        &self.bucket
    }

    /// Returns the stream that the object store is.
    #[must_use]
    pub fn stream(&self) -> StreamConfig {
        let bucket = &self.bucket;
        let name = stream_name(bucket).expect("checked when it was made");
        let subjects = vec![
            super::name::chunks(bucket),
            super::name::descriptions(bucket),
        ];
        let mut stream = StreamConfig::new(name, subjects);
        stream.storage = self.storage;
        stream.discard = Discard::New;
        stream.replicas = self.replicas;
        stream.max_age = self.max_age;
        stream.max_bytes = self.max_bytes;
        if let Some(age) = self.max_age {
            stream.duplicate_window = stream.duplicate_window.min(age);
        }
        stream.direct_get = true;
        stream.allow_rollup = true;
        stream.compressed = self.compressed;
        stream
    }
}

/// Returns the name of an object store's stream.
pub(crate) fn stream_name(bucket: &Token) -> Result<Token, BucketNameError> {
    let fail = || BucketNameError(bucket.clone());
    match is_bucket_name(bucket.as_str().as_bytes()) {
        true => Token::parse(&format!("OBJ_{bucket}")).map_err(|_| fail()),
        false => Err(fail()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pattern;

    #[test]
    fn an_object_store_is_the_stream_that_other_clients_make() {
        let config = ObjectStoreConfig::new(Token::from_static("b")).unwrap();
        let stream = config.stream();
        assert_eq!(stream.name, "OBJ_b");
        let subjects = ["$O.b.C.>", "$O.b.M.>"].map(|text| Pattern::parse(text).unwrap());
        assert_eq!(stream.subjects, subjects);
        assert_eq!(stream.discard, Discard::New);
        assert!(stream.direct_get && stream.allow_rollup && !stream.deny_delete);
        for bad in ["a$b", "a/b", &"x".repeat(128)] {
            assert!(
                ObjectStoreConfig::new(Token::parse(bad).unwrap()).is_err(),
                "{bad}"
            );
        }
    }
}
