//! Dead letters, against a real server.

mod keep;
mod peer;
mod rights;
mod settle;

use crate::rig::{soon, token};
use std::time::Duration;
use swarm_bus::client::Client;
use swarm_bus::dead_letter::{DeadLetter, DeadLetterTopic, DeadLetters, Keeper, Kept};
use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
use swarm_bus::stream::{ConsumerConfig, Retention, StreamConfig};
use swarm_bus::{Raw, Token, Topic};
use tokio::task::JoinHandle;

const JOBS: Token = Token::from_static("JOBS");

const WORKER: Token = Token::from_static("n1");

#[derive(Topic, Debug)]
#[topic("jobs.{queue}", payload = u64, delivery = stored)]
struct Jobs {
    queue: Token,
}

/// The same subjects, but any bytes.
#[derive(Topic, Debug)]
#[topic("jobs.{queue}", payload = bytes::Bytes, codec = Raw, delivery = stored)]
struct RawJobs {
    queue: Token,
}

/// What one consumer alone reads.
#[derive(Topic, Debug)]
#[topic("retry.{consumer}", payload = u64, delivery = stored)]
struct Retry {
    consumer: Token,
}

/// The server's advisories, as somebody else would write them.
#[derive(Topic, Debug)]
#[topic(
    "$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.{consumer}",
    payload = bytes::Bytes,
    codec = Raw
)]
struct Forgery {
    kind: Token,
    stream: Token,
    consumer: Token,
}

const USERS: [(&str, Role); 3] = [
    ("hub", Role::Hub),
    ("keeper", Role::Operator),
    ("n1", Role::Edge),
];

/// The hub makes streams, the keeper keeps letters and replays them, the edge works.
fn policy() -> Policy {
    Policy::new()
        .with_stream_keeper(Role::Hub)
        .with(Rule::new::<Jobs>(Role::Hub, Right::Publish, Scope::All))
        .with(Rule::new::<Jobs>(Role::Hub, Right::Subscribe, Scope::All))
        .with_dead_letter_keeper(Role::Operator)
        .with(Rule::new::<Jobs>(
            Role::Operator,
            Right::Publish,
            Scope::All,
        ))
        .with(Rule::new::<Retry>(
            Role::Operator,
            Right::Publish,
            Scope::All,
        ))
        .with(Rule::new::<Jobs>(
            Role::Edge,
            Right::Consume(JOBS),
            Scope::All,
        ))
}

async fn make_jobs(hub: &Client, retention: Retention) {
    let subjects = vec![
        Jobs::any().pattern().clone(),
        Retry::any().pattern().clone(),
    ];
    let mut stream = StreamConfig::new(JOBS, subjects);
    stream.retention = retention;
    hub.ensure_stream(&stream).await.unwrap();
    let mut consumer = ConsumerConfig::new(JOBS, WORKER);
    consumer.ack_wait = Duration::from_secs(1);
    consumer.max_deliver = Some(3);
    hub.ensure_consumer(&consumer).await.unwrap();
}

/// Works at jobs and never finishes one, for as long as it is let.
fn fail_always(edge: &Client) -> JoinHandle<()> {
    let edge = edge.clone();
    tokio::spawn(async move {
        let mut consumer = loop {
            match edge.consumer::<Jobs>(&JOBS, &WORKER).await {
                Ok(consumer) => break consumer,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        loop {
            match consumer.next().await {
                Ok(delivered) => drop(delivered.nak(Duration::from_millis(10))),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
}

fn jobs() -> Jobs {
    Jobs {
        queue: token("main"),
    }
}

async fn all(client: &Client) -> Vec<DeadLetter> {
    let letters = DeadLetters::new(client);
    let letters = letters.list(DeadLetterTopic::any(), 0, 1000).await.unwrap();
    letters.into_iter().map(Result::unwrap).collect()
}

/// Waits until there is one letter of each of these jobs and no other. While a letter replaces its
/// like, a list that is read message by message may show both.
async fn until(client: &Client, jobs: std::ops::Range<u64>) {
    let jobs: Vec<u64> = jobs.collect();
    let mut found = Vec::new();
    for _ in 0..100 {
        let letters = DeadLetters::new(client);
        if let Ok(letters) = letters.list(DeadLetterTopic::any(), 0, 1000).await {
            let payload = |letter: DeadLetter| letter.message::<Jobs>().unwrap().unwrap().payload;
            found = letters.into_iter().map(|l| payload(l.unwrap())).collect();
            found.sort_unstable();
            if found == jobs {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{found:?}");
}

async fn kept(keeper: &mut Keeper) -> (u64, bool, bool) {
    match soon(keeper.next()).await.unwrap() {
        Kept::Letter {
            sequence,
            duplicate,
            whole,
            ..
        } => (sequence, duplicate, whole),
        other => panic!("{other:?}"),
    }
}
