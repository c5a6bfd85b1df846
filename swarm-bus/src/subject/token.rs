//! One element of a subject.

use super::text::{self, Form};
use super::{ParseSubjectError, Pattern, Subject};
use smol_str::SmolStr;
use std::fmt;

/// One element of a subject: printable ASCII without `.`, `*` and `>`.
///
/// ```
/// use swarm_bus::Token;
///
/// const PING: Token = Token::from_static("ping");
/// assert_eq!(Token::parse("ping")?, PING);
/// assert!(Token::parse("edge-7.>").is_err());
/// # Ok::<(), swarm_bus::ParseSubjectError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(SmolStr);

impl Token {
    /// The longest token in bytes.
    pub const MAX_LENGTH: usize = 128;

    /// Parses a token.
    ///
    /// # Errors
    /// [`ParseSubjectError`] when `text` is empty, too long, or holds a byte that no token may hold.
    pub fn parse(text: &str) -> Result<Self, ParseSubjectError> {
        text::check(text.as_bytes(), Form::Token)?;
        Ok(Self(SmolStr::new(text)))
    }

    /// Takes a token that is known when the program is compiled.
    ///
    /// # Panics
    /// When `text` is no token; in a `const` that is a compile-time error.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        text::assert_valid(text, Form::Token);
        Self(SmolStr::new_static(text))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Wraps an element of a subject; `None` where it is longer than a token may be.
    pub(crate) fn from_element(element: &str) -> Option<Self> {
        debug_assert!(!element.contains(['.', '*', '>']));
        (element.len() <= Self::MAX_LENGTH).then(|| Self(SmolStr::new(element)))
    }

    /// Wraps text of which the caller knows that it is a token.
    pub(crate) fn from_checked(text: &str) -> Self {
        debug_assert!(text::check(text.as_bytes(), Form::Token).is_ok());
        Self(SmolStr::new(text))
    }

    pub(super) fn into_text(self) -> SmolStr {
        self.0
    }
}

impl From<Token> for Pattern {
    fn from(token: Token) -> Self {
        Subject::from(token).into()
    }
}

text::standard_traits!(Token);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.as_str())
    }
}

impl PartialEq<str> for Token {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Token {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_no_separator_and_no_wildcard() {
        for bad in ["", "a.b", "*", ">", "a b", "a\n", "ü"] {
            assert!(Token::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Token::parse("edge-7").is_ok());
        assert!(Token::parse(&"x".repeat(Token::MAX_LENGTH)).is_ok());
        assert!(Token::parse(&"x".repeat(Token::MAX_LENGTH + 1)).is_err());
    }
}
