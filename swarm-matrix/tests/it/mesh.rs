//! Three nodes: rooms, state, messages, alerts.

use serde_json::json;
use swarm_matrix::{
    Acknowledgement, Alert, AlertBookConfig, AlertEvent, Body, Identity, NodeState, NodeStatus,
    Outcome, Published, Received, Rollup, Severity, Summary,
};

use crate::swarm::{Bare, escape, next, now_ms, session, soon, user};
use crate::synapse::shared;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_share_rooms_state_messages_and_alerts() {
    let Some(synapse) = shared("three_nodes_share_rooms_state_messages_and_alerts") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let hub = session(synapse, "hub", &dir.path().join("hub")).await;
    let edge1 = session(synapse, "edge1", &dir.path().join("edge1")).await;
    let edge2 = session(synapse, "edge2", &dir.path().join("edge2")).await;
    for node in [&hub, &edge1, &edge2] {
        assert_eq!(*node.identity().borrow(), Identity::CrossSigned);
    }

    // Rooms made twice are the same rooms.
    let rooms = soon("rooms", hub.ensure_rooms()).await.unwrap();
    assert_eq!(
        soon("rooms again", hub.ensure_rooms()).await.unwrap(),
        rooms
    );
    for edge in [&edge1, &edge2] {
        assert_eq!(
            soon("join", edge.join_rooms(&user("hub"))).await.unwrap(),
            rooms
        );
        assert_eq!(
            soon("join again", edge.join_rooms(&user("hub")))
                .await
                .unwrap(),
            rooms
        );
        assert_eq!(edge.rooms().len(), 3);
    }

    // Each node's state is seen by the others, and published once.
    let since = now_ms();
    let mine = |roles: [&str; 1]| {
        NodeState::new(NodeStatus::Up, since)
            .with_roles(roles)
            .with_version("0.1.0")
    };
    for (node, role) in [(&hub, "hub"), (&edge1, "edge"), (&edge2, "edge")] {
        let published = node.publish_state(&rooms.ops, &mine([role])).await.unwrap();
        assert!(matches!(published, Published::Sent(_)), "{published:?}");
        let again = node.publish_state(&rooms.ops, &mine([role])).await.unwrap();
        assert_eq!(again, Published::Unchanged);
    }
    for node in [&hub, &edge1, &edge2] {
        let mut watch = node.watch_states::<NodeState>(&rooms.ops).unwrap();
        let all = soon("states", watch.wait_for(|all| all.entries.len() == 3))
            .await
            .unwrap();
        assert!(all.of(&user("hub")).unwrap().roles.contains("hub"));
        assert!(all.unreadable.is_empty());
    }

    // Only one's own key can be written.
    let bare = Bare::login(synapse, "edge1").await;
    let forge = |key: &str| {
        format!(
            "rooms/{}/state/org.sovereign-swarm.node/{}",
            escape(rooms.ops.as_str()),
            escape(key)
        )
    };
    let content = json!({"v": 1, "status": "down", "since": 1});
    let (status, _) = bare
        .call("PUT", &forge("@edge2:swarm"), Some(content.clone()))
        .await;
    assert_eq!(status, 403);
    let name = format!("rooms/{}/state/m.room.name/", escape(rooms.ops.as_str()));
    let (status, _) = bare.call("PUT", &name, Some(json!({"name": "mine"}))).await;
    assert_eq!(status, 403);

    // What one says, the others read, and they know who said it.
    let mut at_hub = hub.messages(&rooms.ops).unwrap();
    let mut at_edge2 = edge2.messages(&rooms.ops).unwrap();
    let sent = edge1.send_text(&rooms.ops, "all quiet").await.unwrap();
    for messages in [&mut at_hub, &mut at_edge2] {
        let message = next(messages).await;
        assert_eq!(
            (message.text(), &message.event_id),
            (Some("all quiet"), &sent)
        );
        assert_eq!(message.sender, user("edge1"));
    }
    let rollup =
        Rollup::new(since, since + 60_000).with("cpu_permille", Summary::of([10, 20, 60]).unwrap());
    let mut telemetry = hub.messages(&rooms.telemetry).unwrap();
    edge2.send(&rooms.telemetry, &rollup).await.unwrap();
    assert_eq!(
        next(&mut telemetry)
            .await
            .decode::<Rollup>()
            .unwrap()
            .unwrap(),
        rollup
    );

    // What comes in the clear is not believed.
    let path = format!(
        "rooms/{}/send/m.room.message/forged",
        escape(rooms.ops.as_str())
    );
    let body = json!({"msgtype": "m.text", "body": "believe me"});
    assert_eq!(bare.call("PUT", &path, Some(body)).await.0, 200);
    let forged = loop {
        match soon("forged", at_hub.next()).await.unwrap() {
            Received::Message(message) if message.body == Body::NotEncrypted => break message,
            _ => {}
        }
    };
    assert_eq!(forged.text(), None);

    alerts_are_told_once_and_acknowledged(&hub, &edge1, &rooms.alerts).await;
}

async fn alerts_are_told_once_and_acknowledged(
    hub: &swarm_matrix::Session,
    edge: &swarm_matrix::Session,
    room: &swarm_matrix::RoomId,
) {
    let mut alerts = hub.alerts(room, AlertBookConfig::default()).unwrap();
    let alert = Alert::new("disk/data", Severity::Warning, "91 % full", now_ms());
    edge.send_alert(room, &alert).await.unwrap();
    edge.send_alert(room, &alert).await.unwrap();
    let worse = Alert::new("disk/data", Severity::Critical, "99 % full", now_ms());
    edge.send_alert(room, &worse).await.unwrap();
    for expected in [Outcome::New, Outcome::Escalated] {
        match soon("alert", alerts.next()).await.unwrap() {
            AlertEvent::Alert {
                message, outcome, ..
            } => {
                assert_eq!((message.sender, outcome), (user("edge1"), expected));
            }
            other => panic!("{other:?}"),
        }
    }
    let ack = Acknowledgement::new(user("edge1"), "disk/data", now_ms()).with_note("on my way");
    hub.acknowledge(room, &ack).await.unwrap();
    let event = soon("acknowledgement", alerts.next()).await.unwrap();
    assert!(
        matches!(event, AlertEvent::Acknowledged { acknowledgement, .. } if acknowledgement == ack)
    );
    assert_eq!(alerts.book().firing().len(), 1);
    edge.send_alert(room, &worse.resolved(now_ms()))
        .await
        .unwrap();
    let event = soon("resolution", alerts.next()).await.unwrap();
    assert!(matches!(
        event,
        AlertEvent::Alert {
            outcome: Outcome::Resolved,
            ..
        }
    ));
}
