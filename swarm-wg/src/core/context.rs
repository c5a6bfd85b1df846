//! What a peer works with: the moment, and where its output goes.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use super::batch::{PacketBatch, TransmitBatch};
use super::counters::{DropCounters, DropReason};
use super::noise::Identity;
use super::queue::WaitingTotal;
use super::random::Random;
use crate::event::Event;

/// Datagrams, and packets, that may wait to be fetched.
pub(crate) const MAX_PENDING: usize = 8192;
/// Events that may wait to be fetched.
const MAX_EVENTS: usize = 4096;

/// What waits to be fetched.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) transmits: TransmitBatch,
    pub(crate) packets: PacketBatch,
    pub(crate) events: VecDeque<Event>,
    pub(crate) drops: DropCounters,
    /// Where short plaintexts are padded.
    pub(crate) scratch: Vec<u8>,
}

impl Outbox {
    pub(crate) fn event(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        } else {
            self.drops.add(DropReason::EventLost, 1);
        }
    }

    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.drops.add(reason, 1);
    }
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
    pub(crate) mtu: usize,
    pub(crate) identity: &'a Identity,
    pub(crate) out: &'a mut Outbox,
    pub(crate) waiting: &'a mut WaitingTotal,
    pub(crate) random: &'a mut Random,
    /// The latest date on a handshake that was sent.
    pub(crate) latest_stamp: &'a mut SystemTime,
}

/// The parts of a core that a peer works with, borrowed apart from the peers.
macro_rules! cx {
    ($core:ident, $now:expr) => {
        &mut $crate::core::context::Context {
            now: $now,
            clocks: $core.clocks,
            mtu: $core.mtu,
            identity: &$core.identity,
            out: &mut $core.out,
            waiting: &mut $core.waiting,
            random: &mut $core.random,
            latest_stamp: &mut $core.latest_stamp,
        }
    };
}
pub(crate) use cx;
