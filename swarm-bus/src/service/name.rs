//! Names and versions of services.

use crate::{ParseSubjectError, Token};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What kind of service it is, or which endpoint: letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(Token);

/// A text is no name or no version of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseServiceError {
    /// Not even a token.
    #[error("no name of a service")]
    Token(#[from] ParseSubjectError),
    /// A character that names of services do not have.
    #[error("`{0}` is no name of a service: letters, digits, `-` and `_` make one")]
    Name(String),
    /// Not `major.minor.patch`, with what SemVer lets follow.
    #[error("`{0}` is no semantic version")]
    Version(String),
}

impl ServiceName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`ParseServiceError`].
    pub fn parse(text: &str) -> Result<Self, ParseServiceError> {
        let token = Token::parse(text)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match text.bytes().all(fits) {
            true => Ok(Self(token)),
            false => Err(ParseServiceError::Name(text.to_owned())),
        }
    }

    /// Makes a name that is known when the program is compiled.
    ///
    /// # Panics
    /// When it is none; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        assert!(
            crate::kv::is_bucket_name(text.as_bytes()),
            "letters, digits, `-` and `_` make the name of a service"
        );
        Self(Token::from_static(text))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the name as an element of a subject.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl TryFrom<String> for ServiceName {
    type Error = ParseServiceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.as_str().to_owned()
    }
}

/// Which version of a service it is: a semantic version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceVersion(semver::Version);

impl FromStr for ServiceVersion {
    type Err = ParseServiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self)
            .map_err(|_| ParseServiceError::Version(text.chars().take(80).collect()))
    }
}

impl fmt::Display for ServiceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<String> for ServiceVersion {
    type Error = ParseServiceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServiceVersion> for String {
    fn from(version: ServiceVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_those_of_the_specification() {
        for good in ["calc", "Calc-2", "a_b", "0"] {
            assert_eq!(ServiceName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a.b", "a b", "a*", "$a", "ä"] {
            assert!(ServiceName::parse(bad).is_err(), "{bad}");
        }
        for good in ["1.0.0", "0.1.2-rc.1+build.5"] {
            assert_eq!(good.parse::<ServiceVersion>().unwrap().to_string(), good);
        }
        for bad in ["", "1", "1.0", "v1.0.0", "1.0.0-", "01.0.0"] {
            assert!(bad.parse::<ServiceVersion>().is_err(), "{bad}");
        }
        let older: ServiceVersion = "1.9.0".parse().unwrap();
        assert!(older < "1.10.0".parse().unwrap());
    }
}
