use crate::rig::{Authority, Rig, SOON, connected, soon, token};
use std::time::Duration;
use swarm_bus::Topic as _;
use swarm_bus::client::{Client, LinkError, Options, PublishError, State};
use swarm_bus::permissions::Role;
use swarm_bus::topics::{
    EVENTS_STREAM, NodeEvent, NodeEvents, Occurrence, Timestamp, mesh_streams,
};
use tokio::time::Instant;

fn up(number: u64) -> NodeEvent {
    NodeEvent {
        at: Timestamp(number),
        event: Occurrence::Up,
    }
}

/// Waits until a state is there.
async fn until(client: &Client, wanted: impl Fn(&State) -> bool) -> State {
    let mut states = client.states();
    soon(states.until(|state| wanted(state))).await.unwrap()
}

#[tokio::test]
async fn after_a_kill_subscriptions_resume_and_what_was_stored_is_there() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(mut rig) = Rig::start("outage::kill", &users) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    let topic = NodeEvents { node: token("n1") };
    let mut events = hub.subscribe(NodeEvents::any()).unwrap();
    events.barrier().await.unwrap();
    edge.publish_stored(&topic, &up(1)).await.unwrap();
    assert_eq!(soon(events.next()).await.unwrap().unwrap().payload, up(1));

    rig.kill();
    until(&edge, |state| !state.is_connected()).await;
    until(&hub, |state| !state.is_connected()).await;
    assert!(matches!(
        edge.publish(&topic, &up(2)),
        Err(PublishError::Disconnected)
    ));
    // This one waits for the server, and is kept once.
    let waiting = tokio::spawn({
        let (edge, topic) = (edge.clone(), topic.clone());
        async move {
            let message = edge.message(&topic, &up(3)).unwrap().within(SOON);
            message.store().await
        }
    });
    rig.run();
    let stored = waiting.await.unwrap().unwrap();
    assert_eq!((stored.sequence, stored.duplicate), (2, false));
    until(&hub, State::is_connected).await;

    events.barrier().await.unwrap();
    edge.publish_stored(&topic, &up(4)).await.unwrap();
    loop {
        // The third may have come before the hub was back; the fourth must come.
        let message = soon(events.next()).await.unwrap().unwrap();
        if message.payload == up(4) {
            break;
        }
        assert_eq!(message.payload, up(3));
    }
    let jsz = swarm_bus::monitor::Jsz::parse(&rig.monitor("/jsz?streams=1")).unwrap();
    let kept = jsz
        .stream_states()
        .find(|(_, name, _)| EVENTS_STREAM == *name);
    assert_eq!(kept.unwrap().2.messages, 3);
    assert_eq!(edge.statistics().reconnects, 1);
}

#[tokio::test]
async fn a_client_that_comes_before_its_server_connects_when_it_is_there() {
    let Some(mut rig) = Rig::prepare("outage::early", &[("n1", Role::Edge)]) else {
        return;
    };
    let client = Client::start(rig.options("n1"));
    let mut events = client.subscribe(NodeEvents::any()).unwrap();
    let early = client.connected(Duration::from_millis(300)).await;
    let cause = early.unwrap_err().cause;
    assert!(matches!(cause.as_deref(), Some(LinkError::Tcp { .. })));
    rig.run();
    client.connected(SOON).await.unwrap();
    events.barrier().await.unwrap();
    let own = NodeEvents { node: token("n1") };
    client.publish(&own, &up(1)).unwrap();
    assert_eq!(soon(events.next()).await.unwrap().unwrap().payload, up(1));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_within_five_seconds() {
    let Some(rig) = Rig::start("outage::silent", &[("n1", Role::Edge)]) else {
        return;
    };
    let mut options = rig.options("n1");
    options.outbound_bytes = 64 << 10;
    let client = connected(options).await;
    let topic = NodeEvents { node: token("n1") };
    let mut large = up(1);
    large.event = Occurrence::Down {
        reason: "x".repeat(32 << 10),
    };

    rig.signal("-STOP");
    let stopped = Instant::now();
    // Nobody reads any more: what is published piles up to its bound, and no further.
    let full = loop {
        match client.publish(&topic, &large) {
            Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, PublishError::QueueFull { pending, .. } if pending <= 64 << 10));
    let state = until(&client, |state| !state.is_connected()).await;
    let after = stopped.elapsed();
    rig.signal("-CONT");
    assert!(matches!(
        state.error().map(|e| &**e),
        Some(LinkError::Silent { .. })
    ));
    assert!(after <= Duration::from_secs(5), "{after:?}");
    client.connected(SOON).await.unwrap();
}

#[tokio::test]
async fn a_revoked_user_is_cut_off_and_stays_out_until_told_to_try_again() {
    // To a server without any user everybody is welcome: one stays.
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(mut rig) = Rig::start("outage::revoked", &users) else {
        return;
    };
    let client = rig.client("n1").await;
    rig.revoke("n1");
    let state = until(&client, |state| matches!(state, State::Refused { .. })).await;
    let error = state.error().unwrap();
    assert!(matches!(**error, LinkError::Unauthorized { .. }));
    assert!(error.is_configuration());
    let failures = client.statistics().connect_failures;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(
        client.statistics().connect_failures,
        failures,
        "no more attempts"
    );

    rig.admit("n1", Role::Edge);
    let deadline = Instant::now() + SOON;
    while client.reload().await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(client.states().current().is_connected());
}

#[tokio::test]
async fn a_wrong_certificate_on_either_side_is_seen_in_the_state() {
    let Some(rig) = Rig::start("outage::certificates", &[("n1", Role::Edge)]) else {
        return;
    };
    let server = || vec![format!("127.0.0.1:{}", rig.port()).parse().unwrap()];
    let strangers = Authority::new();
    let own = || rig.authority.client("n1");
    let cases = [
        (
            "a stranger's",
            rig.authority.tls(Some(strangers.client("n1"))).0,
        ),
        ("none", rig.authority.tls(None).0),
        (
            "another purpose",
            rig.authority.tls(Some(rig.authority.server())).0,
        ),
        ("a server that is a stranger", strangers.tls(Some(own())).0),
        (
            "a user that is not listed",
            rig.authority.tls(Some(rig.authority.client("n2"))).0,
        ),
    ];
    for (case, tls) in cases {
        let client = Client::start(Options::new(token("n1"), server(), tls));
        let mut states = client.states();
        let failed = soon(states.until(|state| state.error().is_some())).await;
        let error = failed.unwrap().error().cloned().unwrap();
        let expected = match case {
            "a server that is a stranger" => {
                matches!(*error, LinkError::ServerCertificate { .. })
            }
            "a user that is not listed" => matches!(*error, LinkError::Unauthorized { .. }),
            _ => matches!(*error, LinkError::OurCertificate { .. }),
        };
        assert!(expected && error.is_configuration(), "{case}: {error:?}");
    }
}

#[tokio::test]
async fn a_drained_client_has_sent_all_and_its_subscriptions_end() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("outage::drain", &users) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    let mut at_hub = hub.subscribe(NodeEvents::any()).unwrap();
    let mut at_edge = edge.subscribe(NodeEvents::any()).unwrap();
    at_hub.barrier().await.unwrap();
    at_edge.barrier().await.unwrap();
    let topic = NodeEvents { node: token("n1") };
    for number in 0..1000 {
        edge.publish(&topic, &up(number)).unwrap();
    }
    // Who goes on publishing meanwhile is told, and stops nobody.
    let stubborn = tokio::spawn({
        let (edge, topic) = (edge.clone(), NodeEvents { node: token("n1") });
        async move {
            while edge.publish(&topic, &up(5000)).is_ok() && edge.flush().await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
    });
    edge.drain(SOON).await.unwrap();
    soon(stubborn).await.unwrap();
    for number in 0..1000 {
        let there = soon(at_hub.next()).await.unwrap().unwrap();
        assert_eq!(there.payload, up(number));
        let here = soon(at_edge.next()).await.unwrap().unwrap();
        assert_eq!(here.payload, up(number));
    }
    while let Some(more) = soon(at_edge.next()).await {
        assert_eq!(more.unwrap().payload, up(5000));
    }
    assert!(matches!(edge.states().current(), State::Closed));
    assert!(edge.subscribe(NodeEvents::any()).is_err());
    assert!(edge.reload().await.is_err());
    assert!(matches!(
        edge.publish(&topic, &up(0)),
        Err(PublishError::Disconnected)
    ));
}

#[tokio::test]
async fn a_client_that_nobody_holds_any_more_disconnects() {
    let Some(rig) = Rig::start("outage::dropped", &[("n1", Role::Edge)]) else {
        return;
    };
    let client = rig.client("n1").await;
    let events = client.subscribe(NodeEvents::any()).unwrap();
    drop(client);
    events.barrier().await.unwrap();
    drop(events);
    for _ in 0..200 {
        let connz = swarm_bus::monitor::Connz::parse(&rig.monitor("/connz")).unwrap();
        if connz.total == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still connected");
}

#[derive(Debug, swarm_bus::Topic)]
#[topic("swarm.events.node.{node}", payload = NodeEvent, offline = drop_oldest)]
struct Lossy {
    node: swarm_bus::Token,
}

#[tokio::test]
async fn without_a_connection_the_newest_are_kept_in_order_and_every_drop_is_told() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(mut rig) = Rig::start("outage::drop_oldest", &users) else {
        return;
    };
    let mut options = rig.options("n1");
    options.offline_messages = 50;
    let edge = connected(options).await;
    let mut drops = edge.drops();
    let topic = Lossy { node: token("n1") };
    rig.kill();
    until(&edge, |state| !state.is_connected()).await;
    let mut ids = Vec::new();
    for number in 0..80 {
        ids.push(edge.publish(&topic, &up(number)).unwrap().id);
    }
    for id in &ids[..30] {
        let dropped = soon(drops.next()).await.unwrap().unwrap();
        assert_eq!((&dropped.id, dropped.subject), (id, topic.subject()));
    }
    assert_eq!(
        (edge.statistics().dropped, edge.statistics().backlog),
        (30, 50)
    );
    // Who wants a proof is told that there is none.
    let flushed = edge.publish_flushed(&topic, &up(0)).await;
    assert!(matches!(flushed, Err(PublishError::Disconnected)));

    // The server is back, and so is the hub; the edge is let in after it.
    rig.revoke_quietly("n1");
    rig.run();
    let hub = rig.client("hub").await;
    let mut events = hub.subscribe(Lossy::any()).unwrap();
    events.barrier().await.unwrap();
    rig.admit("n1", Role::Edge);
    let deadline = Instant::now() + SOON;
    while !edge.states().current().is_connected() {
        assert!(Instant::now() < deadline);
        let _ = edge.reload().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for number in 80..90 {
        edge.publish(&topic, &up(number)).unwrap();
    }
    for number in 30..90 {
        let message = soon(events.next()).await.unwrap().unwrap();
        assert_eq!(message.payload, up(number));
    }
    assert_eq!(
        (edge.statistics().dropped, edge.statistics().backlog),
        (30, 0)
    );

    // What is left when the client closes is told as well.
    rig.kill();
    until(&edge, |state| !state.is_connected()).await;
    let last = edge.publish(&topic, &up(90)).unwrap().id;
    edge.drain(SOON).await.unwrap();
    assert_eq!(soon(drops.next()).await.unwrap().unwrap().id, last);
    assert!(edge.publish(&topic, &up(91)).is_err());
}
