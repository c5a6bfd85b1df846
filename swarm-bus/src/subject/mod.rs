//! Subjects, parsed once and valid for ever.
//!
//! A [`Token`] is one element of a subject, a [`Subject`] is what a message is published to, a
//! [`Pattern`] is what one subscribes to. No value of these types can carry a `.`, `*`, `>`, space
//! or control character where it does not belong, so text from outside cannot widen a subject.
//!
//! Tokens are printable ASCII: what every NATS server, leaf and tool agrees on.

mod map;
mod pattern;
mod text;
mod token;

pub use map::PatternMap;
pub use pattern::Pattern;
pub use token::Token;

use smol_str::SmolStr;
use std::fmt;

/// What makes a text no token, subject or pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseSubjectError {
    /// There is nothing in it.
    #[error("a subject must not be empty")]
    Empty,
    /// Two dots meet, or one stands at an end.
    #[error("the token at byte {at} is empty")]
    EmptyToken {
        /// The byte at which the token should have begun.
        at: usize,
    },
    /// A byte that has no place there: white space, a control character, a wildcard, non-ASCII.
    #[error("byte {byte:#04x} at {at} is not allowed")]
    Byte {
        /// The offending byte.
        byte: u8,
        /// Where it stands.
        at: usize,
    },
    /// Longer than a server takes safely in one protocol line.
    #[error("{length} bytes are more than {max}")]
    TooLong {
        /// How long it is, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        max: usize,
    },
    /// A `>` stands before the end.
    #[error("the wildcard `>` at byte {at} is not the last token")]
    RestNotLast {
        /// Where it stands.
        at: usize,
    },
}

/// The subject of one message: dot-separated tokens, no wildcard.
///
/// ```
/// use swarm_bus::{Subject, Token};
///
/// const ALIVE: Subject = Subject::from_static("swarm.alive");
/// let node = Token::parse("edge-7")?;
/// assert_eq!(ALIVE.child(&node)?.as_str(), "swarm.alive.edge-7");
/// assert!(Subject::parse("swarm.*.edge-7").is_err());
/// # Ok::<(), swarm_bus::ParseSubjectError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(SmolStr);

impl Subject {
    /// The longest subject in bytes; a NATS server's control line holds 4,096.
    pub const MAX_LENGTH: usize = 2048;

    /// Parses a subject.
    ///
    /// # Errors
    /// [`ParseSubjectError`] when `text` is empty, too long, holds a wildcard or an empty token.
    pub fn parse(text: &str) -> Result<Self, ParseSubjectError> {
        text::check(text.as_bytes(), text::Form::Subject)?;
        Ok(Self(SmolStr::new(text)))
    }

    /// Takes a subject that is known when the program is compiled.
    ///
    /// # Panics
    /// When `text` is no subject; in a `const` that is a compile-time error.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        text::assert_valid(text, text::Form::Subject);
        Self(SmolStr::new_static(text))
    }

    /// Returns this subject with one more token at its end.
    ///
    /// # Errors
    /// [`ParseSubjectError::TooLong`].
    pub fn child(&self, token: &Token) -> Result<Self, ParseSubjectError> {
        Self::parse(&format!("{self}.{token}"))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the tokens in order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('.')
    }

    /// Wraps text whose parts were all checked, of which the caller knows that it is short enough.
    pub(crate) fn from_checked(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        debug_assert!(text::check(text.as_bytes(), text::Form::Subject).is_ok());
        Self(SmolStr::new(text))
    }
}

impl From<Token> for Subject {
    fn from(token: Token) -> Self {
        Self(token.into_text())
    }
}

text::standard_traits!(Subject);

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_refuses_everything_that_would_widen_or_split_it() {
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a.*",
            "a.>",
            "*",
            ">",
            "a*b",
            "a>b",
            "a\tb",
            "a\r\nPUB x 0",
            "ä",
            "a\u{0}",
            "a\u{7f}",
        ] {
            assert!(Subject::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Subject::parse(&"a".repeat(Subject::MAX_LENGTH + 1)).is_err());
    }

    #[test]
    fn the_error_says_where() {
        assert_eq!(
            Subject::parse("ab..c"),
            Err(ParseSubjectError::EmptyToken { at: 3 })
        );
        assert_eq!(
            Subject::parse("ab."),
            Err(ParseSubjectError::EmptyToken { at: 3 })
        );
        assert_eq!(
            Subject::parse("a.b c"),
            Err(ParseSubjectError::Byte { byte: b' ', at: 3 })
        );
    }

    #[test]
    fn static_and_parsed_subjects_are_equal_and_hash_alike() {
        use std::collections::HashSet;
        let set = HashSet::from([Subject::from_static("a.b")]);
        assert!(set.contains(&Subject::parse("a.b").unwrap()));
    }

    #[test]
    fn serde_refuses_what_parse_refuses() {
        assert!(serde_json::from_str::<Subject>("\"a.b\"").is_ok());
        assert!(serde_json::from_str::<Subject>("\"a.*\"").is_err());
    }
}
