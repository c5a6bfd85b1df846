//! What can stand at an open place of a template.

use crate::subject::Token;

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
}

impl Parameter for Token {
    fn to_token(&self) -> Token {
        self.clone()
    }

    fn from_token(token: &Token) -> Option<Self> {
        Some(token.clone())
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Parameter for $integer {
            const KIND: &'static str = stringify!($integer);

            fn to_token(&self) -> Token {
                Token::parse(&self.to_string()).expect("decimal digits are a token")
            }

            /// Accepts the canonical spelling only, so that one value has one subject.
            fn from_token(token: &Token) -> Option<Self> {
                let value: Self = token.as_str().parse().ok()?;
                (value.to_string() == token.as_str()).then_some(value)
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
        for odd in ["07", "+7", "-0", "65536", "x"] {
            assert_eq!(u16::from_token(&Token::parse(odd).unwrap()), None, "{odd}");
        }
        assert_eq!(i64::from_token(&i64::MIN.to_token()), Some(i64::MIN));
    }
}
