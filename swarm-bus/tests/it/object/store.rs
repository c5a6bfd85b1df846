//! Objects stored, read, listed, replaced and deleted.

use super::{BUCKET, USERS, bytes, chunks, name, policy, read, store};
use crate::rig::{Rig, soon};
use std::collections::BTreeMap;
use swarm_bus::object::{Listed, ObjectError, ObjectStoreConfig};
use swarm_bus::stream::{Ensured, StreamError};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn objects_of_all_sizes_are_stored_read_listed_replaced_and_deleted() {
    let Some(rig) = Rig::start_with("object::operations", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let none = hub.object_store(&BUCKET).await;
    assert!(matches!(
        none,
        Err(ObjectError::Stream(StreamError::NoStream))
    ));
    let config = ObjectStoreConfig::new(BUCKET).unwrap();
    for ensured in [Ensured::Created, Ensured::Unchanged] {
        assert_eq!(hub.ensure_object_store(&config).await.unwrap(), ensured);
    }
    let hub_store = hub.object_store(&BUCKET).await.unwrap();
    let edge = rig.client("n1").await;
    let reader = edge.object_store(&BUCKET).await.unwrap();

    const CHUNK: usize = 128 << 10;
    let sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 20 * CHUNK + 7];
    for (seed, size) in (1..).zip(sizes) {
        let name = name(&format!("a/ä {size}.bin"));
        let data = bytes(size, seed);
        let info = soon(hub_store.put(&name, data.as_slice())).await.unwrap();
        assert_eq!(info.size, size as u64);
        assert_eq!(info.chunks, size.div_ceil(CHUNK) as u64);
        assert_eq!(reader.info(&name).await.unwrap(), info);
        assert!(read(&reader, &name).await.unwrap() == data, "{size}");
    }
    let list = reader.list().await.unwrap();
    let sizes_listed: Vec<_> = list
        .iter()
        .map(|listed| match listed {
            Listed::Object(info) => info.size as usize,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes_listed, sizes);

    // Replaced, nothing of the old one stays.
    let large = name(&format!("a/ä {}.bin", sizes[5]));
    let before = chunks(&hub).await;
    let info = hub_store.put(&large, &b"small"[..]).await.unwrap();
    assert_eq!((info.size, info.chunks), (5, 1));
    assert_eq!(read(&reader, &large).await.unwrap(), b"small");
    let after = chunks(&hub).await;
    assert_eq!(before.len(), after.len());
    let sum = |chunks: &BTreeMap<_, u64>| chunks.values().sum::<u64>();
    assert_eq!(sum(&before) - 20, sum(&after));

    for size in sizes {
        let name = name(&format!("a/ä {size}.bin"));
        assert!(hub_store.delete(&name).await.unwrap());
        assert!(!hub_store.delete(&name).await.unwrap());
        let gone = read(&reader, &name).await;
        assert!(matches!(gone, Err(ObjectError::NotFound { .. })));
    }
    assert!(reader.list().await.unwrap().is_empty());
    assert!(chunks(&hub).await.is_empty());
    // A deleted name is free.
    hub_store.put(&large, &b"again"[..]).await.unwrap();
    assert_eq!(read(&reader, &large).await.unwrap(), b"again");
}

#[tokio::test]
async fn of_uploads_of_one_name_at_the_same_time_one_stays_whole() {
    let Some(rig) = Rig::start_with("object::race", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    store(&hub).await;
    let mut tasks = Vec::new();
    for seed in 1..=6 {
        let client = rig.client("hub").await;
        tasks.push(tokio::spawn(async move {
            let objects = client.object_store(&BUCKET).await.unwrap();
            let data = bytes(100_000, seed);
            for _ in 0..3 {
                let put = soon(objects.put(&name("same"), data.as_slice())).await;
                put.unwrap();
            }
            data
        }));
    }
    let mut written = Vec::new();
    for task in tasks {
        written.push(task.await.unwrap());
    }
    let objects = hub.object_store(&BUCKET).await.unwrap();
    assert!(written.contains(&read(&objects, &name("same")).await.unwrap()));
    assert_eq!(chunks(&hub).await.len(), 1);
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_not_mixed() {
    let Some(rig) = Rig::start_with("object::replaced", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let objects = store(&hub).await;
    for delete in [false, true] {
        objects
            .put(&name("o"), bytes(4 << 20, 1).as_slice())
            .await
            .unwrap();
        let (sink, mut pipe) = tokio::io::duplex(64 << 10);
        let receiving = tokio::spawn({
            let objects = objects.clone();
            async move { objects.get(&name("o"), sink).await }
        });
        soon(pipe.read_exact(&mut [0; 1000])).await.unwrap();
        match delete {
            true => drop(objects.delete(&name("o")).await.unwrap()),
            false => drop(objects.put(&name("o"), &b"new"[..]).await.unwrap()),
        }
        soon(tokio::io::copy(&mut pipe, &mut tokio::io::sink()))
            .await
            .unwrap();
        let result = soon(receiving).await.unwrap();
        assert!(
            matches!(result, Err(ObjectError::Replaced { .. })),
            "{result:?}"
        );
    }
}
