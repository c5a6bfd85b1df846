//! Programs against the server in the process: what a test can have of it.

use crate::rig::{SOON, connected, soon, token};
use std::time::Duration;
use swarm_bus::client::{Client, LinkError, PublishError, RequestError, State, SubscribeError};
use swarm_bus::permissions::{Policy, Role};
use swarm_bus::stream::{Ensured, StreamError};
use swarm_bus::testing::Server;
use swarm_bus::topics::{
    Command, CommandReply, Commands, EVENTS_STREAM, NodeEvent, NodeEvents, Occurrence,
    TRUST_STREAM, Telemetry, Timestamp, TrustBundle, events_consumer, mesh_streams,
};
use swarm_bus::{MessageId, Pattern, Topic as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn up(number: u64) -> NodeEvent {
    NodeEvent {
        at: Timestamp(number),
        event: Occurrence::Up,
    }
}

async fn client(server: &Server, node: &str, role: Role) -> Client {
    let node = token(node);
    let permissions = Policy::mesh().permissions(&node, &[role]);
    connected(server.options(node, permissions)).await
}

async fn until(client: &Client, wanted: impl Fn(&State) -> bool) -> State {
    let mut states = client.states();
    soon(states.until(|state| wanted(state))).await.unwrap()
}

#[tokio::test]
async fn requests_groups_and_denials_are_as_with_a_server() {
    let server = Server::new();
    let operator = client(&server, "op", Role::Operator).await;
    let edge = client(&server, "n1", Role::Edge).await;
    let requests = edge
        .requests(
            Commands::filter(Some(&token("n1")), None),
            Some(token("group")),
        )
        .unwrap();
    requests.barrier().await.unwrap();
    tokio::spawn(requests.serve(|message| async move { Ok(CommandReply(message.payload.0)) }));

    let echo = |node| Commands::new(token(node), token("echo"));
    let body = Command(serde_json::json!({"n": 7}));
    let reply = operator.request(&echo("n1"), &body, SOON).await.unwrap();
    assert_eq!(reply.0, body.0);
    let nobody = operator.request(&echo("n2"), &body, SOON).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders { .. })));
    let denied = edge.request(&echo("n2"), &body, SOON).await;
    assert!(matches!(
        denied,
        Err(RequestError::Publish(PublishError::Denied { .. }))
    ));
    let all = edge.subscribe(Telemetry::any()).unwrap().barrier().await;
    assert!(matches!(all, Err(SubscribeError::Denied { .. })));

    let counters = server.counters();
    assert_eq!((counters.connects, counters.connections), (2, 2));
    assert_eq!(
        (counters.publications_denied, counters.subscriptions_denied),
        (1, 1)
    );
    assert_eq!((counters.no_responders, counters.slow_consumers), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_may_have_arrived_is_never_said_not_to_be_there() {
    let server = Server::new();
    let hub = client(&server, "hub", Role::Hub).await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    let edge = client(&server, "n1", Role::Edge).await;
    let topic = NodeEvents { node: token("n1") };
    server.silence(true);
    let storing = tokio::spawn({
        let (edge, topic) = (edge.clone(), topic.clone());
        async move {
            let message = edge.message(&topic, &up(1)).unwrap();
            message.within(Duration::from_secs(8)).store().await
        }
    });
    // It is on its way when the line is lost, and there is none until the end.
    until(&edge, |state| !state.is_connected()).await;
    server.kill();
    let unknown = storing.await.unwrap();
    assert!(
        matches!(unknown, Err(PublishError::Unconfirmed { .. })),
        "{unknown:?}"
    );
    // One that never was on its way is known not to be there.
    let never = edge.publish_stored(&topic, &up(2)).await;
    assert!(matches!(never, Err(PublishError::Disconnected)));
}

#[tokio::test(start_paused = true)]
#[allow(
    clippy::disallowed_methods,
    reason = "that time was not waited for is seen on another clock"
)]
async fn streams_are_read_and_what_falls_due_comes_without_waiting() {
    let began = std::time::Instant::now();
    let server = Server::new();
    let hub = client(&server, "hub", Role::Hub).await;
    for stream in mesh_streams() {
        assert_eq!(hub.ensure_stream(&stream).await.unwrap(), Ensured::Created);
        assert_eq!(
            hub.ensure_stream(&stream).await.unwrap(),
            Ensured::Unchanged
        );
    }
    let mut config = events_consumer(&token("n1"));
    config.max_deliver = Some(2);
    assert_eq!(
        hub.ensure_consumer(&config).await.unwrap(),
        Ensured::Created
    );
    let topic = NodeEvents { node: token("hub") };
    for number in 1..=4 {
        let stored = hub.publish_stored(&topic, &up(number)).await.unwrap();
        assert_eq!((stored.sequence, stored.duplicate), (number, false));
    }
    let id = MessageId::parse("once").unwrap();
    for duplicate in [false, true] {
        let message = hub.message(&topic, &up(5)).unwrap().id(id.clone());
        let stored = message.store().await.unwrap();
        assert_eq!((stored.sequence, stored.duplicate), (5, duplicate));
    }

    let edge = client(&server, "n1", Role::Edge).await;
    let mut consumer = edge
        .consumer::<NodeEvents>(&EVENTS_STREAM, &token("n1"))
        .await
        .unwrap();
    let mut first = Vec::new();
    for number in 1..=5 {
        let delivered = soon(consumer.next()).await.unwrap();
        assert_eq!((delivered.sequence, delivered.deliveries), (number, 1));
        assert_eq!(delivered.pending, 5 - number);
        first.push(delivered);
    }
    first[0].ack_confirmed(SOON).await.unwrap();
    first[1].nak(Duration::from_secs(5)).unwrap();
    first[2].term().unwrap();
    first[4].ack().unwrap();
    // The second comes again after its delay, the fourth after half a minute, neither a third time.
    for sequence in [2, 4] {
        let again = tokio::time::timeout(Duration::from_secs(40), consumer.next()).await;
        let again = again.unwrap().unwrap();
        assert_eq!((again.sequence, again.deliveries), (sequence, 2));
    }
    let rest = tokio::time::timeout(Duration::from_secs(120), consumer.next()).await;
    assert!(rest.is_err(), "nothing more");

    // The duplicate window is over, and in a week the events are.
    let message = hub.message(&topic, &up(6)).unwrap().id(id);
    assert!(!message.store().await.unwrap().duplicate);
    let kept = server.stream(&EVENTS_STREAM).unwrap();
    assert_eq!(
        (kept.messages, kept.last_sequence, kept.consumers),
        (6, 6, 1)
    );
    tokio::time::advance(Duration::from_secs(7 * 24 * 3600)).await;
    assert_eq!(server.stream(&EVENTS_STREAM).unwrap().messages, 0);
    assert!(began.elapsed() < SOON, "time was not waited for");
}

#[tokio::test]
async fn a_server_that_is_killed_comes_back_with_its_streams() {
    let server = Server::new();
    let hub = client(&server, "hub", Role::Hub).await;
    let edge = client(&server, "n1", Role::Edge).await;
    let short = Duration::from_millis(100);
    let silence = tokio::time::timeout(short, edge.last(&TRUST_STREAM, &TrustBundle)).await;
    assert!(
        silence.is_err(),
        "of a stream that is not there nobody says anything"
    );
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    hub.publish_stored(&TrustBundle, &"new".into())
        .await
        .unwrap();
    let mut events = hub.subscribe(NodeEvents::any()).unwrap();
    events.barrier().await.unwrap();

    server.kill();
    until(&edge, |state| !state.is_connected()).await;
    until(&hub, |state| !state.is_connected()).await;
    let topic = NodeEvents { node: token("n1") };
    assert!(matches!(
        edge.publish(&topic, &up(1)),
        Err(PublishError::Disconnected)
    ));
    let refused = until(&edge, |state| {
        matches!(state.error().map(|e| &**e), Some(LinkError::Tcp { .. }))
    });
    refused.await;
    server.start();
    edge.connected(SOON).await.unwrap();
    hub.connected(SOON).await.unwrap();
    events.barrier().await.unwrap();
    edge.publish_stored(&topic, &up(2)).await.unwrap();
    assert_eq!(soon(events.next()).await.unwrap().unwrap().payload, up(2));
    let last = edge.last(&TRUST_STREAM, &TrustBundle).await.unwrap();
    assert_eq!(last.unwrap().unwrap().payload, "new");
    let stored = server.stored(&EVENTS_STREAM, &Pattern::ALL);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].subject, topic.subject());
    assert_eq!(edge.statistics().reconnects, 1);
}

#[tokio::test]
async fn a_line_is_cut_a_door_is_shut_and_a_user_is_sent_away() {
    let server = Server::new();
    let hub = client(&server, "hub", Role::Hub).await;
    let edge = client(&server, "n1", Role::Edge).await;
    let mut events = edge.subscribe(NodeEvents::any()).unwrap();
    events.barrier().await.unwrap();

    server.refuse(true);
    assert_eq!(server.cut(&token("n1")), 1);
    until(&edge, |state| {
        matches!(state.error().map(|e| &**e), Some(LinkError::Tcp { .. }))
    })
    .await;
    assert!(
        hub.states().current().is_connected(),
        "only one line was cut"
    );
    server.refuse(false);
    edge.connected(SOON).await.unwrap();
    events.barrier().await.unwrap();
    let topic = NodeEvents { node: token("hub") };
    hub.publish(&topic, &up(1)).unwrap();
    assert_eq!(soon(events.next()).await.unwrap().unwrap().payload, up(1));

    // What it may subscribe to is taken away, and told.
    let mut denials = edge.denials();
    server.admit(&token("n1"), Policy::new().permissions(&token("n1"), &[]));
    let denied = soon(denials.next()).await.unwrap().unwrap();
    assert_eq!(denied.subject, NodeEvents::any().pattern().as_str());

    server.revoke(&token("n1"));
    let state = until(&edge, |state| matches!(state, State::Refused { .. })).await;
    assert!(matches!(
        **state.error().unwrap(),
        LinkError::Unauthorized { .. }
    ));
    let permissions = Policy::mesh().permissions(&token("n1"), &[Role::Edge]);
    server.admit(&token("n1"), permissions);
    edge.reload().await.unwrap();
    assert!(edge.states().current().is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_dead_is_noticed_and_what_was_stored_is_kept_once() {
    let server = Server::new();
    let hub = client(&server, "hub", Role::Hub).await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    server.silence(true);
    let silent = tokio::time::Instant::now();
    let storing = tokio::spawn({
        let hub = hub.clone();
        async move {
            let topic = NodeEvents { node: token("hub") };
            let message = hub.message(&topic, &up(1)).unwrap();
            message.within(Duration::from_secs(60)).store().await
        }
    });
    let state = until(&hub, |state| !state.is_connected()).await;
    assert!(matches!(
        state.error().map(|e| &**e),
        Some(LinkError::Silent { .. })
    ));
    assert!(silent.elapsed() <= Duration::from_secs(5));
    server.silence(false);
    assert_eq!(storing.await.unwrap().unwrap().sequence, 1);
    assert_eq!(server.stream(&EVENTS_STREAM).unwrap().messages, 1);
}

#[tokio::test]
async fn a_reload_loses_nothing_and_doubles_nothing_here_too() {
    let server = Server::new();
    let hub = client(&server, "hub", Role::Hub).await;
    let edge = client(&server, "n1", Role::Edge).await;
    let mut events = edge.subscribe(NodeEvents::any()).unwrap();
    events.barrier().await.unwrap();
    let topic = NodeEvents { node: token("hub") };
    let publisher = tokio::spawn({
        let hub = hub.clone();
        async move {
            for number in 0..500 {
                hub.publish(&topic, &up(number)).unwrap();
                tokio::task::yield_now().await;
            }
            hub.flush().await.unwrap();
        }
    });
    for _ in 0..3 {
        edge.reload().await.unwrap();
        hub.reload().await.unwrap();
    }
    publisher.await.unwrap();
    for number in 0..500 {
        assert_eq!(
            soon(events.next()).await.unwrap().unwrap().payload,
            up(number)
        );
    }
}

#[tokio::test]
async fn who_does_not_read_is_cut_off_and_costs_no_more_than_allowed() {
    let mut limits = swarm_bus::testing::Limits::default();
    limits.max_pending = 1 << 20;
    let server = Server::with_limits(limits);
    let hub = client(&server, "hub", Role::Hub).await;
    let node = token("lazy");
    server.admit(&node, Policy::mesh().permissions(&node, &[Role::Edge]));
    let mut lazy = server.connect(&node).unwrap();
    lazy.write_all(b"CONNECT {}\r\nSUB swarm.events.node.* 1\r\nPING\r\n")
        .await
        .unwrap();
    let topic = NodeEvents { node: token("hub") };
    let mut large = up(1);
    large.event = Occurrence::Down {
        reason: "x".repeat(100 << 10),
    };
    while server.counters().slow_consumers == 0 {
        hub.publish_flushed(&topic, &large).await.unwrap();
    }
    let mut read = Vec::new();
    soon(lazy.read_to_end(&mut read)).await.unwrap();
    assert!(read.len() < 2 << 20, "{}", read.len());
    hub.publish_flushed(&topic, &large).await.unwrap();
    assert_eq!(server.counters().connections, 1);
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let server = Server::new();
    let hub = client(&server, "hub", Role::Hub).await;
    let mut stream = mesh_streams().remove(0);
    stream.replicas = 3;
    let refused = hub.ensure_stream(&stream).await;
    assert!(
        matches!(&refused, Err(StreamError::Refused { code: 10074, .. })),
        "{refused:?}"
    );
    let node = token("raw");
    server.admit(&node, Policy::new().permissions(&node, &[]));
    server.admit(&node, {
        let mut all = Policy::new().permissions(&node, &[]);
        all.publish_deny.clear();
        all
    });
    let mut raw = server.connect(&node).unwrap();
    let body = br#"{"name":"M","mirror":{"name":"SWARM_EVENTS"}}"#;
    let ask = format!(
        "CONNECT {{}}\r\nSUB _INBOX_raw.x 1\r\nPUB $JS.API.STREAM.CREATE.M _INBOX_raw.x {}\r\n",
        body.len()
    );
    raw.write_all(ask.as_bytes()).await.unwrap();
    raw.write_all(body).await.unwrap();
    raw.write_all(b"\r\n").await.unwrap();
    let mut said = String::new();
    while !said.contains("mirrors") {
        let mut bytes = [0; 4096];
        let read = soon(raw.read(&mut bytes)).await.unwrap();
        assert!(read > 0, "{said}");
        said.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    assert!(said.contains(r#""code":501"#), "{said}");
}
