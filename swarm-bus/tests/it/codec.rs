use crate::rig::{Rig, SOON, soon, token};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use swarm_bus::client::{Client, Fault, ReceiveError, RequestError, Subscription};
use swarm_bus::codec::DecodeError;
use swarm_bus::envelope::CONTENT_TYPE;
use swarm_bus::permissions::Role;
use swarm_bus::topics::{EVENTS_STREAM, NodeEvents, mesh_streams};
use swarm_bus::{Call, Cbor, Filter, MessagePack, Pattern, Raw, Token, Topic};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Frame {
    at: u64,
    values: Vec<f64>,
    note: Option<String>,
}

fn frame() -> Frame {
    Frame {
        at: u64::MAX,
        values: vec![0.5, -1.0],
        note: Some("ü".into()),
    }
}

#[derive(Topic, Debug)]
#[topic("swarm.telemetry.{node}.packed", payload = Frame, codec = MessagePack)]
struct Packed {
    node: Token,
}

#[derive(Topic, Debug)]
#[topic("swarm.telemetry.{node}.packed", payload = Frame)]
struct PackedAsJson {
    node: Token,
}

#[derive(Topic, Debug)]
#[topic("swarm.telemetry.{node}.packed", payload = Bytes, codec = Raw)]
struct PackedAsBytes {
    node: Token,
}

#[derive(Topic, Debug)]
#[topic(
    "swarm.commands.{node}.measure",
    payload = Frame,
    codec = Cbor,
    reply = Frame,
    reply_codec = MessagePack
)]
struct Measure {
    node: Token,
}

#[derive(Topic, Debug)]
#[topic(
    "swarm.commands.{node}.measure",
    payload = Frame,
    codec = Cbor,
    reply = Frame,
    reply_codec = MessagePack,
    schema = 3
)]
struct NewerMeasure {
    node: Token,
}

/// Takes an answer of any format for JSON.
#[derive(Topic, Debug)]
#[topic("swarm.commands.{node}.measure", payload = Frame, codec = Cbor, reply = Frame)]
struct MeasureForJson {
    node: Token,
}

#[derive(Topic, Debug)]
#[topic("swarm.commands.{node}.measure", payload = Frame, reply = Frame)]
struct MeasureInJson {
    node: Token,
}

#[tokio::test]
async fn what_is_not_json_says_so_and_is_taken_for_nothing_else() {
    let Some(rig) = Rig::start("codec::publish", &[("hub", Role::Hub)]) else {
        return;
    };
    let hub = rig.client("hub").await;
    let node = || token("hub");
    let mut packed = hub.subscribe(Packed::any()).unwrap();
    let mut as_json = hub.subscribe(PackedAsJson::any()).unwrap();
    let mut as_bytes = hub.subscribe(PackedAsBytes::any()).unwrap();
    as_bytes.barrier().await.unwrap();

    hub.publish(&Packed { node: node() }, &frame()).unwrap();
    let message = soon(packed.next()).await.unwrap().unwrap();
    assert_eq!(message.payload, frame());
    assert_eq!(
        message.headers.get(CONTENT_TYPE),
        Some("application/vnd.msgpack")
    );
    let (payload, source) = undecodable(&mut as_json).await;
    assert!(matches!(
        source,
        DecodeError::OtherEncoding { expected: "application/json", found } if found == "application/vnd.msgpack"
    ));
    // Whoever wants the bytes has them.
    assert_eq!(
        soon(as_bytes.next()).await.unwrap().unwrap().payload,
        payload
    );

    // JSON bears no header; nor do bytes of a program that knows nothing of it.
    hub.publish(&PackedAsJson { node: node() }, &frame())
        .unwrap();
    hub.publish(&PackedAsBytes { node: node() }, &payload)
        .unwrap();
    assert!(soon(as_json.next()).await.unwrap().is_ok());
    for _ in 0..2 {
        let (_, source) = undecodable(&mut packed).await;
        assert!(matches!(source, DecodeError::OtherEncoding { .. }));
    }
    // With the right name, but cut short.
    let half = payload.slice(..payload.len() / 2);
    let message = hub.message(&PackedAsBytes { node: node() }, &half).unwrap();
    let message = message.header(CONTENT_TYPE, "application/vnd.msgpack");
    message.unwrap().queue().unwrap();
    let (_, source) = undecodable(&mut packed).await;
    assert!(matches!(source, DecodeError::Malformed(_)));
}

/// What comes next, which cannot be decoded: its bytes, and why not.
async fn undecodable<T: Topic>(messages: &mut Subscription<T>) -> (Bytes, DecodeError) {
    match soon(messages.next()).await.unwrap() {
        Err(ReceiveError::Undecodable {
            payload, source, ..
        }) => (payload, source),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was decoded"),
    }
}

#[derive(Topic, Debug)]
#[topic(
    "swarm.events.node.{node}",
    payload = Frame,
    codec = Cbor,
    delivery = stored,
    schema = 2
)]
struct StoredFrame {
    node: Token,
}

#[tokio::test]
async fn a_stream_keeps_the_encoding_and_the_version() {
    let Some(rig) = Rig::start("codec::stream", &[("hub", Role::Hub)]) else {
        return;
    };
    let hub = rig.client("hub").await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    let topic = StoredFrame { node: token("hub") };
    let stored = hub.publish_stored(&topic, &frame()).await.unwrap();
    let kept = hub
        .stream_message(&EVENTS_STREAM, stored.sequence, &Pattern::ALL)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.read::<StoredFrame>().unwrap().payload, frame());
    // The version is looked at first: nothing else is known of a newer format.
    assert!(matches!(
        kept.read::<NodeEvents>(),
        Err(ReceiveError::Schema {
            found: 2,
            known: 1,
            ..
        })
    ));
}

/// A hub, and a node that answers each request of a filter with its frame, at 1.
async fn answering<C>(test: &str, filter: Filter<C>) -> Option<(Rig, Client)>
where
    C: Call<Payload = Frame, Reply = Frame>,
{
    let rig = Rig::start(test, &[("hub", Role::Hub), ("n1", Role::Edge)])?;
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    let requests = edge.requests(filter, None).unwrap();
    requests.barrier().await.unwrap();
    tokio::spawn(requests.serve(async |call| Ok::<_, Fault>(at_one(&call.payload))));
    Some((rig, hub))
}

fn at_one(frame: &Frame) -> Frame {
    Frame {
        at: 1,
        ..frame.clone()
    }
}

async fn ask<C>(hub: &Client, topic: C) -> Result<Frame, RequestError>
where
    C: Call<Payload = Frame, Reply = Frame>,
{
    hub.request(&topic, &frame(), SOON).await
}

/// What the other side said was wrong with the request.
#[track_caller]
fn fault(refused: Result<Frame, RequestError>) -> Fault {
    match refused {
        Err(RequestError::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_and_its_answer_have_codecs_of_their_own() {
    let node = || token("n1");
    let filter = Measure::filter(Some(&node()));
    let Some((_rig, hub)) = answering("codec::request", filter).await else {
        return;
    };
    let answer = ask(&hub, Measure { node: node() }).await;
    assert_eq!(answer.unwrap(), at_one(&frame()));
    let refused = ask(&hub, MeasureForJson { node: node() }).await;
    assert!(matches!(
        refused,
        Err(RequestError::Decode(DecodeError::OtherEncoding { .. }))
    ));
    // So is a question in another encoding, and the asker hears why.
    let refused = fault(ask(&hub, MeasureInJson { node: node() }).await);
    assert!(
        refused
            .description
            .ends_with("the payload is `application/json`, expected is `application/cbor`"),
        "{refused}"
    );
    // A newer request is refused with both numbers.
    let refused = fault(ask(&hub, NewerMeasure { node: node() }).await);
    assert_eq!(refused.code, 400);
    assert!(
        refused
            .description
            .contains("has schema 3, known are up to 1"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_answer_of_a_newer_format_is_refused_with_both_numbers() {
    let node = || token("n1");
    let filter = NewerMeasure::filter(Some(&node()));
    let Some((_rig, hub)) = answering("codec::schema", filter).await else {
        return;
    };
    let refused = ask(&hub, Measure { node: node() }).await;
    assert!(
        matches!(refused, Err(RequestError::Schema { found: 3, known: 1 })),
        "{refused:?}"
    );
    let answer = ask(&hub, NewerMeasure { node: node() }).await;
    assert_eq!(answer.unwrap(), at_one(&frame()));
}
