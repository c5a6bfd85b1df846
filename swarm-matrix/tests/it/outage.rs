//! Homeservers and nodes that go away and come back.

use swarm_matrix::{NodeState, NodeStatus, Received, RoomSpec, SessionState};

use crate::swarm::{next, now_ms, session, soon, state, until_text, user};
use crate::synapse::{Synapse, python, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_go_on_after_the_homeserver_lost_power() {
    let Some(python) = python("sessions_go_on_after_the_homeserver_lost_power") else {
        return;
    };
    let mut synapse = Synapse::start(python);
    let dir = tempfile::tempdir().unwrap();
    let hub = session(&synapse, "hub", &dir.path().join("hub")).await;
    let edge = session(&synapse, "edge", &dir.path().join("edge")).await;
    let rooms = soon("rooms", hub.ensure_rooms()).await.unwrap();
    soon("join", edge.join_rooms(&user("hub"))).await.unwrap();
    edge.send_text(&rooms.ops, "before").await.unwrap();
    let mut messages = hub.messages(&rooms.ops).unwrap();
    assert_eq!(next(&mut messages).await.text(), Some("before"));

    synapse.kill();
    for session in [&hub, &edge] {
        state(session, "outage", |s| {
            matches!(s, SessionState::Disconnected { .. })
        })
        .await;
    }
    // A state that cannot be sent now is sent later.
    let down = NodeState::new(NodeStatus::Down, now_ms());
    let error = edge.publish_state(&rooms.ops, &down).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    // A kept session opens with nobody there.
    edge.clone().close().await;
    drop(edge);
    let edge = soon(
        "cold start",
        swarm_matrix::Session::login(crate::swarm::config(
            &synapse,
            "edge",
            &dir.path().join("edge"),
        )),
    )
    .await
    .unwrap();
    assert_eq!(
        soon("rooms", edge.join_rooms(&user("hub"))).await.unwrap(),
        rooms
    );
    edge.publish_state(&rooms.ops, &down).await.unwrap_err();

    let began = tokio::time::Instant::now();
    synapse.restart();
    println!("synapse is back after {:?}", began.elapsed());
    for session in [&hub, &edge] {
        session.connected(crate::swarm::LIMIT).await.unwrap();
    }
    println!("sessions are back after {:?}", began.elapsed());
    edge.send_text(&rooms.ops, "after").await.unwrap();
    assert_eq!(next(&mut messages).await.text(), Some("after"));
    let mut watch = hub.watch_states::<NodeState>(&rooms.ops).unwrap();
    let held = watch.wait_for(|all| all.of(&user("edge")) == Some(&down));
    soon("held state", held).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_slept_through_a_flood_reads_all_of_it() {
    let Some(synapse) = shared("a_node_that_slept_through_a_flood_reads_all_of_it") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let talker = session(synapse, "talker", &dir.path().join("talker")).await;
    let sleeper = session(synapse, "sleeper", &dir.path().join("sleeper")).await;
    let room = soon("room", talker.ensure_room(&RoomSpec::new("dream")))
        .await
        .unwrap();
    soon("join", sleeper.join_room("dream", &user("talker")))
        .await
        .unwrap();
    let mut messages = sleeper.messages(&room).unwrap();
    talker.send_text(&room, "good night").await.unwrap();
    until_text(&mut messages, "good night").await;
    drop(messages);
    soon("close", sleeper.close()).await;

    // More than one sync brings at once.
    for n in 0..90 {
        soon("flood", talker.send_text(&room, &format!("dream {n}")))
            .await
            .unwrap();
    }
    talker.send_text(&room, "good morning").await.unwrap();
    let sleeper = session(synapse, "sleeper", &dir.path().join("sleeper")).await;
    let mut messages = sleeper.messages(&room).unwrap();
    let all = until_text(&mut messages, "good morning").await;
    let texts: Vec<_> = all
        .iter()
        .map(|received| match received {
            Received::Message(message) => message.text().unwrap_or("unreadable").to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<_> = (0..90)
        .map(|n| format!("dream {n}"))
        .chain(["good morning".to_owned()])
        .collect();
    assert_eq!(texts, expected);
}
