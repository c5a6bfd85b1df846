use crate::raw::{any, ask};
use crate::rig::{Rig, SOON, connected, soon};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use swarm_bus::Token;
use swarm_bus::client::{Client, PublishError, RequestError};
use swarm_bus::object::{
    Checkpoint, Listed, ObjectError, ObjectName, ObjectStore, ObjectStoreConfig, ParseInfoError,
};
use swarm_bus::permissions::{ObjectRight, Policy, Role};
use swarm_bus::stream::{Ensured, StreamError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;

const BUCKET: Token = Token::from_static("files");
pub(crate) const USERS: [(&str, Role); 3] = [
    ("hub", Role::Hub),
    ("n1", Role::Edge),
    ("stranger", Role::Operator),
];

/// The hub may all, an edge reads, an operator may nothing.
fn policy() -> Policy {
    Policy::new()
        .with_stream_keeper(Role::Hub)
        .with_objects(Role::Hub, ObjectRight::Write, BUCKET)
        .with_objects(Role::Edge, ObjectRight::Read, BUCKET)
}

pub(crate) fn name(text: &str) -> ObjectName {
    ObjectName::parse(text).unwrap()
}

/// Bytes that look like chance, another sequence for each seed.
fn bytes(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A source that breaks.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Err(std::io::Error::other("broken")))
    }
}

async fn store(client: &Client) -> ObjectStore {
    let config = ObjectStoreConfig::new(BUCKET).unwrap();
    client.ensure_object_store(&config).await.unwrap();
    client.object_store(&BUCKET).await.unwrap()
}

/// How many chunks there are of each upload.
async fn chunks(client: &Client) -> BTreeMap<String, u64> {
    let body = r#"{"subjects_filter":"$O.files.C.>"}"#;
    let answer = ask(client, "$JS.API.STREAM.INFO.OBJ_files", body).await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    serde_json::from_value(answer["state"]["subjects"].clone()).unwrap_or_default()
}

async fn read(store: &ObjectStore, name: &ObjectName) -> Result<Vec<u8>, ObjectError> {
    let mut all = Vec::new();
    soon(store.get(name, &mut all)).await?;
    Ok(all)
}

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

#[tokio::test]
async fn hostile_descriptions_and_chunks_are_told_by_what_is_wrong() {
    let Some(rig) = Rig::start_with("object::hostile", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let objects = store(&hub).await;
    // The subject of the name `a`.
    let subject = any("$O.files.M.YQ==");
    let digest = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let good = format!(
        r#"{{"name":"a","bucket":"files","nuid":"N","size":5,"chunks":1,"digest":"SHA-256={digest}"}}"#
    );
    let write = async |json: String| {
        let message = hub.message(&subject, &Bytes::from(json)).unwrap();
        let message = message.header("Nats-Rollup", "sub").unwrap();
        message.store().await.unwrap();
    };
    let chunk = async |text: &'static str| {
        let text = Bytes::from_static(text.as_bytes());
        hub.publish_stored(&any("$O.files.C.N"), &text)
            .await
            .unwrap();
    };

    write(good.clone()).await;
    let missing = read(&objects, &name("a")).await;
    assert!(
        matches!(
            missing,
            Err(ObjectError::Incomplete {
                bytes: 0,
                chunks: 0,
                ..
            })
        ),
        "{missing:?}"
    );
    chunk("hello").await;
    assert_eq!(read(&objects, &name("a")).await.unwrap(), b"hello");
    write(good.replace("LPJ", "AAA")).await;
    let wrong = read(&objects, &name("a")).await;
    assert!(matches!(wrong, Err(ObjectError::WrongDigest { .. })));
    // A size that nobody has the memory for is only a number.
    write(good.replace(":5,", ":18446744073709551615,")).await;
    let endless = read(&objects, &name("a")).await;
    assert!(
        matches!(endless, Err(ObjectError::Incomplete { bytes: 5, .. })),
        "{endless:?}"
    );
    for (size, chunks) in [(4, 1), (5, 0), (5, 2)] {
        let sizes = format!(r#""size":{size},"chunks":{chunks}"#);
        write(good.replace(r#""size":5,"chunks":1"#, &sizes)).await;
        let longer = read(&objects, &name("a")).await;
        assert!(
            matches!(longer, Err(ObjectError::Incomplete { .. })),
            "{longer:?}"
        );
    }
    for (from, to) in [
        (r#""name":"a""#, r#""name":"\u001b[2J""#),
        (r#""name":"a""#, r#""name":"b""#),
        (r#""N""#, r#"">""#),
        ("SHA-256", "MD5"),
        ("{", "["),
    ] {
        write(good.replace(from, to)).await;
        let refused = objects.info(&name("a")).await;
        assert!(
            matches!(refused, Err(ObjectError::Description { .. })),
            "{refused:?}"
        );
        let list = objects.list().await.unwrap();
        assert!(
            matches!(list.as_slice(), [Listed::Unreadable { .. }]),
            "{list:?}"
        );
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        let unclear = objects.sweep(Duration::ZERO, later).await;
        assert!(matches!(unclear, Err(ObjectError::Unclear { .. })));
    }
    write("x".repeat(100_000)).await;
    let refused = objects.info(&name("a")).await;
    assert!(matches!(
        refused,
        Err(ObjectError::Description {
            source: ParseInfoError::TooLong(_),
            ..
        })
    ));
    let link = good.replace(r#""size""#, r#""options":{"link":{"bucket":"b"}},"size""#);
    write(link).await;
    assert!(matches!(
        objects.info(&name("a")).await,
        Err(ObjectError::Link { .. })
    ));

    // Whatever is there can be replaced and deleted.
    objects.put(&name("a"), &b"whole"[..]).await.unwrap();
    assert_eq!(read(&objects, &name("a")).await.unwrap(), b"whole");
    write("[".into()).await;
    assert!(objects.delete(&name("a")).await.unwrap());
    assert!(objects.list().await.unwrap().is_empty());

    // An upload that somebody else writes to is not resumed.
    let mut upload = objects.upload(&name("a")).chunk_size(10);
    let id = upload.id().clone();
    let broken = upload.send(b"0123456789".chain(Broken)).await;
    assert!(broken.is_err());
    drop(upload);
    hub.publish_stored(&any(&format!("$O.files.C.{id}")), &Bytes::from_static(b"x"))
        .await
        .unwrap();
    let mut upload = objects.resume_upload(&name("a"), id);
    let refused = upload.send(&b"0123456789abc"[..]).await;
    assert!(
        matches!(refused, Err(ObjectError::NotResumable { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_reader_cannot_write_and_a_stranger_can_do_nothing() {
    let Some(rig) = Rig::start_with("object::permissions", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let objects = store(&hub).await;
    objects.put(&name("o"), &b"object"[..]).await.unwrap();
    let edge = rig.client("n1").await;
    let reader = edge.object_store(&BUCKET).await.unwrap();
    assert_eq!(read(&reader, &name("o")).await.unwrap(), b"object");
    assert_eq!(reader.list().await.unwrap().len(), 1);
    let denied =
        |error: &ObjectError| matches!(error, ObjectError::Publish(PublishError::Denied { .. }));
    let refused = reader.put(&name("o"), &b"other"[..]).await;
    assert!(refused.as_ref().is_err_and(denied), "{refused:?}");
    let refused = reader.put(&name("o"), &b""[..]).await;
    assert!(refused.as_ref().is_err_and(denied), "{refused:?}");
    let refused = reader.delete(&name("o")).await;
    assert!(refused.as_ref().is_err_and(denied), "{refused:?}");
    for subject in [
        "$JS.API.STREAM.PURGE.OBJ_files",
        "$JS.API.STREAM.MSG.DELETE.OBJ_files",
        "$JS.API.STREAM.DELETE.OBJ_files",
        "$JS.API.STREAM.UPDATE.OBJ_files",
        "$JS.API.CONSUMER.CREATE.OBJ_files",
        "$JS.API.STREAM.INFO.OBJ_other",
    ] {
        let refused = edge.publish_flushed(&any(subject), &Bytes::new()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{subject}"
        );
    }
    let stranger = rig.client("stranger").await;
    let refused = stranger.object_store(&BUCKET).await;
    assert!(matches!(
        refused,
        Err(ObjectError::Stream(StreamError::Request(
            RequestError::Publish(PublishError::Denied { .. })
        )))
    ));
    for subject in [
        "$JS.API.DIRECT.GET.OBJ_files",
        "$JS.API.STREAM.MSG.GET.OBJ_files",
        "$O.files.C.x",
        "$O.files.M.x",
    ] {
        let refused = stranger.publish_flushed(&any(subject), &Bytes::new()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{subject}"
        );
    }
    assert_eq!(read(&objects, &name("o")).await.unwrap(), b"object");
}
