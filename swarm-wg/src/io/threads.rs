//! The threads of a tunnel: one reads the interface, one the sockets, one the clock.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::pump::Pump;
use super::shared::Shared;
use super::tun::ReadBatch;
use super::udp::ReceiveBatch;
use super::{clock, lock};
use crate::error::Error;

/// Pause after a failure that would otherwise come back at once, such as an interface that
/// somebody removed.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

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
            threads.spawn("receive", move |shared| receive(shared, worker))?;
            threads.spawn("send", move |shared| send(shared, worker))?;
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

/// Waits until one of these can be read; false: the tunnel stops.
pub(crate) fn wait<'a>(shared: &'a Shared, fds: impl Iterator<Item = PollFd<'a>>) -> bool {
    let mut all: Vec<_> = std::iter::once(PollFd::new(&shared.stop, PollFlags::IN))
        .chain(fds)
        .collect();
    if let Err(error) = poll(&mut all, None)
        && error != rustix::io::Errno::INTR
    {
        tracing::error!(%error, "cannot wait");
        std::thread::sleep(AFTER_FAILURE);
    }
    !shared.is_stopping()
}

fn receive(shared: &Shared, worker: usize) {
    let mut pump = Pump::new(shared, worker);
    let mut batch = ReceiveBatch::new();
    loop {
        let sockets = Arc::clone(&lock(&shared.sockets));
        let pair = sockets.of(worker);
        pair.receive(&mut batch);
        if !batch.is_empty() {
            pump.carry_in(shared, &mut batch);
            if shared.is_stopping() {
                return;
            }
            continue;
        }
        let rebound = &shared.rebound[worker];
        let woken = std::iter::once(PollFd::new(rebound, PollFlags::IN));
        if !wait(shared, pair.poll_fds().chain(woken)) {
            return;
        }
        let mut count = [0u8; 8];
        let _ = rustix::io::read(rebound, &mut count);
    }
}

fn send(shared: &Shared, worker: usize) {
    let mut pump = Pump::new(shared, worker);
    let mut batch = ReadBatch::new();
    let queue = shared.tun.queue(worker);
    let mut failing = false;
    loop {
        match queue.read(&mut batch) {
            Ok(()) => failing = false,
            Err(error) if is_gone(&error) => {
                tracing::warn!(interface = shared.name(), "the interface was taken away");
                return shared.close();
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, interface = shared.name(), "cannot read from the interface");
                }
                std::thread::sleep(AFTER_FAILURE);
            }
        }
        if !batch.is_empty() {
            pump.carry_out(shared, &batch);
            if shared.is_stopping() {
                return;
            }
            continue;
        }
        if !wait(shared, std::iter::once(PollFd::new(&queue, PollFlags::IN))) {
            return;
        }
    }
}

/// Whether the interface behind a queue exists no more.
fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::BADFD, Errno::NODEV]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
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
