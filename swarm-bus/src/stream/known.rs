//! What a watch has told of, and how it notices what nobody told it.

use std::collections::HashMap;

/// The subjects that a watch has told of, and how far it has come.
///
/// A message that is removed by age or by hand leaves nothing in the stream that would tell. What is
/// known is therefore held against what the stream still has, by a *sweep* through it.
#[derive(Debug)]
pub(super) struct Known {
    max: usize,
    last: u64,
    complete: bool,
    subjects: HashMap<String, Seen>,
    sweeps: u64,
}

#[derive(Debug)]
struct Seen {
    revision: u64,
    /// Whether something stands under it, as far as was told.
    live: bool,
    /// The last sweep that found it.
    sweep: u64,
}

/// Revisions that the stream has not, between two that it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) after: u64,
    pub(crate) before: u64,
}

/// There is no room for another subject.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Known {
    /// Knows nothing yet, and `max` subjects at most.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            last: 0,
            complete: false,
            subjects: HashMap::new(),
            sweeps: 0,
        }
    }

    /// Takes note of a revision; returns what is missing before it. Before the present state is
    /// complete nothing is missing: what is there begins where it begins.
    pub(super) fn note(
        &mut self,
        subject: &str,
        revision: u64,
        live: bool,
    ) -> Result<Option<Gap>, Full> {
        let gap = (self.complete && revision > self.last + 1).then_some(Gap {
            after: self.last,
            before: revision,
        });
        self.last = revision;
        let sweep = self.sweeps;
        let seen = Seen {
            revision,
            live,
            sweep,
        };
        if let Some(known) = self.subjects.get_mut(subject) {
            *known = seen;
        } else if self.subjects.len() == self.max {
            return Err(Full);
        } else {
            self.subjects.insert(subject.to_owned(), seen);
        }
        Ok(gap)
    }

    /// Takes note that the present state is complete; `last` is the last revision of the stream
    /// then, which may be of a subject that is not watched.
    pub(super) fn complete(&mut self, last: u64) {
        self.complete = true;
        self.last = self.last.max(last);
    }

    /// Returns how many subjects, those with nothing left included, it knows.
    pub(super) fn count(&self) -> usize {
        self.subjects.len()
    }

    /// Begins to hold what is known against what is there.
    pub(super) fn begin_sweep(&mut self) {
        self.sweeps += 1;
    }

    /// Takes note that a subject is there.
    pub(super) fn sweep(&mut self, subject: &str) {
        if let Some(seen) = self.subjects.get_mut(subject) {
            seen.sweep = self.sweeps;
        }
    }

    /// Forgets what is not there; returns where something stood of it, with the last revision known, in
    /// the order of these.
    pub(super) fn end_sweep(&mut self) -> Vec<(String, u64)> {
        let sweeps = self.sweeps;
        let mut gone: Vec<_> = self
            .subjects
            .extract_if(|_, seen| seen.sweep != sweeps)
            .filter(|(_, seen)| seen.live)
            .map(|(subject, seen)| (subject, seen.revision))
            .collect();
        gone.sort_by_key(|(_, revision)| *revision);
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_once_the_present_state_is_complete() {
        let mut known = Known::new(8);
        assert_eq!(known.note("a", 3, true).unwrap(), None);
        assert_eq!(known.note("b", 7, true).unwrap(), None);
        known.complete(8);
        assert_eq!(known.note("a", 9, true).unwrap(), None);
        let gap = Gap {
            after: 9,
            before: 12,
        };
        assert_eq!(known.note("a", 12, true).unwrap(), Some(gap));
        assert_eq!(known.note("a", 13, false).unwrap(), None);
        assert_eq!(known.count(), 2);
    }

    #[test]
    fn more_subjects_than_there_is_room_for_are_refused() {
        let mut known = Known::new(1);
        known.note("a", 1, true).unwrap();
        assert_eq!(known.note("b", 2, true), Err(Full));
        assert_eq!(known.note("a", 3, true), Ok(None));
    }

    #[test]
    fn a_sweep_finds_what_went_without_a_word() {
        let mut known = Known::new(8);
        for (subject, revision, live) in [
            ("a", 1, true),
            ("b", 2, true),
            ("c", 3, false),
            ("d", 4, true),
            ("e", 5, true),
        ] {
            known.note(subject, revision, live).unwrap();
        }
        known.begin_sweep();
        known.sweep("b");
        known.sweep("unknown");
        // What is written meanwhile is there.
        known.note("e", 6, true).unwrap();
        let gone = [("a".to_owned(), 1), ("d".to_owned(), 4)];
        assert_eq!(known.end_sweep(), gone);
        assert_eq!(known.count(), 2);
        known.begin_sweep();
        known.sweep("b");
        known.sweep("e");
        assert_eq!(known.end_sweep(), []);
    }
}
