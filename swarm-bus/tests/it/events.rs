//! What a node tells of itself through its spool, where the mesh is not as it should be: its stream
//! is not there yet, or its disk says what it may not say.

use crate::mesh::event;
use crate::rig::{Rig, SOON, soon, token};
use std::collections::BTreeMap;
use std::time::Duration;
use swarm_bus::client::{Client, ReceiveError};
use swarm_bus::permissions::Role;
use swarm_bus::spool::{Drain, DrainOptions, Limits, LossReason, Spool};
use swarm_bus::topics::{
    Alert, EVENTS_STREAM, NodeEvent, NodeEvents, Occurrence, Severity, Timestamp, mesh_streams,
};
use swarm_bus::{Pattern, Topic};
use tokio::time::{Instant, sleep};

fn of(node: &str) -> NodeEvents {
    NodeEvents { node: token(node) }
}

/// An alert that says of which node it is.
fn alert(node: &str) -> NodeEvent {
    NodeEvent {
        at: Timestamp(1),
        event: Occurrence::Alert(Alert {
            severity: Severity::Critical,
            key: "fire".into(),
            summary: "fire".into(),
            detail: None,
            resolved: false,
            labels: BTreeMap::from([("node".into(), node.into())]),
        }),
    }
}

/// Drains as a node does: by name of the stream, which it may not ask for.
fn drain(spool: &Spool, client: &Client) -> Drain {
    let mut options = DrainOptions::default();
    options.streams = vec![(NodeEvents::any().pattern().clone(), EVENTS_STREAM)];
    options.timeout = Duration::from_secs(2);
    spool.drain(client.clone(), options).unwrap()
}

/// Waits until a spool says so of itself.
async fn until(spool: &Spool, what: impl Fn(&Spool) -> bool) {
    let deadline = Instant::now() + 4 * SOON;
    while !what(spool) {
        assert!(Instant::now() < deadline, "{:?}", spool.statistics());
        sleep(Duration::from_millis(50)).await;
    }
}

/// What the stream holds, in its order: of whom, and when, or why it cannot be read.
async fn stored(hub: &Client) -> Vec<Result<(String, u64), ReceiveError>> {
    let (mut events, mut from) = (Vec::new(), 1);
    while let Some(message) = hub
        .stream_message(&EVENTS_STREAM, from, &Pattern::ALL)
        .await
        .unwrap()
    {
        from = message.sequence + 1;
        let read = message.read::<NodeEvents>();
        events.push(read.map(|read| (read.topic.node.to_string(), read.payload.at.0)));
    }
    events
}

#[tokio::test]
async fn what_was_told_before_there_was_a_stream_is_stored_once_and_in_order() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(mut rig) = Rig::start("events::stream", &users) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let edge = rig.client("n1").await;
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    let first = drain(&spool, &edge);
    for number in 0..30 {
        spool.put(&of("n1"), &event(number)).await.unwrap();
    }
    // The bus is there, and keeps nothing: each attempt is answered by nobody.
    until(&spool, |spool| spool.statistics().retries >= 3).await;
    assert_eq!(spool.statistics().drained, 0);
    first.stop(Duration::from_secs(1)).await;
    spool.close().await;

    // The node starts again, and its server, and still there is none.
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    assert_eq!(spool.recovery().waiting, 30);
    let second = drain(&spool, &edge);
    rig.kill();
    for number in 30..60 {
        spool.put(&of("n1"), &event(number)).await.unwrap();
    }
    rig.run();
    edge.connected(SOON).await.unwrap();
    // It asks what the stream has of what may have been sent before.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(spool.statistics().waiting, 60);

    let hub = rig.client("hub").await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    for number in 60..70 {
        spool.put(&of("n1"), &event(number)).await.unwrap();
    }
    assert!(spool.emptied(6 * SOON).await, "{:?}", spool.statistics());
    second.stop(SOON).await;
    let statistics = spool.statistics();
    assert_eq!((statistics.drained, statistics.held), (70, 0));
    assert!(LossReason::ALL.iter().all(|r| statistics.dropped(*r) == 0));
    let expected: Vec<_> = (0..70).map(|number| ("n1".to_owned(), number)).collect();
    let events: Result<Vec<_>, _> = stored(&hub).await.into_iter().collect();
    assert_eq!(events.unwrap(), expected);
}

#[tokio::test]
async fn what_the_disk_says_in_the_name_of_another_is_denied_and_told_and_the_rest_goes_on() {
    let users = [("hub", Role::Hub), ("n1", Role::Edge), ("n2", Role::Edge)];
    let Some(rig) = Rig::start("events::forged", &users) else {
        return;
    };
    let hub = rig.client("hub").await;
    for stream in mesh_streams() {
        hub.ensure_stream(&stream).await.unwrap();
    }
    // Somebody who can write to the node's disk puts alerts of another node into its spool: more
    // than a drain looks ahead in search of other subjects.
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    const FORGED: u64 = 1_500;
    let forged: Vec<_> = (0..FORGED)
        .map(|_| spool.submit(&of("n2"), &alert("n2")).unwrap())
        .collect();
    for forged in forged {
        forged.confirmed().await.unwrap();
    }
    for number in 0..20 {
        spool.put(&of("n1"), &event(number)).await.unwrap();
    }
    spool.close().await;

    let edge = rig.client("n1").await;
    let mut denials = edge.denials();
    let spool = Spool::open(directory.path(), Limits::default()).unwrap();
    let drain = drain(&spool, &edge);
    until(&spool, |spool| spool.statistics().drained == 20).await;
    // And into the open one, between what is the node's own.
    spool.put(&of("n2"), &alert("n2")).await.unwrap();
    for number in 20..40 {
        spool.put(&of("n1"), &event(number)).await.unwrap();
    }
    // One that lies in its text only: the server cannot know, and whoever reads it does.
    spool.put(&of("n1"), &alert("n2")).await.unwrap();
    until(&spool, |spool| {
        let statistics = spool.statistics();
        (statistics.drained, statistics.denied) == (41, 1)
    })
    .await;

    let denied = soon(denials.next()).await.unwrap().unwrap();
    assert_eq!(denied.subject, "swarm.events.node.n2");
    let statistics = spool.statistics();
    assert_eq!(statistics.waiting, FORGED + 1, "kept: it may be permitted");
    assert!(LossReason::ALL.iter().all(|r| statistics.dropped(*r) == 0));
    let mut events = stored(&hub).await;
    let lie = events.pop().unwrap();
    assert!(matches!(lie, Err(ReceiveError::Forged { .. })), "{lie:?}");
    let events: Result<Vec<_>, _> = events.into_iter().collect();
    let expected: Vec<_> = (0..40).map(|number| ("n1".to_owned(), number)).collect();
    assert_eq!(events.unwrap(), expected);
    drain.stop(SOON).await;
}
