//! Buckets whose name is known only when the program runs.

use super::bucket_of;
use super::name::{BucketNameError, is_bucket_name, is_key};
use crate::topic::{Filter, ParseTopicError};
use crate::{Delivery, Parameters, Pattern, Raw, Subject, Template, Token, Topic};
use bytes::Bytes;
use std::fmt;

/// A key of any bucket, whose value is bytes: for tools. A program that knows its bucket has a
/// [`Topic`] for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AnyKey {
    bucket: Token,
    key: String,
}

/// A text is no [`AnyKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseKeyError {
    /// The bucket has no name that every client accepts.
    #[error(transparent)]
    Bucket(#[from] BucketNameError),
    /// The key is none.
    #[error("`{0}` is no key: letters, digits and `-/_=` between its dots make one")]
    Key(String),
}

impl AnyKey {
    /// Parses a key of a bucket.
    ///
    /// # Errors
    /// [`ParseKeyError`].
    pub fn parse_key(bucket: &Token, key: &str) -> Result<Self, ParseKeyError> {
        check_bucket(bucket)?;
        let whole = format!("$KV.{bucket}.{key}");
        match is_key(key) && Subject::parse(&whole).is_ok() {
            true => Ok(Self {
                bucket: bucket.clone(),
                key: key.to_owned(),
            }),
            false => Err(ParseKeyError::Key(key.to_owned())),
        }
    }

    /// Returns the filter of the keys of a bucket that a pattern matches: `>` for all.
    ///
    /// # Errors
    /// [`ParseKeyError`].
    pub fn matching(bucket: &Token, keys: &Pattern) -> Result<Filter<Self>, ParseKeyError> {
        check_bucket(bucket)?;
        let whole = format!("$KV.{bucket}.{keys}");
        let pattern =
            Pattern::parse(&whole).map_err(|_| ParseKeyError::Key(keys.as_str().to_owned()))?;
        Ok(Filter::new(pattern))
    }

    /// Returns the name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &Token {
        &self.bucket
    }

    /// Returns the key, without the bucket.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for AnyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.key)
    }
}

fn check_bucket(bucket: &Token) -> Result<(), BucketNameError> {
    match is_bucket_name(bucket.as_str().as_bytes()) {
        true => Ok(()),
        false => Err(BucketNameError(bucket.clone())),
    }
}

impl Topic for AnyKey {
    type Payload = Bytes;
    type Codec = Raw;
    // A key may have more tokens than that: it is written and read below, not by the template.
    const TEMPLATE: Template = Template::new("$KV.{bucket}.{key}");
    const DELIVERY: Delivery = Delivery::Stored;

    fn parameters(&self) -> Parameters {
        std::iter::once(self.bucket.clone())
            .chain(Token::parse(&self.key).ok())
            .collect()
    }

    fn from_parameters(values: &[Token]) -> Result<Self, ParseTopicError> {
        let [bucket, key] = values else {
            return Err(ParseTopicError::Missing { name: "key" });
        };
        Ok(Self {
            bucket: bucket.clone(),
            key: key.to_string(),
        })
    }

    fn subject(&self) -> Subject {
        Subject::from_checked(format!("$KV.{}.{}", self.bucket, self.key))
    }

    fn parse(subject: &Subject) -> Result<Self, ParseTopicError> {
        let other = || ParseTopicError::OtherFamily {
            subject: subject.clone(),
            template: Self::TEMPLATE,
        };
        let rest = subject.as_str().strip_prefix("$KV.").ok_or_else(other)?;
        let (bucket, key) = rest.split_once('.').ok_or_else(other)?;
        Ok(Self {
            bucket: Token::parse(bucket)?,
            key: key.to_owned(),
        })
    }
}

const _: () = assert!(bucket_of(&AnyKey::TEMPLATE).is_none());

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_bucket_or_no_key_is_refused() {
        let bucket = Token::from_static("b");
        for bad in [
            "", ".", "a.", ".a", "a..b", "a b", "a*", ">", "a.>", "ä", "a\nb",
        ] {
            let refused = AnyKey::parse_key(&bucket, bad);
            assert!(matches!(refused, Err(ParseKeyError::Key(_))), "{bad:?}");
        }
        let odd = Token::from_static("a/b");
        assert!(matches!(
            AnyKey::parse_key(&odd, "a"),
            Err(ParseKeyError::Bucket(_))
        ));
        assert!(AnyKey::matching(&odd, &Pattern::ALL).is_err());
        let all = AnyKey::matching(&bucket, &Pattern::ALL).unwrap();
        assert_eq!(all.pattern().as_str(), "$KV.b.>");
    }

    proptest! {
        #[test]
        fn a_key_parses_back(key in "[a-z/_=-]{1,8}(\\.[a-z0-9]{1,4}){0,4}") {
            let any = AnyKey::parse_key(&Token::from_static("b"), &key).unwrap();
            prop_assert_eq!(any.key(), key);
            prop_assert_eq!(AnyKey::parse(&any.subject()), Ok(any));
        }
    }
}
