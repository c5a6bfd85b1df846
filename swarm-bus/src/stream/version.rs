//! What a server's version can do.

use super::{ConsumerConfig, Source, StreamConfig};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The version of a NATS server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ServerVersion {
    /// 2 in `2.9.10`.
    pub major: u32,
    /// 9 in `2.9.10`.
    pub minor: u32,
    /// 10 in `2.9.10`.
    pub patch: u32,
}

impl ServerVersion {
    const V2_9: Self = Self::new(2, 9, 0);
    const V2_10: Self = Self::new(2, 10, 0);
    #[cfg(feature = "client")]
    const V2_10_4: Self = Self::new(2, 10, 4);
    const V2_11: Self = Self::new(2, 11, 0);

    /// Makes a version.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version of a server")]
pub struct ParseVersionError(String);

impl FromStr for ServerVersion {
    type Err = ParseVersionError;

    /// Reads `2.9.10`, `v2.9.10` and `2.12.0-RC.1`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseVersionError(text.chars().take(40).collect());
        let core = text.strip_prefix('v').unwrap_or(text);
        let core = core.split(['-', '+']).next().unwrap_or(core);
        let mut numbers = core.split('.').map(|part| part.parse::<u32>().ok());
        let mut next = || numbers.next().flatten().ok_or_else(fail);
        Ok(Self::new(next()?, next()?, next()?))
    }
}

#[cfg(feature = "client")]
impl ServerVersion {
    /// Says whether a message can be terminated with a reason; an older server takes such a word
    /// for none at all.
    pub(super) fn check_term_reason(self) -> Result<(), Unsupported> {
        needs(true, "a reason for a termination", Self::V2_10_4, self)
    }
}

/// A server too old for what is asked of it, which it would ignore without a word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{feature} needs server {needs}, this is {server}")]
pub struct Unsupported {
    /// What was asked.
    pub feature: &'static str,
    /// The first version that has it.
    pub needs: ServerVersion,
    /// The version that the server says it is.
    pub server: ServerVersion,
}

const SEVERAL: &str = "several sources of one stream";
const MESSAGE_TTL: &str = "an age limit for single messages";

impl ServerVersion {
    /// Says whether it would ignore the age limit of a single message.
    #[cfg(feature = "client")]
    pub(crate) fn check_message_ttl(self) -> Result<(), Unsupported> {
        needs(true, MESSAGE_TTL, Self::V2_11, self)
    }
}

impl StreamConfig {
    /// Says what of this a server of the given version would ignore without a word.
    ///
    /// # Errors
    /// [`Unsupported`] with the name of the first such thing.
    pub fn check(&self, server: ServerVersion) -> Result<(), Unsupported> {
        needs(self.direct_get, "direct get", ServerVersion::V2_9, server)?;
        needs(self.compressed, "compression", ServerVersion::V2_10, server)?;
        needs(self.message_ttl, MESSAGE_TTL, ServerVersion::V2_11, server)?;
        let names: BTreeSet<_> = self.sources.iter().map(name_and_place).collect();
        let several = names.len() < self.sources.len();
        needs(several, SEVERAL, ServerVersion::V2_10, server)?;
        let noted = !self.metadata.is_empty();
        needs(noted, "stream metadata", ServerVersion::V2_10, server)
    }
}

/// By what an old server tells sources apart.
fn name_and_place(source: &Source) -> (&str, Option<&str>) {
    let api = source
        .external
        .as_ref()
        .map(|external| external.api.as_str());
    (source.stream.as_str(), api)
}

impl ConsumerConfig {
    /// Says what of this a server of the given version would ignore without a word.
    ///
    /// # Errors
    /// [`Unsupported`] with the name of the first such thing.
    pub fn check(&self, server: ServerVersion) -> Result<(), Unsupported> {
        needs(
            self.filters.len() > 1,
            "more than one filter",
            ServerVersion::V2_10,
            server,
        )
    }
}

fn needs(
    asked: bool,
    feature: &'static str,
    needs: ServerVersion,
    server: ServerVersion,
) -> Result<(), Unsupported> {
    if asked && server < needs {
        return Err(Unsupported {
            feature,
            needs,
            server,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pattern, Token};

    #[test]
    fn versions_parse_and_compare() {
        let old: ServerVersion = "2.9.10".parse().unwrap();
        assert!(old < "v2.10.0-RC.1".parse().unwrap());
        for bad in ["", "2", "2.x.1", "-", "99999999999.1.1"] {
            assert!(bad.parse::<ServerVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_an_old_server_would_ignore_is_refused_by_name() {
        let old = ServerVersion::new(2, 9, 10);
        let name = Token::from_static("S");
        let mut consumer = ConsumerConfig::new(name.clone(), name.clone());
        consumer.filters = vec![Pattern::from_static("a"), Pattern::from_static("b")];
        assert_eq!(
            consumer.check(old).unwrap_err().feature,
            "more than one filter"
        );
        assert!(consumer.check(ServerVersion::new(2, 10, 0)).is_ok());
        let mut stream = StreamConfig::new(name, vec![Pattern::from_static("a")]);
        assert!(stream.check(old).is_ok());
        stream.compressed = true;
        assert_eq!(stream.check(old).unwrap_err().feature, "compression");
        stream.compressed = false;
        stream.message_ttl = true;
        let refused = stream.check(ServerVersion::new(2, 10, 29)).unwrap_err();
        assert_eq!(refused.feature, MESSAGE_TTL);
        assert_eq!(refused.needs, ServerVersion::new(2, 11, 0));

        stream.message_ttl = false;
        let from = Token::from_static("FROM");
        let [one, other] = ["a", "b"].map(Token::from_static);
        stream.sources = vec![
            Source::in_domain(from.clone(), &one),
            Source::in_domain(from.clone(), &other),
            Source::new(from.clone()),
        ];
        assert!(stream.check(old).is_ok(), "their places differ");
        let mut again = Source::new(from);
        again.filter = Some(Pattern::from_static("b"));
        stream.sources.push(again);
        assert_eq!(stream.check(old).unwrap_err().feature, SEVERAL);
        assert!(stream.check(ServerVersion::new(2, 10, 0)).is_ok());
    }
}
