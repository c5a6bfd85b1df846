//! Streams that are spoken of by their JetStream domain, and streams that take over others.

use crate::rig::{Rig, SOON, soon, token};
use std::time::Duration;
use swarm_bus::client::{Client, PublishError, RequestError};
use swarm_bus::kv::BucketConfig;
use swarm_bus::permissions::{Permissions, Policy, Right, Role, Rule, Scope};
use swarm_bus::stream::{ConsumerConfig, Ensured, Gaps, Origin, Source, StreamConfig, StreamError};
use swarm_bus::{Pattern, Token, Topic};

#[derive(Topic, Debug, Clone)]
#[topic("lab.{room}.temperature", payload = u64, delivery = stored)]
struct Reading {
    room: Token,
}

#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic("$KV.rooms.{room}", payload = u64, delivery = stored)]
struct Room {
    room: Token,
}

const FROM: Token = Token::from_static("FROM");
const INTO: Token = Token::from_static("INTO");

fn policy() -> Policy {
    Policy::new()
        .with_stream_keeper(Role::Hub)
        .with(Rule::new::<Reading>(Role::Hub, Right::Publish, Scope::All))
        .with(Rule::new::<Room>(Role::Hub, Right::WriteState, Scope::All))
        .with(Rule::new::<Room>(Role::Hub, Right::ReadState, Scope::All))
}

/// What a user needs where the server itself has the domain: it looks at what a request may do after
/// it has taken the domain out of the subject.
fn both() -> Permissions {
    let (hub, roles) = (token("hub"), [Role::Hub]);
    let mut permissions = policy().permissions(&hub, &roles);
    for domain in ["site", "absent"] {
        let there = policy().permissions_in(&token(domain), &hub, &roles);
        permissions.publish_allow.extend(there.publish_allow);
    }
    permissions
}

/// A server with the domain `site`.
async fn start(test: &str) -> Option<(Rig, Client)> {
    let mut rig = Rig::prepare_with(test, &[("hub", Role::Hub)], &policy())?;
    rig.in_domain("site", "hub", both());
    rig.run();
    let client = rig.client("hub").await;
    Some((rig, client))
}

fn readings() -> StreamConfig {
    StreamConfig::new(FROM, vec![Reading::any().pattern().clone()])
}

async fn publish(client: &Client, count: u64) {
    let attic = Reading {
        room: token("attic"),
    };
    for number in 0..count {
        let stored = client.publish_stored(&attic, &number).await.unwrap();
        assert_eq!(stored.domain.as_deref(), Some("site"));
    }
}

#[tokio::test]
async fn streams_consumers_and_buckets_work_through_their_domain() {
    let Some((_rig, client)) = start("domain::through").await else {
        return;
    };
    let site = client.in_domain(token("site"));
    assert_eq!(site.domain(), Some(&token("site")));
    assert_eq!(
        site.ensure_stream(&readings()).await.unwrap(),
        Ensured::Created
    );
    assert_eq!(
        site.ensure_stream(&readings()).await.unwrap(),
        Ensured::Unchanged
    );
    publish(&site, 3).await;

    let config = ConsumerConfig::new(FROM, token("reader"));
    site.ensure_consumer(&config).await.unwrap();
    let mut reader = site
        .consumer::<Reading>(&FROM, &token("reader"))
        .await
        .unwrap();
    for number in 0..3 {
        let delivered = soon(reader.next()).await.unwrap();
        assert_eq!(delivered.content.as_ref().unwrap().payload, number);
        delivered.ack_confirmed(SOON).await.unwrap();
    }
    assert_eq!(site.streams().await.unwrap().len(), 1);

    site.ensure_bucket(&BucketConfig::new::<Room>())
        .await
        .unwrap();
    let bucket = site.bucket::<Room>().await.unwrap();
    let key = Room {
        room: token("attic"),
    };
    let revision = bucket.put(&key, &21).await.unwrap();
    assert_eq!(bucket.get(&key).await.unwrap().unwrap().value, 21);
    bucket.update(&key, &22, revision).await.unwrap();
    let mut watch = bucket.watch(Room::any()).await.unwrap();
    soon(watch.next()).await.unwrap();
}

#[tokio::test]
async fn a_domain_that_is_not_there_is_said_to_have_no_streams() {
    let Some((_rig, client)) = start("domain::absent").await else {
        return;
    };
    let elsewhere = client.in_domain(token("elsewhere"));
    let denied = elsewhere.stream_info(&FROM).await.unwrap_err();
    let subject = "$JS.elsewhere.API.STREAM.INFO.FROM";
    assert!(
        matches!(&denied, StreamError::Request(RequestError::Publish(PublishError::Denied { subject: s })) if s == subject),
        "{denied:?}"
    );
    let absent = client.in_domain(token("absent"));
    let error = absent.stream_info(&FROM).await.unwrap_err();
    assert!(matches!(error, StreamError::NoJetStream), "{error:?}");
    // Nor is a stream of the same name here deleted in its place.
    client.ensure_stream(&readings()).await.unwrap();
    let error = absent.delete_stream(&FROM).await.unwrap_err();
    assert!(matches!(error, StreamError::NoJetStream), "{error:?}");
    let site = client.in_domain(token("site"));
    site.delete_stream(&FROM).await.unwrap();
    let error = client.stream_info(&FROM).await.unwrap_err();
    assert!(matches!(error, StreamError::NoStream), "{error:?}");
}

#[tokio::test]
async fn a_stream_takes_over_another_and_says_what_is_missing() {
    let Some((_rig, client)) = start("domain::sources").await else {
        return;
    };
    let site = client.in_domain(token("site"));
    let mut from = readings();
    from.max_messages = Some(5);
    site.ensure_stream(&from).await.unwrap();
    publish(&site, 3).await;

    let mut into = StreamConfig::new(INTO, vec![Pattern::from_static("other")]);
    site.ensure_stream(&into).await.unwrap();
    into.sources = vec![Source::new(FROM)];
    assert_eq!(site.ensure_stream(&into).await.unwrap(), Ensured::Updated);
    assert_eq!(site.ensure_stream(&into).await.unwrap(), Ensured::Unchanged);
    let count = async |messages: u64| {
        loop {
            let info = site.stream_info(&INTO).await.unwrap();
            if info.messages == messages {
                return info;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let info = soon(count(3)).await;
    assert_eq!((info.sources.len(), info.sources[0].lag), (1, 0));
    assert_eq!(info.sources[0].stream, "FROM");

    // While nothing is taken over, the limit of the source takes the oldest.
    into.sources.clear();
    assert_eq!(site.ensure_stream(&into).await.unwrap(), Ensured::Updated);
    assert_eq!(site.stream_info(&INTO).await.unwrap().sources, []);
    publish(&site, 9).await;
    let left = site.stream_info(&FROM).await.unwrap();
    assert_eq!((left.messages, left.first_sequence), (5, 8));
    into.sources = vec![Source::new(FROM)];
    site.ensure_stream(&into).await.unwrap();
    soon(count(8)).await;

    let mut gaps = Gaps::default();
    let mut from = 1;
    let mut values = Vec::new();
    while let Some(stored) = site
        .stream_message(&INTO, from, &Pattern::ALL)
        .await
        .unwrap()
    {
        from = stored.sequence + 1;
        gaps.note(&Origin::of(&stored.headers).unwrap());
        values.push(stored.read::<Reading>().unwrap().payload);
    }
    assert_eq!(values, [0, 1, 2, 4, 5, 6, 7, 8]);
    assert_eq!(
        gaps.missing(),
        4,
        "0 to 3 of the second time were never taken"
    );
}
