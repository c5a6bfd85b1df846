//! A worker: one thread that carries packets both ways, and a helper that takes the way out
//! over while both ways have much to carry.
//!
//! Fewer hand-overs beat more threads where processors are few: with traffic one way, what
//! comes back (acknowledgements, say) is carried by the thread that is awake anyway. The way
//! out, with all that waits on it, is with one of the two at a time, so packets keep their
//! order.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use super::fair::Fair;
use super::pump::Pump;
use super::shared::{Shared, ring};
use super::threads::{AFTER_FAILURE, wait};
use super::tun::Queue;
use super::udp::ReceiveBatch;
use super::{lock, sys};
use crate::core::DropReason;

/// A turn of so many bytes is a long one.
const LONG: usize = 16 << 10;
/// After so many turns that were long both ways the helper is called …
const CALL_AFTER: u32 = 32;
/// … and after so many short ones of its own it gives the way out back.
const RETURN_AFTER: u32 = 64;
/// After so many turns in a row that are long, or short, a thread is scheduled for them.
const CHANGE_AFTER: u32 = 64;
/// How long a helper waits for something to do, which counts as a short turn.
const IDLE: Duration = Duration::from_millis(5);

/// The way out of one worker: what waits on it, and what it is carried with.
pub(super) struct Outbound {
    pump: Pump,
    fair: Fair,
    failing: bool,
}

/// What a turn on the way out came to.
enum Carried {
    Bytes(usize),
    /// The interface is gone.
    Gone,
}

impl Outbound {
    fn new(shared: &Shared, worker: usize) -> Self {
        Self {
            pump: Pump::new(shared, worker),
            fair: Fair::new(),
            failing: false,
        }
    }

    /// Reads what there is, and carries a batch of what waits.
    fn carry(&mut self, shared: &Shared, queue: Queue<'_>) -> Carried {
        match queue.read(&mut self.fair) {
            Ok(dropped) => {
                self.failing = false;
                shared.plane.drops().add(DropReason::Overload, dropped);
            }
            Err(error) if is_gone(&error) => return Carried::Gone,
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let interface = shared.name();
                    tracing::error!(%error, interface, "cannot read from the interface");
                }
                std::thread::sleep(AFTER_FAILURE);
            }
        }
        self.fair.choose();
        Carried::Bytes(self.pump.carry_out(shared, &self.fair))
    }
}

/// Whether the interface behind a queue exists no more.
fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::BADFD, Errno::NODEV]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Where a worker and its helper hand the way out to each other.
#[derive(Default)]
pub(super) struct Desk {
    handed_over: Mutex<Option<Outbound>>,
    given_back: Mutex<Option<Outbound>>,
    call: Condvar,
}

impl Desk {
    fn hand_over(&self, outbound: Outbound) {
        *lock(&self.handed_over) = Some(outbound);
        self.call.notify_all();
    }

    /// Waits to be handed the way out; `None`: the tunnel stops.
    fn await_call(&self, shared: &Shared) -> Option<Outbound> {
        let mut handed_over = lock(&self.handed_over);
        loop {
            if shared.is_stopping() {
                return None;
            }
            if let Some(outbound) = handed_over.take() {
                return Some(outbound);
            }
            handed_over = self
                .call
                .wait(handed_over)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, outbound: Outbound) {
        *lock(&self.given_back) = Some(outbound);
    }

    fn take_back(&self) -> Option<Outbound> {
        lock(&self.given_back).take()
    }

    /// Wakes a helper that waits, for it to see that the tunnel stops.
    pub(super) fn wake(&self) {
        let _waits_or_will_look = lock(&self.handed_over);
        self.call.notify_all();
    }
}

/// How a thread is scheduled: one long turn after another as batch work, which carries more at
/// less cost, and with little to do as any other, which has a lone packet cross sooner where
/// others use the processor.
#[derive(Default)]
struct Pace {
    batch: bool,
    /// Turns in a row that speak for a change.
    against: u32,
}

impl Pace {
    fn turn(&mut self, long: bool) {
        self.against = if long == self.batch {
            0
        } else {
            self.against + 1
        };
        if self.against < CHANGE_AFTER {
            return;
        }
        self.against = 0;
        self.batch = long;
        if let Err(error) = sys::schedule_as_batch(long) {
            tracing::debug!(%error, "threads are scheduled as any other");
        }
    }
}

/// Carries packets both ways until the tunnel stops.
pub(super) fn carry(shared: &Shared, worker: usize) {
    let mut pace = Pace::default();
    let mut pump = Pump::new(shared, worker);
    let mut received = ReceiveBatch::new();
    let mut outbound = Some(Outbound::new(shared, worker));
    let queue = shared.tun.queue(worker);
    let (desk, news) = (&shared.desks[worker], &shared.news[worker]);
    let mut long_turns = 0u32;
    while !shared.is_stopping() {
        let sockets = Arc::clone(&lock(&shared.sockets));
        let pair = sockets.of(worker);
        pair.receive(&mut received);
        let bytes_in = match received.is_empty() {
            true => 0,
            false => pump.carry_in(shared, &mut received),
        };
        if outbound.is_none() {
            outbound = desk.take_back();
        }
        let bytes_out = match &mut outbound {
            Some(outbound) => match outbound.carry(shared, queue) {
                Carried::Bytes(bytes) => bytes,
                Carried::Gone => return taken_away(shared),
            },
            None => 0,
        };
        pace.turn(bytes_in.max(bytes_out) >= LONG);
        long_turns = match bytes_in >= LONG && bytes_out >= LONG {
            true => long_turns + 1,
            false => long_turns.saturating_sub(2),
        };
        if long_turns >= CALL_AFTER {
            long_turns = 0;
            if let Some(outbound) = outbound.take() {
                desk.hand_over(outbound);
            }
        }
        let idle = outbound
            .as_ref()
            .is_none_or(|outbound| outbound.fair.is_empty());
        if !received.is_empty() || bytes_out > 0 || !idle {
            continue;
        }
        let interface = outbound
            .as_ref()
            .map(|_| PollFd::new(&queue, PollFlags::IN));
        let others = std::iter::once(PollFd::new(news, PollFlags::IN)).chain(interface);
        if !wait(shared, pair.poll_fds().chain(others), None) {
            return;
        }
        let mut count = [0u8; 8];
        let _ = rustix::io::read(news, &mut count);
    }
}

/// Carries packets out whenever it is called, until the tunnel stops.
pub(super) fn help(shared: &Shared, worker: usize) {
    let mut pace = Pace::default();
    let queue = shared.tun.queue(worker);
    let desk = &shared.desks[worker];
    while let Some(mut outbound) = desk.await_call(shared) {
        let mut short_turns = 0;
        while short_turns < RETURN_AFTER && !shared.is_stopping() {
            let bytes = match outbound.carry(shared, queue) {
                Carried::Bytes(bytes) => bytes,
                Carried::Gone => return taken_away(shared),
            };
            pace.turn(bytes >= LONG);
            short_turns = if bytes < LONG { short_turns + 1 } else { 0 };
            if bytes == 0 && outbound.fair.is_empty() {
                let interface = std::iter::once(PollFd::new(&queue, PollFlags::IN));
                if !wait(shared, interface, Some(IDLE)) {
                    return;
                }
            }
        }
        desk.give_back(outbound);
        ring(&shared.news[worker]);
    }
}

fn taken_away(shared: &Shared) {
    tracing::warn!(interface = shared.name(), "the interface was taken away");
    shared.close();
}
