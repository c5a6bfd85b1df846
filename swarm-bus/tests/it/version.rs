//! What a server would ignore without a word is refused by name, and works from the version on that
//! has it.

use crate::raw::ask;
use crate::rig::{Rig, SOON, soon, token, version};
use serde_json::Value;
use std::time::Duration;
use swarm_bus::client::Client;
use swarm_bus::permissions::Role;
use swarm_bus::stream::{
    ConsumerConfig, Ensured, ServerVersion, StreamConfig, StreamError, Unsupported,
};
use swarm_bus::topics::{
    EVENTS_STREAM, NodeEvent, NodeEvents, Occurrence, Timestamp, mesh_streams,
};
use swarm_bus::{Pattern, Topic as _};

async fn hub(test: &str) -> Option<(Rig, Client, ServerVersion)> {
    let rig = Rig::start(test, &[("hub", Role::Hub)])?;
    let hub = rig.client("hub").await;
    let server = hub.connected(SOON).await.unwrap().version;
    Some((rig, hub, server))
}

/// Says whether it was made: refused it must be by name on each server before the version.
fn is_made(
    outcome: Result<Ensured, StreamError>,
    feature: &'static str,
    needs: &str,
    server: ServerVersion,
) -> bool {
    let needs = version(needs);
    match outcome {
        Ok(Ensured::Created) if server >= needs => true,
        Err(StreamError::Unsupported(unsupported)) if server < needs => {
            let expected = Unsupported {
                feature,
                needs,
                server,
            };
            assert_eq!(unsupported, expected);
            false
        }
        other => panic!("{feature} on {server}: {other:?}"),
    }
}

#[tokio::test]
async fn what_a_stream_asks_for_is_refused_by_name_or_there() {
    let Some((_rig, hub, server)) = hub("version::streams").await else {
        return;
    };
    type Ask = fn(&mut StreamConfig);
    let features: [(&str, &str, Ask, &str, Value); 3] = [
        (
            "compression",
            "2.10.0",
            |stream| stream.compressed = true,
            "/config/compression",
            "s2".into(),
        ),
        (
            "stream metadata",
            "2.10.0",
            |stream| {
                let note = ("owner".to_owned(), "lab".to_owned());
                stream.metadata.extend([note]);
            },
            "/config/metadata/owner",
            "lab".into(),
        ),
        (
            "an age limit for single messages",
            "2.11.0",
            |stream| stream.message_ttl = true,
            "/config/allow_msg_ttl",
            true.into(),
        ),
    ];
    for (feature, needs, set, place, value) in features {
        let mut stream = mesh_streams().remove(0);
        set(&mut stream);
        let info = format!("$JS.API.STREAM.INFO.{}", stream.name);
        let made = is_made(hub.ensure_stream(&stream).await, feature, needs, server);
        let info: Value = serde_json::from_str(&ask(&hub, &info, "").await).unwrap();
        match made {
            true => {
                assert_eq!(info.pointer(place), Some(&value), "{feature}: {info}");
                let again = hub.ensure_stream(&stream).await.unwrap();
                assert_eq!(again, Ensured::Unchanged, "{feature}");
                let delete = format!("$JS.API.STREAM.DELETE.{}", stream.name);
                ask(&hub, &delete, "").await;
            }
            false => assert!(info.get("error").is_some(), "nothing was sent: {info}"),
        }
    }
}

#[tokio::test]
async fn a_consumer_with_two_filters_is_refused_by_name_or_reads_just_these() {
    let Some((_rig, hub, server)) = hub("version::filters").await else {
        return;
    };
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    let event = NodeEvent {
        at: Timestamp(1),
        event: Occurrence::Up,
    };
    let of = |node: &str| NodeEvents { node: token(node) };
    for node in ["a", "b", "c", "a"] {
        hub.publish_stored(&of(node), &event).await.unwrap();
    }
    let mut config = ConsumerConfig::new(EVENTS_STREAM, token("some"));
    config.filters = ["a", "c"]
        .map(|node| Pattern::from(&of(node).subject()))
        .to_vec();
    let made = hub.ensure_consumer(&config).await;
    if !is_made(made, "more than one filter", "2.10.0", server) {
        return;
    }
    let again = hub.ensure_consumer(&config).await.unwrap();
    assert_eq!(again, Ensured::Unchanged);
    let mut consumer = hub
        .consumer::<NodeEvents>(&EVENTS_STREAM, &config.durable)
        .await
        .unwrap();
    for (sequence, node) in [(1, "a"), (3, "c"), (4, "a")] {
        let delivered = soon(consumer.next()).await.unwrap();
        let topic = &delivered.content.as_ref().unwrap().topic;
        assert_eq!((delivered.sequence, topic), (sequence, &of(node)));
        delivered.ack().unwrap();
    }
    let more = tokio::time::timeout(Duration::from_millis(500), consumer.next()).await;
    assert!(more.is_err(), "nothing more");
}
