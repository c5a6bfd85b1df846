use crate::rig::{Rig, SOON, connected, soon, token, version};
use std::time::Duration;
use swarm_bus::client::{PublishError, ReceiveError, RequestError};
use swarm_bus::permissions::Role;
use swarm_bus::stream::{ConsumerConfig, Ensured, StreamError, Undecodable};
use swarm_bus::topics::{
    ENDPOINTS_STREAM, EVENTS_STREAM, Endpoints, NodeEndpoints, NodeEvent, NodeEvents, Occurrence,
    TRUST_STREAM, Timestamp, TrustBundle, events_consumer, mesh_streams,
};
use swarm_bus::{MessageId, Pattern, Raw, Topic};

fn up(number: u64) -> NodeEvent {
    NodeEvent {
        at: Timestamp(number),
        event: Occurrence::Up,
    }
}

#[tokio::test]
async fn streams_and_consumers_become_what_they_shall_be() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("stream::ensure", &users) else {
        return;
    };
    let hub = rig.client("hub").await;
    for stream in mesh_streams() {
        assert_eq!(hub.ensure_stream(&stream).await.unwrap(), Ensured::Created);
        assert_eq!(
            hub.ensure_stream(&stream).await.unwrap(),
            Ensured::Unchanged
        );
    }
    let mut events = mesh_streams().remove(0);
    events.max_messages = Some(5000);
    assert_eq!(hub.ensure_stream(&events).await.unwrap(), Ensured::Updated);
    assert_eq!(
        hub.ensure_stream(&events).await.unwrap(),
        Ensured::Unchanged
    );

    let mut consumer = events_consumer(&token("n1"));
    assert_eq!(
        hub.ensure_consumer(&consumer).await.unwrap(),
        Ensured::Created
    );
    assert_eq!(
        hub.ensure_consumer(&consumer).await.unwrap(),
        Ensured::Unchanged
    );
    consumer.ack_wait = Duration::from_secs(5);
    assert_eq!(
        hub.ensure_consumer(&consumer).await.unwrap(),
        Ensured::Updated
    );

    let nowhere = ConsumerConfig::new(token("NOWHERE"), token("c"));
    let refused = hub.ensure_consumer(&nowhere).await;
    assert!(matches!(refused, Err(StreamError::NoStream)), "{refused:?}");

    // An edge may not, and hears so at once.
    let edge = rig.client("n1").await;
    let refused = tokio::time::timeout(Duration::from_secs(1), edge.ensure_stream(&events));
    let refused = refused.await.expect("a denial is no timeout");
    assert!(matches!(
        refused,
        Err(StreamError::Unsupported(_)
            | StreamError::Request(RequestError::Publish(PublishError::Denied { .. })))
    ));
}

#[tokio::test]
async fn an_edge_reads_what_it_missed_and_each_word_of_acknowledgement_counts() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("stream::consume", &users) else {
        return;
    };
    let hub = rig.client("hub").await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    let mut config = events_consumer(&token("n1"));
    config.ack_wait = Duration::from_millis(800);
    hub.ensure_consumer(&config).await.unwrap();
    let topic = NodeEvents { node: token("hub") };
    for number in 1..=5 {
        let stored = hub.publish_stored(&topic, &up(number)).await.unwrap();
        assert_eq!(
            (stored.stream.as_str(), stored.sequence),
            ("SWARM_EVENTS", number)
        );
    }
    // The same id again is kept once.
    let id = MessageId::parse("once").unwrap();
    for duplicate in [false, true] {
        let message = hub.message(&topic, &up(6)).unwrap().id(id.clone());
        let stored = message.store().await.unwrap();
        assert_eq!((stored.sequence, stored.duplicate), (6, duplicate));
    }

    let edge = rig.client("n1").await;
    let node = token("n1");
    let mut consumer = edge
        .consumer::<NodeEvents>(&EVENTS_STREAM, &node)
        .await
        .unwrap();
    let mut first = Vec::new();
    for number in 1..=6 {
        let delivered = soon(consumer.next()).await.unwrap();
        assert_eq!((delivered.sequence, delivered.deliveries), (number, 1));
        assert_eq!(delivered.content.as_ref().unwrap().payload, up(number));
        first.push(delivered);
    }
    assert_eq!(first[5].pending, 0);
    first[0].ack().unwrap();
    first[1].ack_confirmed(SOON).await.unwrap();
    first[2].nak(Duration::from_millis(100)).unwrap();
    first[3].term().unwrap();
    first[5].ack().unwrap();
    // The third comes again soon, the fifth when its time is up, the fourth never.
    let again = soon(consumer.next()).await.unwrap();
    assert_eq!((again.sequence, again.deliveries), (3, 2));
    again.ack().unwrap();
    let again = soon(consumer.next()).await.unwrap();
    assert_eq!((again.sequence, again.deliveries), (5, 2));
    again.ack().unwrap();
    let rest = tokio::time::timeout(Duration::from_millis(1200), consumer.next()).await;
    assert!(rest.is_err(), "nothing more");

    // The consumer goes on through a reload and a loss.
    edge.reload().await.unwrap();
    hub.publish_stored(&topic, &up(7)).await.unwrap();
    let delivered = soon(consumer.next()).await.unwrap();
    assert_eq!(delivered.content.as_ref().unwrap().payload, up(7));
    delivered.ack_confirmed(SOON).await.unwrap();

    let foreign = token("n2");
    let refused = edge.consumer::<NodeEvents>(&EVENTS_STREAM, &foreign).await;
    assert!(matches!(
        refused.err(),
        Some(StreamError::Request(RequestError::Publish(
            PublishError::Denied { .. }
        )))
    ));
}

#[tokio::test]
async fn who_comes_late_finds_the_last_bundle_and_the_last_endpoints() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("stream::last", &users) else {
        return;
    };
    let hub = rig.client("hub").await;
    let mut options = rig.options("n1");
    options.timeout = Duration::from_secs(2);
    let edge = connected(options).await;
    let none = edge.last(&TRUST_STREAM, &TrustBundle).await;
    let server = edge.connected(SOON).await.unwrap();
    let as_told = match none {
        Err(StreamError::Request(RequestError::TimedOut { .. })) => {
            server.version < version("2.11.0")
        }
        Err(StreamError::NoJetStream) => server.version >= version("2.11.0"),
        _ => false,
    };
    assert!(as_told, "{}: {none:?}", server.version);
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    assert!(
        edge.last(&TRUST_STREAM, &TrustBundle)
            .await
            .unwrap()
            .is_none()
    );
    for text in ["old", "new"] {
        hub.publish_stored(&TrustBundle, &text.into())
            .await
            .unwrap();
    }
    let last = edge.last(&TRUST_STREAM, &TrustBundle).await.unwrap();
    assert_eq!(last.unwrap().unwrap().payload, "new");

    let topic = NodeEndpoints { node: token("n2") };
    let endpoints = Endpoints {
        at: Timestamp(1),
        observed: vec!["192.0.2.1:51820".parse().unwrap()],
    };
    hub.publish_stored(&topic, &endpoints).await.unwrap();
    let last = edge.last(&ENDPOINTS_STREAM, &topic).await.unwrap();
    assert_eq!(last.unwrap().unwrap().payload, endpoints);
}

/// The same subjects as `NodeEvents`, but any bytes.
#[derive(Topic, Debug)]
#[topic("swarm.events.node.{node}", payload = bytes::Bytes, codec = Raw, delivery = stored)]
struct RawEvents {
    node: swarm_bus::Token,
}

#[tokio::test]
async fn what_can_never_be_read_is_settled_as_its_user_says() {
    let users = [("hub", Role::Hub)];
    let Some(rig) = Rig::start("stream::undecodable", &users) else {
        return;
    };
    let hub = rig.client("hub").await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    let raw = RawEvents { node: token("hub") };
    hub.publish_stored(&raw, &"not json".into()).await.unwrap();
    let policies = [
        ("leave", Undecodable::Leave, 1..=1),
        ("term", Undecodable::Term, 1..=1),
        (
            "back",
            Undecodable::GiveBack(Duration::from_millis(50)),
            3..=3,
        ),
    ];
    for (name, policy, times) in policies {
        let mut config = ConsumerConfig::new(EVENTS_STREAM, token(name));
        config.ack_wait = match policy {
            Undecodable::Leave => Duration::from_secs(60),
            _ => Duration::from_secs(1),
        };
        config.max_deliver = Some(3);
        hub.ensure_consumer(&config).await.unwrap();
        let consumer = hub
            .consumer::<NodeEvents>(&EVENTS_STREAM, &config.durable)
            .await
            .unwrap();
        let mut consumer = consumer.undecodable(policy);
        let mut seen = 0;
        let wait = Duration::from_millis(2500);
        while let Ok(delivered) = tokio::time::timeout(wait, consumer.next()).await {
            let content = delivered.unwrap().content;
            assert!(matches!(content, Err(ReceiveError::Undecodable { .. })));
            seen += 1;
        }
        assert!(times.contains(&seen), "{name}: {seen}");
    }
}

#[tokio::test]
async fn a_reason_for_a_termination_is_refused_by_name_where_the_server_is_too_old() {
    let Some(rig) = Rig::start("stream::reason", &[("hub", Role::Hub)]) else {
        return;
    };
    let hub = rig.client("hub").await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    let mut config = events_consumer(&token("hub"));
    config.ack_wait = Duration::from_millis(500);
    hub.ensure_consumer(&config).await.unwrap();
    let topic = NodeEvents { node: token("hub") };
    hub.publish_stored(&topic, &up(1)).await.unwrap();
    let mut consumer = hub
        .consumer::<NodeEvents>(&EVENTS_STREAM, &config.durable)
        .await
        .unwrap();
    let delivered = soon(consumer.next()).await.unwrap();
    let said = delivered.term_because("it makes\r\nno sense");
    let server = hub.connected(SOON).await.unwrap();
    match server.version < version("2.10.4") {
        true => {
            let unsupported = matches!(&said, Err(StreamError::Unsupported(u)) if u.feature == "a reason for a termination");
            assert!(unsupported, "{said:?}");
            // Nothing was said, so it comes again.
            let again = soon(consumer.next()).await.unwrap();
            assert_eq!(again.deliveries, 2);
            again.term_confirmed(SOON).await.unwrap();
        }
        false => said.unwrap(),
    }
    let more = tokio::time::timeout(Duration::from_millis(1500), consumer.next()).await;
    assert!(more.is_err(), "nothing more");
}

#[tokio::test]
async fn a_drained_client_ends_its_consumers_at_once() {
    let Some(rig) = Rig::start("stream::drain", &[("hub", Role::Hub)]) else {
        return;
    };
    let hub = rig.client("hub").await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    let config = events_consumer(&token("hub"));
    hub.ensure_consumer(&config).await.unwrap();
    let topic = NodeEvents { node: token("hub") };
    hub.publish_stored(&topic, &up(1)).await.unwrap();
    let mut consumer = hub
        .consumer::<NodeEvents>(&EVENTS_STREAM, &config.durable)
        .await
        .unwrap();
    soon(consumer.next()).await.unwrap().ack().unwrap();
    let waiting = tokio::spawn(async move { consumer.next().await.map(drop) });
    // The pull is with the server, for five seconds.
    tokio::time::sleep(Duration::from_millis(300)).await;
    hub.drain(Duration::from_secs(3)).await.unwrap();
    let ended = soon(waiting).await.unwrap();
    assert!(
        matches!(
            ended,
            Err(StreamError::Request(RequestError::Publish(
                PublishError::Disconnected
            )))
        ),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_stream_is_looked_into_by_number_and_emptied_by_subject() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(rig) = Rig::start("stream::inspect", &users) else {
        return;
    };
    let hub = rig.client("hub").await;
    assert!(hub.streams().await.unwrap().is_empty());
    let missing = hub.stream_info(&EVENTS_STREAM).await;
    assert!(matches!(missing, Err(StreamError::NoStream)), "{missing:?}");
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    let names: Vec<_> = hub.streams().await.unwrap();
    let names: Vec<_> = names.iter().map(|stream| stream.name.as_str()).collect();
    let all = [
        "KV_swarm-state",
        "OBJ_swarm-files",
        "SWARM_ENDPOINTS",
        "SWARM_EVENTS",
        "SWARM_TRUST",
    ];
    assert_eq!(names, all);

    for (number, node) in [(1, "n1"), (2, "n2"), (3, "n1"), (4, "n2")] {
        let topic = NodeEvents { node: token(node) };
        hub.publish_stored(&topic, &up(number)).await.unwrap();
    }
    let info = hub.stream_info(&EVENTS_STREAM).await.unwrap();
    assert_eq!(info.subjects, ["swarm.events.node.*"]);
    assert_eq!((info.messages, info.last_sequence), (4, 4));
    assert_eq!((info.num_subjects, info.max_message_size), (2, None));
    let state = hub.stream_info(&token("KV_swarm-state")).await.unwrap();
    assert_eq!(
        (state.num_subjects, state.max_message_size),
        (0, Some(64 << 10))
    );
    assert_eq!(info.max_age, Some(Duration::from_secs(7 * 24 * 3600)));
    assert_eq!((info.max_bytes, info.max_messages), (Some(256 << 20), None));

    let all = Pattern::ALL;
    let second = hub.stream_message(&EVENTS_STREAM, 2, &all).await.unwrap();
    let second = second.unwrap();
    assert_eq!(
        (second.sequence, second.subject.as_str()),
        (2, "swarm.events.node.n2")
    );
    assert!(second.headers.id().is_some() && second.time.ends_with('Z'));
    let message = second.read::<NodeEvents>().unwrap();
    assert_eq!((message.topic.node, message.payload), (token("n2"), up(2)));
    assert!(second.read::<NodeEndpoints>().is_err());
    // Only some subjects, and past what is no longer there.
    let of_n1 = Pattern::parse("swarm.events.node.n1").unwrap();
    let next = hub.stream_message(&EVENTS_STREAM, 2, &of_n1).await.unwrap();
    assert_eq!(next.unwrap().sequence, 3);
    assert!(
        hub.stream_message(&EVENTS_STREAM, 5, &all)
            .await
            .unwrap()
            .is_none()
    );

    assert_eq!(
        hub.purge_stream(&EVENTS_STREAM, Some(&of_n1), 0)
            .await
            .unwrap(),
        2
    );
    assert_eq!(hub.purge_stream(&EVENTS_STREAM, None, 1).await.unwrap(), 1);
    let left = hub.stream_message(&EVENTS_STREAM, 1, &all).await.unwrap();
    assert_eq!(left.unwrap().sequence, 4);

    let edge = rig.client("n1").await;
    let refused = edge.purge_stream(&EVENTS_STREAM, None, 0).await;
    assert!(matches!(
        refused,
        Err(StreamError::Request(RequestError::Publish(
            PublishError::Denied { .. }
        )))
    ));
    assert_eq!(hub.stream_info(&EVENTS_STREAM).await.unwrap().messages, 1);
}
