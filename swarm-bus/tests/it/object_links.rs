use crate::object::{USERS, name};
use crate::raw::{any, ask};
use crate::rig::{Rig, connected, soon, token};
use bytes::Bytes;
use std::time::Duration;
use swarm_bus::Token;
use swarm_bus::client::Client;
use swarm_bus::object::{
    Link, LinkTarget, Listed, ObjectError, ObjectStore, ObjectStoreConfig, ObjectUpdate,
    ObjectWatch,
};
use swarm_bus::permissions::{ObjectRight, Policy, Role};
use swarm_bus::stream::StreamError;

const FILES: Token = Token::from_static("files");
const OTHER: Token = Token::from_static("other");

/// The hub may all, an edge reads one bucket, an operator the other.
fn policy() -> Policy {
    Policy::new()
        .with_stream_keeper(Role::Hub)
        .with_objects(Role::Hub, ObjectRight::Write, FILES)
        .with_objects(Role::Hub, ObjectRight::Write, OTHER)
        .with_objects(Role::Edge, ObjectRight::Read, FILES)
        .with_objects(Role::Operator, ObjectRight::Read, OTHER)
}

fn to(bucket: Token, text: &str) -> LinkTarget {
    LinkTarget::Object {
        bucket,
        name: name(text),
    }
}

async fn store(client: &Client, bucket: Token, max_age: Option<Duration>) -> ObjectStore {
    let mut config = ObjectStoreConfig::new(bucket.clone()).unwrap();
    config.max_age = max_age;
    client.ensure_object_store(&config).await.unwrap();
    client.object_store(&bucket).await.unwrap()
}

async fn read(store: &ObjectStore, text: &str) -> Result<Vec<u8>, ObjectError> {
    let mut all = Vec::new();
    soon(store.get(&name(text), &mut all)).await.map(|_| all)
}

#[tokio::test]
async fn a_link_is_followed_into_other_buckets_and_never_in_circles() {
    let Some(rig) = Rig::start_with("object_links::follow", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let (files, other) = (
        store(&hub, FILES, None).await,
        store(&hub, OTHER, None).await,
    );
    other.put(&name("kernel"), &b"kernel"[..]).await.unwrap();

    let made = files
        .link(&name("boot"), to(OTHER, "kernel"))
        .await
        .unwrap();
    assert_eq!(made.target, to(OTHER, "kernel"));
    assert_eq!(read(&files, "boot").await.unwrap(), b"kernel");
    let (found_in, info) = files.resolve(&name("boot")).await.unwrap();
    assert_eq!((found_in.name(), info.name), (&OTHER, name("kernel")));
    let told = files.info(&name("boot")).await;
    assert!(matches!(told, Err(ObjectError::Link { target, .. }) if target == made.target));
    let list = files.list().await.unwrap();
    assert!(matches!(&list[..], [Listed::Link(link)] if *link == made));

    // What it points to may change, and it may point to a link.
    other.put(&name("kernel"), &b"newer"[..]).await.unwrap();
    other
        .link(&name("latest"), to(OTHER, "kernel"))
        .await
        .unwrap();
    files
        .link(&name("boot"), to(OTHER, "latest"))
        .await
        .unwrap();
    assert_eq!(read(&files, "boot").await.unwrap(), b"newer");

    // To itself, through another bucket, and too far.
    let own = files.link(&name("self"), to(FILES, "self")).await;
    assert!(matches!(own, Err(ObjectError::LinkLoop { .. })), "{own:?}");
    files.link(&name("a"), to(OTHER, "b")).await.unwrap();
    other.link(&name("b"), to(FILES, "a")).await.unwrap();
    let circle = read(&files, "a").await;
    assert!(matches!(circle, Err(ObjectError::LinkLoop { name: n }) if n == name("a")));
    files.put(&name("0"), &b"end"[..]).await.unwrap();
    for number in 1..=9 {
        let (from, next) = (number.to_string(), (number - 1).to_string());
        files.link(&name(&from), to(FILES, &next)).await.unwrap();
    }
    assert_eq!(read(&files, "8").await.unwrap(), b"end");
    let far = read(&files, "9").await;
    assert!(
        matches!(far, Err(ObjectError::TooManyLinks { max: 8, .. })),
        "{far:?}"
    );

    // To a bucket, and to nothing.
    files
        .link(&name("dir"), LinkTarget::Bucket(OTHER))
        .await
        .unwrap();
    let bucket = read(&files, "dir").await;
    assert!(
        matches!(&bucket, Err(ObjectError::Link { target: LinkTarget::Bucket(b), .. }) if *b == OTHER),
        "{bucket:?}"
    );
    let opened = files.linked_store(&name("dir")).await.unwrap();
    assert_eq!(read(&opened, "kernel").await.unwrap(), b"newer");
    let object = files.linked_store(&name("boot")).await;
    assert!(
        matches!(object, Err(ObjectError::NoLink { .. })),
        "{object:?}"
    );
    files
        .link(&name("dangling"), to(OTHER, "none"))
        .await
        .unwrap();
    let nothing = read(&files, "dangling").await;
    assert!(matches!(nothing, Err(ObjectError::NotFound { name: n }) if n == name("none")));
    files
        .link(&name("nowhere"), to(token("nowhere"), "none"))
        .await
        .unwrap();
    let nowhere = read(&files, "nowhere").await;
    assert!(
        matches!(nowhere, Err(ObjectError::Stream(StreamError::NoStream))),
        "{nowhere:?}"
    );
    let odd = files.link(&name("odd"), to(token("a$b"), "none")).await;
    assert!(matches!(odd, Err(ObjectError::Bucket(_))), "{odd:?}");

    // Where it leads is read with the rights of who reads.
    let edge = rig.client("n1").await;
    let denied = read(&edge.object_store(&FILES).await.unwrap(), "boot").await;
    assert!(
        matches!(denied, Err(ObjectError::Stream(StreamError::Request(_)))),
        "{denied:?}"
    );
}

#[tokio::test]
async fn a_link_takes_no_objects_place_and_gives_way_to_one() {
    let Some(rig) = Rig::start_with("object_links::place", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let files = store(&hub, FILES, None).await;
    files.put(&name("o"), &b"object"[..]).await.unwrap();
    let occupied = files.link(&name("o"), LinkTarget::Bucket(OTHER)).await;
    assert!(
        matches!(occupied, Err(ObjectError::Occupied { .. })),
        "{occupied:?}"
    );
    assert_eq!(read(&files, "o").await.unwrap(), b"object");

    // A link is deleted, and not what it points to.
    files.link(&name("l"), to(FILES, "o")).await.unwrap();
    assert!(files.delete(&name("l")).await.unwrap());
    assert!(!files.delete(&name("l")).await.unwrap());
    let gone = read(&files, "l").await;
    assert!(
        matches!(gone, Err(ObjectError::NotFound { .. })),
        "{gone:?}"
    );
    assert_eq!(read(&files, "o").await.unwrap(), b"object");

    files.link(&name("l"), to(FILES, "o")).await.unwrap();
    files.put(&name("l"), &b"own"[..]).await.unwrap();
    assert_eq!(read(&files, "l").await.unwrap(), b"own");
    assert_eq!(read(&files, "o").await.unwrap(), b"object");
}

fn short(update: &ObjectUpdate) -> String {
    match update {
        ObjectUpdate::Object(info) => format!("{} {}", info.name, info.size),
        ObjectUpdate::Link(Link { name, target, .. }) => format!("{name} -> {target}"),
        ObjectUpdate::Deleted { name } => format!("{name} deleted"),
        ObjectUpdate::Unreadable { subject, .. } => format!("{subject} unreadable"),
        ObjectUpdate::Current => "current".into(),
        ObjectUpdate::Vanished { name } => format!("{name} vanished"),
        ObjectUpdate::Restarted => "restarted".into(),
        other => panic!("{other:?}"),
    }
}

async fn updates(watch: &mut ObjectWatch, count: usize) -> Vec<String> {
    let mut updates = Vec::new();
    for _ in 0..count {
        updates.push(short(&soon(watch.next()).await.unwrap()));
    }
    updates
}

#[tokio::test]
async fn a_watch_tells_what_is_there_then_each_change() {
    let Some(mut rig) = Rig::start_with("object_links::watch", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let files = store(&hub, FILES, None).await;
    for text in ["a", "b"] {
        files.put(&name(text), &b"12345"[..]).await.unwrap();
    }
    files.link(&name("l"), to(FILES, "a")).await.unwrap();
    let edge = rig.client("n1").await;
    let mut watch = edge
        .object_store(&FILES)
        .await
        .unwrap()
        .watch()
        .await
        .unwrap();
    let first = updates(&mut watch, 4).await;
    assert_eq!(first, ["a 5", "b 5", "l -> `a` in files", "current"]);

    // Chunks alone are no change; the description behind them is.
    let large = vec![7; 300_000];
    files.put(&name("a"), large.as_slice()).await.unwrap();
    files.delete(&name("b")).await.unwrap();
    files.delete(&name("l")).await.unwrap();
    hub.publish_stored(&any("$O.files.M.YQ=="), &Bytes::from_static(b"["))
        .await
        .unwrap();
    let changes = updates(&mut watch, 4).await;
    let expected = [
        "a 300000",
        "b deleted",
        "l deleted",
        "$O.files.M.YQ== unreadable",
    ];
    assert_eq!(changes, expected);

    // What happened while there was no connection comes after it, once.
    files.put(&name("c"), &b"123"[..]).await.unwrap();
    assert_eq!(updates(&mut watch, 1).await, ["c 3"]);
    rig.kill();
    rig.run();
    files.put(&name("d"), &b"1234"[..]).await.unwrap();
    assert_eq!(updates(&mut watch, 1).await, ["d 4"]);
    // Somebody removes the description itself: noticed with the next connection.
    let body = r#"{"filter":"$O.files.M.Yw=="}"#;
    ask(&hub, "$JS.API.STREAM.PURGE.OBJ_files", body).await;
    edge.reload().await.unwrap();
    assert_eq!(updates(&mut watch, 1).await, ["c vanished"]);

    // Another bucket of the same name.
    ask(&hub, "$JS.API.STREAM.DELETE.OBJ_files", "").await;
    let files = store(&hub, FILES, None).await;
    files.put(&name("new"), &b"1"[..]).await.unwrap();
    edge.reload().await.unwrap();
    assert_eq!(
        updates(&mut watch, 3).await,
        ["restarted", "new 1", "current"]
    );
    let more = tokio::time::timeout(Duration::from_millis(300), watch.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn what_grew_too_old_vanishes_and_a_stranger_may_not_watch() {
    let Some(rig) = Rig::start_with("object_links::age", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let files = store(&hub, FILES, Some(Duration::from_secs(2))).await;
    let mut watch = files
        .watch()
        .await
        .unwrap()
        .check_every(Duration::from_millis(200));
    assert_eq!(updates(&mut watch, 1).await, ["current"]);
    files.put(&name("brief"), &b"12"[..]).await.unwrap();
    assert_eq!(updates(&mut watch, 2).await, ["brief 2", "brief vanished"]);

    // Who may read one bucket hears nothing of another.
    store(&hub, OTHER, None).await;
    let stranger = connected(rig.options("stranger")).await;
    stranger
        .object_store(&OTHER)
        .await
        .unwrap()
        .watch()
        .await
        .unwrap();
    let refused = stranger
        .subscribe(&any("$O.files.M.YQ=="))
        .unwrap()
        .barrier()
        .await;
    assert!(refused.is_err(), "{refused:?}");
}
