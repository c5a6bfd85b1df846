//! All peers, found by key, by session index, by inner address, and by deadline.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::peer::Peer;
use super::random::Random;
use super::routes::Routes;
use crate::key::PublicKey;

/// The most peers there can be: the indices of a full table are still drawn quickly.
pub(crate) const MAX_PEERS: usize = 1 << 16;

/// The shortest time between two looks at a peer.
const BREATH: Duration = Duration::from_millis(1);

/// The place of a peer in the table; used again once the peer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

#[derive(Default)]
pub(crate) struct Peers {
    slots: Vec<Option<Peer>>,
    free: Vec<Slot>,
    by_key: HashMap<PublicKey, Slot>,
    by_index: HashMap<u32, Slot>,
    routes: Routes,
    schedule: BTreeSet<(Instant, Slot)>,
}

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn by_key(&self, key: &PublicKey) -> Option<Slot> {
        self.by_key.get(key).copied()
    }

    /// The peer that a message for this receiver index is for. The lower 8 bits count its
    /// sessions.
    pub(crate) fn by_receiver(&self, receiver: u32) -> Option<Slot> {
        self.by_index.get(&(receiver >> 8)).copied()
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
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

    /// An index that is not in use.
    pub(crate) fn free_index(&self, random: &mut Random) -> u32 {
        loop {
            let index = (random.next() >> 40) as u32;
            if !self.by_index.contains_key(&index) {
                return index;
            }
        }
    }

    pub(crate) fn insert(&mut self, peer: Peer) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot((self.slots.len() - 1) as u32)
        });
        self.by_key.insert(peer.public_key, slot);
        self.by_index.insert(peer.index, slot);
        self.slots[slot.0 as usize] = Some(peer);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Peer> {
        let peer = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.by_key.remove(&peer.public_key);
        self.by_index.remove(&peer.index);
        for prefix in &peer.allowed_ips {
            self.routes.remove(*prefix, slot);
        }
        if let Some(at) = peer.scheduled {
            self.schedule.remove(&(at, slot));
        }
        self.free.push(slot);
        Some(peer)
    }

    /// Gives a peer's messages another index.
    pub(crate) fn reindex(&mut self, slot: Slot, old: u32, new: u32) {
        self.by_index.remove(&old);
        self.by_index.insert(new, slot);
    }

    /// Gives a prefix to a peer, and takes it from the one that had it.
    pub(crate) fn allow(&mut self, slot: Slot, prefix: IpNet) {
        let prefix = prefix.trunc();
        if let Some(former) = self.routes.insert(prefix, slot)
            && former != slot
            && let Some(former) = self.peer_mut(former)
        {
            former.allowed_ips.remove(&prefix);
        }
        if let Some(peer) = self.peer_mut(slot) {
            peer.allowed_ips.insert(prefix);
        }
    }

    /// Takes a prefix from a peer.
    pub(crate) fn disallow(&mut self, slot: Slot, prefix: IpNet) {
        let prefix = prefix.trunc();
        self.routes.remove(prefix, slot);
        if let Some(peer) = self.peer_mut(slot) {
            peer.allowed_ips.remove(&prefix);
        }
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
