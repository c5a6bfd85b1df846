//! All peers, found by key, by slot, and by deadline.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::peer::Peer;
use crate::key::PublicKey;

/// The most peers there can be.
pub(crate) const MAX_PEERS: usize = 1 << 16;

/// The shortest time between two looks at a peer.
const BREATH: Duration = Duration::from_millis(1);

/// The place of a peer in the tables; used again once the peer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

#[derive(Default)]
pub(crate) struct Peers {
    slots: Vec<Option<Peer>>,
    free: Vec<Slot>,
    by_key: HashMap<PublicKey, Slot>,
    schedule: BTreeSet<(Instant, Slot)>,
}

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn by_key(&self, key: &PublicKey) -> Option<Slot> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn peer(&self, slot: Slot) -> Option<&Peer> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub(crate) fn peer_mut(&mut self, slot: Slot) -> Option<&mut Peer> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.slots.iter().flatten()
    }

    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.by_key.values().copied().collect()
    }

    /// The slot that the next peer gets.
    pub(crate) fn next_slot(&mut self) -> Slot {
        *self.free.last().unwrap_or(&Slot(self.slots.len() as u32))
    }

    /// Puts a peer into its slot, which is the next one.
    pub(crate) fn insert(&mut self, peer: Peer) {
        let slot = peer.slot;
        if self.free.pop().is_none() {
            self.slots.push(None);
        }
        self.by_key.insert(peer.public_key, slot);
        self.slots[slot.0 as usize] = Some(peer);
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Peer> {
        let peer = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.by_key.remove(&peer.public_key);
        if let Some(at) = peer.scheduled {
            self.schedule.remove(&(at, slot));
        }
        self.free.push(slot);
        Some(peer)
    }

    /// Puts a peer on the schedule for its deadline. One that is down for an earlier moment
    /// stays: it is looked at then, and put down anew.
    pub(crate) fn schedule(&mut self, slot: Slot, now: Instant) {
        let Some(peer) = self.slots.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let Some(deadline) = peer.deadline(now) else {
            return;
        };
        // Whatever is overdue now was just looked at: once a millisecond is often enough.
        let deadline = deadline.max(now + BREATH);
        if let Some(at) = peer.scheduled {
            if at <= deadline {
                return;
            }
            self.schedule.remove(&(at, slot));
        }
        peer.scheduled = Some(deadline);
        self.schedule.insert((deadline, slot));
    }

    /// Takes a peer whose deadline has passed off the schedule.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Slot> {
        let (at, slot) = *self.schedule.first()?;
        if at > now {
            return None;
        }
        self.schedule.pop_first();
        if let Some(peer) = self.peer_mut(slot) {
            peer.scheduled = None;
        }
        Some(slot)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| *at)
    }
}
