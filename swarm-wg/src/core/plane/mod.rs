//! What every packet touches: the table of prefixes, the sessions, where peers are, and when
//! something last passed. Threads read it side by side; only the control side, the
//! [`Core`](super::Core), writes it, and it never waits for a system call.
//!
//! Whatever is out of the ordinary for a packet (no session yet, a session to renew, a peer that
//! moved) is not done here but noted as a [`Poke`], for the core to settle after.

mod inbound;
mod marks;
mod outbound;
mod sink;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::counters::{DropReason, Drops};
use super::noise::Session;
use super::peers::Slot;
use super::routes::Routes;

pub(crate) use inbound::Datagrams;
pub(crate) use marks::Marks;
#[cfg(feature = "tun")]
pub(crate) use outbound::NoSession;
pub(crate) use outbound::Packet;
#[cfg(all(test, feature = "tun"))]
pub(crate) use sink::Sink;
#[cfg(feature = "tun")]
pub(crate) use sink::Unsealed;

/// Sessions that one peer may have open.
pub(crate) const MAX_SESSIONS: usize = 5;

/// The data plane of a tunnel.
pub(crate) struct Plane {
    tables: RwLock<Tables>,
    drops: Drops,
    mtu: AtomicUsize,
    /// The moment that marks count from.
    pub(super) base: Instant,
}

/// What packets are looked up in.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) routes: Routes,
    lanes: Vec<Option<Lane>>,
    sessions: HashMap<u32, (Slot, Arc<Session>)>,
}

/// The part of a peer that packets touch.
pub(crate) struct Lane {
    pub(super) endpoint: Option<SocketAddr>,
    /// The session that packets to the peer are sealed with.
    sending: Option<Arc<Session>>,
    indices: [Option<u32>; MAX_SESSIONS],
    pub(super) marks: Arc<Marks>,
}

/// Something out of the ordinary that a packet met, for the core to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poke {
    /// The first message of a session's peer: it has the keys.
    Confirm { index: u32 },
    /// An authentic message of a session came from elsewhere.
    Roam { index: u32, source: SocketAddr },
    /// The session is to be renewed.
    Renew { slot: Slot },
    /// Packets pass of a peer that nobody watches the time-outs of.
    Watch { slot: Slot },
}

impl Plane {
    pub(crate) fn new(mtu: u16, base: Instant) -> Self {
        Self {
            tables: RwLock::default(),
            drops: Drops::default(),
            mtu: AtomicUsize::new(mtu.into()),
            base,
        }
    }

    /// The tables, to look packets up in: not to be held while waiting for anything.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mtu(&self) -> usize {
        self.mtu.load(Ordering::Relaxed)
    }

    #[cfg(feature = "tun")]
    pub(crate) fn set_mtu(&self, mtu: usize) {
        self.mtu.store(mtu, Ordering::Relaxed);
    }

    pub(crate) fn drops(&self) -> &Drops {
        &self.drops
    }

    pub(crate) fn dropped(&self, reason: DropReason) {
        self.drops.add(reason, 1);
    }
}

impl Tables {
    fn lane(&self, slot: Slot) -> Option<&Lane> {
        self.lanes.get(slot.0 as usize)?.as_ref()
    }

    /// Whether an index is a session's.
    pub(crate) fn has_session(&self, index: u32) -> bool {
        self.sessions.contains_key(&index)
    }

    /// The peer and the session that an index stands for.
    pub(crate) fn session(&self, index: u32) -> Option<&(Slot, Arc<Session>)> {
        self.sessions.get(&index)
    }

    /// Makes room for a peer.
    pub(crate) fn open_lane(&mut self, slot: Slot, marks: Arc<Marks>) {
        let at = slot.0 as usize;
        if self.lanes.len() <= at {
            self.lanes.resize_with(at + 1, || None);
        }
        self.lanes[at] = Some(Lane {
            endpoint: None,
            sending: None,
            indices: [None; MAX_SESSIONS],
            marks,
        });
    }

    /// Takes a peer away: no packet finds it from here on.
    pub(crate) fn close_lane(&mut self, slot: Slot) {
        if let Some(lane) = self.lanes.get_mut(slot.0 as usize).and_then(Option::take) {
            for index in lane.indices.into_iter().flatten() {
                self.sessions.remove(&index);
            }
        }
    }

    /// Has packets use these sessions, `sessions[0]` for sending, and this endpoint.
    pub(crate) fn set_lane(
        &mut self,
        slot: Slot,
        endpoint: Option<SocketAddr>,
        sessions: [Option<&Arc<Session>>; MAX_SESSIONS],
    ) {
        let Some(lane) = self.lanes.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        lane.endpoint = endpoint;
        lane.sending = sessions[0].cloned();
        let indices = sessions.map(|session| session.map(|session| session.local));
        for gone in lane.indices.into_iter().flatten() {
            if !indices.contains(&Some(gone)) {
                self.sessions.remove(&gone);
            }
        }
        lane.indices = indices;
        for session in sessions.into_iter().flatten() {
            self.sessions
                .entry(session.local)
                .or_insert_with(|| (slot, Arc::clone(session)));
        }
    }
}
