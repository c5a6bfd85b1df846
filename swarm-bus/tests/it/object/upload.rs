//! Uploads that are interrupted, resumed and given up.

use super::{BUCKET, Broken, USERS, bytes, chunks, name, policy, read, store};
use crate::rig::{Rig, SOON, connected, soon};
use std::time::Duration;
use swarm_bus::client::PublishError;
use swarm_bus::object::{ObjectError, ObjectStoreConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

#[tokio::test]
async fn an_upload_goes_on_through_a_kill_and_stores_each_chunk_once() {
    let Some(mut rig) = Rig::start_with("object::upload_kill", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let objects = store(&hub).await;
    let data = bytes(4 << 20, 1);
    let (mut pipe, source) = tokio::io::duplex(64 << 10);
    let (told, mut progress) = watch::channel(0);
    let uploading = tokio::spawn({
        let (objects, name) = (objects.clone(), name("big"));
        async move {
            let mut upload = objects
                .upload(&name)
                .chunk_size(64 << 10)
                .on_progress(move |sent| {
                    told.send_replace(sent.bytes);
                });
            upload.send(source).await
        }
    });
    pipe.write_all(&data[..2 << 20]).await.unwrap();
    soon(progress.wait_for(|bytes| *bytes >= 1 << 20))
        .await
        .unwrap();
    rig.kill();
    // Some of what comes now is under way when nobody is there.
    let rest = data[2 << 20..].to_vec();
    let feeding = tokio::spawn(async move { pipe.write_all(&rest).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!uploading.is_finished());
    rig.run();
    let info = soon(uploading).await.unwrap().unwrap();
    soon(feeding).await.unwrap();
    assert_eq!((info.size, info.chunks), (4 << 20, 64));
    assert_eq!(*progress.borrow(), 4 << 20);
    let stored: Vec<_> = chunks(&hub).await.into_values().collect();
    assert_eq!(stored, [64]);
    assert!(read(&objects, &name("big")).await.unwrap() == data);
}

#[tokio::test]
async fn an_upload_stays_in_order_while_connections_are_replaced() {
    let Some(rig) = Rig::start_with("object::upload_reload", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let objects = store(&hub).await;
    let data = bytes(6 << 20, 1);
    let uploading = tokio::spawn({
        let (objects, name, data) = (objects.clone(), name("big"), data.clone());
        async move {
            let mut upload = objects.upload(&name).chunk_size(4 << 10);
            upload.send(data.as_slice()).await
        }
    });
    let mut reloads = 0;
    while !uploading.is_finished() {
        hub.reload().await.unwrap();
        reloads += 1;
    }
    let info = uploading.await.unwrap().unwrap();
    assert!(reloads > 1, "{reloads}");
    assert_eq!(info.chunks, 1536);
    assert!(read(&objects, &name("big")).await.unwrap() == data);
}

#[tokio::test]
async fn an_upload_passes_where_there_is_little_room_on_the_way_out() {
    let Some(rig) = Rig::start_with("object::little_room", &USERS, &policy()) else {
        return;
    };
    let mut options = rig.options("hub");
    options.outbound_bytes = 50_000;
    let hub = connected(options).await;
    let objects = store(&hub).await;
    let data = bytes(3_000_000, 1);
    let mut upload = objects.upload(&name("o")).chunk_size(20_000);
    let info = soon(upload.send(data.as_slice())).await.unwrap();
    assert_eq!(info.chunks, 150);
    assert!(read(&objects, &name("o")).await.unwrap() == data);
}

#[tokio::test]
async fn an_interrupted_upload_is_resumed_by_another_client_without_sending_again() {
    let Some(mut rig) = Rig::start_with("object::upload_resume", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let objects = store(&hub).await;
    let data = bytes(40 * 1000 + 5, 1);
    let mut upload = objects.upload(&name("o")).chunk_size(1000);
    let id = upload.id().clone();
    let broken = upload.send(data[..25_000].chain(Broken)).await;
    assert!(matches!(broken, Err(ObjectError::Source(_))), "{broken:?}");
    drop(upload);
    let missing = read(&objects, &name("o")).await;
    assert!(matches!(missing, Err(ObjectError::NotFound { .. })));
    let there = chunks(&hub).await[&format!("$O.files.C.{id}")];
    assert_eq!(
        there, 25,
        "what was under way when the source broke is there too"
    );
    rig.kill();
    rig.run();

    let other = rig.client("hub").await;
    let objects = other.object_store(&BUCKET).await.unwrap();
    // Another source is not taken for it.
    let mut changed = data.clone();
    changed[500] ^= 1;
    for source in [changed.as_slice(), &data[..500]] {
        let mut upload = objects.resume_upload(&name("o"), id.clone());
        let refused = upload.send(source).await;
        assert!(
            matches!(refused, Err(ObjectError::SourceChanged)),
            "{refused:?}"
        );
    }
    let before = other.statistics().messages_out;
    let mut seen = Vec::new();
    let mut upload = objects
        .resume_upload(&name("o"), id)
        .chunk_size(1000)
        .on_progress(|sent| seen.push(sent.bytes));
    let info = soon(upload.send(data.as_slice())).await.unwrap();
    drop(upload);
    assert_eq!((info.size, info.chunks), (40_005, 41));
    assert_eq!((seen[0], seen[seen.len() - 1]), (there * 1000, 40_005));
    let messages = other.statistics().messages_out - before;
    // The rest, and a handful of questions.
    assert!(messages < 41 - there + 8, "{messages} after {there}");
    assert!(read(&objects, &name("o")).await.unwrap() == data);
}

#[tokio::test]
async fn an_upload_gives_up_in_time_and_what_it_leaves_is_swept() {
    let Some(mut rig) = Rig::start_with("object::sweep", &USERS, &policy()) else {
        return;
    };
    let mut options = rig.options("hub");
    options.timeout = Duration::from_millis(500);
    let hub = connected(options).await;
    let objects = store(&hub).await;
    objects.put(&name("kept"), &b"kept"[..]).await.unwrap();
    let (mut pipe, source) = tokio::io::duplex(1 << 20);
    pipe.write_all(&bytes(300_000, 1)).await.unwrap();
    let (told, mut progress) = watch::channel(0);
    let uploading = tokio::spawn({
        let objects = objects.clone();
        async move {
            let mut upload = objects
                .upload(&name("lost"))
                .chunk_size(100_000)
                .patience(Duration::from_secs(1))
                .on_progress(move |sent| {
                    told.send_replace(sent.chunks);
                });
            let id = upload.id().clone();
            (upload.send(source).await, id)
        }
    });
    pipe.write_all(&bytes(700_000, 2)).await.unwrap();
    soon(progress.wait_for(|chunks| *chunks > 0)).await.unwrap();
    rig.kill();
    drop(pipe);
    let (result, id) = soon(uploading).await.unwrap();
    assert!(
        matches!(result, Err(ObjectError::Interrupted { .. })),
        "{result:?}"
    );
    rig.run();
    hub.connected(SOON).await.unwrap();

    assert_eq!(chunks(&hub).await.len(), 2);
    let last = objects.info(&name("kept")).await.unwrap().modified;
    let young = objects
        .sweep(Duration::from_secs(3600), last)
        .await
        .unwrap();
    assert_eq!((young.uploads, young.chunks), (0, 0));
    let later = last + Duration::from_secs(3700);
    let swept = objects
        .sweep(Duration::from_secs(3600), later)
        .await
        .unwrap();
    assert_eq!(swept.uploads, 1);
    assert!(swept.chunks > 0);
    let left = chunks(&hub).await;
    assert_eq!(left.len(), 1);
    assert!(!left.contains_key(&format!("$O.files.C.{id}")));
    assert_eq!(read(&objects, &name("kept")).await.unwrap(), b"kept");
}

#[tokio::test]
async fn what_put_cannot_finish_leaves_nothing_behind() {
    let Some(rig) = Rig::start_with("object::failed", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let mut config = ObjectStoreConfig::new(BUCKET).unwrap();
    config.max_bytes = Some(1 << 20);
    hub.ensure_object_store(&config).await.unwrap();
    let objects = hub.object_store(&BUCKET).await.unwrap();
    objects.put(&name("o"), &b"old"[..]).await.unwrap();
    let data = bytes(3 << 20, 1);
    let broken = objects.put(&name("o"), data[..300_000].chain(Broken)).await;
    assert!(matches!(broken, Err(ObjectError::Source(_))));
    let full = objects.put(&name("o"), data.as_slice()).await;
    assert!(
        matches!(
            full,
            Err(ObjectError::Publish(PublishError::Refused { .. }))
        ),
        "{full:?}"
    );
    assert_eq!(chunks(&hub).await.len(), 1);
    assert_eq!(read(&objects, &name("o")).await.unwrap(), b"old");
    // A chunk that the server does not take.
    let mut upload = objects.upload(&name("o")).chunk_size(2 << 20);
    let large = upload.send(data.as_slice()).await;
    assert!(matches!(
        large,
        Err(ObjectError::Publish(PublishError::TooLarge { .. }))
    ));
}
