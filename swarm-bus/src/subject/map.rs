//! Many patterns, and which of them a subject belongs to.

use super::{Pattern, Subject};
use smol_str::SmolStr;
use std::collections::HashMap;

/// Values by pattern, found by the subjects that belong to it: what a program needs to pass a
/// message on to those of its parts that want it. A look-up costs what the subject has tokens,
/// not what the map has patterns.
///
/// ```
/// use swarm_bus::subject::PatternMap;
/// use swarm_bus::{Pattern, Subject};
///
/// let mut map = PatternMap::new();
/// map.insert(&Pattern::from_static("swarm.events.>"), "log");
/// map.insert(&Pattern::from_static("swarm.events.node.*"), "nodes");
/// let found = map.matches(&Subject::from_static("swarm.events.node.edge-7"));
/// assert_eq!(found, [&"log", &"nodes"]);
/// ```
#[derive(Debug, Clone)]
pub struct PatternMap<V> {
    root: Node<V>,
    len: usize,
}

/// Where the patterns stand that begin alike.
#[derive(Debug, Clone)]
struct Node<V> {
    literals: HashMap<SmolStr, Node<V>>,
    any: Option<Box<Node<V>>>,
    /// The values of patterns that go on with `>`.
    rest: Vec<V>,
    /// The values of patterns that end here.
    here: Vec<V>,
}

impl<V> Default for PatternMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> PatternMap<V> {
    /// Makes an empty map.
    #[must_use]
    pub fn new() -> Self {
        Self {
            root: Node::new(),
            len: 0,
        }
    }

    /// Returns how many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a value. A pattern may have several.
    pub fn insert(&mut self, pattern: &Pattern, value: V) {
        let mut node = &mut self.root;
        self.len += 1;
        for element in pattern.elements() {
            node = match element {
                ">" => return node.rest.push(value),
                "*" => node.any.get_or_insert_with(|| Box::new(Node::new())),
                literal => node
                    .literals
                    .entry(SmolStr::new(literal))
                    .or_insert_with(Node::new),
            };
        }
        node.here.push(value);
    }

    /// Takes the values of a pattern away for which `is_gone` says so, and returns how many they
    /// were.
    pub fn remove(&mut self, pattern: &Pattern, is_gone: impl FnMut(&V) -> bool) -> usize {
        let elements: Vec<_> = pattern.elements().collect();
        let removed = self.root.remove(&elements, is_gone);
        self.len -= removed;
        removed
    }

    /// Calls `found` with each value to whose pattern the subject belongs.
    pub fn for_each<'a>(&'a self, subject: &Subject, mut found: impl FnMut(&'a V)) {
        self.root.visit(Some(subject.as_str()), &mut found);
    }

    /// Returns each value to whose pattern the subject belongs.
    #[must_use]
    pub fn matches(&self, subject: &Subject) -> Vec<&V> {
        let mut all = Vec::new();
        self.for_each(subject, |value| all.push(value));
        all
    }
}

impl<V> Node<V> {
    fn new() -> Self {
        Self {
            literals: HashMap::new(),
            any: None,
            rest: Vec::new(),
            here: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.literals.is_empty()
            && self.any.is_none()
            && self.rest.is_empty()
            && self.here.is_empty()
    }

    /// Goes on with what is left of a subject; `None`: nothing is. As deep as a subject has
    /// tokens, so no deeper than half of [`Subject::MAX_LENGTH`].
    fn visit<'a>(&'a self, subject: Option<&str>, found: &mut impl FnMut(&'a V)) {
        let Some(subject) = subject else {
            return self.here.iter().for_each(found);
        };
        self.rest.iter().for_each(&mut *found);
        let (token, left) = match subject.split_once('.') {
            Some((token, left)) => (token, Some(left)),
            None => (subject, None),
        };
        if let Some(node) = self.literals.get(token) {
            node.visit(left, found);
        }
        if let Some(node) = &self.any {
            node.visit(left, found);
        }
    }

    /// Removes values, and the nodes that nothing needs any more.
    fn remove(&mut self, elements: &[&str], mut is_gone: impl FnMut(&V) -> bool) -> usize {
        let mut take = |values: &mut Vec<V>| {
            let before = values.len();
            values.retain(|value| !is_gone(value));
            before - values.len()
        };
        match elements {
            [] => take(&mut self.here),
            [">"] => take(&mut self.rest),
            ["*", left @ ..] => {
                let Some(node) = &mut self.any else { return 0 };
                let removed = node.remove(left, is_gone);
                if node.is_empty() {
                    self.any = None;
                }
                removed
            }
            [literal, left @ ..] => {
                let Some(node) = self.literals.get_mut(*literal) else {
                    return 0;
                };
                let removed = node.remove(left, is_gone);
                if node.is_empty() {
                    self.literals.remove(*literal);
                }
                removed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern() -> impl Strategy<Value = Pattern> {
        let element = prop::sample::select(vec!["a", "b", "*"]);
        let last = prop::sample::select(vec!["a", "b", "*", ">"]);
        (prop::collection::vec(element, 0..3), last).prop_map(|(mut elements, last)| {
            elements.push(last);
            Pattern::parse(&elements.join(".")).unwrap()
        })
    }

    fn subject() -> impl Strategy<Value = Subject> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "z"]), 1..5)
            .prop_map(|tokens| Subject::parse(&tokens.join(".")).unwrap())
    }

    proptest! {
        #[test]
        fn a_map_finds_what_each_pattern_matches(
            patterns in prop::collection::vec(pattern(), 0..12),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            subjects in prop::collection::vec(subject(), 1..8),
        ) {
            let mut map = PatternMap::new();
            let mut left = Vec::new();
            for (n, pattern) in patterns.into_iter().enumerate() {
                map.insert(&pattern, n);
                left.push((n, pattern));
            }
            for index in gone {
                if left.is_empty() {
                    break;
                }
                let (n, pattern) = left.swap_remove(index.index(left.len()));
                prop_assert_eq!(map.remove(&pattern, |value| *value == n), 1);
            }
            prop_assert_eq!(map.len(), left.len());
            for subject in &subjects {
                let mut found: Vec<_> = map.matches(subject).into_iter().copied().collect();
                found.sort_unstable();
                let mut expected: Vec<_> = left
                    .iter()
                    .filter(|(_, pattern)| pattern.matches(subject))
                    .map(|(n, _)| *n)
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
            for (n, pattern) in &left {
                map.remove(pattern, |value| value == n);
            }
            prop_assert!(map.is_empty() && map.root.is_empty(), "nothing is left behind");
        }
    }

    #[test]
    fn the_deepest_pattern_is_found_by_the_deepest_subject() {
        let deep = vec!["a"; Subject::MAX_LENGTH / 2].join(".");
        let (pattern, subject) = (Pattern::parse(&deep), Subject::parse(&deep));
        let mut map = PatternMap::new();
        map.insert(&pattern.clone().unwrap(), 1);
        map.insert(&Pattern::parse(&deep.replace('a', "*")).unwrap(), 2);
        assert_eq!(map.matches(&subject.unwrap()), [&1, &2]);
        assert_eq!(map.remove(&pattern.unwrap(), |_| true), 1);
        assert_eq!(map.len(), 1);
    }
}
