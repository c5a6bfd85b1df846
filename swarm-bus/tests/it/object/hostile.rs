//! What is wrong in a bucket, and what a user may with it.

use super::{BUCKET, Broken, USERS, name, policy, read, store};
use crate::raw::any;
use crate::rig::Rig;
use bytes::Bytes;
use std::time::{Duration, SystemTime};
use swarm_bus::client::{PublishError, RequestError};
use swarm_bus::object::{Listed, ObjectError, ParseInfoError};
use swarm_bus::stream::StreamError;
use tokio::io::AsyncReadExt;

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
