//! Which authority of a swarm: a root or an issuing authority, by generation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which authority of a swarm: `root-1`, `issuing-3`. Generations count from 1, and none is given
/// twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum AuthorityId {
    /// A root.
    Root(u32),
    /// An issuing authority.
    Issuing(u32),
}

/// The text does not name an authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no authority; root-1 and issuing-1 do")]
pub struct AuthorityIdError(String);

impl AuthorityId {
    /// Returns the generation.
    pub fn generation(self) -> u32 {
        match self {
            Self::Root(generation) | Self::Issuing(generation) => generation,
        }
    }

    /// Tells whether it is a root.
    pub fn is_root(self) -> bool {
        matches!(self, Self::Root(_))
    }

    /// Reads the kind and generation that are part of an authority's name.
    pub(super) fn of_subject(subject: &str) -> Option<Self> {
        let mut words = subject.strip_prefix("CN=")?.split(' ');
        let (kind, generation) = (words.next()?, words.next()?);
        format!("{kind}-{generation}").parse().ok()
    }
}

impl fmt::Display for AuthorityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(generation) => f.pad(&format!("root-{generation}")),
            Self::Issuing(generation) => f.pad(&format!("issuing-{generation}")),
        }
    }
}

impl FromStr for AuthorityId {
    type Err = AuthorityIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('-').and_then(|(kind, digits)| {
            let generation: u32 = digits.parse().ok().filter(|number| *number > 0)?;
            let id = match kind {
                "root" => Self::Root(generation),
                "issuing" => Self::Issuing(generation),
                _ => return None,
            };
            // One way of writing each: no sign, no leading zeros.
            (id.to_string() == text).then_some(id)
        });
        parsed.ok_or_else(|| AuthorityIdError(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for AuthorityId {
    type Error = AuthorityIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AuthorityId> for String {
    fn from(id: AuthorityId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_written_in_one_way() {
        for id in [AuthorityId::Root(1), AuthorityId::Issuing(42)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in [
            "root",
            "root-0",
            "root-01",
            "issuing-+1",
            "leaf-1",
            "issuing-4294967296",
        ] {
            assert!(text.parse::<AuthorityId>().is_err(), "{text}");
        }
        let subject = "CN=issuing 7 0a1b2c3d,O=testers";
        assert_eq!(
            AuthorityId::of_subject(subject),
            Some(AuthorityId::Issuing(7))
        );
        assert_eq!(AuthorityId::of_subject("CN=edge1,O=testers"), None);
    }
}
