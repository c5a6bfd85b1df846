//! What a room of the mesh must be, and what a half-made one lacks.
//!
//! Making a room is not atomic: a server that dies in between leaves an alias on a room without
//! its rules. So a room is never taken as found: [`RoomSpec::repairs`] compares it with what it
//! must be, and says what is to be sent.
//!
//! # Who gets in
//! The join rule is `public`, on a server that is closed: no federation, no registration, no
//! passwords for nodes, accounts only by a JWT that is minted for a valid certificate. An account
//! therefore *is* an admission, and the same gate would only stand twice: a node that joins the
//! mesh gets into its rooms with nobody editing anything and with the hub asleep. What an invite
//! rule would add is bought otherwise: the room is not federated and not listed, guests are
//! forbidden, history is for those who were there (`joined`), timelines are encrypted to
//! cross-signed devices, a cut-off account is locked by the server and banned by the hub, and a
//! member takes a room for the mesh's own only if the hub made it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::event::{NodeState, StateContent};
use crate::id::{IdError, RoomAlias, ServerName, UserId};
use crate::power::{Rank, power_levels};

/// What a room must be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomSpec {
    /// The alias without `#` and server: `ops`.
    pub alias: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    pub topic: String,
    /// State types that every member may keep under its own user id.
    pub state_types: BTreeSet<String>,
    /// Users above [`Rank::Member`]; the creator need not be listed.
    pub ranks: BTreeMap<UserId, Rank>,
}

impl RoomSpec {
    /// A room with an alias of one's own choice, and [`NodeState`] as its only state type.
    pub fn new(alias: impl Into<String>) -> Self {
        let alias = alias.into();
        Self {
            name: alias.clone(),
            alias,
            topic: String::new(),
            state_types: BTreeSet::from([NodeState::TYPE.to_owned()]),
            ranks: BTreeMap::new(),
        }
    }

    /// `#ops`: operational state.
    pub fn ops() -> Self {
        Self::new("ops").named("Operations", "Operational state of every node")
    }

    /// `#telemetry`: roll-ups of readings.
    pub fn telemetry() -> Self {
        Self::new("telemetry").named("Telemetry", "Roll-ups of node telemetry")
    }

    /// `#alerts`: alerts and who has seen them.
    pub fn alerts() -> Self {
        Self::new("alerts").named("Alerts", "Alerts and acknowledgements")
    }

    /// The same with a name and a topic for people.
    pub fn named(mut self, name: impl Into<String>, topic: impl Into<String>) -> Self {
        self.name = name.into();
        self.topic = topic.into();
        self
    }

    /// The same with one more state type that members may keep.
    pub fn with_state<T: StateContent>(mut self) -> Self {
        self.state_types.insert(T::TYPE.to_owned());
        self
    }

    /// The same with a user of higher rank.
    pub fn with_rank(mut self, user: UserId, rank: Rank) -> Self {
        self.ranks.insert(user, rank);
        self
    }

    /// The full alias on a server.
    ///
    /// # Errors
    /// When the alias is empty, holds white space, or is too long.
    pub fn alias_on(&self, server: &ServerName) -> Result<RoomAlias, IdError> {
        RoomAlias::new(&self.alias, server)
    }

    /// All state of Matrix's own that the room must have, in the order in which to send it:
    /// encryption first, so that nothing is ever said in the clear.
    pub fn required_state(
        &self,
        creator: &UserId,
        room_version: &str,
        alias: &RoomAlias,
    ) -> Vec<(&'static str, Value)> {
        vec![
            (
                "m.room.encryption",
                json!({"algorithm": "m.megolm.v1.aes-sha2"}),
            ),
            (
                "m.room.power_levels",
                power_levels(creator, room_version, &self.ranks, &self.state_types),
            ),
            ("m.room.guest_access", json!({"guest_access": "forbidden"})),
            (
                "m.room.history_visibility",
                json!({"history_visibility": "joined"}),
            ),
            ("m.room.name", json!({"name": self.name})),
            ("m.room.topic", json!({"topic": self.topic})),
            ("m.room.canonical_alias", json!({"alias": alias})),
            ("m.room.join_rules", json!({"join_rule": "public"})),
        ]
    }

    /// What `current` (content by type, the empty state key) lacks or has wrong.
    ///
    /// A field that the server or a later build adds beside the required ones is left alone.
    pub fn repairs(
        &self,
        creator: &UserId,
        room_version: &str,
        alias: &RoomAlias,
        current: &BTreeMap<String, Value>,
    ) -> Vec<(&'static str, Value)> {
        self.required_state(creator, room_version, alias)
            .into_iter()
            .filter(|(event_type, wanted)| match current.get(*event_type) {
                None => true,
                Some(found) => !contains(found, wanted),
            })
            .collect()
    }
}

fn contains(found: &Value, wanted: &Value) -> bool {
    wanted
        .as_object()
        .into_iter()
        .flatten()
        .all(|(field, value)| found.get(field) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> (RoomSpec, UserId, RoomAlias) {
        (
            RoomSpec::ops(),
            UserId::parse("@hub:s").unwrap(),
            RoomAlias::parse("#ops:s").unwrap(),
        )
    }

    #[test]
    fn a_room_that_is_as_it_must_be_needs_nothing() {
        let (spec, hub, alias) = fixture();
        let mut current: BTreeMap<String, Value> = spec
            .required_state(&hub, "12", &alias)
            .into_iter()
            .map(|(event_type, content)| (event_type.to_owned(), content))
            .collect();
        assert!(spec.repairs(&hub, "12", &alias, &current).is_empty());
        current.get_mut("m.room.encryption").unwrap()["rotation_period_ms"] = json!(604_800_000);
        assert!(spec.repairs(&hub, "12", &alias, &current).is_empty());
    }

    #[test]
    fn a_half_made_room_is_encrypted_before_it_is_opened() {
        let (spec, hub, alias) = fixture();
        let repairs = spec.repairs(&hub, "12", &alias, &BTreeMap::new());
        assert_eq!(repairs.first().unwrap().0, "m.room.encryption");
        assert_eq!(repairs.last().unwrap().0, "m.room.join_rules");
        assert_eq!(repairs.len(), 8);
    }

    #[test]
    fn a_new_state_type_is_a_repair_of_the_power_levels() {
        let (spec, hub, alias) = fixture();
        let current: BTreeMap<String, Value> = spec
            .required_state(&hub, "12", &alias)
            .into_iter()
            .map(|(event_type, content)| (event_type.to_owned(), content))
            .collect();
        let mut wider = spec;
        wider.state_types.insert("org.example.more".to_owned());
        let repairs = wider.repairs(&hub, "12", &alias, &current);
        assert_eq!(
            repairs.iter().map(|(t, _)| *t).collect::<Vec<_>>(),
            ["m.room.power_levels"]
        );
    }
}
