//! The check beneath tokens, subjects and patterns. Their text is a [`smol_str::SmolStr`]: known
//! at compile time, inside the value where it is short, or shared.

use super::ParseSubjectError;

/// What a text is checked as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Token,
    Subject,
    Pattern,
}

/// The one check behind every constructor, run at compile time by the `const` ones.
pub(super) const fn check(text: &[u8], form: Form) -> Result<(), ParseSubjectError> {
    let max = match form {
        Form::Token => super::Token::MAX_LENGTH,
        Form::Subject | Form::Pattern => super::Subject::MAX_LENGTH,
    };
    if text.is_empty() {
        return Err(ParseSubjectError::Empty);
    }
    if text.len() > max {
        return Err(ParseSubjectError::TooLong {
            length: text.len(),
            max,
        });
    }
    let mut start = 0;
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        let alone = at == start && (at + 1 == text.len() || text[at + 1] == b'.');
        match byte {
            b'.' if !matches!(form, Form::Token) => {
                if at == start {
                    return Err(ParseSubjectError::EmptyToken { at });
                }
                start = at + 1;
            }
            b'*' if matches!(form, Form::Pattern) && alone => {}
            b'>' if matches!(form, Form::Pattern) && alone && at + 1 == text.len() => {}
            b'>' if matches!(form, Form::Pattern) && alone => {
                return Err(ParseSubjectError::RestNotLast { at });
            }
            b'.' | b'*' | b'>' | 0..=b' ' | 0x7f..=0xff => {
                return Err(ParseSubjectError::Byte { byte, at });
            }
            _ => {}
        }
        at += 1;
    }
    if start == text.len() {
        return Err(ParseSubjectError::EmptyToken { at: start });
    }
    Ok(())
}

/// [`check`] for constants.
pub(super) const fn assert_valid(text: &'static str, form: Form) {
    match check(text.as_bytes(), form) {
        Ok(()) => {}
        Err(ParseSubjectError::Empty) => panic!("a token, subject or pattern must not be empty"),
        Err(ParseSubjectError::EmptyToken { .. }) => panic!("a token is empty"),
        Err(ParseSubjectError::Byte { .. }) => panic!("a byte is not allowed here"),
        Err(ParseSubjectError::TooLong { .. }) => panic!("the text is too long"),
        Err(ParseSubjectError::RestNotLast { .. }) => panic!("`>` must be the last token"),
    }
}

/// Display, FromStr, serde and `AsRef<str>` for the three types, all by way of `parse`.
macro_rules! standard_traits {
    ($name:ident) => {
        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::subject::ParseSubjectError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = ::std::borrow::Cow::<'de, str>::deserialize(from)?;
                Self::parse(&text).map_err(::serde::de::Error::custom)
            }
        }
    };
}
pub(super) use standard_traits;
