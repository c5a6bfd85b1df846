//! Rooms found half made, abandoned, or somebody else's.

use serde_json::json;
use swarm_matrix::{Error, RoomSpec};

use crate::swarm::{Bare, escape, session, soon, user};
use crate::synapse::shared;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_made_room_is_repaired_and_a_dead_alias_moved() {
    let Some(synapse) = shared("a_half_made_room_is_repaired_and_a_dead_alias_moved") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let maker = session(synapse, "maker", dir.path()).await;
    let bare = Bare::login(synapse, "maker").await;

    // Made, and nothing but made: no encryption, nobody let in.
    let half = json!({"room_alias_name": "half", "preset": "private_chat"});
    let (_, answer) = bare.call("POST", "createRoom", Some(half)).await;
    let room = soon("repair", maker.ensure_room(&RoomSpec::new("half")))
        .await
        .unwrap();
    assert_eq!(answer["room_id"], room.as_str());
    let path = format!("rooms/{}/state", escape(room.as_str()));
    let (_, state) = bare.call("GET", &path, None).await;
    let content = |wanted: &str| {
        let events = state.as_array().unwrap();
        events.iter().find(|event| event["type"] == wanted).unwrap()["content"].clone()
    };
    assert_eq!(
        content("m.room.encryption")["algorithm"],
        "m.megolm.v1.aes-sha2"
    );
    assert_eq!(content("m.room.join_rules")["join_rule"], "public");
    assert_eq!(
        content("m.room.history_visibility")["history_visibility"],
        "joined"
    );
    assert_eq!(content("m.room.power_levels")["state_default"], 100);
    assert_eq!(content("m.room.canonical_alias")["alias"], "#half:swarm");
    // A second look finds nothing to do.
    let ids = |state: serde_json::Value| -> Vec<_> {
        let events = state.as_array().unwrap();
        events
            .iter()
            .map(|event| event["event_id"].clone())
            .collect()
    };
    let spec = RoomSpec::new("half");
    let again = soon("second look", maker.ensure_room(&spec)).await;
    assert_eq!(again.unwrap(), room);
    assert_eq!(ids(bare.call("GET", &path, None).await.1), ids(state));

    // An alias whose room everybody left.
    let (_, answer) = bare
        .call(
            "POST",
            "createRoom",
            Some(json!({"room_alias_name": "dead", "preset": "private_chat"})),
        )
        .await;
    let dead = answer["room_id"].as_str().unwrap().to_owned();
    let leave = format!("rooms/{}/leave", escape(&dead));
    assert_eq!(bare.call("POST", &leave, Some(json!({}))).await.0, 200);
    let room = soon("move", maker.ensure_room(&RoomSpec::new("dead")))
        .await
        .unwrap();
    assert_ne!(room.as_str(), dead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_somebody_else_made_is_nobodys_mesh() {
    let Some(synapse) = shared("a_room_that_somebody_else_made_is_nobodys_mesh") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let squatter = session(synapse, "squatter", &dir.path().join("squatter")).await;
    let owner = session(synapse, "owner", &dir.path().join("owner")).await;
    let guest = session(synapse, "guest", &dir.path().join("guest")).await;
    let spec = RoomSpec::new("squatted");
    let room = soon("squat", squatter.ensure_room(&spec)).await.unwrap();

    let refused = soon("make", owner.ensure_room(&spec)).await.unwrap_err();
    assert!(matches!(refused, Error::RoomTaken { .. }), "{refused}");
    let refused = soon("join", guest.join_room("squatted", &user("owner")))
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::RoomTaken { .. }), "{refused}");
    soon("leave", async {
        while guest.rooms().contains(&room) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let none = soon("join", guest.join_room("no-such-room", &user("owner")))
        .await
        .unwrap_err();
    assert!(matches!(none, Error::NoRoom(_)) && none.is_transient());
}
