//! How far a transfer is: a bar on a terminal, lines of JSON for a program, else nothing.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cmd::bus::size::size;
use crate::report::Output;

/// How often it is said.
const EVERY: Duration = Duration::from_millis(250);
/// How wide the bar is.
const WIDTH: usize = 30;

/// Says how far a transfer is.
pub(super) struct Progress {
    output: Output,
    total: Option<u64>,
    start: Instant,
    /// Bytes that were there before.
    before: Option<u64>,
    said: Option<Instant>,
    drawn: bool,
}

impl Progress {
    pub(super) fn new(output: Output, total: Option<u64>) -> Self {
        Self {
            output,
            total,
            start: Instant::now(),
            before: None,
            said: None,
            drawn: false,
        }
    }

    /// Notes what is there, and says it now and then.
    pub(super) fn at(&mut self, bytes: u64, total: Option<u64>) {
        self.total = self.total.or(total);
        let before = *self.before.get_or_insert(bytes);
        if self.said.is_some_and(|said| said.elapsed() < EVERY) {
            return;
        }
        self.said = Some(Instant::now());
        let rate =
            (bytes - before.min(bytes)) as f64 / self.start.elapsed().as_secs_f64().max(0.001);
        if self.output.is_json() {
            let line = json!({ "bytes": bytes, "total": self.total, "per_second": rate as u64 });
            // a reader that went away is noticed at the end
            let _ = self.output.item(&line, String::new);
        } else if std::io::stderr().is_terminal() {
            let mut to = std::io::stderr().lock();
            let _ = write!(to, "\r\x1b[K{}", line(bytes, self.total, rate as u64));
            let _ = to.flush();
            self.drawn = true;
        }
    }

    /// Clears the bar, so that what follows stands alone.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(bytes: u64, total: Option<u64>, rate: u64) -> String {
    let rate = size(rate);
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{}, {rate}/s", size(bytes));
    };
    let share = (bytes as f64 / total as f64).min(1.0);
    let full = (share * WIDTH as f64) as usize;
    format!(
        "[{}{}] {:3.0} %  {} of {}, {rate}/s",
        "#".repeat(full),
        " ".repeat(WIDTH - full),
        share * 100.0,
        size(bytes),
        size(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_full_as_the_share() {
        assert_eq!(line(5, None, 1), "5 B, 1 B/s");
        assert_eq!(line(5, Some(0), 1), "5 B, 1 B/s");
        let half = line(512, Some(1024), 1024);
        assert!(
            half.starts_with("[###############               ]  50 %"),
            "{half}"
        );
        // a file that grew meanwhile
        assert!(line(30, Some(10), 1).contains("100 %"));
    }
}
