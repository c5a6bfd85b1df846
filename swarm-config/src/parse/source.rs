//! Places in a text.

use std::ops::Range;

use crate::error::{Problem, ProblemKind};

/// Where a value stands, and what stands there.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    line: usize,
    column: usize,
    found: Option<String>,
}

impl Place {
    /// Makes a problem of this place.
    pub(crate) fn problem(&self, key: impl Into<String>, kind: ProblemKind) -> Problem {
        Problem {
            line: self.line,
            column: self.column,
            key: key.into(),
            kind,
            found: self.found.clone(),
            hint: None,
        }
    }
}

/// A value and the place where it was written. Two are equal when the values are.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// A text that knows where its lines begin.
pub(crate) struct Source<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Source<'t> {
    const FOUND_LIMIT: usize = 80;

    pub(crate) fn new(text: &'t str) -> Self {
        let after_breaks = text
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'\n')
            .map(|(i, _)| i + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    /// The place of a range of bytes. Only its beginning counts for line and column.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let start = floor_char_boundary(self.text, span.start);
        let line = self.starts.partition_point(|begin| *begin <= start);
        // The first line begins at 0, so at least one line begins at or before any place.
        let line_text = &self.text[self.starts[line - 1]..start];
        // One line may be the whole text: a column is counted up to a bound only.
        let column = line_text.chars().take(100_000).count() + 1;
        Place {
            line,
            column,
            found: self.found(start, span.end),
        }
    }

    fn found(&self, start: usize, end: usize) -> Option<String> {
        let end = floor_char_boundary(self.text, end.max(start));
        let text = self.text[start..end].trim();
        let first = text.lines().next().unwrap_or_default();
        let mut found: String = first.chars().take(Self::FOUND_LIMIT).collect();
        if found.is_empty() {
            return None;
        }
        if found.len() < text.len() {
            found.push('…');
        }
        // A string is shown by what it holds: its quotes would be escaped once more.
        let unquoted = ['"', '\''].iter().find_map(|quote| {
            found
                .strip_prefix(*quote)?
                .strip_suffix(*quote)
                .filter(|inner| !inner.contains(*quote))
        });
        match unquoted {
            Some(inner) => Some(inner.to_owned()),
            None => Some(found),
        }
    }
}

fn floor_char_boundary(text: &str, index: usize) -> usize {
    let index = index.min(text.len());
    // A boundary is at most three bytes away, and 0 always is one.
    (index.saturating_sub(3)..=index)
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, span: Range<usize>) -> (usize, usize, Option<String>) {
        let place = Source::new(text).place(span);
        (place.line, place.column, place.found)
    }

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let text = "a = 1\nö = \"x\"\n";
        assert_eq!(place(text, 0..1), (1, 1, Some("a".into())));
        assert_eq!(place(text, 11..14), (2, 5, Some("x".into())));
        assert_eq!(place(text, 15..15), (3, 1, None));
        assert_eq!(place(text, 900..999), (3, 1, None));
        assert_eq!(place("", 0..0), (1, 1, None));
        assert_eq!(place("ö", 1..1), (1, 1, None));
    }

    #[test]
    fn what_was_found_is_one_short_line() {
        assert_eq!(
            place("\"\"\"a\nb\"\"\"", 0..9).2.as_deref(),
            Some("\"\"\"a…")
        );
        let long = "x".repeat(500);
        assert_eq!(place(&long, 0..500).2.unwrap().chars().count(), 81);
    }
}
