//! What a peer works with: the moment, and where its output goes.

use std::collections::{HashMap, VecDeque};
use std::time::{Instant, SystemTime};

use super::batch::{PacketBatch, TransmitBatch};
use super::counters::DropReason;
use super::dates::Dates;
use super::noise::{Entropy, Identity};
use super::peers::Slot;
use super::plane::Plane;
use super::queue::WaitingTotal;
use super::random::Random;
use crate::event::Event;

/// Datagrams, and packets, that may wait to be fetched, in bytes.
pub(crate) const MAX_PENDING: usize = 16 << 20;
/// Events that may wait to be fetched.
const MAX_EVENTS: usize = 4096;

/// What waits to be fetched.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) transmits: TransmitBatch,
    pub(crate) packets: PacketBatch,
    pub(crate) events: VecDeque<Event>,
}

/// The two clocks, tied together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    pub(crate) wall: SystemTime,
    pub(crate) at: Instant,
}

impl Clocks {
    pub(crate) fn wall_at(&self, now: Instant) -> SystemTime {
        match now.checked_duration_since(self.at) {
            Some(later) => self.wall + later,
            None => self.wall,
        }
    }
}

/// The moment of a call, and what all peers share.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) clocks: Clocks,
    pub(crate) plane: &'a Plane,
    pub(crate) identity: &'a Identity,
    pub(crate) out: &'a mut Outbox,
    pub(crate) waiting: &'a mut WaitingTotal,
    pub(crate) random: &'a mut Random,
    pub(crate) entropy: &'a mut Entropy,
    /// Whose the initiations under way are.
    pub(crate) initiations: &'a mut HashMap<u32, Slot>,
    pub(crate) dates: &'a mut Dates,
}

impl Context<'_> {
    pub(crate) fn event(&mut self, event: Event) {
        if self.out.events.len() < MAX_EVENTS {
            self.out.events.push_back(event);
        } else {
            self.plane.dropped(DropReason::EventLost);
        }
    }

    pub(crate) fn dropped(&self, reason: DropReason) {
        self.plane.dropped(reason);
    }

    /// An index that no session and no initiation has.
    pub(crate) fn new_index(&mut self) -> u32 {
        loop {
            let index = self.entropy.draw_u32();
            if !self.initiations.contains_key(&index) && !self.plane.read().has_session(index) {
                return index;
            }
        }
    }

    /// Dates a handshake with a peer, whose last one bore the date `before`.
    pub(crate) fn date(&mut self, before: Option<SystemTime>) -> SystemTime {
        self.dates.next(self.clocks.wall_at(self.now), before)
    }
}

/// The parts of a core that a peer works with, borrowed apart from the peers.
macro_rules! cx {
    ($core:ident, $now:expr) => {
        &mut $crate::core::context::Context {
            now: $now,
            clocks: $core.clocks,
            plane: &$core.plane,
            identity: &$core.identity,
            out: &mut $core.out,
            waiting: &mut $core.waiting,
            random: &mut $core.random,
            entropy: &mut $core.entropy,
            initiations: &mut $core.initiations,
            dates: &mut $core.dates,
        }
    };
}
pub(crate) use cx;
