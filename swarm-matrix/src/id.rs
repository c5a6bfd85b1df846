//! Names in a room: users, rooms, aliases, events. Parsed once, valid for ever.
//!
//! The grammar is the strict one of the Matrix specification (appendix 4.2): a closed server makes
//! no other names, so no other name is taken from it. Room and event ids of room version 12 and
//! later carry no server name; both forms are accepted.

use std::fmt;

/// Bytes in the longest identifier that Matrix permits.
pub(crate) const MAX_ID_BYTES: usize = 255;

/// A name that does not follow the grammar of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} is malformed: {reason}")]
#[non_exhaustive]
pub struct IdError {
    /// What was parsed: `user id`, `room id`, …
    pub kind: &'static str,
    /// The rule that it breaks.
    pub reason: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Parses a ", $kind, ".")]
            ///
            /// # Errors
            /// When the text does not follow the grammar.
            pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(reason) => Err(IdError { kind: $kind, reason }),
                }
            }

            /// The text of it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

identifier!(
    /// The part of a user id before the colon: `edge1` in `@edge1:swarm`.
    ///
    /// A lower-case DNS label is one as it stands.
    Localpart,
    "localpart",
    check_localpart
);

identifier!(
    /// The name of a homeserver: `swarm`, `matrix.example.org:8448`, `10.0.0.1`.
    ServerName,
    "server name",
    check_server_name
);

identifier!(
    /// A user in full: `@edge1:swarm`.
    UserId,
    "user id",
    |text| {
        let (localpart, server) = split(text, '@')?;
        check_localpart(localpart)?;
        check_server_name(server)
    }
);

identifier!(
    /// A room: `!opaque:swarm`, or `!hash` from room version 12 on.
    RoomId,
    "room id",
    |text| check_opaque(text, '!')
);

identifier!(
    /// A name for a room: `#ops:swarm`.
    RoomAlias,
    "room alias",
    |text| {
        let (localpart, server) = split(text, '#')?;
        if localpart.is_empty() || localpart.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("the name is empty or holds white space");
        }
        check_server_name(server)
    }
);

identifier!(
    /// An event: `$hash`.
    EventId,
    "event id",
    |text| check_opaque(text, '$')
);

impl UserId {
    /// Puts a user id together from its two halves.
    ///
    /// # Errors
    /// When both together are longer than 255 bytes.
    pub fn new(localpart: &Localpart, server: &ServerName) -> Result<Self, IdError> {
        Self::parse(format!("@{localpart}:{server}"))
    }

    /// The part between `@` and the colon.
    pub fn localpart(&self) -> &str {
        self.halves().0
    }

    /// The homeserver's name.
    pub fn server(&self) -> &str {
        self.halves().1
    }

    fn halves(&self) -> (&str, &str) {
        split(&self.0, '@').expect("a user id was split when it was parsed")
    }
}

impl RoomAlias {
    /// Puts an alias together from its two halves.
    ///
    /// # Errors
    /// When the name is empty, holds white space, or is too long.
    pub fn new(name: &str, server: &ServerName) -> Result<Self, IdError> {
        Self::parse(format!("#{name}:{server}"))
    }
}

fn split(text: &str, sigil: char) -> Result<(&str, &str), &'static str> {
    if text.len() > MAX_ID_BYTES {
        return Err("longer than 255 bytes");
    }
    let rest = text
        .strip_prefix(sigil)
        .ok_or("the leading sigil is missing")?;
    rest.split_once(':').ok_or("the server name is missing")
}

fn check_localpart(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("the localpart is empty");
    }
    if text.len() > MAX_ID_BYTES {
        return Err("longer than 255 bytes");
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._=-/+".contains(&b);
    if text.bytes().all(allowed) {
        Ok(())
    } else {
        Err("a localpart holds a-z, 0-9 and . _ = - / + only")
    }
}

fn check_server_name(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > 230 {
        return Err("the server name is empty or longer than 230 bytes");
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    if text.bytes().all(allowed) {
        Ok(())
    } else {
        Err("a server name is a host and a port")
    }
}

fn check_opaque(text: &str, sigil: char) -> Result<(), &'static str> {
    if text.len() > MAX_ID_BYTES {
        return Err("longer than 255 bytes");
    }
    let rest = text
        .strip_prefix(sigil)
        .ok_or("the leading sigil is missing")?;
    if rest.is_empty() {
        return Err("nothing follows the sigil");
    }
    if rest.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("printable ASCII only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_gives_its_halves_back() {
        let user = UserId::parse("@edge1:swarm.example:8448").unwrap();
        assert_eq!(user.localpart(), "edge1");
        assert_eq!(user.server(), "swarm.example:8448");
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for bad in [
            "",
            "edge1",
            "@edge1",
            "@Edge:swarm",
            "@a b:swarm",
            "@:swarm",
            "@a:",
            "@a:s w",
        ] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "!", "ops", "!a b", "!\u{e9}"] {
            assert!(RoomId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(UserId::parse(format!("@{}:swarm", "a".repeat(250))).is_err());
    }

    #[test]
    fn room_ids_of_both_generations_are_accepted() {
        assert!(RoomId::parse("!abc:swarm").is_ok());
        assert!(RoomId::parse("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM").is_ok());
    }

    #[test]
    fn serde_parses_and_refuses() {
        assert!(serde_json::from_str::<UserId>("\"@a:b\"").is_ok());
        assert!(serde_json::from_str::<UserId>("\"a\"").is_err());
    }
}
