//! Messages that a server gives a consumer though its filter does not let them through.
//!
//! nats-server does not hold what comes again against the filter, which one server shows where the
//! filter is changed while a message is out.

use crate::rig::{Rig, SOON, soon, token};
use std::time::Duration;
use swarm_bus::client::Client;
use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
use swarm_bus::stream::{Consumer, ConsumerConfig, Ensured, Retention, StreamConfig, Undecodable};
use swarm_bus::{Pattern, Token, Topic};
use tokio::time::{Instant, sleep, timeout};

#[derive(Topic, Debug, Clone)]
#[topic("lab.{room}.temperature", payload = u64, delivery = stored)]
struct Reading {
    room: Token,
}

const LAB: Token = Token::from_static("LAB");
const READER: Token = Token::from_static("reader");

fn of(room: &str) -> Reading {
    Reading { room: token(room) }
}

fn filter(room: &str) -> Pattern {
    Reading::filter(Some(&token(room))).pattern().clone()
}

/// A server with a stream of all rooms.
async fn start(test: &str, retention: Retention) -> Option<(Rig, Client)> {
    let policy = Policy::new()
        .with_stream_keeper(Role::Hub)
        .with(Rule::new::<Reading>(Role::Hub, Right::Publish, Scope::All));
    let rig = Rig::start_with(test, &[("hub", Role::Hub)], &policy)?;
    let hub = rig.client("hub").await;
    let mut stream = StreamConfig::new(LAB, vec![Reading::any().pattern().clone()]);
    stream.retention = retention;
    hub.ensure_stream(&stream).await.unwrap();
    Some((rig, hub))
}

/// Makes a consumer, or changes it.
async fn let_through(hub: &Client, consumer: Token, room: &str) -> Ensured {
    let mut config = ConsumerConfig::new(LAB, consumer);
    config.filters = vec![filter(room)];
    config.ack_wait = Duration::from_millis(500);
    hub.ensure_consumer(&config).await.unwrap()
}

/// Takes the one message that there is, says nothing about it, changes the filter, and reads on as
/// one who knows the new one.
async fn with_a_message_out(hub: &Client) -> Consumer<Reading> {
    let_through(hub, READER, "attic").await;
    hub.publish_stored(&of("attic"), &1).await.unwrap();
    let mut reader = hub.consumer::<Reading>(&LAB, &READER).await.unwrap();
    let out = soon(reader.next()).await.unwrap();
    assert_eq!((out.sequence, out.deliveries), (1, 1));
    assert_eq!(let_through(hub, READER, "cellar").await, Ensured::Updated);
    hub.consumer::<Reading>(&LAB, &READER).await.unwrap()
}

/// Reads until a message was given back; the reader must not see one.
async fn given_back(hub: &Client, reader: &mut Consumer<Reading>, times: u64) {
    let deadline = Instant::now() + SOON;
    while hub.statistics().foreign < times {
        assert!(Instant::now() < deadline, "{:?}", hub.statistics());
        let given = timeout(Duration::from_millis(200), reader.next()).await;
        assert!(given.is_err(), "it is not for this consumer");
    }
}

#[tokio::test]
async fn what_a_filter_does_not_let_through_is_held_back_and_comes_when_it_does() {
    let Some((_rig, hub)) = start("filter::limits", Retention::Limits).await else {
        return;
    };
    let mut reader = with_a_message_out(&hub)
        .await
        .undecodable(Undecodable::Term);
    given_back(&hub, &mut reader, 2).await;
    // What is for the consumer comes all the while, by the filter that it has now.
    hub.publish_stored(&of("cellar"), &2).await.unwrap();
    let given = soon(reader.next()).await.unwrap();
    assert_eq!((given.sequence, given.deliveries), (2, 1));
    assert_eq!(given.content.as_ref().unwrap().payload, 2);
    given.ack_confirmed(SOON).await.unwrap();

    // Nothing settled the message: with its filter it is given again.
    let_through(&hub, READER, "attic").await;
    let again = soon(reader.next()).await.unwrap();
    assert_eq!(again.sequence, 1);
    assert!(again.deliveries > 2, "{}", again.deliveries);
    assert_eq!(again.content.as_ref().unwrap().payload, 1);
    again.ack_confirmed(SOON).await.unwrap();
    let rest = timeout(Duration::from_millis(1200), reader.next()).await;
    assert!(rest.is_err(), "nothing more");
}

#[tokio::test]
async fn a_work_queue_keeps_what_is_given_to_the_wrong_consumer() {
    let Some((_rig, hub)) = start("filter::queue", Retention::WorkQueue).await else {
        return;
    };
    let mut reader = with_a_message_out(&hub)
        .await
        .undecodable(Undecodable::Term);
    given_back(&hub, &mut reader, 2).await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(hub.stream_info(&LAB).await.unwrap().messages, 1);

    // It is there for the consumer that it is for.
    let owner = token("owner");
    let_through(&hub, owner.clone(), "attic").await;
    let mut owner = hub.consumer::<Reading>(&LAB, &owner).await.unwrap();
    let given = soon(owner.next()).await.unwrap();
    assert_eq!((given.sequence, given.deliveries), (1, 1));
    given.ack_confirmed(SOON).await.unwrap();
    assert_eq!(hub.stream_info(&LAB).await.unwrap().messages, 0);
    let rest = timeout(Duration::from_millis(1200), reader.next()).await;
    assert!(rest.is_err(), "nothing more");
}
