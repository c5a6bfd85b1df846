//! The demo's record: each step as it happens, a table at the end, and the same as JSON.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::report::{Failure, print_line, table};

/// One thing that was shown, or not.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    name: String,
    ok: bool,
    milliseconds: f64,
    detail: String,
}

/// A figure with the bound it was asked to keep.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    milliseconds: f64,
    asked_milliseconds: f64,
}

/// Everything the demo did so far.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    steps: Vec<Step>,
    figures: Vec<Figure>,
    #[serde(skip)]
    quiet: bool,
}

impl Record {
    /// An empty record; a quiet one prints nothing on the way.
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            steps: Vec::new(),
            figures: Vec::new(),
            quiet,
        }
    }

    /// Runs one step, and keeps how it ended and how long it took.
    pub(super) async fn step<T>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<(T, String), Failure>>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let result = work.await;
        let took = start.elapsed();
        let (ok, detail) = match &result {
            Ok((_, detail)) => (true, detail.clone()),
            Err(failure) => (false, failure.to_string()),
        };
        self.say(name, ok, took, &detail)?;
        self.steps.push(Step {
            name: name.to_owned(),
            ok,
            milliseconds: milliseconds(took),
            detail,
        });
        result.map(|(value, _)| value)
    }

    /// Notes a figure beside what was asked.
    pub(super) fn figure(&mut self, name: &str, took: Duration, asked: Duration) {
        let (milliseconds, asked_milliseconds) = (milliseconds(took), milliseconds(asked));
        self.figures.push(Figure {
            name: name.to_owned(),
            milliseconds,
            asked_milliseconds,
        });
    }

    /// Whether every step held.
    pub(super) fn holds(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.ok)
    }

    /// The last table: every step and every figure.
    pub(super) fn summary(&self) -> String {
        let rows: Vec<_> = self.steps.iter().map(Step::row).collect();
        let figures: Vec<_> = self.figures.iter().map(Figure::row).collect();
        format!(
            "{}\n\n{}",
            table(&["", "step", "ms"], &rows),
            table(&["figure", "ms", "asked ms"], &figures)
        )
    }

    /// Writes the JSON report.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let fail = |error: std::io::Error| {
            Failure::environment(format!("cannot write {}: {error}", path.display()))
        };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        let text = serde_json::to_string_pretty(self).expect("a record has only plain values");
        std::fs::write(path, text + "\n").map_err(fail)
    }

    fn say(&self, name: &str, ok: bool, took: Duration, detail: &str) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        let mark = if ok { "ok  " } else { "FAIL" };
        let number = self.steps.len() + 1;
        print_line(&format!(
            "{number:>3} {mark} {name} ({:.0} ms)",
            milliseconds(took)
        ))?;
        detail
            .lines()
            .try_for_each(|line| print_line(&format!("         {line}")))
    }
}

impl Step {
    fn row(&self) -> Vec<String> {
        let mark = if self.ok { "ok" } else { "FAIL" };
        vec![
            mark.to_owned(),
            self.name.clone(),
            format!("{:.0}", self.milliseconds),
        ]
    }
}

impl Figure {
    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            format!("{:.0}", self.milliseconds),
            format!("≤ {:.0}", self.asked_milliseconds),
        ]
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}
