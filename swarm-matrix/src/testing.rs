//! What tests of programs that use this crate need, and what the fuzzers call. Outside semver.

use serde_json::Value;

use crate::event::{Acknowledgement, Alert, NodeState, Rollup, StateContent, decode, encode};
use crate::state::RoomState;

/// Reads bytes as every content of the mesh's own. Whatever is read can be written, and reads
/// back the same.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_event(data: &[u8]) {
    fn check<T>(value: &Value)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let Ok(content) = decode::<T>(value) else {
            return;
        };
        let written = encode(&content).expect("what was read can be written");
        let again: T = decode(&Value::Object(written)).expect("what was written can be read");
        assert_eq!(again, content);
    }
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    check::<NodeState>(&value);
    check::<Rollup>(&value);
    check::<Alert>(&value);
    check::<Acknowledgement>(&value);
}

/// Applies bytes as a batch of events (a JSON list). Done twice it changes nothing the second
/// time, and nobody is listed under a name that is not its own.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_apply(data: &[u8]) {
    let Ok(events) = serde_json::from_slice::<Vec<Value>>(data) else {
        return;
    };
    let mut room = RoomState::new();
    room.apply(&events);
    let (owned, members) = (room.owned.clone(), room.members.clone());
    room.apply(&events);
    assert_eq!((&room.owned, &room.members), (&owned, &members));
    for users in room.owned.values() {
        for (user, stored) in users {
            assert_eq!(user, &stored.sender);
        }
    }
    let snapshot = room.snapshot::<NodeState>();
    let listed = snapshot.entries.len() + snapshot.unreadable.len();
    assert_eq!(
        listed,
        room.owned
            .get(NodeState::TYPE)
            .map_or(0, |users| users.len())
    );
    let _ = (
        room.creator(),
        room.is_encrypted(),
        room.replacement(),
        room.canonical_alias(),
    );
}
