//! The servers, one or three, each on a disk of its own that can be filled.

use super::disk::Disk;
use super::{LAB, Sample, Spooled, TRUNK, WINDOW, node};
use crate::cluster::{Cluster, settled};
use crate::raw::any;
use crate::rig::{Rig, connected, skip, token};
use bytes::Bytes;
use std::time::Duration;
use swarm_bus::Topic;
use swarm_bus::client::{Client, Options};
use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
use swarm_bus::stream::{ConsumerConfig, StreamConfig};
use tokio::time::{Instant, sleep};

/// How long servers may take until they agree again.
const AGREED: Duration = Duration::from_secs(40);

pub(super) struct World {
    pub(super) rigs: Vec<Rig>,
    /// Empty where this user may mount nothing.
    pub(super) disks: Vec<Disk>,
}

fn policy() -> Policy {
    Policy::mesh()
        .with(Rule::new::<Sample>(Role::Edge, Right::Publish, Scope::Own))
        .with(Rule::new::<Spooled>(Role::Edge, Right::Publish, Scope::Own))
        .with(Rule::new::<Spooled>(
            Role::Edge,
            Right::ReadLast(TRUNK),
            Scope::Own,
        ))
        .with(Rule::new::<Sample>(Role::Hub, Right::Publish, Scope::All))
        .with(Rule::new::<Spooled>(Role::Hub, Right::Publish, Scope::All))
}

const USERS: [(&str, Role); 6] = [
    ("hub", Role::Hub),
    ("p0", Role::Edge),
    ("p1", Role::Edge),
    ("p2", Role::Edge),
    ("p3", Role::Edge),
    ("p4", Role::Edge),
];

impl World {
    pub(super) fn one(test: &str) -> Option<Self> {
        let rig = Rig::prepare_with(test, &USERS, &policy())?;
        Some(Self::run(test, vec![rig]))
    }

    pub(super) fn three(test: &str) -> Option<Self> {
        let Cluster(rigs) = Cluster::prepare(test, &USERS, &policy())?;
        Some(Self::run(test, rigs))
    }

    fn run(test: &str, mut rigs: Vec<Rig>) -> Self {
        let disks: Option<Vec<_>> = rigs.iter().map(|_| Disk::new(96)).collect();
        let disks = disks
            .or_else(|| skip(test, "no disk can be filled: no file system may be mounted"))
            .unwrap_or_default();
        for (rig, disk) in rigs.iter().zip(&disks) {
            let conf = std::fs::read_to_string(rig.path("nats.conf")).unwrap();
            // It would take three quarters of what is free when it starts.
            let store = format!("max_file_store: 1G, store_dir: {:?}", disk.path("files"));
            let own = format!("store_dir: {:?}", rig.path("js"));
            assert!(conf.contains(&own));
            rig.write("nats.conf", &conf.replace(&own, &store));
        }
        for rig in &mut rigs {
            rig.run();
        }
        Self { rigs, disks }
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        self.rigs.iter().map(Rig::port).collect()
    }

    /// Returns how a node connects by these ports; it notices soon when a line is dead.
    pub(super) fn options(&self, node: &str, ports: &[u16]) -> Options {
        impatient(self.rigs[0].options(node), ports)
    }

    /// Makes the streams and a consumer for each publisher; returns a client that does not go by
    /// the lines that break.
    pub(super) async fn furnish(&self, publishers: u8) -> Client {
        let hub = connected(self.options("hub", &self.ports())).await;
        let replicas = self.rigs.len() as u8;
        let subjects = [
            Sample::any().pattern().clone(),
            Spooled::any().pattern().clone(),
        ];
        for (name, subject) in [LAB, TRUNK].into_iter().zip(subjects) {
            let mut stream = StreamConfig::new(name.clone(), vec![subject]);
            (stream.direct_get, stream.replicas) = (true, replicas);
            if name == TRUNK {
                stream.duplicate_window = WINDOW;
            }
            settled(async || hub.ensure_stream(&stream).await).await;
        }
        for publisher in 0..publishers {
            let (stream, filter) = of(publisher);
            let mut consumer = ConsumerConfig::new(stream, token(&format!("app{publisher}")));
            consumer.filters = vec![filter];
            consumer.ack_wait = Duration::from_secs(3);
            consumer.max_ack_pending = 2000;
            settled(async || hub.ensure_consumer(&consumer).await).await;
        }
        hub
    }

    /// Returns which server leads a stream, as soon as all have what it has.
    pub(super) async fn leader(&self, client: &Client, stream: &str) -> usize {
        let deadline = Instant::now() + AGREED;
        let subject = any(&format!("$JS.API.STREAM.INFO.{stream}"));
        loop {
            let within = Duration::from_secs(2);
            let answer = client.request(&subject, &Bytes::new(), within).await;
            let info = answer
                .ok()
                .and_then(|answer| serde_json::from_slice::<serde_json::Value>(&answer).ok())
                .unwrap_or_default();
            let leader = info["cluster"]["leader"].as_str();
            let replicas = info["cluster"]["replicas"].as_array();
            let all = replicas.is_some_and(|replicas| {
                replicas.len() == 2 && replicas.iter().all(|replica| replica["current"] == true)
            });
            if let (Some(leader), true) = (leader, all) {
                return leader.strip_prefix("rig").unwrap().parse().unwrap();
            }
            assert!(Instant::now() < deadline, "no leader: {info}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Which stream keeps what a publisher publishes, and under which subjects.
pub(super) fn of(publisher: u8) -> (swarm_bus::Token, swarm_bus::Pattern) {
    let own = Some(&node(publisher));
    match publisher {
        0 | 1 => (LAB, Sample::filter(own, None).pattern().clone()),
        _ => (TRUNK, Spooled::filter(own, None).pattern().clone()),
    }
}

/// Sets the times of a client such that it soon notices, and soon tries again.
pub(super) fn impatient(mut options: Options, ports: &[u16]) -> Options {
    options.servers = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}").parse().unwrap())
        .collect();
    options.timeout = Duration::from_secs(2);
    options.connect_timeout = Duration::from_secs(2);
    options.ping_interval = Duration::from_millis(400);
    options.dead_after = Duration::from_millis(1200);
    options.backoff_min = Duration::from_millis(50);
    options.backoff_max = Duration::from_millis(500);
    options
}
