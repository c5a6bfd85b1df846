//! What a program at a site does with the hub's buckets over its link, and what the site's spool does
//! when it does not know what its own server has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use swarm_bus::client::PublishError;
use swarm_bus::kv::{Update, Watch};
use swarm_bus::object::{ObjectError, ObjectName, ObjectStore};
use swarm_bus::permissions::HUB_DOMAIN;
use swarm_bus::spool::{DrainOptions, Limits, OpenError, Spool};
use swarm_bus::topics::{
    EVENTS_STREAM, FILES_BUCKET, NodeEvents, NodeState, leaf_stream, leaf_streams,
};
use swarm_bus::{MessageId, Token, Topic};
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::time::{sleep, timeout};

use super::site::{End, Site};
use super::{EDGE, PATIENCE, all, arrived, deadline, ensure, event, numbers, pause};

/// How long the link is away: longer than the servers need to notice.
const AWAY: Duration = Duration::from_secs(6);
const CHUNK: usize = 16 << 10;

fn content() -> Vec<u8> {
    (0..8_000_000_u32).map(|i| (i ^ (i >> 9)) as u8).collect()
}

/// Downloads; the link is away while the second half is read.
async fn download(site: &Site, store: &ObjectStore, name: &ObjectName, data: &[u8]) {
    async fn half(pipe: &mut DuplexStream, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        pipe.read_exact(&mut read).await.unwrap();
        read
    }
    let received = Arc::new(AtomicU64::new(0));
    let (mut pipe, sink) = tokio::io::duplex(CHUNK);
    let seen = Arc::clone(&received);
    let mut download = store
        .download(name)
        .patience(PATIENCE)
        .on_progress(move |received| seen.store(received.bytes, Ordering::SeqCst));
    let read = async {
        let first = half(&mut pipe, data.len() / 2).await;
        site.between("add");
        let back = async {
            sleep(AWAY).await;
            let came = received.load(Ordering::SeqCst);
            assert!(came < data.len() as u64, "more than was asked for before");
            site.between("del");
        };
        let rest = half(&mut pipe, data.len() - first.len());
        let (rest, ()) = tokio::join!(rest, back);
        [first, rest].concat()
    };
    let (info, copy) = tokio::join!(timeout(4 * PATIENCE, download.receive(sink)), read);
    let info = info.expect("the download ends").unwrap();
    assert_eq!(info.size, data.len() as u64);
    assert!(copy == data, "it is another object");
    drop(download);
    assert_eq!(received.load(Ordering::SeqCst), data.len() as u64);
}

fn state(node: &str, key: &str) -> NodeState {
    NodeState {
        node: Token::parse(node).unwrap(),
        key: Token::parse(key).unwrap(),
    }
}

/// The next values that a watch tells of; their revisions follow each other.
async fn told(watch: &mut Watch<NodeState>, last: &mut u64, count: usize) -> Vec<u64> {
    let mut values = Vec::new();
    while values.len() < count {
        let update = timeout(PATIENCE, watch.next()).await;
        match update.expect("a change is told").unwrap() {
            Update::Entry(entry) => {
                assert_eq!(
                    entry.revision,
                    *last + 1,
                    "none is missing, none comes twice"
                );
                *last = entry.revision;
                values.push(entry.content.value().unwrap().as_u64().unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    values
}

#[test]
fn an_object_of_the_hub_is_read_over_a_link_that_is_cut_in_the_middle() {
    const TEST: &str = "leaf_link::objects";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        let (name, data) = (ObjectName::parse("images/kernel").unwrap(), content());
        let at_hub = hub.object_store(&FILES_BUCKET).await.unwrap();
        at_hub
            .upload(&name)
            .chunk_size(CHUNK)
            .send(&data[..])
            .await
            .unwrap();
        let mut check = deadline();
        let store = loop {
            match edge.in_domain(HUB_DOMAIN).object_store(&FILES_BUCKET).await {
                Ok(store) => break store,
                Err(error) => check(&format!("the bucket is found over the link: {error}")),
            }
            pause().await;
        };
        download(site, &store, &name, &data).await;
        // To write there is an operator's, and no site has one.
        let refused = store.put(&name, &data[..10]).await;
        assert!(
            matches!(
                &refused,
                Err(ObjectError::Publish(PublishError::Denied { .. }))
            ),
            "{refused:?}"
        );
        assert_eq!(store.info(&name).await.unwrap().size, data.len() as u64);
    });
}

#[test]
fn a_watch_over_the_link_tells_what_changed_while_it_was_cut() {
    const TEST: &str = "leaf_link::state";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        let there = edge.in_domain(HUB_DOMAIN);
        let mut check = deadline();
        let bucket = loop {
            match there.bucket::<NodeState>().await {
                Ok(bucket) => break bucket,
                Err(error) => check(&format!("the bucket is found over the link: {error}")),
            }
            pause().await;
        };
        let own = state("edge1", "mode");
        let written = bucket.put(&own, &json!(0)).await.unwrap();
        assert_eq!(written, 1);
        let mut watch = bucket
            .watch(NodeState::any())
            .await
            .unwrap()
            .check_every(Duration::from_secs(2));
        let mut last = 0;
        assert_eq!(told(&mut watch, &mut last, 1).await, [0]);
        let current = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
        assert!(matches!(current, Update::Current), "{current:?}");
        let at_hub = hub.bucket::<NodeState>().await.unwrap();
        // A key each, so that none takes the place of another.
        let other = |value: u64| state("command0", &format!("k{value}"));
        at_hub.put(&other(1), &json!(1)).await.unwrap();
        assert_eq!(told(&mut watch, &mut last, 1).await, [1]);

        site.between("add");
        for value in 2..10 {
            at_hub.put(&other(value), &json!(value)).await.unwrap();
        }
        let silent = timeout(AWAY, watch.next()).await;
        assert!(silent.is_err(), "nothing comes over no link: {silent:?}");
        // Who writes hears that it is not known to be written.
        let lost = bucket.put(&own, &json!(99)).await;
        assert!(lost.is_err(), "{lost:?}");
        site.between("del");
        let values = told(&mut watch, &mut last, 8).await;
        assert_eq!(values, (2..10).collect::<Vec<_>>());
        let mut check = deadline();
        while let Err(error) = bucket.put(&own, &json!(10)).await {
            check(&format!("the link is back: {error}"));
            pause().await;
        }
        // One of which it was not known may have arrived after all.
        let mut value = 99;
        while value == 99 {
            value = told(&mut watch, &mut last, 1).await[0];
        }
        assert_eq!(value, 10);
    });
}

/// Opens a spool whose last holder may still be ending.
async fn open(directory: &std::path::Path) -> Spool {
    let mut check = deadline();
    loop {
        match Spool::open(directory, Limits::default()) {
            Ok(spool) => return spool,
            Err(OpenError::Locked) => check("the spool is let go"),
            Err(error) => panic!("{error}"),
        }
        pause().await;
    }
}

async fn put(spool: &Spool, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let topic = NodeEvents { node: EDGE };
        spool.put(&topic, &event(number)).await.unwrap();
    }
}

#[test]
fn a_spool_at_a_site_asks_its_own_server_what_it_has_when_ids_are_forgotten() {
    const TEST: &str = "leaf_link::spool";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        // The shortest time for which ids are known, in place of an outage longer than two minutes.
        let window = Duration::from_millis(200);
        let mut streams = leaf_streams(&EDGE);
        streams[0].duplicate_window = window;
        ensure(&edge, &streams).await;
        let mut options = DrainOptions::default();
        options.streams = vec![(NodeEvents::any().pattern().clone(), leaf_stream(&EDGE))];
        options.timeout = Duration::from_secs(2);
        options.duplicate_window = window;

        let directory = tempfile::tempdir().unwrap();
        let spool = open(directory.path()).await;
        let drain = spool.drain(edge.clone(), options.clone()).unwrap();
        let topic = NodeEvents { node: EDGE };
        let first = spool.put(&topic, &event(0)).await.unwrap();
        assert!(spool.emptied(PATIENCE).await, "{:?}", spool.statistics());
        drop(drain);
        site.kill(End::Edge);
        put(&spool, 1..60).await;
        spool.close().await;
        site.start(End::Edge);
        edge.states().until(|state| !state.is_connected()).await;
        edge.connected(PATIENCE).await.unwrap();
        // The site's server took 40 of them, and the process died before it heard so.
        let (prefix, _) = first.id.as_str().rsplit_once('-').unwrap();
        for number in 1..=40 {
            let id = MessageId::parse(&format!("{prefix}-{number:x}")).unwrap();
            let message = edge.message(&topic, &event(number)).unwrap();
            let stored = message.id(id).store().await.unwrap();
            assert_eq!(stored.stream, leaf_stream(&EDGE).as_str());
        }
        sleep(Duration::from_secs(1)).await;

        // Whether there is a link makes no difference to it.
        site.between("add");
        let spool = open(directory.path()).await;
        assert_eq!(spool.recovery().waiting, 59);
        let drain = spool.drain(edge.clone(), options).unwrap();
        assert!(spool.emptied(PATIENCE).await, "{:?}", spool.statistics());
        drain.stop(Duration::from_secs(5)).await;
        let statistics = spool.statistics();
        assert_eq!((statistics.settled, statistics.drained), (40, 59));
        assert_eq!(
            (statistics.duplicates, statistics.held),
            (0, 0),
            "the stream was asked, and did not know them again"
        );
        site.between("del");
        arrived(&hub, &EVENTS_STREAM, 60).await;
        assert_eq!(numbers(&hub, &leaf_stream(&EDGE)).await, all(60));
        assert_eq!(numbers(&hub, &EVENTS_STREAM).await, all(60));
    });
}
