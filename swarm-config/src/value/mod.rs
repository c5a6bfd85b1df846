//! The values a configuration is made of, each parsed once and valid for ever.
//!
//! Every type here has [`FromStr`](std::str::FromStr) and [`Display`](std::fmt::Display), and the
//! two are inverse. What can be put into a rendered file is restricted here, by type: no value
//! holds a quote, a line break, or a character that some reader of a rendered file gives a
//! meaning of its own, so no value can escape from where it was written.

mod amount;
mod key;
mod name;
mod nats;
mod path;

pub use amount::{ByteSize, Span};
pub use key::{PublicKeyPem, WireGuardPublicKey};
pub use name::{Domain, NodeId, Role, SwarmName};
pub use nats::{NatsSubject, NatsUser};
pub use path::AbsolutePath;

/// The reason why a text is not the value that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// There is no text at all.
    #[error("{what} is empty")]
    Empty {
        /// The kind of value that was expected.
        what: &'static str,
    },
    /// The text is longer than such a value may be.
    #[error("{what} has {length} characters, at most {limit} are allowed")]
    TooLong {
        /// The kind of value that was expected.
        what: &'static str,
        /// Length found, in characters.
        length: usize,
        /// Longest allowed, in characters.
        limit: usize,
    },
    /// A character is not allowed where it stands.
    #[error("{what} has {character:?} at character {index}; {allowed}")]
    Character {
        /// The kind of value that was expected.
        what: &'static str,
        /// The character that is not allowed.
        character: char,
        /// Its place, counted from 1, in characters.
        index: usize,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The text has another form than such a value.
    #[error("not {what}: expected {expected}")]
    Form {
        /// The kind of value that was expected, with its article.
        what: &'static str,
        /// The form expected.
        expected: &'static str,
    },
    /// The value is outside its range.
    #[error("{what} must be between {least} and {most}")]
    Range {
        /// The kind of value that was expected.
        what: &'static str,
        /// The least that is allowed.
        least: String,
        /// The most that is allowed.
        most: String,
    },
}

/// Checks each character and the length of a text.
fn check(
    what: &'static str,
    text: &str,
    limit: usize,
    allowed: &'static str,
    fits: impl Fn(char) -> bool,
) -> Result<(), ValueError> {
    if text.is_empty() {
        return Err(ValueError::Empty { what });
    }
    if let Some((index, character)) = text.chars().enumerate().find(|&(_, c)| !fits(c)) {
        return Err(ValueError::Character {
            what,
            character,
            index: index + 1,
            allowed,
        });
    }
    let length = text.chars().count();
    if length > limit {
        return Err(ValueError::TooLong {
            what,
            length,
            limit,
        });
    }
    Ok(())
}

/// Gives a checked text its common traits.
macro_rules! text_value {
    ($name:ident) => {
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::value::ValueError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}
use text_value;
