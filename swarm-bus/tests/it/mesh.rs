//! What the mesh's own policy lets each role do with state, objects, services and dead letters: the
//! whole way, not only the subjects.

use crate::rig::{Rig, SOON, soon, token};
use serde_json::json;
use std::time::Duration;
use swarm_bus::client::{Client, ManyBounds, PublishError, RequestError};
use swarm_bus::dead_letter::{DeadLetterTopic, DeadLetters, Keeper, Kept};
use swarm_bus::kv::{AnyKey, KvError, ParseKeyError, Update};
use swarm_bus::object::{ObjectError, ObjectName};
use swarm_bus::permissions::Role;
use swarm_bus::service::{EndpointConfig, ServiceConfig, ServiceName};
use swarm_bus::spool::{DrainOptions, Limits, Spool};
use swarm_bus::stream::StreamError;
use swarm_bus::topics::{
    Command, CommandReply, Commands, EVENTS_STREAM, FILES_BUCKET, NODE_SERVICE, NodeEvent,
    NodeEvents, NodeState, Occurrence, Timestamp, events_consumer, mesh_streams, state_bucket,
};
use swarm_bus::{Pattern, Topic};

const USERS: [(&str, Role); 3] = [
    ("hub", Role::Hub),
    ("n1", Role::Edge),
    ("op", Role::Operator),
];

async fn start(test: &str) -> Option<(Rig, [Client; 3])> {
    let rig = Rig::start(test, &USERS)?;
    let clients = [
        rig.client("hub").await,
        rig.client("n1").await,
        rig.client("op").await,
    ];
    for stream in mesh_streams() {
        clients[0].ensure_stream(&stream).await.unwrap();
    }
    Some((rig, clients))
}

fn state(node: &str, key: &str) -> NodeState {
    NodeState {
        node: token(node),
        key: token(key),
    }
}

pub(crate) fn event(number: u64) -> NodeEvent {
    NodeEvent {
        at: Timestamp(number),
        event: Occurrence::Custom {
            name: "n".into(),
            body: json!(number),
        },
    }
}

fn is_denied(error: &PublishError) -> bool {
    matches!(error, PublishError::Denied { .. })
}

#[tokio::test]
async fn a_node_shares_state_that_only_it_and_a_hub_write() {
    let Some((_rig, [hub, edge, op])) = start("mesh::state").await else {
        return;
    };
    let own = edge.bucket::<NodeState>().await.unwrap();
    let mut watch = op
        .bucket::<NodeState>()
        .await
        .unwrap()
        .watch(NodeState::any())
        .await
        .unwrap();
    let first = own.create(&state("n1", "mode"), &json!("day")).await;
    let first = first.unwrap();
    own.update(&state("n1", "mode"), &json!("night"), first)
        .await
        .unwrap();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        if let Update::Entry(entry) = soon(watch.next()).await.unwrap() {
            heard.push(entry.content.into_value().unwrap());
        }
    }
    assert_eq!(heard, [json!("day"), json!("night")]);

    let forged = own.put(&state("op", "mode"), &json!(1)).await;
    assert!(
        matches!(&forged, Err(KvError::Publish(e)) if is_denied(e)),
        "{forged:?}"
    );
    hub.bucket::<NodeState>()
        .await
        .unwrap()
        .put(&state("op", "mode"), &json!(1))
        .await
        .unwrap();
    let read = own.get(&state("op", "mode")).await.unwrap().unwrap();
    assert_eq!(read.value, json!(1));

    // To replace what is before it would reach beyond one's own keys.
    let purged = own.purge(&state("n1", "mode"), None).await;
    assert!(
        matches!(&purged, Err(KvError::Publish(PublishError::Refused { .. }))),
        "{purged:?}"
    );
    own.delete(&state("n1", "mode"), None).await.unwrap();
    assert!(own.get(&state("n1", "mode")).await.unwrap().is_none());
    let kept = own.get(&state("op", "mode")).await.unwrap();
    assert!(kept.is_some());
    let large = json!("x".repeat(70_000));
    let refused = own.put(&state("n1", "large"), &large).await;
    assert!(matches!(refused, Err(KvError::Publish(_))), "{refused:?}");
}

#[tokio::test]
async fn a_bucket_of_any_name_is_read_and_written_as_bytes() {
    let Some((_rig, [hub, edge, _])) = start("mesh::any_bucket").await else {
        return;
    };
    let name = state_bucket().bucket().clone();
    let bucket = hub.any_bucket(&name).await.unwrap();
    assert_eq!(bucket.name(), name);
    let key = AnyKey::parse_key(&name, "n1.mode").unwrap();
    let revision = bucket.put(&key, &"\"day\"".into()).await.unwrap();
    let typed = edge.bucket::<NodeState>().await.unwrap();
    let read = typed.get(&state("n1", "mode")).await.unwrap().unwrap();
    assert_eq!((read.value, read.revision), (json!("day"), revision));

    // Keys of any depth, and a watch of the whole bucket.
    let deep = AnyKey::parse_key(&name, "a.b.c/d").unwrap();
    bucket.put(&deep, &"x".into()).await.unwrap();
    let all = AnyKey::matching(&name, &Pattern::ALL).unwrap();
    let mut keys = bucket.keys(all.clone()).await.unwrap();
    keys.sort_by(|a, b| a.key().cmp(b.key()));
    assert_eq!(keys, [deep.clone(), key]);
    let mut watch = bucket.watch(all).await.unwrap();
    let mut seen = Vec::new();
    loop {
        match soon(watch.next()).await.unwrap() {
            Update::Entry(entry) => seen.push(entry.key.to_string()),
            Update::Current => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["n1.mode", "a.b.c/d"]);
    let history = bucket.history(&deep).await.unwrap();
    assert_eq!(history.len(), 1);

    let missing = hub.any_bucket(&token("nothing")).await;
    assert!(matches!(
        missing,
        Err(KvError::Stream(StreamError::NoStream))
    ));
    let odd = hub.any_bucket(&token("a/b")).await;
    assert!(matches!(odd, Err(KvError::Bucket(_))));
    assert!(matches!(
        AnyKey::parse_key(&name, "a b"),
        Err(ParseKeyError::Key(_))
    ));
    hub.delete_stream(&token("KV_swarm-state")).await.unwrap();
    let gone = hub.delete_stream(&token("KV_swarm-state")).await;
    assert!(matches!(gone, Err(StreamError::NoStream)), "{gone:?}");
}

#[tokio::test]
async fn an_operator_writes_objects_and_an_edge_reads_them() {
    let Some((_rig, [_, edge, op])) = start("mesh::objects").await else {
        return;
    };
    let name = ObjectName::parse("images/kernel").unwrap();
    let content = vec![7; 500_000];
    let writes = op.object_store(&FILES_BUCKET).await.unwrap();
    writes.put(&name, &content[..]).await.unwrap();
    let reads = edge.object_store(&FILES_BUCKET).await.unwrap();
    assert_eq!(reads.list().await.unwrap().len(), 1);
    let mut copy = Vec::new();
    reads.get(&name, &mut copy).await.unwrap();
    assert_eq!(copy, content);
    let refused = reads.put(&name, &content[..10]).await;
    assert!(
        matches!(&refused, Err(ObjectError::Publish(e)) if is_denied(e)),
        "{refused:?}"
    );
    assert!(reads.delete(&name).await.is_err());
    assert_eq!(reads.info(&name).await.unwrap().size, 500_000);
    assert!(writes.delete(&name).await.unwrap());
}

#[tokio::test]
async fn nodes_are_found_as_services_by_those_who_may_ask() {
    let Some((_rig, [hub, edge, op])) = start("mesh::services").await else {
        return;
    };
    let version = "1.2.3".parse().unwrap();
    let service = edge.service(ServiceConfig::new(NODE_SERVICE, version));
    let service = service.await.unwrap();
    let endpoint = EndpointConfig::new(ServiceName::from_static("commands"));
    let filter = Commands::filter(Some(&token("n1")), None);
    service
        .endpoint(endpoint, filter, |_| async { Ok(CommandReply::default()) })
        .await
        .unwrap();
    let status = Commands::new(token("n1"), Commands::STATUS);
    op.request(&status, &Command::default(), SOON)
        .await
        .unwrap();
    let bounds = ManyBounds::within(SOON).gap(Duration::from_millis(500));
    for asker in [&hub, &op] {
        let found = asker.services(bounds).await.unwrap();
        let [info] = found.services.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!((&info.name, &info.id), (&NODE_SERVICE, service.id()));
        assert_eq!(info.endpoints[0].subject, "swarm.commands.n1.*");
    }
    let refused = edge.services(bounds).await;
    assert!(
        matches!(&refused, Err(RequestError::Publish(e)) if is_denied(e)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_event_that_a_consumer_gives_up_is_a_letter_on_the_hub() {
    let Some((_rig, [hub, edge, op])) = start("mesh::letters").await else {
        return;
    };
    let topic = NodeEvents { node: token("n1") };
    edge.publish_stored(&topic, &event(1)).await.unwrap();
    let config = events_consumer(&token("hub"));
    hub.ensure_consumer(&config).await.unwrap();
    let mut keeper = Keeper::start(&hub).await.unwrap();
    let mut events = hub
        .consumer::<NodeEvents>(&config.stream, &config.durable)
        .await
        .unwrap();
    let delivered = soon(events.next()).await.unwrap();
    delivered.term_confirmed(SOON).await.unwrap();
    let kept = soon(keeper.next()).await.unwrap();
    assert!(matches!(kept, Kept::Letter { whole: true, .. }), "{kept:?}");
    let letters = DeadLetters::new(&hub);
    let (_, letter) = letters
        .next(DeadLetterTopic::any(), 0)
        .await
        .unwrap()
        .unwrap();
    let letter = letter.unwrap();
    assert_eq!(letter.origin.stream, EVENTS_STREAM);
    letters.replay(&letter, SOON).await.unwrap();
    let again = soon(events.next()).await.unwrap();
    assert_eq!(again.content.as_ref().unwrap().payload, event(1));
    again.ack().unwrap();
    assert!(
        letters
            .next(DeadLetterTopic::any(), 0)
            .await
            .unwrap()
            .is_none()
    );

    for other in [&edge, &op] {
        let refused = DeadLetters::new(other)
            .next(DeadLetterTopic::any(), 0)
            .await;
        assert!(refused.is_err(), "{refused:?}");
    }
}

#[tokio::test]
async fn events_of_an_outage_are_stored_once_and_in_order() {
    let Some((mut rig, [hub, edge, _])) = start("mesh::spool").await else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    let mut options = DrainOptions::default();
    options.streams = vec![(NodeEvents::any().pattern().clone(), EVENTS_STREAM)];
    options.timeout = Duration::from_secs(2);
    let drain = spool.drain(edge.clone(), options).unwrap();
    let topic = NodeEvents { node: token("n1") };
    spool.put(&topic, &event(0)).await.unwrap();
    assert!(spool.emptied(SOON).await, "{spool:?}");
    rig.kill();
    for number in 1..=50 {
        spool.put(&topic, &event(number)).await.unwrap();
    }
    rig.run();
    assert!(spool.emptied(4 * SOON).await, "{spool:?}");
    drain.stop(SOON).await;
    let statistics = spool.statistics();
    assert_eq!(
        (statistics.put, statistics.waiting, statistics.held),
        (51, 0, 0)
    );
    spool.close().await;

    hub.connected(SOON).await.unwrap();
    let mut stored = Vec::new();
    let mut from = 1;
    while let Some(message) = hub
        .stream_message(&EVENTS_STREAM, from, &Pattern::ALL)
        .await
        .unwrap()
    {
        from = message.sequence + 1;
        stored.push(message.read::<NodeEvents>().unwrap().payload.at.0);
    }
    assert_eq!(stored, (0..=50).collect::<Vec<_>>());
}
