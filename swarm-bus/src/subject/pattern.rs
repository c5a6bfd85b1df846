//! What one subscribes to.

use super::text::{self, Form};
use super::{ParseSubjectError, Subject};
use smol_str::SmolStr;
use std::fmt;

/// A set of subjects: tokens of which some may be `*` (any one token), the last also `>` (one or
/// more tokens).
///
/// ```
/// use swarm_bus::{Pattern, Subject};
///
/// const EVENTS: Pattern = Pattern::from_static("swarm.events.*.>");
/// assert!(EVENTS.matches(&Subject::from_static("swarm.events.node.edge-7")));
/// assert!(!EVENTS.matches(&Subject::from_static("swarm.events.node")));
/// assert!(EVENTS.contains(&Pattern::from_static("swarm.events.node.*")));
/// assert!(EVENTS.overlaps(&Pattern::from_static("*.*.*.edge-7")));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(SmolStr);

impl Pattern {
    /// Every subject.
    pub const ALL: Self = Self::from_static(">");

    /// Parses a pattern.
    ///
    /// # Errors
    /// [`ParseSubjectError`], among others when a wildcard is only part of a token.
    pub fn parse(text: &str) -> Result<Self, ParseSubjectError> {
        text::check(text.as_bytes(), Form::Pattern)?;
        Ok(Self(SmolStr::new(text)))
    }

    /// Takes a pattern that is known when the program is compiled.
    ///
    /// # Panics
    /// When `text` is no pattern; in a `const` that is a compile-time error.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        text::assert_valid(text, Form::Pattern);
        Self(SmolStr::new_static(text))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the elements in order, wildcards among them.
    pub fn elements(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('.')
    }

    /// Says whether the pattern is one single subject.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.elements().all(|element| !matches!(element, "*" | ">"))
    }

    /// Returns the one subject that the pattern stands for, if it holds no wildcard.
    #[must_use]
    pub fn as_subject(&self) -> Option<Subject> {
        self.is_literal().then(|| Subject(self.0.clone()))
    }

    /// Says whether `subject` belongs to the pattern.
    #[must_use]
    pub fn matches(&self, subject: &Subject) -> bool {
        self.covers(subject.as_str())
    }

    /// Says whether a subject of other software, which [`Subject`] may refuse, belongs to the pattern.
    #[cfg(feature = "client")]
    pub(crate) fn takes(&self, subject: &str) -> bool {
        self.covers(subject)
    }

    /// Says whether every subject of `other` belongs to this pattern too.
    #[must_use]
    pub fn contains(&self, other: &Pattern) -> bool {
        self.covers(other.as_str())
    }

    /// Says whether at least one subject belongs to both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Pattern) -> bool {
        let mut ours = self.elements();
        let mut theirs = other.elements();
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }

    /// A subject is a pattern without wildcards, so one comparison serves both: a `*` of ours
    /// takes any element but `>`, a `>` of ours takes one or more of anything. Both texts are
    /// checked: a wildcard is an element, never a part of one.
    fn covers(&self, other: &str) -> bool {
        let (ours, theirs) = (self.as_str().as_bytes(), other.as_bytes());
        if ours == theirs {
            return true;
        }
        let mut at = 0;
        for &byte in ours {
            let Some(&other) = theirs.get(at) else {
                return false;
            };
            match byte {
                b'>' => return true,
                b'*' if other == b'>' => return false,
                b'*' => {
                    while at < theirs.len() && theirs[at] != b'.' {
                        at += 1;
                    }
                }
                _ if byte == other => at += 1,
                _ => return false,
            }
        }
        at == theirs.len()
    }

    /// Wraps text whose parts were all checked, of which the caller knows that it is short enough.
    pub(crate) fn from_checked(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        debug_assert!(text::check(text.as_bytes(), Form::Pattern).is_ok());
        Self(SmolStr::new(text))
    }
}

impl From<Subject> for Pattern {
    fn from(subject: Subject) -> Self {
        Self(subject.0)
    }
}

impl From<&Subject> for Pattern {
    fn from(subject: &Subject) -> Self {
        Self(subject.0.clone())
    }
}

text::standard_traits!(Pattern);

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every subject of up to four tokens over a two-letter alphabet: a world small enough to ask
    /// each question of every inhabitant. One token more than any generated pattern has, so that
    /// `>` is told from `*`; a letter that no pattern names, so that wildcards are told from
    /// literals.
    fn world() -> Vec<Subject> {
        let mut all = vec![String::new()];
        let mut subjects = Vec::new();
        for _ in 0..4 {
            all = all
                .iter()
                .flat_map(|prefix| {
                    ["a", "b", "z"].map(|token| match prefix.as_str() {
                        "" => token.to_owned(),
                        prefix => format!("{prefix}.{token}"),
                    })
                })
                .collect();
            subjects.extend(all.iter().map(|text| Subject::parse(text).unwrap()));
        }
        subjects
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        (
            prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 0..3),
            prop::sample::select(vec!["a", "b", "*", ">"]),
        )
            .prop_map(|(mut elements, last)| {
                elements.push(last);
                Pattern::parse(&elements.join(".")).unwrap()
            })
    }

    /// The definition, by recursion over token lists, written apart from the implementation.
    fn model_matches(pattern: &[&str], subject: &[&str]) -> bool {
        match (pattern, subject) {
            ([], []) => true,
            ([">"], [_, ..]) => true,
            (["*", rest @ ..], [_, tail @ ..]) => model_matches(rest, tail),
            ([a, rest @ ..], [b, tail @ ..]) if a == b => model_matches(rest, tail),
            _ => false,
        }
    }

    fn members(pattern: &Pattern, world: &[Subject]) -> Vec<bool> {
        let elements: Vec<_> = pattern.elements().collect();
        world
            .iter()
            .map(|subject| model_matches(&elements, &subject.tokens().collect::<Vec<_>>()))
            .collect()
    }

    proptest! {
        #[test]
        fn matching_containing_and_overlapping_are_what_the_sets_say(a in pattern(), b in pattern()) {
            let world = world();
            let (in_a, in_b) = (members(&a, &world), members(&b, &world));
            for (subject, expected) in world.iter().zip(&in_a) {
                prop_assert_eq!(a.matches(subject), *expected, "{:?} {:?}", a, subject);
            }
            let contains = in_a.iter().zip(&in_b).all(|(a, b)| *a || !*b);
            prop_assert_eq!(a.contains(&b), contains, "{:?} contains {:?}", a, b);
            let overlaps = in_a.iter().zip(&in_b).any(|(a, b)| *a && *b);
            prop_assert_eq!(a.overlaps(&b), overlaps, "{:?} overlaps {:?}", a, b);
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
        }

        #[test]
        fn containment_is_a_partial_order(a in pattern(), b in pattern(), c in pattern()) {
            prop_assert!(a.contains(&a));
            prop_assert!(Pattern::ALL.contains(&a));
            if a.contains(&b) && b.contains(&a) {
                prop_assert_eq!(&a, &b);
            }
            if a.contains(&b) && b.contains(&c) {
                prop_assert!(a.contains(&c));
            }
        }

        #[test]
        fn any_text_parses_or_is_refused_and_what_parses_prints_the_same(text in "\\PC{0,40}|[a-c.*>]{0,12}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.as_str(), &text);
                prop_assert_eq!(pattern.is_literal(), Subject::parse(&text).is_ok());
            } else {
                prop_assert!(Subject::parse(&text).is_err());
            }
        }
    }

    #[test]
    fn wildcards_stand_alone_and_the_rest_stands_last() {
        for bad in ["a.>.b", "a*", "*a", "a.b>", ">>", "**", ">.a", "a..*"] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            Pattern::parse("a.>.b"),
            Err(ParseSubjectError::RestNotLast { at: 2 })
        );
    }

    #[test]
    fn a_literal_pattern_is_its_subject() {
        assert_eq!(
            Pattern::from_static("a.b").as_subject(),
            Some(Subject::from_static("a.b"))
        );
        assert_eq!(Pattern::from_static("a.*").as_subject(), None);
    }
}
