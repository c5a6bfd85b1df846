//! What the sync writes and everybody reads: rooms, and where the session stands.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::config::{Identity, SessionState};
use super::message::Received;
use crate::error::Error;
use crate::id::{EventId, RoomId, UserId};
use crate::log::Log;
use crate::state::RoomState;

/// Undecryptable events a room that are kept for when their key comes.
const MAX_PENDING: usize = 256;

pub(super) struct Shared {
    rooms: Mutex<BTreeMap<RoomId, RoomEntry>>,
    messages: usize,
    /// Grows with whatever a reader may be waiting for.
    tick: watch::Sender<u64>,
    pub(super) state: watch::Sender<SessionState>,
    pub(super) identity: watch::Sender<Identity>,
}

/// One room.
pub(super) struct RoomEntry {
    pub(super) state: RoomState,
    pub(super) log: Log<Received>,
    /// Events that could not be decrypted, oldest first, as they came.
    pub(super) pending: Vec<(EventId, Value)>,
}

impl RoomEntry {
    pub(super) fn postpone(&mut self, event: EventId, raw: Value) {
        if self.pending.len() >= MAX_PENDING {
            self.pending.remove(0);
        }
        self.pending.push((event, raw));
    }
}

impl Shared {
    pub(super) fn new(messages: usize) -> Self {
        Self {
            rooms: Mutex::default(),
            messages,
            tick: watch::Sender::new(0),
            state: watch::Sender::new(SessionState::Connecting),
            identity: watch::Sender::new(Identity::Unknown),
        }
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<RoomId, RoomEntry>> {
        // Nothing that runs under this lock leaves a room half changed.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a room.
    pub(super) fn read<R>(
        &self,
        room: &RoomId,
        read: impl FnOnce(&RoomEntry) -> R,
    ) -> Result<R, Error> {
        self.rooms()
            .get(room)
            .map(read)
            .ok_or_else(|| Error::UnknownRoom(room.clone()))
    }

    /// Changes a room, making it when it is not known, without waking anybody yet.
    pub(super) fn change<R>(&self, room: &RoomId, change: impl FnOnce(&mut RoomEntry) -> R) -> R {
        let mut rooms = self.rooms();
        let entry = rooms.entry(room.clone()).or_insert_with(|| RoomEntry {
            state: RoomState::new(),
            log: Log::new(self.messages),
            pending: Vec::new(),
        });
        change(entry)
    }

    /// Rooms for which `keep` holds.
    pub(super) fn filter(&self, keep: impl Fn(&RoomEntry) -> bool) -> Vec<RoomId> {
        self.rooms()
            .iter()
            .filter(|(_, entry)| keep(entry))
            .map(|(room, _)| room.clone())
            .collect()
    }

    /// Wakes all readers.
    pub(super) fn wake(&self) {
        self.tick.send_modify(|tick| *tick = tick.wrapping_add(1));
    }

    pub(super) fn ticks(&self) -> watch::Receiver<u64> {
        self.tick.subscribe()
    }

    /// Moves the session on, unless it has come to its end.
    pub(super) fn enter(&self, next: SessionState) {
        let changed = self.state.send_if_modified(|state| {
            let moves = !state.is_final() && *state != next;
            if moves {
                *state = next;
            }
            moves
        });
        if changed {
            self.wake();
        }
    }

    /// The error that a session at its end answers with.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        match &*self.state.borrow() {
            SessionState::Revoked { reason } => Err(Error::Revoked(reason.clone())),
            SessionState::Closed => Err(Error::Closed),
            _ => Ok(()),
        }
    }

    /// Whether the user takes part in the room.
    pub(super) fn is_joined(&self, room: &RoomId, user: &UserId) -> bool {
        let joined = crate::state::Membership::Joined;
        self.read(room, |entry| entry.state.membership(user) == joined)
            .unwrap_or(false)
    }

    /// Waits until `ready` gives something.
    pub(super) async fn wait<R>(&self, mut ready: impl FnMut() -> Option<R>) -> Result<R, Error> {
        let mut ticks = self.ticks();
        loop {
            ticks.borrow_and_update();
            if let Some(result) = ready() {
                return Ok(result);
            }
            self.check_open()?;
            ticks.changed().await.map_err(|_| Error::Closed)?;
        }
    }
}
