//! What can stand at an open place of a template.

use super::Template;
use crate::subject::Token;
use arrayvec::{ArrayString, ArrayVec};
use std::fmt::Write as _;
use std::ops::Deref;

/// The values of a template's places, in order. They lie in the value itself: no allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(ArrayVec<Token, { Template::MAX_PARAMETERS }>);

impl Parameters {
    /// Makes an empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    ///
    /// # Panics
    /// When there are [`Template::MAX_PARAMETERS`] already.
    pub fn push(&mut self, value: Token) {
        self.0.push(value);
    }
}

impl<const N: usize> From<[Token; N]> for Parameters {
    /// Takes up to [`Template::MAX_PARAMETERS`] values; more do not compile.
    fn from(values: [Token; N]) -> Self {
        const {
            assert!(N <= Template::MAX_PARAMETERS, "more values than places");
        };
        Self(values.into_iter().collect())
    }
}

impl FromIterator<Token> for Parameters {
    /// Collects values.
    ///
    /// # Panics
    /// When they are more than [`Template::MAX_PARAMETERS`].
    fn from_iter<I: IntoIterator<Item = Token>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Deref for Parameters {
    type Target = [Token];

    fn deref(&self) -> &[Token] {
        &self.0
    }
}

/// A value that is one token of a subject.
///
/// The law: `from_token(&value.to_token()) == Some(value)`.
pub trait Parameter: Sized {
    /// What it is, for people: `token`, `u16`.
    const KIND: &'static str = "token";

    /// Writes the value as a token.
    fn to_token(&self) -> Token;

    /// Reads the value, or returns `None` where the token is none.
    fn from_token(token: &Token) -> Option<Self>;

    /// As [`to_token`](Self::to_token), without the token. The text must be the same.
    #[doc(hidden)]
    fn with_text<R>(&self, use_it: impl FnOnce(&str) -> R) -> R {
        use_it(self.to_token().as_str())
    }

    /// As [`from_token`](Self::from_token), for text that is known to be a token.
    #[doc(hidden)]
    fn from_text(text: &str) -> Option<Self> {
        Self::from_token(&Token::from_checked(text))
    }
}

impl Parameter for Token {
    fn to_token(&self) -> Token {
        self.clone()
    }

    fn from_token(token: &Token) -> Option<Self> {
        Some(token.clone())
    }

    fn with_text<R>(&self, use_it: impl FnOnce(&str) -> R) -> R {
        use_it(self.as_str())
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(Self::from_checked(text))
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Parameter for $integer {
            const KIND: &'static str = stringify!($integer);

            fn to_token(&self) -> Token {
                self.with_text(Token::from_checked)
            }

            /// Accepts the canonical spelling only, so that one value has one subject.
            fn from_token(token: &Token) -> Option<Self> {
                Self::from_text(token.as_str())
            }

            fn with_text<R>(&self, use_it: impl FnOnce(&str) -> R) -> R {
                // the longest is i128::MIN, of 40 bytes
                let mut digits = ArrayString::<40>::new();
                write!(digits, "{self}").expect("the digits have room");
                use_it(&digits)
            }

            fn from_text(text: &str) -> Option<Self> {
                let negative = text.strip_prefix('-');
                let canonical = match negative.unwrap_or(text).as_bytes() {
                    [b'0'] => negative.is_none(),
                    [b'1'..=b'9', ..] => true,
                    _ => false,
                };
                canonical.then(|| text.parse().ok())?
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_integer_has_one_spelling() {
        assert_eq!(u16::from_token(&Token::from_static("7")), Some(7));
        assert_eq!(i16::from_token(&Token::from_static("-7")), Some(-7));
        for odd in ["07", "+7", "-0", "-7", "00", "-", "65536", "7x", "x"] {
            assert_eq!(u16::from_token(&Token::parse(odd).unwrap()), None, "{odd}");
        }
        for odd in ["-07", "-0", "+7", "--7", "32768"] {
            assert_eq!(i16::from_token(&Token::parse(odd).unwrap()), None, "{odd}");
        }
        assert_eq!(u16::from_token(&Token::from_static("0")), Some(0));
        assert_eq!(i128::from_token(&i128::MIN.to_token()), Some(i128::MIN));
        assert_eq!(i64::from_token(&i64::MIN.to_token()), Some(i64::MIN));
    }
}
