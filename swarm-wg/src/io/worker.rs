//! A worker: one thread that carries packets both ways, and a helper that carries packets out
//! beside it while more waits than it can carry.
//!
//! Fewer hand-overs beat more threads where there is little to do: what comes back with traffic
//! one way (acknowledgements, say) is carried by the thread that is awake anyway. Where there is
//! much, a thread that waits for its processor must not hold up the rest.

use std::sync::Arc;

use rustix::event::{PollFd, PollFlags};

use super::pump::{Carried, Pump};
use super::shared::Shared;
use super::threads::wait;
use super::udp::ReceiveBatch;
use super::{lock, sys};

/// A turn of so many bytes is a long one.
const LONG: usize = 16 << 10;
/// After so many turns in a row that left more waiting the helper is called …
const CALL_AFTER: u32 = 32;
/// … and after so many that did not it is called no more.
const DISMISS_AFTER: u32 = 256;
/// After so many turns in a row that are long, or short, a thread is scheduled for them.
const CHANGE_AFTER: u32 = 64;

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

/// Whether a helper is worth its wake-ups.
#[derive(Default)]
struct Help {
    wanted: bool,
    /// Turns in a row that speak for a change.
    against: u32,
}

impl Help {
    /// Takes whether more waited than a turn could carry; says what is new.
    fn turn(&mut self, more: bool) -> Option<bool> {
        self.against = if more == self.wanted {
            0
        } else {
            self.against + 1
        };
        let enough = if self.wanted {
            DISMISS_AFTER
        } else {
            CALL_AFTER
        };
        if self.against < enough {
            return None;
        }
        self.against = 0;
        self.wanted = more;
        Some(more)
    }
}

/// Carries packets both ways until the tunnel stops.
pub(super) fn carry(shared: &Shared, worker: usize) {
    let mut pace = Pace::default();
    let mut help = Help::default();
    let mut pump = Pump::new(shared, worker);
    let mut received = ReceiveBatch::new();
    let queue = shared.tun.queue(worker);
    let outbound = &shared.outbound[worker];
    while !shared.is_stopping() {
        let sockets = Arc::clone(&lock(&shared.sockets));
        let pair = sockets.of(worker);
        pair.receive(&mut received);
        let bytes_in = match received.is_empty() {
            true => 0,
            false => pump.carry_in(shared, &mut received),
        };
        let begun = outbound.begin();
        let helper_reads = begun.is_none();
        let (bytes_out, more) = match begun.map(|begun| pump.carry_out(shared, outbound, begun)) {
            Some(Carried::Bytes { bytes, more }) => (bytes, more),
            Some(Carried::Gone) => return taken_away(shared),
            None => (0, true),
        };
        pace.turn(bytes_in.max(bytes_out) >= LONG);
        if let Some(wanted) = help.turn(more) {
            outbound.set_helped(wanted);
        }
        if !received.is_empty() || bytes_out > 0 || (more && !helper_reads) {
            continue;
        }
        let interface = (!helper_reads).then(|| PollFd::new(&queue, PollFlags::IN));
        let news = PollFd::new(outbound.news(), PollFlags::IN);
        let others = std::iter::once(news).chain(interface);
        if !wait(shared, pair.poll_fds().chain(others), None) {
            return;
        }
        let mut count = [0u8; 8];
        let _ = rustix::io::read(outbound.news(), &mut count);
    }
}

/// Carries packets out whenever the carrier cannot keep up, until the tunnel stops.
pub(super) fn help(shared: &Shared, worker: usize) {
    let mut pace = Pace::default();
    let mut pump = Pump::new(shared, worker);
    let outbound = &shared.outbound[worker];
    while let Some(begun) = outbound.begin_helping() {
        match pump.carry_out(shared, outbound, begun) {
            Carried::Bytes { bytes, .. } => pace.turn(bytes >= LONG),
            Carried::Gone => return taken_away(shared),
        }
    }
}

fn taken_away(shared: &Shared) {
    tracing::warn!(interface = shared.name(), "the interface was taken away");
    shared.close();
}
