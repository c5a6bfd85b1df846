//! How the program speaks: failures with hints and exit codes, and values as text or JSON.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use serde::Serialize;
pub(crate) use swarm::error::chain;

/// What kind of trouble it is, and so the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The thing was tried and did not succeed: exit code 1.
    Failed,
    /// What was given cannot be read or does not make sense: exit code 2.
    Input,
    /// The machine lacks something or forbids it: exit code 3.
    Environment,
    /// Nobody reads what it says any more (`| head`), which ends it and is no failure: exit code 0.
    Unread,
}

/// Why a command failed: one clear line, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self::new(Kind::Environment, message)
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Input => 2,
            Kind::Environment => 3,
            Kind::Unread => 0,
        }
    }

    /// Prints the failure on standard error, if somebody is there.
    pub(crate) fn print(&self) {
        if self.kind == Kind::Unread {
            return;
        }
        let mut to = std::io::stderr().lock();
        let _ = writeln!(to, "swarm: {}", one_line(&self.message));
        if let Some(hint) = &self.hint {
            let _ = writeln!(to, "  hint: {}", one_line(hint));
        }
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Where a command's result goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints one result: as JSON when asked, else as the text.
    pub(crate) fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let line = if self.json {
            serde_json::to_string_pretty(value)
                .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?
        } else {
            plain(&text())
        };
        print_line(&line)
    }

    /// Prints one item of a stream: as one JSON line when asked, else as the text. A reader that went away
    /// ends the stream.
    pub(crate) fn item<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let line = if self.json {
            serde_json::to_string(value)
                .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?
        } else {
            plain(&text())
        };
        print(line.trim_end().as_bytes(), b"\n")
    }
}

/// Prints a line; a reader that went away (`| head`) is no failure.
pub(crate) fn print_line(line: &str) -> Result<(), Failure> {
    if_read(print(line.trim_end().as_bytes(), b"\n"))
}

/// Prints bytes as they are; a reader that went away is no failure.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    if_read(print(bytes, b""))
}

fn print(bytes: &[u8], end: &[u8]) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    let printed = output
        .write_all(bytes)
        .and_then(|()| output.write_all(end))
        .and_then(|()| output.flush());
    printed.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::new(Kind::Unread, "nobody reads the output"),
        _ => Failure::environment(format!("cannot print: {error}")),
    })
}

fn if_read(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
        Err(failure) if failure.kind == Kind::Unread => Ok(()),
        printed => printed,
    }
}

/// Says on standard error what went wrong and does not end it.
pub(crate) fn warn(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "swarm: {}", one_line(message));
}

/// Takes out what acts on a terminal: much of what is shown was written by somebody else.
fn plain(text: &str) -> String {
    let kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(kept).collect()
}

/// Takes out line breaks too, where they would look like something else that is shown.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Lays rows out in columns under a heading.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let clean = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>();
    let rows: Vec<_> = rows.iter().map(clean).collect();
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        text.truncate(text.trim_end().len());
        text
    };
    let mut lines = vec![line(&mut heading.iter().copied())];
    lines.extend(
        rows.iter()
            .map(|row| line(&mut row.iter().map(String::as_str))),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{plain, table};

    #[test]
    fn what_acts_on_a_terminal_is_not_shown() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}31m\u{7f}\r\n\tü"), "a[2Jb31m\n\tü");
    }

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells() {
        let rows = [
            vec!["command0".to_owned(), "up".to_owned()],
            vec!["e".to_owned(), "\n".to_owned()],
        ];
        assert_eq!(
            table(&["node", "state"], &rows),
            "node      state\ncommand0  up\ne"
        );
    }
}
