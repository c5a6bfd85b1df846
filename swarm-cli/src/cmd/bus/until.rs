//! When a command that shows what comes is over: enough came, its time is up, Ctrl-C, or nobody reads it any
//! more.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::signal::unix::{SignalKind, signal};

use crate::report::Failure;

/// What a person bounds it by.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Bounds {
    /// End after so many
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// End after so long; with --count, that many have to have come by then
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    time: Option<Duration>,
}

/// What ended it before enough came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Time(Duration),
    Interrupted,
    /// Whoever read standard output went away.
    Unread,
}

/// Counts what comes until it is over.
pub(super) struct Until {
    count: Option<usize>,
    seen: usize,
    waiting: Pin<Box<dyn Future<Output = Over> + Send>>,
    over: Option<Over>,
}

impl Bounds {
    /// Begins to count, and its time to run.
    pub(super) fn begin(self) -> Result<Until, Failure> {
        Ok(Until {
            count: self.count,
            seen: 0,
            waiting: Box::pin(over(self.time)?),
            over: None,
        })
    }
}

impl Until {
    /// Waits for something that can be waited for again; `None` when it is over.
    pub(super) async fn next<T>(&mut self, coming: impl Future<Output = T>) -> Option<T> {
        if self.over.is_some() || self.count.is_some_and(|count| self.seen >= count) {
            return None;
        }
        tokio::select! {
            // what is always ready must not keep it from ending
            biased;
            over = &mut self.waiting => {
                self.over = Some(over);
                None
            }
            came = coming => Some(came),
        }
    }

    /// Counts one of those that were asked for.
    pub(super) fn note(&mut self) {
        self.seen += 1;
    }

    /// Says whether what was asked for came, in a word for many of it.
    pub(super) fn end(self, what: &str) -> Result<(), Failure> {
        ended(self.over, self.count, self.seen, what)
    }
}

fn ended(over: Option<Over>, count: Option<usize>, seen: usize, what: &str) -> Result<(), Failure> {
    let Some(count) = count.filter(|count| seen < *count) else {
        return Ok(());
    };
    match over {
        Some(Over::Time(time)) => Err(Failure::failed(format!(
            "{seen} of {count} {what} came within {}",
            humantime::format_duration(time)
        ))
        .hint("give it more time: --time 5m")),
        Some(Over::Interrupted) => Err(Failure::failed(format!(
            "interrupted; {seen} of {count} {what} came"
        ))),
        Some(Over::Unread) | None => Ok(()),
    }
}

/// Waits until something ends it, from the moment of the call on.
pub(super) fn over(
    time: Option<Duration>,
) -> Result<impl Future<Output = Over> + Send + use<>, Failure> {
    let end = time.and_then(|time| tokio::time::Instant::now().checked_add(time));
    let interrupted = interrupted()?;
    let unread = unread();
    Ok(async move {
        let time_is_up = async {
            match (time, end) {
                (Some(time), Some(end)) => {
                    tokio::time::sleep_until(end).await;
                    Over::Time(time)
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            over = time_is_up => over,
            () = interrupted => Over::Interrupted,
            () = unread => Over::Unread,
        }
    })
}

/// Waits for Ctrl-C, from the moment of the call on: what was begun before the waiting must not be killed by
/// one that comes early.
pub(super) fn interrupted() -> Result<impl Future<Output = ()> + Send, Failure> {
    let mut signal = signal(SignalKind::interrupt())
        .map_err(|error| Failure::environment(format!("cannot watch for Ctrl-C: {error}")))?;
    Ok(async move {
        signal.recv().await;
    })
}

/// Waits until whoever reads standard output goes away, as far as that can be told: of a pipe. A write would
/// tell it too, but there may be none for hours.
fn unread() -> impl Future<Output = ()> + Send {
    let (tell, told) = tokio::sync::oneshot::channel();
    // it ends with the program, or when there is something to tell
    std::thread::spawn(move || {
        let output = std::io::stdout();
        loop {
            let mut watched = [PollFd::new(&output, PollFlags::empty())];
            match poll(&mut watched, None) {
                Err(Errno::INTR) => {}
                Ok(_) if watched[0].revents().contains(PollFlags::ERR) => {
                    let _ = tell.send(());
                    return;
                }
                _ => return,
            }
        }
    });
    async move {
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_for_a_number_is_told_when_fewer_came() {
        let time = Some(Over::Time(Duration::from_secs(60)));
        let said = |over, count, seen| {
            let ended = ended(over, count, seen, "messages");
            ended.err().map(|failure| failure.message().to_owned())
        };
        let late = said(time, Some(2), 1);
        assert_eq!(late.as_deref(), Some("1 of 2 messages came within 1m"));
        let interrupted = said(Some(Over::Interrupted), Some(2), 0);
        assert_eq!(
            interrupted.as_deref(),
            Some("interrupted; 0 of 2 messages came")
        );
        for (over, count, seen) in [
            (None, Some(2), 2),
            (time, Some(2), 2),
            (time, None, 0),
            (Some(Over::Interrupted), None, 3),
            (Some(Over::Unread), Some(2), 1),
        ] {
            assert_eq!(said(over, count, seen), None, "{over:?} {count:?} {seen}");
        }
    }

    #[tokio::test]
    async fn it_is_over_when_enough_came_or_time_is_up() {
        let bounds = |count, time| Bounds { count, time };
        let mut until = bounds(Some(2), None).begin().unwrap();
        let mut came = 0;
        while until.next(std::future::ready(())).await.is_some() {
            until.note();
            came += 1;
        }
        assert_eq!(came, 2);
        assert!(until.end("messages").is_ok());
        let mut until = bounds(Some(2), Some(Duration::ZERO)).begin().unwrap();
        assert_eq!(until.next(std::future::pending::<()>()).await, None);
        assert!(until.end("messages").is_err());
    }
}
