//! A site with a nats-server of its own, against real servers with the configurations that a hub and a
//! node render, certificates of a real authority, and a link that is cut.

mod cut_link;
mod hostile;
mod link;
mod outage;
mod raw;
mod site;

use std::time::{Duration, Instant};

use swarm_bus::client::Client;
use swarm_bus::permissions::{Leaf, Role};
use swarm_bus::stream::{StoredMessage, StreamConfig, StreamInfo};
use swarm_bus::topics::{NodeEvent, NodeEvents, Occurrence, Timestamp, leaf_stream, leaf_streams};
use swarm_bus::{Pattern, Token};

use site::{End, Site};

/// How long anything may take: servers notice a dead link after some seconds, and try again after some.
const PATIENCE: Duration = Duration::from_secs(60);

const EDGE: Token = Token::from_static("edge1");

fn leaf() -> Leaf {
    Leaf::new(EDGE, &[Role::Edge], leaf_streams(&EDGE))
}

async fn ensure(client: &Client, streams: &[StreamConfig]) {
    for stream in streams {
        client.ensure_stream(stream).await.unwrap();
    }
}

/// Waits for what comes when servers have found each other again.
#[track_caller]
fn deadline() -> impl FnMut(&str) {
    let start = Instant::now();
    move |what| assert!(start.elapsed() < PATIENCE, "{what}")
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn event(number: u64) -> NodeEvent {
    NodeEvent {
        at: Timestamp(number),
        event: Occurrence::Up,
    }
}

/// Publishes events at the edge; each is stored there when this returns.
async fn publish(edge: &Client, numbers: std::ops::Range<u64>) {
    let topic = NodeEvents { node: EDGE };
    for number in numbers {
        let stored = edge.publish_stored(&topic, &event(number)).await.unwrap();
        assert_eq!(stored.domain.as_deref(), Some("edge1"));
        assert_eq!(stored.stream, leaf_stream(&EDGE).as_str());
        assert!(!stored.duplicate);
    }
}

/// Waits until a stream of the hub holds so many messages.
async fn arrived(hub: &Client, stream: &Token, messages: u64) -> StreamInfo {
    let mut check = deadline();
    loop {
        // Just started, a server knows its streams a moment later.
        if let Ok(info) = hub.stream_info(stream).await {
            if info.messages >= messages {
                return info;
            }
            check(&format!("{stream} has {} of {messages}", info.messages));
        }
        check("the hub does not answer");
        pause().await;
    }
}

/// What a stream of the hub holds, in its order.
async fn held(hub: &Client, stream: &Token) -> Vec<StoredMessage> {
    let mut held: Vec<StoredMessage> = Vec::new();
    loop {
        let from = held.last().map_or(1, |last| last.sequence + 1);
        match hub.stream_message(stream, from, &Pattern::ALL).await {
            Ok(Some(stored)) => held.push(stored),
            end => {
                assert_eq!(end.unwrap(), None);
                return held;
            }
        }
    }
}

/// The numbers of the events in a stream of the hub, in its order.
async fn numbers(hub: &Client, stream: &Token) -> Vec<u64> {
    let number = |stored: &StoredMessage| {
        let event = stored.read::<NodeEvents>().unwrap();
        assert_eq!(event.topic.node, EDGE);
        event.payload.at.0
    };
    held(hub, stream).await.iter().map(number).collect()
}

fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}
