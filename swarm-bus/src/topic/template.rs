//! Subjects with named open places.

use super::Parameters;
use crate::subject::{Pattern, Subject, Token};
use arrayvec::ArrayString;
use std::fmt;

/// A subject with named open places: `swarm.events.node.{node}`.
///
/// It is checked when it is made, which is at compile time in a `const`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Template(&'static str);

impl Template {
    /// The most open places a template can have. With [`Token::MAX_LENGTH`] and
    /// [`Template::MAX_LENGTH`] it keeps every subject within [`Subject::MAX_LENGTH`], which is why
    /// formatting cannot fail.
    pub const MAX_PARAMETERS: usize = 8;

    /// The longest template in bytes.
    pub const MAX_LENGTH: usize = 512;

    /// Takes a template.
    ///
    /// # Panics
    /// When `text` is none: an empty token, a wildcard, a `{place}` that is not a whole token, more
    /// than [`MAX_PARAMETERS`](Self::MAX_PARAMETERS) places. In a `const` that is a compile-time
    /// error.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        match Self::check(text.as_bytes()) {
            Ok(()) => Self(text),
            Err(fault) => panic!("{}", fault),
        }
    }

    const fn check(text: &[u8]) -> Result<(), &'static str> {
        if text.is_empty() {
            return Err("a template must not be empty");
        }
        if text.len() > Self::MAX_LENGTH {
            return Err("the template is too long");
        }
        let mut at = 0;
        let mut start = 0;
        let mut places = 0;
        while at <= text.len() {
            if at == text.len() || text[at] == b'.' {
                if at == start {
                    return Err("a token of the template is empty");
                }
                if text[start] == b'{' {
                    if text[at - 1] != b'}' || at - start <= 2 {
                        return Err("a place must be a whole token");
                    }
                    places += 1;
                }
                start = at + 1;
            } else {
                let byte = text[at];
                if byte <= b' ' || byte >= 0x7f || byte == b'*' || byte == b'>' {
                    return Err("a byte of the template is not allowed");
                }
                if byte == b'{' && at != start {
                    return Err("a place must be a whole token");
                }
                let ends = at + 1 == text.len() || text[at + 1] == b'.';
                if byte == b'}' && (text[start] != b'{' || !ends) {
                    return Err("a place must be a whole token");
                }
            }
            at += 1;
        }
        if places > Self::MAX_PARAMETERS {
            return Err("the template has too many places");
        }
        Ok(())
    }

    /// Returns the text.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }

    /// Returns the names of the open places in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.0.split('.').filter_map(place)
    }

    /// Fills the places.
    ///
    /// # Panics
    /// When `values` does not hold exactly one value for each place.
    #[must_use]
    pub fn format(&self, values: &[Token]) -> Subject {
        assert_eq!(
            values.len(),
            self.names().count(),
            "one value for each place of `{self}`"
        );
        let text = self.fill(|index| values[index].as_str());
        Subject::from_checked(text.as_str())
    }

    /// Returns the values at the places of a subject, or `None` where it does not fit.
    #[must_use]
    pub fn parse(&self, subject: &Subject) -> Option<Parameters> {
        let (ours, theirs) = (self.0.as_bytes(), subject.as_str());
        let mut values = Parameters::new();
        let (mut at, mut there) = (0, 0);
        while let Some(byte) = ours.get(at) {
            if *byte == b'{' {
                // a place is a whole token, and the brace ends it
                at += ours[at..].iter().position(|byte| *byte == b'}')? + 1;
                let left = &theirs[there..];
                let length = left.bytes().position(|byte| byte == b'.');
                let length = length.unwrap_or(left.len());
                if length == 0 {
                    return None;
                }
                values.push(Token::from_element(&left[..length])?);
                there += length;
            } else if theirs.as_bytes().get(there) == Some(byte) {
                (at, there) = (at + 1, there + 1);
            } else {
                return None;
            }
        }
        (there == theirs.len()).then_some(values)
    }

    /// Fills the places that have a value and leaves the others, and those beyond the end of
    /// `values`, open.
    #[must_use]
    pub fn pattern(&self, values: &[Option<&Token>]) -> Pattern {
        let text = self.fill(|index| match values.get(index) {
            Some(Some(token)) => token.as_str(),
            _ => "*",
        });
        Pattern::from_checked(text.as_str())
    }

    fn fill<'a>(&self, value: impl Fn(usize) -> &'a str) -> ArrayString<{ Subject::MAX_LENGTH }> {
        let mut text = ArrayString::new();
        let mut index = 0;
        for element in self.0.split('.') {
            if !text.is_empty() {
                text.push('.');
            }
            if place(element).is_some() {
                text.push_str(value(index));
                index += 1;
            } else {
                text.push_str(element);
            }
        }
        text
    }
}

fn place(element: &str) -> Option<&str> {
    element.strip_prefix('{')?.strip_suffix('}')
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEMPLATE: Template = Template::new("swarm.{kind}.node.{node}");

    #[test]
    fn bad_templates_are_told_by_what_is_wrong_with_them() {
        const EMPTY: &str = "a token of the template is empty";
        const BYTE: &str = "a byte of the template is not allowed";
        const PLACE: &str = "a place must be a whole token";
        let too_long = "x".repeat(Template::MAX_LENGTH + 1);
        for (bad, fault) in [
            ("", "a template must not be empty"),
            (&too_long[..], "the template is too long"),
            (".", EMPTY),
            ("a.", EMPTY),
            ("a..b", EMPTY),
            ("a.*", BYTE),
            ("a.>", BYTE),
            ("a b", BYTE),
            ("a.{}", PLACE),
            ("a.x{b}", PLACE),
            ("a.{b}x", PLACE),
            ("a.{b", PLACE),
            ("a.b}", PLACE),
            ("a.{{b}}", PLACE),
            (
                "{a}.{b}.{c}.{d}.{e}.{f}.{g}.{h}.{i}",
                "the template has too many places",
            ),
        ] {
            assert_eq!(Template::check(bad.as_bytes()), Err(fault), "{bad:?}");
        }
    }

    #[test]
    #[should_panic = "a place must be a whole token"]
    fn a_bad_template_is_not_made() {
        let _ = Template::new("a.x{b}");
    }

    #[test]
    fn the_largest_subject_a_template_can_make_is_a_subject() {
        let longest = Token::parse(&"x".repeat(Token::MAX_LENGTH)).unwrap();
        let places = "{p}.".repeat(Template::MAX_PARAMETERS);
        let literal = "y".repeat(Template::MAX_LENGTH - places.len());
        let template = Template::new(format!("{places}{literal}").leak());
        let subject = template.format(&vec![longest; Template::MAX_PARAMETERS]);
        assert!(Subject::parse(subject.as_str()).is_ok());
    }

    #[test]
    fn a_partly_open_pattern_keeps_its_values() {
        let node = Token::from_static("n1");
        assert_eq!(
            TEMPLATE.pattern(&[None, Some(&node)]).as_str(),
            "swarm.*.node.n1"
        );
        assert_eq!(TEMPLATE.pattern(&[Some(&node)]).as_str(), "swarm.n1.node.*");
        assert_eq!(TEMPLATE.names().collect::<Vec<_>>(), ["kind", "node"]);
    }

    #[test]
    fn what_does_not_fit_has_no_values() {
        for other in [
            "swarm",
            "swarm.a",
            "swarm.a.node",
            "swarm.a.node.n1.x",
            "swarm.a.nodes.n1",
            "swarm.a.nod.n1",
            "swarms.a.node.n1",
        ] {
            assert!(
                TEMPLATE.parse(&Subject::parse(other).unwrap()).is_none(),
                "{other}"
            );
        }
        let long = format!("swarm.{}.node.n1", "x".repeat(Token::MAX_LENGTH + 1));
        assert!(TEMPLATE.parse(&Subject::parse(&long).unwrap()).is_none());
    }

    proptest! {
        #[test]
        fn what_is_formatted_parses_back_and_matches(a in "[!-)+-\\-/-=?-~]{1,20}", b in "[a-z0-9-]{1,20}") {
            let values = [Token::parse(&a).unwrap(), Token::parse(&b).unwrap()];
            let subject = TEMPLATE.format(&values);
            let parsed = TEMPLATE.parse(&subject);
            prop_assert_eq!(parsed.as_deref(), Some(&values[..]));
            let open = Template::new("{a}.{b}.{c}.{d}");
            prop_assert_eq!(open.parse(&subject).map(|values| values.len()), Some(4));
            prop_assert!(TEMPLATE.pattern(&[]).matches(&subject));
            prop_assert!(TEMPLATE.pattern(&[Some(&values[0]), None]).matches(&subject));
        }
    }
}
