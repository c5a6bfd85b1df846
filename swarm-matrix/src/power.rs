//! Power levels by role: who may do what in a room.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::id::UserId;

/// What a user may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rank {
    /// Speaks, and keeps its own state: every node.
    Member,
    /// May also put users out and take messages back.
    Operator,
    /// May also change the room itself: the hub.
    Admin,
}

impl Rank {
    /// The power level that stands for it.
    pub fn level(self) -> i64 {
        match self {
            Self::Member => 0,
            Self::Operator => 50,
            Self::Admin => 100,
        }
    }
}

/// Whether a room version gives its creator power without end, and forbids naming it in
/// `m.room.power_levels` (room version 12 and later; MSC4289).
pub fn creator_is_implicit(room_version: &str) -> bool {
    match room_version.parse::<u32>() {
        Ok(number) => number >= 12,
        Err(_) => room_version.starts_with("org.matrix.hydra"),
    }
}

/// The content of `m.room.power_levels` for a room made by `creator`.
///
/// Members send messages and the state types given, each under its own user id (the server holds
/// a key that starts with `@` to its user); all else is the admins'. Room ranks of the creator are
/// ignored: it is always an admin.
pub fn power_levels(
    creator: &UserId,
    room_version: &str,
    ranks: &BTreeMap<UserId, Rank>,
    state_types: &BTreeSet<String>,
) -> Value {
    let admin = Rank::Admin.level();
    let operator = Rank::Operator.level();
    let mut users: BTreeMap<&str, i64> = ranks
        .iter()
        .filter(|(user, rank)| *user != creator && **rank > Rank::Member)
        .map(|(user, rank)| (user.as_str(), rank.level()))
        .collect();
    if !creator_is_implicit(room_version) {
        users.insert(creator.as_str(), admin);
    }
    let mut events: BTreeMap<&str, i64> = state_types
        .iter()
        .map(|event_type| (event_type.as_str(), Rank::Member.level()))
        .collect();
    events.insert(
        "m.room.tombstone",
        if creator_is_implicit(room_version) {
            150
        } else {
            admin
        },
    );
    json!({
        "ban": operator,
        "events": events,
        "events_default": Rank::Member.level(),
        "invite": operator,
        "kick": operator,
        "notifications": {"room": operator},
        "redact": operator,
        "state_default": admin,
        "users": users,
        "users_default": Rank::Member.level(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(version: &str) -> Value {
        let hub = UserId::parse("@hub:s").unwrap();
        let ranks = BTreeMap::from([
            (UserId::parse("@op:s").unwrap(), Rank::Operator),
            (hub.clone(), Rank::Operator),
        ]);
        power_levels(
            &hub,
            version,
            &ranks,
            &BTreeSet::from(["org.example.x".to_owned()]),
        )
    }

    #[test]
    fn the_creator_is_named_until_room_version_12() {
        assert_eq!(levels("11")["users"]["@hub:s"], 100);
        for version in ["12", "13", "org.matrix.hydra.11"] {
            assert!(
                levels(version)["users"].get("@hub:s").is_none(),
                "{version}"
            );
            assert_eq!(levels(version)["users"]["@op:s"], 50);
        }
    }

    #[test]
    fn members_write_their_own_types_and_nothing_else() {
        let levels = levels("12");
        assert_eq!(levels["events"]["org.example.x"], 0);
        assert_eq!(levels["state_default"], 100);
        assert_eq!(levels["users_default"], 0);
    }
}
