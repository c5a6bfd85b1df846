//! Places in a text, and what is told of them.

use std::cmp::Reverse;
use std::ops::Range;

use crate::error::{Problem, ProblemKind, Problems};

/// A range of bytes in a text. Line and column are counted only for what is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    start: usize,
    end: usize,
}

/// A value and the place where it was written. Two are equal when the values are.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A problem whose place is not counted out yet.
#[derive(Debug)]
pub(crate) struct Draft {
    place: Place,
    key: String,
    kind: ProblemKind,
    hint: Option<String>,
    shows_text: bool,
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Place {
    /// The beginning of a text.
    pub(crate) const START: Self = Self { start: 0, end: 0 };

    /// Makes a problem of this place.
    pub(crate) fn problem(self, key: impl Into<String>, kind: ProblemKind) -> Draft {
        Draft {
            place: self,
            key: key.into(),
            kind,
            hint: None,
            shows_text: true,
        }
    }
}

impl From<Range<usize>> for Place {
    fn from(span: Range<usize>) -> Self {
        Self {
            start: span.start,
            end: span.end,
        }
    }
}

impl Draft {
    /// The same with a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same without the text that stands there: the problem is what does not.
    pub(crate) fn without_text(mut self) -> Self {
        self.shows_text = false;
        self
    }

    fn tell(self, text: &str) -> Problem {
        let start = floor_char_boundary(text, self.place.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key: self.key,
            kind: self.kind,
            found: if self.shows_text {
                found(text, start, self.place.end)
            } else {
                None
            },
            hint: self.hint,
        }
    }
}

/// Tells problems in the order of the text; `None` when there are none.
pub(crate) fn tell(text: &str, mut drafts: Vec<Draft>) -> Option<Problems> {
    if drafts.is_empty() {
        return None;
    }
    // At one place the outer key comes first: it is the shorter one.
    drafts.sort_by_cached_key(|draft| {
        (
            draft.place.start,
            Reverse(draft.place.end),
            draft.key.clone(),
        )
    });
    let omitted = drafts.len().saturating_sub(Problems::LIMIT);
    drafts.truncate(Problems::LIMIT);
    let problems = drafts.into_iter().map(|draft| draft.tell(text)).collect();
    Some(Problems::new(problems, omitted))
}

/// The first line of what stands in a range, shortened.
fn found(text: &str, start: usize, end: usize) -> Option<String> {
    const LIMIT: usize = 80;
    let end = floor_char_boundary(text, end.max(start));
    let text = text[start..end].trim();
    let first = text.lines().next().unwrap_or_default();
    let mut found: String = first.chars().take(LIMIT).collect();
    if found.is_empty() {
        return None;
    }
    if found.len() < text.len() {
        found.push('…');
    }
    // A string is shown by what it holds: its quotes would be escaped once more.
    let unquoted = ['"', '\''].iter().find_map(|quote| {
        let inner = found.strip_prefix(*quote)?.strip_suffix(*quote)?;
        (!inner.contains(*quote)).then(|| inner.to_owned())
    });
    Some(unquoted.unwrap_or(found))
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
        let problem = Place::from(span)
            .problem("", ProblemKind::UnknownKey)
            .tell(text);
        (problem.line, problem.column, problem.found)
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
