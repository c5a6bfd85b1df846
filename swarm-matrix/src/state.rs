//! A room's state as this crate sees it: who says what under its own name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::event::{NodeState, NodeStatus, StateContent, decode};
use crate::id::{EventId, RoomAlias, RoomId, UserId};

/// Types of state that one room may hold; more are refused, and counted.
pub(crate) const MAX_TYPES: usize = 256;

/// Users whose state one room may hold; more are refused, and counted.
pub(crate) const MAX_USERS: usize = 20_000;

/// A user's relation to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Membership {
    /// Takes part.
    Joined,
    /// Was asked in.
    Invited,
    /// Is not there: never was, or left, or was put out.
    Left,
    /// Was put out for good; on the mesh: its node is cut off.
    Banned,
}

/// A room's state: a pure projection of the events applied to it.
///
/// State keyed by a user's full id counts only when that user sent it. Everything else that is
/// not Matrix's own is refused.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoomState {
    pub(crate) owned: BTreeMap<String, BTreeMap<UserId, Stored>>,
    pub(crate) members: BTreeMap<UserId, Membership>,
    pub(crate) room: BTreeMap<String, Stored>,
    pub(crate) revisions: BTreeMap<String, u64>,
    pub(crate) revision: u64,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) sender: UserId,
    pub(crate) event_id: EventId,
    pub(crate) at: u64,
    pub(crate) content: Value,
}

/// What one user says, typed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StateEntry<T> {
    /// Who: state key and sender in one.
    pub user: UserId,
    /// What it says.
    pub content: T,
    /// The event that says so.
    pub event_id: EventId,
    /// When the server took it: milliseconds since 1970, UTC, by the server's clock.
    pub at: u64,
    /// The user's relation to the room now.
    pub membership: Membership,
}

impl<T> StateEntry<T> {
    /// Whether the user was put out of the room for good, so that what it last said is void.
    pub fn is_banned(&self) -> bool {
        self.membership == Membership::Banned
    }
}

impl StateEntry<NodeState> {
    /// Whether the node takes part: what it says, unless the hub has put it out.
    pub fn status(&self) -> NodeStatus {
        if self.is_banned() {
            NodeStatus::Revoked
        } else {
            self.content.status
        }
    }
}

/// All that is said in a room under one type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Snapshot<T> {
    /// By user.
    pub entries: BTreeMap<UserId, StateEntry<T>>,
    /// Users whose state is not a `T` (or is a newer version's), and why.
    pub unreadable: BTreeMap<UserId, String>,
}

impl<T> Snapshot<T> {
    /// What `user` says.
    pub fn of(&self, user: &UserId) -> Option<&T> {
        self.entries.get(user).map(|entry| &entry.content)
    }
}

impl RoomState {
    /// A room of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All that is said under `T`.
    pub fn snapshot<T: StateContent>(&self) -> Snapshot<T> {
        let mut snapshot = Snapshot {
            entries: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        };
        for (user, stored) in self.owned.get(T::TYPE).into_iter().flatten() {
            match decode::<T>(&stored.content) {
                Ok(content) => {
                    let entry = StateEntry {
                        user: user.clone(),
                        content,
                        event_id: stored.event_id.clone(),
                        at: stored.at,
                        membership: self.membership(user),
                    };
                    snapshot.entries.insert(user.clone(), entry);
                }
                Err(error) => {
                    snapshot.unreadable.insert(user.clone(), reason(&error));
                }
            }
        }
        snapshot
    }

    /// What `user` says under `event_type`, as it came.
    pub fn content(&self, event_type: &str, user: &UserId) -> Option<&Value> {
        Some(&self.owned.get(event_type)?.get(user)?.content)
    }

    /// A user's relation to the room.
    pub fn membership(&self, user: &UserId) -> Membership {
        self.members.get(user).copied().unwrap_or(Membership::Left)
    }

    /// Everybody who takes part.
    pub fn joined(&self) -> BTreeSet<&UserId> {
        let joined = |(_, membership): &(&UserId, &Membership)| **membership == Membership::Joined;
        self.members
            .iter()
            .filter(joined)
            .map(|(user, _)| user)
            .collect()
    }

    /// Who made the room.
    pub fn creator(&self) -> Option<&UserId> {
        self.room.get("m.room.create").map(|stored| &stored.sender)
    }

    /// Whether messages of the room are end-to-end encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.room
            .get("m.room.encryption")
            .is_some_and(|stored| stored.content["algorithm"] == "m.megolm.v1.aes-sha2")
    }

    /// The alias by which the room calls itself.
    pub fn canonical_alias(&self) -> Option<RoomAlias> {
        let content = &self.room.get("m.room.canonical_alias")?.content;
        RoomAlias::parse(content.get("alias")?.as_str()?).ok()
    }

    /// The room that took this one's place.
    pub fn replacement(&self) -> Option<RoomId> {
        let content = &self.room.get("m.room.tombstone")?.content;
        RoomId::parse(content.get("replacement_room")?.as_str()?).ok()
    }

    /// Grows by one with each batch that changed something.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// As [`RoomState::revision`], of the state under one type and of memberships.
    pub fn revision_of(&self, event_type: &str) -> u64 {
        let of = |name: &str| self.revisions.get(name).copied().unwrap_or(0);
        of(event_type).max(of("m.room.member"))
    }
}

/// An error and its sources in one line, bounded.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text.chars().take(200).collect()
}
