//! The threads of a tunnel: its workers, and one that watches the clock.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::pump::Pump;
use super::shared::Shared;
use super::{clock, worker};
use crate::error::Error;

/// Pause after a failure that would otherwise come back at once.
pub(super) const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// The threads; ended and waited for when dropped.
pub(crate) struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts the threads that carry packets.
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self, Error> {
        let mut threads = Self {
            shared: Arc::clone(shared),
            handles: Vec::new(),
        };
        for worker in 0..shared.workers() {
            threads.spawn("carry", move |shared| worker::carry(shared, worker))?;
            threads.spawn("help", move |shared| worker::help(shared, worker))?;
        }
        threads.spawn("timer", watch_clock)?;
        Ok(threads)
    }

    /// Starts one more thread; it has to end once [`wait`] says so.
    pub(crate) fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce(&Shared) + Send + 'static,
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let handle = std::thread::Builder::new()
            .name(format!("{}-{name}", shared.name()))
            .spawn(move || work(&shared))
            .map_err(Error::Thread)?;
        self.handles.push(handle);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.begin_stop();
        for handle in self.handles.drain(..) {
            if handle.join().is_err() {
                tracing::error!(interface = self.shared.name(), "a tunnel thread panicked");
            }
        }
    }
}

/// Waits until one of these can be read, or no longer than this; false: the tunnel stops.
pub(crate) fn wait<'a>(
    shared: &'a Shared,
    fds: impl Iterator<Item = PollFd<'a>>,
    limit: Option<Duration>,
) -> bool {
    let mut all: Vec<_> = std::iter::once(PollFd::new(&shared.stop, PollFlags::IN))
        .chain(fds)
        .collect();
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    if let Err(error) = poll(&mut all, limit.as_ref())
        && error != rustix::io::Errno::INTR
    {
        tracing::error!(%error, "cannot wait");
        std::thread::sleep(AFTER_FAILURE);
    }
    !shared.is_stopping()
}

fn watch_clock(shared: &Shared) {
    let mut pump = Pump::new(shared, 0);
    while !shared.is_stopping() {
        let ((), deadline) = pump.turn_unarmed(shared, |core, now| {
            core.handle_wall_clock(clock::wall(), now);
            core.handle_timeout(now);
        });
        // It may be changed by anybody; padding stops there.
        if let Ok(mtu) = shared.tun.mtu() {
            shared.plane.set_mtu(mtu.into());
        }
        shared.timer.sleep(deadline, clock::now());
    }
}
