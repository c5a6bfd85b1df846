//! Downloads that are interrupted, resumed and given up.

use super::{BUCKET, USERS, bytes, name, policy, store};
use crate::rig::{Rig, SOON, connected, soon};
use std::time::Duration;
use swarm_bus::object::{Checkpoint, ObjectError};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn a_download_goes_on_through_a_kill() {
    let Some(mut rig) = Rig::start_with("object::download_kill", &USERS, &policy()) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    let objects = store(&hub).await;
    let data = bytes(4 << 20, 1);
    objects.put(&name("big"), data.as_slice()).await.unwrap();
    let reader = edge.object_store(&BUCKET).await.unwrap();
    let (sink, mut pipe) = tokio::io::duplex(64 << 10);
    let downloading = tokio::spawn(async move {
        let mut totals = Vec::new();
        let mut download = reader
            .download(&name("big"))
            .on_progress(|received| totals.push((received.bytes, received.total)));
        let info = download.receive(sink).await;
        drop(download);
        (info, totals)
    });
    let mut copy = vec![0; 1 << 20];
    soon(pipe.read_exact(&mut copy)).await.unwrap();
    rig.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.run();
    soon(pipe.read_to_end(&mut copy)).await.unwrap();
    let (info, totals) = soon(downloading).await.unwrap();
    assert_eq!(info.unwrap().size, 4 << 20);
    assert!(copy == data);
    let expected: Vec<_> = (1..=32).map(|n| (n * (128 << 10), 4 << 20)).collect();
    assert_eq!(totals, expected);
}

#[tokio::test]
async fn an_interrupted_download_is_resumed_from_its_checkpoint() {
    let Some(mut rig) = Rig::start_with("object::download_resume", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let objects = store(&hub).await;
    let data = bytes(100 * 1000, 1);
    let mut upload = objects.upload(&name("o")).chunk_size(1000);
    upload.send(data.as_slice()).await.unwrap();

    // A sink that takes a part and then no more, as a full disk does.
    let edge = rig.client("n1").await;
    let reader = edge.object_store(&BUCKET).await.unwrap();
    let mut checkpoint = None;
    let mut part = vec![0; 60_500];
    let mut download = reader
        .download(&name("o"))
        .on_progress(|received| checkpoint = Some(received.checkpoint.clone()));
    let result = download.receive(std::io::Cursor::new(&mut part[..])).await;
    assert!(matches!(result, Err(ObjectError::Sink(_))), "{result:?}");
    drop(download);
    let checkpoint = checkpoint.unwrap();
    assert_eq!(checkpoint.bytes(), 60_000);
    part.truncate(60_000);
    // As it would be kept on disk.
    let checkpoint = serde_json::to_string(&checkpoint).unwrap();
    let checkpoint: Checkpoint = serde_json::from_str(&checkpoint).unwrap();
    rig.kill();
    rig.run();

    let other = rig.client("n1").await;
    let reader = other.object_store(&BUCKET).await.unwrap();
    let before = other.statistics().messages_out;
    let mut download = reader.download(&name("o"));
    download
        .resume(checkpoint.clone(), part.as_slice())
        .await
        .unwrap();
    let mut rest = Vec::new();
    soon(download.receive(&mut rest)).await.unwrap();
    assert!(rest == data[60_000..]);
    let messages = other.statistics().messages_out - before;
    assert!(
        messages < 40 + 70,
        "the first part was not asked for: {messages}"
    );

    // A part that is not what was downloaded is found out.
    let mut download = reader.download(&name("o"));
    let short = download.resume(checkpoint.clone(), &part[1..]).await;
    assert!(matches!(
        short,
        Err(ObjectError::PartChanged {
            found: 59_999,
            expected: 60_000
        })
    ));
    part[7] ^= 1;
    download
        .resume(checkpoint.clone(), part.as_slice())
        .await
        .unwrap();
    let wrong = download.receive(&mut Vec::new()).await;
    assert!(matches!(wrong, Err(ObjectError::WrongDigest { .. })));
    // So is another object of the same name.
    let objects = rig.client("hub").await.object_store(&BUCKET).await.unwrap();
    objects.put(&name("o"), data.as_slice()).await.unwrap();
    let mut download = reader.download(&name("o"));
    let replaced = download.resume(checkpoint, part.as_slice()).await;
    assert!(matches!(replaced, Err(ObjectError::Replaced { .. })));
}

#[tokio::test]
async fn a_download_gives_up_in_time_and_goes_on_when_called_again() {
    let Some(mut rig) = Rig::start_with("object::download_again", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let objects = store(&hub).await;
    let data = bytes(200 * 1000, 1);
    let mut upload = objects.upload(&name("o")).chunk_size(1000);
    upload.send(data.as_slice()).await.unwrap();
    let mut options = rig.options("n1");
    options.timeout = Duration::from_millis(500);
    let edge = connected(options).await;
    let reader = edge.object_store(&BUCKET).await.unwrap();
    let (mut sink, mut pipe) = tokio::io::duplex(4000);
    let (given_up, seen) = tokio::sync::oneshot::channel();
    let (again, told) = tokio::sync::oneshot::channel();
    let downloading = tokio::spawn(async move {
        let mut download = reader.download(&name("o")).patience(Duration::from_secs(1));
        let first = download.receive(&mut sink).await;
        let bytes = download.checkpoint().map(Checkpoint::bytes);
        given_up.send((first, bytes)).unwrap();
        told.await.unwrap();
        download.receive(&mut sink).await
    });
    let mut copy = vec![0; 10_000];
    soon(pipe.read_exact(&mut copy)).await.unwrap();
    rig.kill();
    let reading = tokio::spawn(async move {
        pipe.read_to_end(&mut copy).await.unwrap();
        copy
    });
    let (first, bytes) = soon(seen).await.unwrap();
    assert!(
        matches!(first, Err(ObjectError::Interrupted { .. })),
        "{first:?}"
    );
    assert!(
        bytes.is_some_and(|bytes| (10_000..200_000).contains(&bytes)),
        "{bytes:?}"
    );
    rig.run();
    edge.connected(SOON).await.unwrap();
    again.send(()).unwrap();
    soon(downloading).await.unwrap().unwrap();
    assert!(soon(reading).await.unwrap() == data);
}
