//! Keys of a bucket: written, read, compared, deleted.

use super::{Room, USERS, bucket, policy, room, updates};
use crate::rig::{Rig, SOON, version};
use std::time::Duration;
use swarm_bus::Topic;
use swarm_bus::client::Client;
use swarm_bus::kv::{BucketConfig, Content, KvError};
use swarm_bus::stream::{Ensured, StreamError};

#[tokio::test]
async fn a_key_is_written_read_compared_deleted_and_its_history_kept() {
    let Some(rig) = Rig::start_with("kv::operations", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let none = hub.bucket::<Room>().await;
    assert!(matches!(none, Err(KvError::Stream(StreamError::NoStream))));

    let mut config = BucketConfig::new::<Room>();
    for history in [0, 65] {
        config.history = history;
        let refused = hub.ensure_bucket(&config).await;
        assert!(matches!(refused, Err(KvError::History(_))));
    }
    config.history = 5;
    for ensured in [Ensured::Created, Ensured::Unchanged] {
        assert_eq!(hub.ensure_bucket(&config).await.unwrap(), ensured);
    }
    let bucket = hub.bucket::<Room>().await.unwrap();
    assert_eq!(bucket.name(), "rooms");

    let attic = room("hub", "attic");
    assert!(bucket.get(&attic).await.unwrap().is_none());
    assert_eq!(bucket.create(&attic, &10).await.unwrap(), 1);
    let again = bucket.create(&attic, &11).await;
    assert!(
        matches!(&again, Err(KvError::Conflict { key, present: Some(1) }) if key == "hub.attic"),
        "{again:?}"
    );
    assert_eq!(bucket.update(&attic, &12, 1).await.unwrap(), 2);
    let stale = bucket.update(&attic, &13, 1).await;
    assert!(matches!(
        stale,
        Err(KvError::Conflict {
            present: Some(2),
            ..
        })
    ));
    assert_eq!(bucket.put(&attic, &14).await.unwrap(), 3);
    let read = bucket.get(&attic).await.unwrap().unwrap();
    assert_eq!((read.value, read.revision), (14, 3));
    let later = read.time + Duration::from_secs(1);
    assert_eq!(read.age_at(later), Duration::from_secs(1));
    assert!(read.time > std::time::SystemTime::UNIX_EPOCH);

    let stale = bucket.delete(&attic, Some(2)).await;
    assert!(matches!(stale, Err(KvError::Conflict { .. })));
    assert_eq!(bucket.delete(&attic, Some(3)).await.unwrap(), 4);
    assert!(bucket.get(&attic).await.unwrap().is_none());
    let entry = bucket.entry(&attic).await.unwrap().unwrap();
    assert_eq!((entry.content, entry.revision), (Content::Deleted, 4));
    assert_eq!(bucket.keys(Room::any()).await.unwrap(), []);
    assert_eq!(bucket.create(&attic, &15).await.unwrap(), 5);

    let cellar = room("hub", "cellar");
    bucket.put(&cellar, &20).await.unwrap();
    let mut keys = bucket.keys(Room::any()).await.unwrap();
    keys.sort();
    assert_eq!(keys, [attic.clone(), cellar.clone()]);
    let only = bucket.keys(&cellar).await.unwrap();
    assert_eq!(only, std::slice::from_ref(&cellar));

    let history = bucket.history(&attic).await.unwrap();
    let history: Vec<_> = history
        .iter()
        .map(|e| e.as_ref().unwrap())
        .map(|e| (e.revision, e.content.value()))
        .collect();
    let expected = [
        (1, Some(&10)),
        (2, Some(&12)),
        (3, Some(&14)),
        (4, None),
        (5, Some(&15)),
    ];
    assert_eq!(history, expected);
    let mut kept = Vec::new();
    // 6 is the other key's, and there is no 0 and no 7.
    for revision in 0..=7 {
        let entry = bucket.revision(&attic, revision).await.unwrap();
        kept.extend(entry.map(|entry| (entry.revision, entry.content.into_value())));
    }
    let owned = |(revision, value): &(u64, Option<&u64>)| (*revision, value.copied());
    assert_eq!(kept, history.iter().map(owned).collect::<Vec<_>>());

    bucket.purge(&attic, None).await.unwrap();
    let history = bucket.history(&attic).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].as_ref().unwrap().content, Content::Purged);
    assert!(bucket.revision(&attic, 5).await.unwrap().is_none());
    assert_eq!(bucket.get(&cellar).await.unwrap().unwrap().value, 20);
    assert_eq!(bucket.create(&attic, &1).await.unwrap(), 8);
    assert_eq!(bucket.last_revision().await.unwrap(), 8);

    let odd = bucket.put(&room("hub", "a$b"), &1).await;
    assert!(matches!(odd, Err(KvError::Key { key }) if key == "hub.a$b"));
}

#[tokio::test]
async fn what_the_server_would_ignore_is_refused_by_name() {
    let Some(rig) = Rig::start_with("kv::version", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let server = hub.connected(SOON).await.unwrap().version;
    if server >= version("2.11.0") {
        return grows_too_old_by_itself(&hub).await;
    }
    let bucket = bucket(&hub, 1).await;
    let mut compressed = BucketConfig::new::<Room>();
    compressed.compressed = true;
    let mut aging = BucketConfig::new::<Room>();
    aging.value_ttl = true;
    let compresses = server >= version("2.10.0");
    for config in [Some(aging), (!compresses).then_some(compressed)]
        .into_iter()
        .flatten()
    {
        let refused = hub.ensure_bucket(&config).await;
        assert!(matches!(
            refused,
            Err(KvError::Stream(StreamError::Unsupported(_)))
        ));
    }
    let key = room("hub", "attic");
    let refused = bucket.create_for(&key, &1, Duration::from_secs(5)).await;
    let Err(KvError::Stream(StreamError::Unsupported(unsupported))) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(unsupported.server, server);
    assert!(
        bucket.get(&key).await.unwrap().is_none(),
        "nothing was written"
    );
}

/// Newer servers have what older ones are refused for.
async fn grows_too_old_by_itself(hub: &Client) {
    let mut config = BucketConfig::new::<Room>();
    (config.compressed, config.value_ttl) = (true, true);
    hub.ensure_bucket(&config).await.unwrap();
    let bucket = hub.bucket::<Room>().await.unwrap();
    let (short, long) = (room("hub", "short"), room("hub", "long"));
    let watch = bucket.watch(Room::any()).await.unwrap();
    let mut watch = watch.check_every(Duration::from_millis(200));
    let time = Duration::from_secs(1);
    bucket.create_for(&short, &1, time).await.unwrap();
    bucket.put(&long, &2).await.unwrap();
    let seen = updates(&mut watch, 4).await;
    assert_eq!(seen[3], "hub.short vanished@1", "{seen:?}");
    assert!(bucket.get(&short).await.unwrap().is_none());
    assert_eq!(bucket.get(&long).await.unwrap().unwrap().value, 2);
}

#[tokio::test]
async fn of_writers_that_race_none_overwrites_another() {
    let Some(rig) = Rig::start_with("kv::race", &USERS, &policy()) else {
        return;
    };
    const WRITERS: u64 = 6;
    const EACH: u64 = 25;
    let hub = rig.client("hub").await;
    bucket(&hub, 1).await;
    let mut tasks = Vec::new();
    for _ in 0..WRITERS {
        let client = rig.client("hub").await;
        tasks.push(tokio::spawn(async move {
            let bucket = client.bucket::<Room>().await.unwrap();
            let key = room("hub", "counter");
            let mut conflicts = 0;
            for _ in 0..EACH {
                loop {
                    let written = match bucket.get(&key).await.unwrap() {
                        Some(read) => bucket.update(&key, &(read.value + 1), read.revision).await,
                        None => bucket.create(&key, &1).await,
                    };
                    match written {
                        Ok(_) => break,
                        Err(KvError::Conflict { .. }) => conflicts += 1,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            conflicts
        }));
    }
    let mut conflicts = 0;
    for task in tasks {
        conflicts += task.await.unwrap();
    }
    let bucket = hub.bucket::<Room>().await.unwrap();
    let read = bucket.get(&room("hub", "counter")).await.unwrap().unwrap();
    assert_eq!(
        (read.value, read.revision),
        (WRITERS * EACH, WRITERS * EACH)
    );
    assert!(conflicts > 0, "they did race");
}
