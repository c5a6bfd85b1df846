//! A turn: a batch into the core, its outputs out of it, and the system calls after.

use std::sync::Arc;
use std::time::Instant;

use super::grace::Turns;
use super::shared::Shared;
use super::{clock, lock};
use crate::core::{Core, DropReason, PacketBatch, TransmitBatch};
use crate::event::Event;

/// What one thread makes turns with: its own batches, so that nothing is copied or allocated
/// in between.
pub(super) struct Pump {
    turns: Turns,
    transmits: TransmitBatch,
    packets: PacketBatch,
    events: Vec<Event>,
}

impl Pump {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            turns: shared.grace.register(),
            transmits: TransmitBatch::default(),
            packets: PacketBatch::default(),
            events: Vec::new(),
        }
    }

    /// Makes a turn, and sees to it that the timer thread wakes up for what is due after.
    pub(super) fn turn<R>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut Core, Instant) -> R,
    ) -> R {
        let (result, deadline) = self.turn_unarmed(shared, work);
        if let Some(deadline) = deadline {
            shared.timer.arm(deadline);
        }
        result
    }

    /// Makes a turn, and returns when the next is due. The core is locked while `work` runs
    /// and its outputs are swapped out, and at no other time.
    pub(super) fn turn_unarmed<R>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut Core, Instant) -> R,
    ) -> (R, Option<Instant>) {
        let turn = self.turns.begin();
        let (result, deadline) = {
            let mut core = lock(&shared.core);
            let result = work(&mut core, clock::now());
            core.poll_transmit(&mut self.transmits);
            core.poll_inner(&mut self.packets);
            while let Some(event) = core.poll_event() {
                self.events.push(event);
            }
            (result, core.next_deadline())
        };
        let mut unsent = 0;
        if !self.transmits.is_empty() {
            let sockets = Arc::clone(&lock(&shared.sockets));
            unsent = sockets.send(&self.transmits);
        }
        let undelivered = shared.tun.write(&self.packets);
        drop(turn);
        if unsent + undelivered > 0 {
            let mut core = lock(&shared.core);
            core.count_drops(DropReason::SendFailed, unsent);
            core.count_drops(DropReason::DeliverFailed, undelivered);
        }
        if !self.events.is_empty() {
            shared.subscribers.publish(&self.events);
            self.events.clear();
        }
        (result, deadline)
    }
}
