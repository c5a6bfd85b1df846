//! Names of objects, and the subjects that they stand under.

use crate::{Pattern, Subject, Token};
use base64::Engine as _;
use base64::alphabet::URL_SAFE as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Base64 for URLs; written with padding, read with or without.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The name of an object: any text without control characters, 1 to 1,024 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

/// A text is no [`ObjectName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseNameError {
    /// There is nothing in it.
    #[error("a name must not be empty")]
    Empty,
    /// It is longer than its subject may be.
    #[error("a name of {0} bytes is longer than {max}", max = ObjectName::MAX_LENGTH)]
    TooLong(usize),
    /// It holds a character that would act on a terminal or break a line.
    #[error("the character at byte {at} of the name is a control character")]
    Control {
        /// Where it stands.
        at: usize,
    },
}

impl ObjectName {
    /// The longest name in bytes.
    pub const MAX_LENGTH: usize = 1024;

    /// Parses a name.
    ///
    /// # Errors
    /// [`ParseNameError`].
    pub fn parse(text: &str) -> Result<Self, ParseNameError> {
        if text.is_empty() {
            return Err(ParseNameError::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(ParseNameError::TooLong(text.len()));
        }
        match text.char_indices().find(|(_, c)| c.is_control()) {
            Some((at, _)) => Err(ParseNameError::Control { at }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns where the object's description stands in a bucket.
    pub(crate) fn subject(&self, bucket: &Token) -> Subject {
        let name = BASE64.encode(&self.0);
        Subject::from_checked(format!("$O.{bucket}.M.{name}"))
    }

    /// Returns the name that a description of a bucket stands under.
    #[cfg(feature = "client")]
    pub(super) fn of_subject(subject: &str, bucket: &Token) -> Option<Self> {
        let name = BASE64.decode(subject.rsplit('.').next()?).ok()?;
        let name = Self::parse(std::str::from_utf8(&name).ok()?).ok()?;
        (name.subject(bucket).as_str() == subject).then_some(name)
    }
}

impl FromStr for ObjectName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the chunks of one upload stand under: what other clients call its NUID. Letters, digits,
/// `-` and `_`; it tells an upload from every other, also of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadId(String);

/// A text is no [`UploadId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no id of an upload")]
pub struct ParseUploadIdError;

impl UploadId {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what the chunks stand under in a bucket.
    pub(crate) fn subject(&self, bucket: &Token) -> Subject {
        Subject::from_checked(format!("$O.{bucket}.C.{}", self.0))
    }
}

impl FromStr for UploadId {
    type Err = ParseUploadIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        match (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseUploadIdError),
        }
    }
}

impl TryFrom<String> for UploadId {
    type Error = ParseUploadIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<UploadId> for String {
    fn from(id: UploadId) -> Self {
        id.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Returns where all descriptions of a bucket stand.
pub(super) fn descriptions(bucket: &Token) -> Pattern {
    Pattern::from_checked(format!("$O.{bucket}.M.>"))
}

/// Returns where every description of a bucket stands whose name is one.
#[cfg(feature = "client")]
pub(super) fn each_description(bucket: &Token) -> Pattern {
    Pattern::from_checked(format!("$O.{bucket}.M.*"))
}

/// Returns where all chunks of a bucket stand.
pub(super) fn chunks(bucket: &Token) -> Pattern {
    Pattern::from_checked(format!("$O.{bucket}.C.>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUCKET: Token = Token::from_static("b");

    #[test]
    fn a_name_stands_where_other_clients_look_for_it() {
        let name = ObjectName::parse("a/ä?.bin").unwrap();
        assert_eq!(name.subject(&BUCKET).as_str(), "$O.b.M.YS_DpD8uYmlu");
        let name = ObjectName::parse("1").unwrap();
        assert_eq!(name.subject(&BUCKET).as_str(), "$O.b.M.MQ==");
    }

    #[test]
    fn names_that_would_break_a_line_or_a_subject_are_refused() {
        for bad in ["", "a\nb", "\u{1b}[2J", "a\u{0}", "a\u{7f}", "a\u{85}"] {
            assert!(ObjectName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ObjectName::parse(&"a".repeat(1025)).is_err());
        for bad in ["", "a.b", "*", ">", "a b", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<UploadId>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_makes_a_subject(text in "\\PC{1,300}") {
            if let Ok(name) = ObjectName::parse(&text) {
                let longest = Token::parse(&"b".repeat(Token::MAX_LENGTH)).unwrap();
                let subject = name.subject(&longest);
                prop_assert!(Subject::parse(subject.as_str()).is_ok());
                let again = ObjectName::of_subject(subject.as_str(), &longest);
                prop_assert_eq!(again, Some(name));
            }
        }
    }

    #[test]
    fn the_longest_name_makes_a_subject() {
        let longest = Token::parse(&"b".repeat(Token::MAX_LENGTH)).unwrap();
        let name = ObjectName::parse(&"x".repeat(ObjectName::MAX_LENGTH)).unwrap();
        assert!(Subject::parse(name.subject(&longest).as_str()).is_ok());
    }
}
