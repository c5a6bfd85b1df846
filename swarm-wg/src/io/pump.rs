//! Turns: a batch in, the cryptography, and the system calls after.
//!
//! A turn looks its packets up in the data plane, which threads read side by side, and needs
//! the core only for what is out of the ordinary: handshakes, packets without a session, what
//! packets have noted. No lock is held during a system call.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::fair::Fair;
use super::grace::Turns;
use super::outbound::{Batch, Gone, Outbound, Reader};
use super::shared::Shared;
use super::udp::ReceiveBatch;
use super::{clock, lock};
use crate::core::plane::{Datagrams, NoSession, Poke, Unsealed};
use crate::core::{Core, DropReason, TransmitBatch};
use crate::event::Event;
use crate::offload::{Joiner, Split};

/// What one thread makes turns with: its own batches, so that nothing is allocated in between.
pub(super) struct Pump {
    worker: usize,
    turns: Turns,
    /// What the core has to send.
    answers: TransmitBatch,
    joiner: Joiner,
    opened: Vec<Range<usize>>,
    pokes: Vec<Poke>,
    /// Which packets of a batch found no session.
    held: Vec<usize>,
    events: Vec<Event>,
    scratch: Vec<u8>,
}

/// What a turn on the way out came to.
pub(super) enum Carried {
    /// So many bytes, and whether more waits.
    Bytes { bytes: usize, more: bool },
    /// The interface is gone.
    Gone,
}

impl Pump {
    pub(super) fn new(shared: &Shared, worker: usize) -> Self {
        Self {
            worker,
            turns: shared.grace.register(),
            answers: TransmitBatch::default(),
            joiner: Joiner::new(shared.tun.offer()),
            opened: Vec::new(),
            pokes: Vec::new(),
            held: Vec::new(),
            events: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Reads from the interface, and seals and sends what is chosen of what waits.
    pub(super) fn carry_out(
        &mut self,
        shared: &Shared,
        outbound: &Outbound,
        (mut reader, mut batch): (Reader, Batch),
    ) -> Carried {
        match reader.read(shared.tun.queue(self.worker)) {
            Ok(dropped) => shared.plane.drops().add(DropReason::Overload, dropped),
            Err(Gone) => return Carried::Gone,
        }
        self.write_out(shared, &reader.fair, &mut batch.messages);
        let (bytes, more) = (batch.messages.bytes(), !reader.fair.is_empty());
        if let Some((ticket, mut batch)) = outbound.end_reading(reader, batch) {
            batch.messages.seal();
            outbound.finish(ticket, batch, |batch| {
                self.send(shared, batch.messages.seal());
            });
        }
        Carried::Bytes { bytes, more }
    }

    /// Writes what was chosen as messages that are to be sealed. What finds no session is the
    /// core's before anybody reads on, so it keeps its order.
    fn write_out(&mut self, shared: &Shared, chosen: &Fair, messages: &mut Unsealed) {
        let now = clock::now();
        self.held.clear();
        {
            let tables = shared.plane.read();
            for (n, (header, packet)) in chosen.chosen().enumerate() {
                let Ok(split) = Split::parse(header, packet) else {
                    shared.plane.dropped(DropReason::MalformedOutgoing);
                    continue;
                };
                let plane = &shared.plane;
                let sealed = plane.seal(&tables, &split, now, messages, &mut self.pokes);
                if sealed == Err(NoSession) {
                    self.held.push(n);
                }
            }
        }
        if !self.held.is_empty() || !self.pokes.is_empty() {
            self.hold(shared, chosen);
        }
    }

    fn send(&self, shared: &Shared, batch: &TransmitBatch) {
        if !batch.is_empty() {
            let sockets = Arc::clone(&lock(&shared.sockets));
            let unsent = sockets.of(self.worker).send(batch);
            shared.plane.drops().add(DropReason::SendFailed, unsent);
        }
    }

    /// Opens what was received, and delivers it. Returns how many bytes that were.
    pub(super) fn carry_in(&mut self, shared: &Shared, batch: &mut ReceiveBatch) -> usize {
        let turn = self.turns.begin();
        let now = clock::now();
        self.opened.clear();
        let (mut n, mut bytes) = (0, 0);
        while let Some((start, message)) = batch.message(n) {
            n += 1;
            bytes += message.length;
            let part = start..start + message.length;
            let mut datagrams = Datagrams::new(message.source, part, message.segment_len);
            loop {
                let handshake = shared.plane.open(
                    &shared.plane.read(),
                    batch.buffer(),
                    &mut datagrams,
                    now,
                    &mut self.opened,
                    &mut self.pokes,
                );
                if handshake.is_none() && self.pokes.is_empty() {
                    break;
                }
                let more = handshake.is_some();
                let mut pokes = std::mem::take(&mut self.pokes);
                let buffer = batch.buffer();
                self.ask_core(shared, |core, now| {
                    core.handle_pokes(&mut pokes, now);
                    if let Some(range) = handshake {
                        core.handle_handshake(message.source, &buffer[range], now);
                    }
                });
                self.pokes = pokes;
                if !more {
                    break;
                }
            }
        }
        let queue = shared.tun.queue(self.worker);
        let undelivered = queue.write(&mut self.joiner, batch.buffer(), &self.opened);
        shared
            .plane
            .drops()
            .add(DropReason::DeliverFailed, undelivered);
        drop(turn);
        bytes
    }

    /// Gives the core what packets have noted, and the packets that found no session, one by
    /// one.
    fn hold(&mut self, shared: &Shared, batch: &Fair) {
        let mut pokes = std::mem::take(&mut self.pokes);
        let mut scratch = std::mem::take(&mut self.scratch);
        let held = std::mem::take(&mut self.held);
        self.turn(shared, |core, now| {
            core.handle_pokes(&mut pokes, now);
            for (header, packet) in held.iter().filter_map(|n| batch.entry(*n)) {
                let Ok(split) = Split::parse(header, packet) else {
                    continue;
                };
                for n in 0..split.count() {
                    scratch.resize(split.segment_len(n), 0);
                    split.write(n, &mut scratch);
                    core.hold(&scratch, now);
                }
            }
        });
        (self.pokes, self.scratch, self.held) = (pokes, scratch, held);
    }

    /// Makes a turn with the core.
    pub(super) fn turn<R>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut Core, Instant) -> R,
    ) -> R {
        let _turn = self.turns.begin();
        self.ask_core(shared, work)
    }

    /// Asks the core within a turn, and sees to it that the timer thread wakes up for what is
    /// due after.
    fn ask_core<R>(&mut self, shared: &Shared, work: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let (result, deadline) = self.ask_core_unarmed(shared, work);
        if let Some(deadline) = deadline {
            shared.timer.arm(deadline);
        }
        result
    }

    /// Makes a turn with the core, and returns when the next is due.
    pub(super) fn turn_unarmed<R>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut Core, Instant) -> R,
    ) -> (R, Option<Instant>) {
        let _turn = self.turns.begin();
        self.ask_core_unarmed(shared, work)
    }

    /// The core is locked while `work` runs and its outputs are swapped out, and at no other
    /// time.
    fn ask_core_unarmed<R>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut Core, Instant) -> R,
    ) -> (R, Option<Instant>) {
        let (result, deadline) = {
            let mut core = lock(&shared.core);
            let result = work(&mut core, clock::now());
            core.poll_transmit(&mut self.answers);
            while let Some(event) = core.poll_event() {
                self.events.push(event);
            }
            (result, core.next_deadline())
        };
        self.send(shared, &self.answers);
        if !self.events.is_empty() {
            shared.subscribers.publish(&self.events);
            self.events.clear();
        }
        (result, deadline)
    }
}
