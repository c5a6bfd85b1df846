//! Applies what a sync brought to a room's state.
//!
//! An event is JSON as the client-server API has it (`type`, `state_key`, `sender`, `event_id`,
//! `origin_server_ts`, `content`). Whatever does not fit is refused with its reason and changes
//! nothing; nothing panics.

use serde_json::Value;

use crate::event::{check_type, encode};
use crate::id::{EventId, UserId};
use crate::state::{MAX_TYPES, MAX_USERS, Membership, RoomState, Stored};

/// Matrix's own state that a [`RoomState`] keeps.
const ROOM_TYPES: [&str; 10] = [
    "m.room.canonical_alias",
    "m.room.create",
    "m.room.encryption",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.name",
    "m.room.power_levels",
    "m.room.tombstone",
    "m.room.topic",
];

/// What one event did to a room's state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A user says something new under a type.
    Set {
        /// The type.
        event_type: String,
        /// The user.
        user: UserId,
    },
    /// What a user said under a type was taken back.
    Removed {
        /// The type.
        event_type: String,
        /// The user.
        user: UserId,
    },
    /// A user came, went or was put out.
    Member {
        /// The user.
        user: UserId,
        /// Its relation to the room now.
        membership: Membership,
    },
    /// Something of the room itself: its encryption, its rules, its successor.
    Room {
        /// The type, one of Matrix's own.
        event_type: String,
    },
}

/// Why an event was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A field is missing or is not what it should be.
    #[error("`{0}` is missing or malformed")]
    Field(&'static str),
    /// Somebody else than the state key's user sent it.
    #[error("{sender} wrote under a key that is not its own")]
    ForeignKey {
        /// Who.
        sender: UserId,
    },
    /// It is Matrix's own and of no account here.
    #[error("of no account here")]
    Ignored,
    /// The content cannot be a content: too large, too deep, a float.
    #[error("the content is not canonical")]
    Content,
    /// The room holds as much as it may.
    #[error("the room holds too many types or users")]
    Full,
}

/// What a batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// What changed, in order.
    pub changes: Vec<Change>,
    /// What was refused, in order; [`Refusal::Ignored`] is not listed.
    pub refused: Vec<Refusal>,
}

impl RoomState {
    /// Applies events in order. Applied twice, a batch changes nothing the second time.
    pub fn apply<'a>(&mut self, events: impl IntoIterator<Item = &'a Value>) -> Applied {
        let mut applied = Applied::default();
        for event in events {
            match self.apply_one(event) {
                Ok(Some(change)) => {
                    let revision = self.revision + 1;
                    self.revisions.insert(type_of(&change).to_owned(), revision);
                    applied.changes.push(change);
                }
                Ok(None) | Err(Refusal::Ignored) => {}
                Err(refusal) => applied.refused.push(refusal),
            }
        }
        if !applied.changes.is_empty() {
            self.revision += 1;
        }
        applied
    }

    fn apply_one(&mut self, event: &Value) -> Result<Option<Change>, Refusal> {
        let event_type = text(event, "type")?;
        let state_key = text(event, "state_key")?;
        if event_type == "m.room.member" {
            return self.apply_member(event, state_key);
        }
        if event_type.starts_with("m.") {
            let kept = state_key.is_empty() && ROOM_TYPES.contains(&event_type);
            return if kept {
                self.apply_room(event_type, event)
            } else {
                Err(Refusal::Ignored)
            };
        }
        check_type(event_type).map_err(|_| Refusal::Field("type"))?;
        let stored = parse(event)?;
        if stored.sender.as_str() != state_key {
            return Err(Refusal::ForeignKey {
                sender: stored.sender,
            });
        }
        self.apply_owned(event_type, stored)
    }

    fn apply_owned(&mut self, event_type: &str, stored: Stored) -> Result<Option<Change>, Refusal> {
        let user = stored.sender.clone();
        let event_type = event_type.to_owned();
        if is_empty(&stored.content) {
            let Some(users) = self.owned.get_mut(&event_type) else {
                return Ok(None);
            };
            let removed = users.remove(&user).is_some();
            if users.is_empty() {
                self.owned.remove(&event_type);
            }
            return Ok(removed.then_some(Change::Removed { event_type, user }));
        }
        if !self.owned.contains_key(&event_type) && self.owned.len() >= MAX_TYPES {
            return Err(Refusal::Full);
        }
        let users = self.owned.entry(event_type.clone()).or_default();
        if !users.contains_key(&user) && users.len() >= MAX_USERS {
            return Err(Refusal::Full);
        }
        if users.get(&user) == Some(&stored) {
            return Ok(None);
        }
        users.insert(user.clone(), stored);
        Ok(Some(Change::Set { event_type, user }))
    }

    fn apply_member(&mut self, event: &Value, user: &str) -> Result<Option<Change>, Refusal> {
        let user = UserId::parse(user).map_err(|_| Refusal::Field("state_key"))?;
        let membership = match event.pointer("/content/membership").and_then(Value::as_str) {
            Some("join") => Membership::Joined,
            Some("invite") => Membership::Invited,
            Some("ban") => Membership::Banned,
            Some("leave" | "knock") => Membership::Left,
            _ => return Err(Refusal::Field("membership")),
        };
        if !self.members.contains_key(&user) && self.members.len() >= MAX_USERS {
            return Err(Refusal::Full);
        }
        if self.members.insert(user.clone(), membership) == Some(membership) {
            return Ok(None);
        }
        Ok(Some(Change::Member { user, membership }))
    }

    fn apply_room(&mut self, event_type: &str, event: &Value) -> Result<Option<Change>, Refusal> {
        let stored = parse(event)?;
        if self.room.get(event_type) == Some(&stored) {
            return Ok(None);
        }
        self.room.insert(event_type.to_owned(), stored);
        Ok(Some(Change::Room {
            event_type: event_type.to_owned(),
        }))
    }
}

fn type_of(change: &Change) -> &str {
    match change {
        Change::Set { event_type, .. }
        | Change::Removed { event_type, .. }
        | Change::Room { event_type } => event_type,
        Change::Member { .. } => "m.room.member",
    }
}

fn text<'a>(event: &'a Value, field: &'static str) -> Result<&'a str, Refusal> {
    event
        .get(field)
        .and_then(Value::as_str)
        .ok_or(Refusal::Field(field))
}

fn parse(event: &Value) -> Result<Stored, Refusal> {
    let sender = UserId::parse(text(event, "sender")?).map_err(|_| Refusal::Field("sender"))?;
    let event_id =
        EventId::parse(text(event, "event_id")?).map_err(|_| Refusal::Field("event_id"))?;
    let at = event
        .get("origin_server_ts")
        .and_then(Value::as_u64)
        .ok_or(Refusal::Field("origin_server_ts"))?;
    let content = event.get("content").ok_or(Refusal::Field("content"))?;
    let content = Value::Object(encode(content).map_err(|_| Refusal::Content)?);
    Ok(Stored {
        sender,
        event_id,
        at,
        content,
    })
}

/// A redacted event keeps its place and loses its content.
fn is_empty(content: &Value) -> bool {
    content.as_object().is_none_or(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{NodeState, NodeStatus, StateContent};
    use proptest::prelude::*;
    use serde_json::json;

    fn event(event_type: &str, key: &str, sender: &str, id: u32, content: Value) -> Value {
        json!({"type": event_type, "state_key": key, "sender": sender, "content": content,
            "event_id": format!("${id}"), "origin_server_ts": id})
    }

    fn node(user: &str, id: u32, status: &str) -> Value {
        let content = json!({"v": 1, "status": status, "since": id});
        event(NodeState::TYPE, user, user, id, content)
    }

    #[test]
    fn a_node_speaks_for_itself_alone() {
        let mut room = RoomState::new();
        let mut forged = node("@b:s", 1, "down");
        forged["sender"] = json!("@a:s");
        let applied = room.apply([&forged, &node("@b:s", 2, "up")]);
        assert_eq!(
            applied.refused,
            [Refusal::ForeignKey {
                sender: "@a:s".parse().unwrap()
            }]
        );
        let snapshot = room.snapshot::<NodeState>();
        assert_eq!(snapshot.entries.len(), 1);
        assert_eq!(
            snapshot.of(&"@b:s".parse().unwrap()).unwrap().status,
            NodeStatus::Up
        );
    }

    #[test]
    fn a_ban_shows_on_what_the_banned_said() {
        let mut room = RoomState::new();
        let member = |m: &str, id| {
            event(
                "m.room.member",
                "@a:s",
                "@hub:s",
                id,
                json!({"membership": m}),
            )
        };
        room.apply([&member("join", 1), &node("@a:s", 2, "up")]);
        let before = room.revision_of(NodeState::TYPE);
        room.apply([&member("ban", 3)]);
        assert!(room.revision_of(NodeState::TYPE) > before);
        assert!(
            room.snapshot::<NodeState>()
                .entries
                .values()
                .all(|entry| entry.is_banned())
        );
    }

    #[test]
    fn a_redacted_state_is_gone() {
        let mut room = RoomState::new();
        room.apply([&node("@a:s", 1, "up")]);
        let applied = room.apply([&event(NodeState::TYPE, "@a:s", "@a:s", 2, json!({}))]);
        assert!(matches!(applied.changes[..], [Change::Removed { .. }]));
        assert!(room.snapshot::<NodeState>().entries.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_listed_with_its_reason() {
        let mut room = RoomState::new();
        room.apply([&event(NodeState::TYPE, "@a:s", "@a:s", 1, json!({"v": 7}))]);
        assert_eq!(room.snapshot::<NodeState>().unreadable.len(), 1);
    }

    #[test]
    fn the_room_itself_is_known_by_its_own_state() {
        let mut room = RoomState::new();
        room.apply([
            &event(
                "m.room.create",
                "",
                "@hub:s",
                1,
                json!({"room_version": "12"}),
            ),
            &event(
                "m.room.encryption",
                "",
                "@hub:s",
                2,
                json!({"algorithm": "m.megolm.v1.aes-sha2"}),
            ),
            &event(
                "m.room.tombstone",
                "",
                "@hub:s",
                3,
                json!({"replacement_room": "!next"}),
            ),
        ]);
        assert_eq!(room.creator().unwrap().as_str(), "@hub:s");
        assert!(room.is_encrypted());
        assert_eq!(room.replacement().unwrap().as_str(), "!next");
    }

    fn any_event() -> impl Strategy<Value = Value> {
        let user = prop::sample::select(vec!["@a:s", "@b:s", "@c:s"]);
        let status = prop::sample::select(vec!["up", "down", "odd"]);
        (user.clone(), user, status, 0..20_u32, 0..4_u8).prop_map(
            |(key, sender, status, id, kind)| match kind {
                0 => event(
                    "m.room.member",
                    key,
                    sender,
                    id,
                    json!({"membership": "join"}),
                ),
                1 => event(NodeState::TYPE, key, sender, id, json!({})),
                _ => event(
                    NodeState::TYPE,
                    key,
                    sender,
                    id,
                    json!({"v": 1, "status": status, "since": id}),
                ),
            },
        )
    }

    proptest! {
        #[test]
        fn batches_applied_one_by_one_or_in_one_end_alike(
            events in prop::collection::vec(any_event(), 0..40), cut in 0..40_usize
        ) {
            let cut = cut.min(events.len());
            let (mut whole, mut parts) = (RoomState::new(), RoomState::new());
            whole.apply(&events);
            parts.apply(&events[..cut]);
            parts.apply(&events[cut..]);
            prop_assert_eq!(&whole.owned, &parts.owned);
            prop_assert_eq!(&whole.members, &parts.members);
            let again = parts.clone();
            let replayed = parts.apply(&events);
            let owned_again = (parts.owned.clone(), parts.members.clone());
            prop_assert_eq!(owned_again, (again.owned, again.members));
            prop_assert_eq!(replayed.refused, whole.apply(&events).refused);
        }

        #[test]
        fn nobody_is_listed_but_the_sender(events in prop::collection::vec(any_event(), 0..40)) {
            let mut room = RoomState::new();
            room.apply(&events);
            for users in room.owned.values() {
                for (user, stored) in users {
                    prop_assert_eq!(user, &stored.sender);
                }
            }
        }
    }
}
