//! The threads of a tunnel: one reads the interface, one the sockets, one the clock.

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
        threads.spawn("receive", receive)?;
        threads.spawn("send", send)?;
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

fn receive(shared: &Shared) {
    let mut pump = Pump::new(shared);
    let mut batch = ReceiveBatch::new();
    loop {
        let sockets = Arc::clone(&lock(&shared.sockets));
        sockets.receive(&mut batch);
        if batch.is_empty() {
            let rebound = std::iter::once(PollFd::new(&shared.rebound, PollFlags::IN));
            if !wait(shared, sockets.poll_fds().chain(rebound)) {
                return;
            }
            let mut count = [0u8; 8];
            let _ = rustix::io::read(&shared.rebound, &mut count);
            continue;
        }
        pump.turn(shared, |core, now| {
            for (source, datagram) in batch.iter() {
                core.handle_datagram(source, datagram, now);
            }
        });
        if shared.is_stopping() {
            return;
        }
    }
}

fn send(shared: &Shared) {
    let mut pump = Pump::new(shared);
    let mut batch = ReadBatch::new();
    let mut failing = false;
    loop {
        match shared.tun.read(&mut batch) {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, interface = shared.name(), "cannot read from the interface");
                }
                std::thread::sleep(AFTER_FAILURE);
            }
        }
        if batch.is_empty() {
            if !wait(
                shared,
                std::iter::once(PollFd::new(&shared.tun, PollFlags::IN)),
            ) {
                return;
            }
            continue;
        }
        pump.turn(shared, |core, now| {
            for packet in batch.iter() {
                core.handle_inner(packet, now);
            }
        });
        if shared.is_stopping() {
            return;
        }
    }
}

fn watch_clock(shared: &Shared) {
    let mut pump = Pump::new(shared);
    while !shared.is_stopping() {
        let ((), deadline) = pump.turn_unarmed(shared, |core, now| {
            core.handle_wall_clock(clock::wall(), now);
            core.handle_timeout(now);
        });
        shared.timer.sleep(deadline, clock::now());
    }
}
