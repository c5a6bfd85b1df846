//! A spool being drained: to hold, and to stop.

use super::handle::Spool;
use super::options::DrainOptions;
use super::pump::Pump;
use crate::client::Client;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A spool being drained. Dropped, it stops at once, and leaves in doubt what is on its way; that
/// is asked about when the spool is drained again.
#[must_use = "a drain that is dropped stops"]
#[derive(Debug)]
pub struct Drain {
    stop: Option<oneshot::Sender<Duration>>,
    task: Option<JoinHandle<()>>,
}

impl Drain {
    pub(super) fn start(spool: Spool, client: Client, options: DrainOptions) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(Pump::new(spool, client, options).run(stopped));
        Self {
            stop: Some(stop),
            task: Some(task),
        }
    }

    /// Stops in order: sends nothing more, and waits for what is on its way, but no longer than
    /// `within`.
    pub async fn stop(mut self, within: Duration) {
        if let (Some(stop), Some(mut task)) = (self.stop.take(), self.task.take()) {
            let _ = stop.send(within);
            // A little more for the disk.
            let limit = within + Duration::from_secs(5);
            if tokio::time::timeout(limit, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
