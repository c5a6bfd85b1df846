//! What changes between two sets of rendered files.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use crate::render::RenderedFile;

/// What happens to one rendered file. It displays as a unified diff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileChange {
    /// Path below the swarm's directory.
    pub path: &'static str,
    /// What happens.
    pub kind: FileChangeKind,
    /// Permission bits so far and from now on, when they change.
    pub mode: Option<(u32, u32)>,
    /// The lines that change, with three lines of context around; empty where only the mode
    /// changes.
    pub lines: Vec<DiffLine>,
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum FileChangeKind {
    /// It comes to be.
    Added,
    /// It goes.
    Removed,
    /// It has other contents or another mode.
    Changed,
}

/// A line of a difference, without its line break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum DiffLine {
    /// A gap: where the next lines stand, as in `@@ -1,3 +1,4 @@`.
    Hunk(String),
    /// The line stays.
    Kept(String),
    /// The line goes.
    Removed(String),
    /// The line comes.
    Added(String),
}

/// Compares two sets of rendered files. Those that are the same are left out.
#[must_use]
pub fn files(old: &[RenderedFile], new: &[RenderedFile]) -> Vec<FileChange> {
    let mut paths: BTreeMap<&'static str, [Option<&RenderedFile>; 2]> = BTreeMap::new();
    for (index, files) in [old, new].into_iter().enumerate() {
        for file in files {
            paths.entry(file.path).or_default()[index] = Some(file);
        }
    }
    let change = |(path, [from, to]): (_, [Option<&RenderedFile>; 2])| {
        let kind = match (from, to) {
            (None, _) => FileChangeKind::Added,
            (_, None) => FileChangeKind::Removed,
            (Some(from), Some(to)) if from == to => return None,
            _ => FileChangeKind::Changed,
        };
        let modes = from.zip(to).map(|(from, to)| (from.mode, to.mode));
        let text =
            |file: Option<&'_ RenderedFile>| file.map_or("", |file| &file.contents).to_owned();
        let lines = unified(&text(from), &text(to));
        Some(FileChange {
            path,
            kind,
            mode: modes.filter(|(from, to)| from != to),
            lines,
        })
    };
    paths.into_iter().filter_map(change).collect()
}

fn unified(old: &str, new: &str) -> Vec<DiffLine> {
    let diff = TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        lines.push(DiffLine::Hunk(hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n').to_owned();
            lines.push(match change.tag() {
                ChangeTag::Equal => DiffLine::Kept(line),
                ChangeTag::Delete => DiffLine::Removed(line),
                ChangeTag::Insert => DiffLine::Added(line),
            });
        }
    }
    lines
}

impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = "/dev/null";
        let (from, to) = match self.kind {
            FileChangeKind::Added => (nothing, self.path),
            FileChangeKind::Removed => (self.path, nothing),
            FileChangeKind::Changed => (self.path, self.path),
        };
        writeln!(f, "--- {from}\n+++ {to}")?;
        if let Some((from, to)) = self.mode {
            writeln!(f, "mode {from:03o} becomes {to:03o}")?;
        }
        for line in &self.lines {
            match line {
                DiffLine::Hunk(text) => writeln!(f, "{text}")?,
                DiffLine::Kept(text) => writeln!(f, " {text}")?,
                DiffLine::Removed(text) => writeln!(f, "-{text}")?,
                DiffLine::Added(text) => writeln!(f, "+{text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_differ_by_lines() {
        let file = |contents: &str, mode| RenderedFile {
            path: "x",
            contents: contents.into(),
            mode,
        };
        let change = files(&[file("a\nb\nc\n", 0o600)], &[file("a\nB\nc\n", 0o644)]);
        assert_eq!(
            change[0].to_string(),
            "--- x\n+++ x\nmode 600 becomes 644\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
        );
        assert_eq!(files(&[file("a\n", 0o600)], &[file("a\n", 0o600)]), []);
        assert_eq!(
            files(&[], &[file("a\n", 0o600)])[0].kind,
            FileChangeKind::Added
        );
        assert_eq!(
            files(&[file("a\n", 0o600)], &[])[0].kind,
            FileChangeKind::Removed
        );
    }
}
