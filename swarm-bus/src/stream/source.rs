//! Streams that take over what other streams keep, also those of another JetStream domain.

use crate::{Headers, Pattern, Subject, Token};
use std::collections::HashMap;

/// The header in which a stream notes where it has a message from.
const ORIGIN: &str = "Nats-Stream-Source";
/// Of how many streams [`Gaps`] knows the last message.
const MAX_ORIGINS: usize = 4096;

/// A stream that another one takes its messages from: each of them, once, in order, with headers
/// and subject as they are, and again from where it stopped after any outage of either.
///
/// The stream that is taken from needs [`Retention::Limits`](super::Retention::Limits): from a work
/// queue over a leaf node's link messages get lost. Nor should it keep messages longer than the
/// stream that takes them: what left the latter altogether is taken again when its server starts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// Its name.
    pub stream: Token,
    /// Which of its messages; all where it is `None`.
    pub filter: Option<Pattern>,
    /// Where it is, if not in the same JetStream.
    pub external: Option<External>,
}

/// Where a stream of another JetStream domain is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// What its API begins with: `$JS.<domain>.API`.
    pub api: Subject,
    /// What the subjects begin with by which its messages come. One for each domain tells them
    /// apart by permission: who may publish there may put messages of any subject into the stream.
    pub deliver: Subject,
}

impl Source {
    /// Describes a stream of the same JetStream.
    #[must_use]
    pub fn new(stream: Token) -> Self {
        Self {
            stream,
            filter: None,
            external: None,
        }
    }

    /// Describes a stream of another domain, whose messages come by `_LEAF.<domain>.>`.
    #[must_use]
    pub fn in_domain(stream: Token, domain: &Token) -> Self {
        let external = External {
            api: Subject::from_checked(format!("$JS.{domain}.API")),
            deliver: Subject::from_checked(format!("_LEAF.{domain}")),
        };
        Self {
            external: Some(external),
            ..Self::new(stream)
        }
    }
}

/// Where a stream has a message from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The stream, as the server names it: with a mark that tells streams of one name apart.
    pub stream: String,
    /// Its number there.
    pub sequence: u64,
}

impl Origin {
    /// Reads the origin of a message; `None` where no stream took it from another one.
    #[must_use]
    pub fn of(headers: &Headers) -> Option<Self> {
        // Newer servers add filters to it.
        let mut words = headers.get(ORIGIN)?.split(' ');
        let stream = words.next().filter(|stream| !stream.is_empty())?;
        Some(Self {
            stream: stream.to_owned(),
            sequence: words.next()?.parse().ok()?,
        })
    }
}

/// Counts what never arrived: numbers of a source that are missing between its messages, because
/// the limits of that stream took them first.
///
/// It is exact where a stream that takes whole streams is read in order. Of at most 4,096 sources.
#[derive(Debug, Clone, Default)]
pub struct Gaps {
    last: HashMap<String, u64>,
    missing: u64,
}

impl Gaps {
    /// Notes the next message; returns how many are missing before it. Before the first one of a
    /// source none is.
    pub fn note(&mut self, origin: &Origin) -> u64 {
        let Some(last) = self.last.get_mut(&origin.stream) else {
            if self.last.len() < MAX_ORIGINS {
                self.last.insert(origin.stream.clone(), origin.sequence);
            }
            return 0;
        };
        let missing = origin.sequence.saturating_sub(last.saturating_add(1));
        *last = origin.sequence.max(*last);
        self.missing = self.missing.saturating_add(missing);
        missing
    }

    /// Returns how many are missing in all.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Option<Origin> {
        let mut headers = Headers::new();
        headers.append(ORIGIN, text).unwrap();
        Origin::of(&headers)
    }

    #[test]
    fn an_origin_is_read_as_old_and_new_servers_write_it() {
        let found = origin("LEAF_EVENTS:JE7QNXai 7").unwrap();
        assert_eq!(
            (found.stream.as_str(), found.sequence),
            ("LEAF_EVENTS:JE7QNXai", 7)
        );
        assert_eq!(origin("S:x 9 > >").unwrap().sequence, 9);
        for bad in ["", "S", " 7", "S x", "S -1", "S 99999999999999999999"] {
            assert_eq!(origin(bad), None, "{bad}");
        }
        assert_eq!(Origin::of(&Headers::new()), None);
    }

    #[test]
    fn what_is_missing_between_messages_of_one_source_is_counted() {
        let mut gaps = Gaps::default();
        let missing: Vec<_> = ["a 5", "a 6", "b 1", "a 9", "b 2", "a 9", "a 10", "b 4"]
            .iter()
            .map(|text| gaps.note(&origin(text).unwrap()))
            .collect();
        assert_eq!(missing, [0, 0, 0, 2, 0, 0, 0, 1]);
        assert_eq!(gaps.missing(), 3);
        gaps.note(&origin(&format!("a {}", u64::MAX)).unwrap());
        gaps.note(&origin("a 1").unwrap());
    }

    #[test]
    fn the_sources_that_are_known_are_bounded() {
        let mut gaps = Gaps::default();
        for number in 0..=MAX_ORIGINS {
            gaps.note(&origin(&format!("s{number} 1")).unwrap());
        }
        assert_eq!(gaps.last.len(), MAX_ORIGINS);
    }
}
