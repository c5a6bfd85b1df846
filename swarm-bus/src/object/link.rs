//! Links: names that stand for an object elsewhere, or for a whole bucket, as ADR-20 writes them.

use super::config::stream_name;
use super::info::{Options, ParseInfoError, Raw, RawLink, write};
use super::name::UploadId;
use super::{BucketNameError, ObjectName};
use crate::Token;
use std::fmt;
use std::time::SystemTime;

/// How many links may follow each other.
#[cfg(feature = "client")]
pub(super) const MAX_LINKS: usize = 8;

/// What a link points to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkTarget {
    /// An object, or another link.
    Object {
        /// The bucket that it is in.
        bucket: Token,
        /// Its name there.
        name: ObjectName,
    },
    /// A whole bucket, as a directory.
    Bucket(Token),
}

impl LinkTarget {
    /// Returns the bucket that it is, or that it is in.
    #[must_use]
    pub fn bucket(&self) -> &Token {
        match self {
            Self::Object { bucket, .. } | Self::Bucket(bucket) => bucket,
        }
    }
}

impl fmt::Display for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { bucket, name } => write!(f, "`{name}` in {bucket}"),
            Self::Bucket(bucket) => write!(f, "the bucket {bucket}"),
        }
    }
}

/// A name that stands for something elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Its own name.
    pub name: ObjectName,
    /// What people note about it.
    pub description: String,
    /// What it points to.
    pub target: LinkTarget,
    /// When it was made, by the server's clock.
    pub modified: SystemTime,
}

impl Link {
    /// Writes the description of a link.
    pub(crate) fn to_json(&self, bucket: &Token, id: &UploadId) -> Vec<u8> {
        let (to, name) = match &self.target {
            LinkTarget::Object { bucket, name } => (bucket, Some(name.to_string())),
            LinkTarget::Bucket(bucket) => (bucket, None),
        };
        let mut raw = Raw::new(&self.name, bucket, id);
        raw.description = Some(self.description.clone()).filter(|text| !text.is_empty());
        raw.options = Some(Options {
            link: Some(RawLink {
                bucket: to.to_string(),
                name,
            }),
            max_chunk_size: None,
        });
        write(&raw)
    }
}

impl RawLink {
    pub(super) fn parse(self) -> Result<LinkTarget, ParseInfoError> {
        let bucket = Token::parse(&self.bucket).map_err(|_| ParseInfoError::Link)?;
        check(&bucket).map_err(|_| ParseInfoError::Link)?;
        Ok(match self.name.filter(|name| !name.is_empty()) {
            Some(name) => LinkTarget::Object {
                bucket,
                name: ObjectName::parse(&name)?,
            },
            None => LinkTarget::Bucket(bucket),
        })
    }
}

/// Says whether a bucket may have the name.
pub(super) fn check(bucket: &Token) -> Result<(), BucketNameError> {
    stream_name(bucket).map(drop)
}

/// The links that were followed one after the other.
#[cfg(feature = "client")]
#[derive(Debug)]
pub(super) struct Trail(Vec<(Token, ObjectName)>);

/// Why a link is not followed.
#[cfg(feature = "client")]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Astray {
    /// It leads back to where it was before.
    Loop,
    /// There are too many of them.
    TooLong,
}

#[cfg(feature = "client")]
impl Trail {
    pub(super) fn new(bucket: &Token, name: &ObjectName) -> Self {
        Self(vec![(bucket.clone(), name.clone())])
    }

    /// Takes note of where a link leads.
    pub(super) fn follow(&mut self, bucket: &Token, name: &ObjectName) -> Result<(), Astray> {
        if self.0.iter().any(|(b, n)| (b, n) == (bucket, name)) {
            return Err(Astray::Loop);
        }
        if self.0.len() > MAX_LINKS {
            return Err(Astray::TooLong);
        }
        self.0.push((bucket.clone(), name.clone()));
        Ok(())
    }
}

#[cfg(all(test, feature = "client"))]
mod tests {
    use super::*;

    const BUCKET: Token = Token::from_static("b");

    fn name(text: &str) -> ObjectName {
        ObjectName::parse(text).expect("the text is a name")
    }

    #[test]
    fn a_loop_is_told_from_a_way_that_is_too_long() {
        let other = Token::from_static("c");
        let mut trail = Trail::new(&BUCKET, &name("a"));
        assert_eq!(trail.follow(&BUCKET, &name("a")), Err(Astray::Loop));
        // The same name in another bucket is another object.
        trail.follow(&other, &name("a")).unwrap();
        assert_eq!(trail.follow(&BUCKET, &name("a")), Err(Astray::Loop));
        for number in 1..MAX_LINKS {
            trail.follow(&BUCKET, &name(&number.to_string())).unwrap();
        }
        assert_eq!(trail.follow(&BUCKET, &name("z")), Err(Astray::TooLong));
        assert_eq!(trail.follow(&other, &name("a")), Err(Astray::Loop));
    }

    #[test]
    fn a_link_is_written_as_other_clients_write_it() {
        let object = LinkTarget::Object {
            bucket: Token::from_static("c"),
            name: name("o"),
        };
        for (target, expected) in [
            (object, r#""options":{"link":{"bucket":"c","name":"o"}}"#),
            (
                LinkTarget::Bucket(Token::from_static("c")),
                r#""options":{"link":{"bucket":"c"}}"#,
            ),
        ] {
            let link = Link {
                name: name("l"),
                description: String::new(),
                target,
                modified: SystemTime::UNIX_EPOCH,
            };
            let json = link.to_json(&BUCKET, &"N".parse().unwrap());
            let json = String::from_utf8(json).unwrap();
            assert!(json.contains(expected), "{json}");
        }
    }
}
