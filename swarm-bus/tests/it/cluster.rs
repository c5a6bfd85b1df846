//! Three servers that keep everything three times, of which one that leads is killed.

use crate::raw::ask;
use crate::rig::{Rig, SOON, connected};
use std::time::Duration;
use swarm_bus::client::{Client, Options};
use swarm_bus::kv::{BucketConfig, Update};
use swarm_bus::object::{ObjectName, ObjectStoreConfig};
use swarm_bus::permissions::{ObjectRight, Policy, Right, Role, Rule, Scope};
use swarm_bus::{Token, Topic};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic("$KV.rooms.{room}", payload = u64, delivery = stored)]
struct Room {
    room: u8,
}

const FILES: Token = Token::from_static("files");
/// How long an election and all that waits for it may take.
const ELECTED: Duration = Duration::from_secs(40);

/// Servers that know each other.
pub(crate) struct Cluster(pub(crate) Vec<Rig>);

impl Cluster {
    fn start(test: &str, users: &[(&str, Role)], policy: &Policy) -> Option<Self> {
        let mut cluster = Self::prepare(test, users, policy)?;
        for rig in &mut cluster.0 {
            rig.run();
        }
        Some(cluster)
    }

    /// Prepares all without starting the servers.
    pub(crate) fn prepare(test: &str, users: &[(&str, Role)], policy: &Policy) -> Option<Self> {
        let rigs: Option<Vec<_>> = (0..3)
            .map(|_| Rig::prepare_with(test, users, policy))
            .collect();
        let mut rigs = rigs?;
        let routes: Vec<_> = rigs
            .iter()
            .map(|rig| format!("nats://127.0.0.1:{}", rig.route()))
            .collect();
        let routes = routes.join(", ");
        let (first, others) = rigs.split_first().unwrap();
        for rig in others {
            let server = first.authority.server();
            rig.write("ca.pem", &first.authority.pem());
            rig.write("server.pem", &server.chain);
            rig.write("server.key", &server.key);
        }
        for (number, rig) in rigs.iter_mut().enumerate() {
            let conf = std::fs::read_to_string(rig.path("nats.conf")).unwrap();
            let conf = conf.replace("server_name: rig", &format!("server_name: rig{number}"));
            let port = rig.route();
            let cluster = format!(
                "cluster {{name: rigs, listen: \"127.0.0.1:{port}\", routes: [{routes}]}}\n"
            );
            rig.write("nats.conf", &(conf + &cluster));
        }
        Some(Self(rigs))
    }

    /// Returns options to connect to all servers, that with a number first.
    fn options(&self, node: &str, first: usize) -> Options {
        let mut options = self.0[0].options(node);
        options.servers = (0..3)
            .map(|number| self.0[(first + number) % 3].port())
            .map(|port| format!("127.0.0.1:{port}").parse().unwrap())
            .collect();
        options.timeout = Duration::from_secs(2);
        options
    }
}

async fn leader(client: &Client, stream: &str) -> usize {
    let info = ask(client, &format!("$JS.API.STREAM.INFO.{stream}"), "").await;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let leader = info["cluster"]["leader"].as_str().unwrap();
    leader.strip_prefix("rig").unwrap().parse().unwrap()
}

/// Tries until it works, which takes as long as the servers need to agree.
pub(crate) async fn settled<T, E: std::fmt::Debug>(
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + ELECTED;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_watch_and_an_upload_go_on_when_the_leader_is_killed() {
    let policy = Policy::new()
        .with_stream_keeper(Role::Hub)
        .with(Rule::new::<Room>(Role::Hub, Right::WriteState, Scope::All))
        .with(Rule::new::<Room>(Role::Hub, Right::ReadState, Scope::All))
        .with(Rule::new::<Room>(Role::Edge, Right::ReadState, Scope::All))
        .with_objects(Role::Hub, ObjectRight::Write, FILES);
    let users = [("hub", Role::Hub), ("n1", Role::Edge)];
    let Some(mut cluster) = Cluster::start("cluster::leader", &users, &policy) else {
        return;
    };
    let hub = connected(cluster.options("hub", 0)).await;
    let mut config = BucketConfig::new::<Room>();
    (config.replicas, config.history) = (3, 64);
    settled(async || hub.ensure_bucket(&config).await).await;
    let mut config = ObjectStoreConfig::new(FILES).unwrap();
    config.replicas = 3;
    settled(async || hub.ensure_object_store(&config).await).await;
    let bucket = settled(async || hub.bucket::<Room>().await).await;
    let victim = leader(&hub, "KV_rooms").await;

    // The one that watches is on the server that is killed, and asks all of them.
    let edge = connected(cluster.options("n1", victim)).await;
    let reader = settled(async || edge.bucket::<Room>().await).await;
    let mut watch = reader.watch(Room::any()).await.unwrap();
    let watching = tokio::spawn(async move {
        let (mut last, mut values) = (0, Vec::new());
        loop {
            match watch.next().await.unwrap() {
                Update::Entry(entry) => {
                    assert_eq!(
                        entry.revision,
                        last + 1,
                        "none is missing, none comes twice"
                    );
                    last = entry.revision;
                    values.push(*entry.content.value().unwrap());
                    if values.last() == Some(&u64::MAX) {
                        return (last, values);
                    }
                }
                Update::Current => {}
                other => panic!("{other:?}"),
            }
        }
    });
    let data: Vec<u8> = (0..4_000_000_u32).map(|i| (i ^ (i >> 9)) as u8).collect();
    let writer = connected(cluster.options("hub", victim)).await;
    let store = settled(async || writer.object_store(&FILES).await).await;
    let (mut pipe, source) = tokio::io::duplex(64 << 10);
    let uploading = tokio::spawn(async move {
        let name = ObjectName::parse("big").unwrap();
        let mut upload = store.upload(&name).chunk_size(4_000).patience(ELECTED);
        upload.send(source).await
    });
    // Half of it comes before the leader is killed, the other half when it is.
    let (kill, killed) = tokio::sync::oneshot::channel();
    let halves = (data[..2_000_000].to_vec(), data[2_000_000..].to_vec());
    tokio::spawn(async move {
        pipe.write_all(&halves.0).await.unwrap();
        killed.await.unwrap();
        pipe.write_all(&halves.1).await.unwrap();
    });
    let mut kill = Some(kill);
    const COUNT: u64 = 400;
    for number in 0..COUNT {
        if number == 100 {
            cluster.0[victim].kill();
            kill.take().unwrap().send(()).unwrap();
        }
        let room = Room {
            room: (number % 16) as u8,
        };
        // One whose fate is not known is written again, and may then be there twice.
        settled(async || bucket.put(&room, &number).await).await;
    }
    let end = Room { room: 0 };
    let last = settled(async || bucket.put(&end, &u64::MAX).await).await;
    let (seen, mut values) = timeout(ELECTED, watching).await.unwrap().unwrap();
    assert_eq!(seen, last);
    values.dedup();
    let expected: Vec<_> = (0..COUNT).chain([u64::MAX]).collect();
    assert_eq!(values, expected);

    let info = timeout(ELECTED, uploading).await.unwrap().unwrap().unwrap();
    assert_eq!((info.size, info.chunks), (4_000_000, 1000));
    let store = settled(async || hub.object_store(&FILES).await).await;
    let name = ObjectName::parse("big").unwrap();
    let mut copy = Vec::new();
    let got = timeout(SOON, store.get(&name, &mut copy)).await.unwrap();
    assert_eq!(got.unwrap().digest, info.digest);
    assert!(copy == data);
}
