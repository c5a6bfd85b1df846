//! A site with a nats-server of its own, against real servers with the configurations that a hub and a
//! node render, certificates of a real authority, and a link that is cut.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use swarm::{Authority, Layout, Member};
use swarm_bus::client::Client;
use swarm_bus::permissions::{HUB_DOMAIN, Leaf, Policy, Role};
use swarm_bus::stream::{Gaps, Origin, StreamConfig, StreamInfo};
use swarm_bus::topics::{
    EVENTS_STREAM, NodeEvent, NodeEvents, Occurrence, TRUST_STREAM, Timestamp, TrustBundle,
    leaf_stream, leaf_streams, mesh_streams_with,
};
use swarm_bus::{Pattern, Token, Topic};
use swarm_pki::RevocationReason;
use swarm_pki::tls::Expected;

use crate::bus::admit;
use crate::lab::{find_tool, needs_root_and, run};
use crate::program::Swarm;

/// How long anything may take: servers notice a dead link after some seconds, and try again after some.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const EDGE: Token = Token::from_static("edge1");
/// Servers that soon notice a dead link, and an edge with a bus of its own.
const PLAN: &str = "[nodes.edge1]\nleaf = true\n[nats]\nping_interval = \"1s\"\n";

/// A hub's server, and a leaf node's on the same machine, in a network namespace of its own.
pub(crate) struct Site {
    hub: Swarm,
    edge: Swarm,
    other: Swarm,
    namespace: String,
    servers: [Option<Child>; 2],
}

#[derive(Clone, Copy)]
pub(crate) enum End {
    Hub = 0,
    Edge = 1,
}

impl Site {
    /// Prepares both servers; `None`, said on stderr, where the machine does not allow it.
    pub(crate) fn new(test: &str) -> Option<Self> {
        needs_root_and(test, &["ip", "nats-server"])?;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let site = Self {
            hub: Swarm::new(),
            edge: Swarm::new(),
            other: Swarm::new(),
            namespace: format!("swleaf-{:x}-{number:x}", std::process::id()),
            servers: [None, None],
        };
        site.hub.write_plan(PLAN);
        site.hub.run(&["bootstrap"]).success();
        for (swarm, id) in [(&site.edge, "edge1"), (&site.other, "edge2")] {
            admit(&site.hub, swarm, id);
            std::fs::copy(site.hub.path("swarm.toml"), swarm.path("swarm.toml")).unwrap();
        }
        site.hub.run(&["bootstrap"]).success();
        let conf = site.member(&site.edge).rendered_bus().unwrap();
        std::fs::create_dir_all(site.edge.path("nats")).unwrap();
        std::fs::write(site.edge.path(conf.path), conf.contents).unwrap();
        let nats = find_tool("nats-server").unwrap();
        for swarm in [&site.hub, &site.edge] {
            let conf = swarm.path("nats/nats-server.conf");
            run(Command::new(&nats).arg("-t").arg("-c").arg(conf)).success();
        }
        site.ip(&["netns", "add", &site.namespace]);
        site.ip(&["-n", &site.namespace, "link", "set", "lo", "up"]);
        // What is taken from between the servers is asked before what the machine has.
        site.ip(&[
            "-n",
            &site.namespace,
            "rule",
            "add",
            "pref",
            "10",
            "lookup",
            "local",
        ]);
        site.ip(&["-n", &site.namespace, "rule", "del", "pref", "0"]);
        site.link("add");
        Some(site)
    }

    fn member(&self, swarm: &Swarm) -> Member {
        Member::open(Layout::new(swarm.path("")).unwrap(), None).unwrap()
    }

    fn ip(&self, arguments: &[&str]) {
        run(Command::new("ip").args(arguments)).success();
    }

    /// Makes the hub's address, or takes it away: nothing gets through then, and nobody is told.
    fn link(&self, verb: &str) {
        let hub = self.member(&self.hub).plan().nats_address();
        let address = format!("{}/32", hub.ip());
        self.ip(&["-n", &self.namespace, "addr", verb, &address, "dev", "lo"]);
    }

    /// Takes the link between the two servers away, or gives it back: nothing gets through, nobody is
    /// told, and clients go on with the server that they have.
    pub(crate) fn between(&self, verb: &str) {
        let port = self.member(&self.hub).plan().leaf_link_address().port();
        let port = port.to_string();
        for side in ["dport", "sport"] {
            let rule = ["pref", "5", "ipproto", "tcp", side, &port, "blackhole"];
            let command = ["-n", &self.namespace, "rule", verb];
            self.ip(&[&command[..], &rule[..]].concat());
        }
    }

    pub(crate) fn start(&mut self, end: End) {
        let swarm = match end {
            End::Hub => &self.hub,
            End::Edge => &self.edge,
        };
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(swarm.path("nats.log"))
            .unwrap();
        let server = Command::new("ip")
            .args(["netns", "exec", &self.namespace])
            .arg(find_tool("nats-server").unwrap())
            .arg("-c")
            .arg(swarm.path("nats/nats-server.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.servers[end as usize] = Some(server);
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self, end: End) {
        let mut server = self.servers[end as usize].take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    fn reload_hub(&self) {
        let id = self.servers[0].as_ref().unwrap().id().to_string();
        run(Command::new("kill").args(["-HUP", &id])).success();
    }

    fn log(&self, swarm: &Swarm) -> String {
        std::fs::read_to_string(swarm.path("nats.log")).unwrap_or_default()
    }

    /// Runs a test on a thread of its own, in the namespace.
    pub(crate) fn inside(mut self, test: impl AsyncFnOnce(&mut Self) + Send) {
        let path = format!("/var/run/netns/{}", self.namespace);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let namespace = std::fs::File::open(path).unwrap();
                let kind = rustix::thread::LinkNameSpaceType::Network;
                rustix::thread::move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&namespace),
                    Some(kind),
                )
                .unwrap();
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(test(&mut self));
            });
            thread.join().unwrap();
        });
    }

    /// Starts both servers and makes the streams of both, as the nodes do.
    pub(crate) async fn begin(&mut self) -> (Client, Client) {
        self.start(End::Hub);
        self.start(End::Edge);
        let [hub, edge] = [&self.hub, &self.edge].map(|swarm| self.member(swarm).bus());
        hub.connected(PATIENCE).await.unwrap();
        edge.connected(PATIENCE).await.unwrap();
        ensure(&edge, &leaf_streams(&EDGE)).await;
        ensure(&hub, &mesh_streams_with(&[leaf()])).await;
        (hub, edge)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for server in self.servers.iter_mut().flatten() {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = Command::new("ip")
            .args(["netns", "del", &self.namespace])
            .output();
    }
}

fn leaf() -> Leaf {
    Leaf::new(EDGE, &[Role::Edge], leaf_streams(&EDGE))
}

pub(crate) async fn ensure(client: &Client, streams: &[StreamConfig]) {
    for stream in streams {
        client.ensure_stream(stream).await.unwrap();
    }
}

/// Waits for what comes when servers have found each other again.
#[track_caller]
pub(crate) fn deadline() -> impl FnMut(&str) {
    let start = Instant::now();
    move |what| assert!(start.elapsed() < PATIENCE, "{what}")
}

pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

pub(crate) fn event(number: u64) -> NodeEvent {
    NodeEvent {
        at: Timestamp(number),
        event: Occurrence::Up,
    }
}

/// Publishes events at the edge; each is stored there when this returns.
async fn publish(edge: &Client, numbers: std::ops::Range<u64>) {
    let topic = NodeEvents { node: EDGE };
    for number in numbers {
        let stored = edge.publish_stored(&topic, &event(number)).await.unwrap();
        assert_eq!(stored.domain.as_deref(), Some("edge1"));
        assert_eq!(stored.stream, leaf_stream(&EDGE).as_str());
        assert!(!stored.duplicate);
    }
}

/// Waits until a stream of the hub holds so many messages.
pub(crate) async fn arrived(hub: &Client, stream: &Token, messages: u64) -> StreamInfo {
    let mut check = deadline();
    loop {
        // Just started, a server knows its streams a moment later.
        if let Ok(info) = hub.stream_info(stream).await {
            if info.messages >= messages {
                return info;
            }
            check(&format!("{stream} has {} of {messages}", info.messages));
        }
        check("the hub does not answer");
        pause().await;
    }
}

/// The numbers of the events in a stream of the hub, in its order.
pub(crate) async fn numbers(hub: &Client, stream: &Token) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut from = 1;
    while let Some(stored) = hub
        .stream_message(stream, from, &Pattern::ALL)
        .await
        .unwrap()
    {
        from = stored.sequence + 1;
        let event = stored.read::<NodeEvents>().unwrap();
        assert_eq!(event.topic.node, EDGE);
        numbers.push(event.payload.at.0);
    }
    numbers
}

pub(crate) fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn what_is_stored_at_the_edge_arrives_once_and_in_order_through_every_outage() {
    const TEST: &str = "leaf::what_is_stored_at_the_edge_arrives";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        publish(&edge, 0..50).await;
        arrived(&hub, &EVENTS_STREAM, 50).await;

        site.kill(End::Hub);
        publish(&edge, 50..100).await;
        // The edge's server dies right after it said that it has them, with nobody to pass them to.
        site.kill(End::Edge);
        site.start(End::Edge);
        edge.states().until(|state| !state.is_connected()).await;
        edge.connected(PATIENCE).await.unwrap();
        publish(&edge, 100..150).await;
        site.start(End::Hub);
        arrived(&hub, &EVENTS_STREAM, 150).await;

        // A link that is cut, which nobody is told.
        site.link("del");
        publish(&edge, 150..300).await;
        site.link("add");
        arrived(&hub, &EVENTS_STREAM, 300).await;

        // In the midst of it all: the hub dies while it takes over.
        publish(&edge, 300..400).await;
        site.kill(End::Hub);
        publish(&edge, 400..500).await;
        site.start(End::Hub);
        hub.states().until(|state| !state.is_connected()).await;
        hub.connected(PATIENCE).await.unwrap();
        arrived(&hub, &EVENTS_STREAM, 500).await;
        publish(&edge, 500..510).await;
        arrived(&hub, &EVENTS_STREAM, 510).await;

        let inlet = leaf_stream(&EDGE);
        assert_eq!(numbers(&hub, &inlet).await, all(510));
        assert_eq!(numbers(&hub, &EVENTS_STREAM).await, all(510));
    });
}

#[test]
fn what_the_edges_limits_take_is_counted_and_the_rest_arrives() {
    const TEST: &str = "leaf::what_the_edges_limits_take";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        let mut streams = leaf_streams(&EDGE);
        streams[0].max_bytes = Some(20_000);
        ensure(&edge, &streams).await;
        publish(&edge, 0..10).await;
        arrived(&hub, &EVENTS_STREAM, 10).await;
        site.kill(End::Hub);
        publish(&edge, 10..500).await;
        let left = edge.stream_info(&leaf_stream(&EDGE)).await.unwrap();
        assert!(
            left.bytes <= 20_000 && left.last_sequence == 500,
            "{left:?}"
        );
        assert!(
            left.first_sequence > 11,
            "some went before the hub had them"
        );
        site.start(End::Hub);
        let inlet = leaf_stream(&EDGE);
        arrived(&hub, &inlet, 10 + left.messages).await;

        let (mut gaps, mut from) = (Gaps::default(), 1);
        while let Some(stored) = hub
            .stream_message(&inlet, from, &Pattern::ALL)
            .await
            .unwrap()
        {
            from = stored.sequence + 1;
            gaps.note(&Origin::of(&stored.headers).unwrap());
        }
        assert_eq!(gaps.missing(), left.first_sequence - 11);
        let expected: Vec<_> = (0..10).chain(left.first_sequence - 1..500).collect();
        arrived(&hub, &EVENTS_STREAM, expected.len() as u64).await;
        assert_eq!(numbers(&hub, &EVENTS_STREAM).await, expected);

        // By age too, with nobody to take them.
        site.kill(End::Hub);
        streams[0].max_age = Some(Duration::from_secs(2));
        streams[0].duplicate_window = Duration::from_secs(1);
        ensure(&edge, &streams).await;
        let mut check = deadline();
        while edge.stream_info(&inlet).await.unwrap().messages > 0 {
            check("old messages go");
            pause().await;
        }
        let empty = edge.stream_info(&inlet).await.unwrap();
        assert_eq!(empty.first_sequence, 501);
    });
}

#[test]
fn a_site_reaches_the_hub_over_its_link_and_is_reached() {
    const TEST: &str = "leaf::a_site_reaches_the_hub";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        hub.publish_stored(&TrustBundle, &bytes::Bytes::from_static(b"trust"))
            .await
            .unwrap();
        let there = edge.in_domain(HUB_DOMAIN);
        let mut check = deadline();
        loop {
            if let Ok(Some(bundle)) = there.last(&TRUST_STREAM, &TrustBundle).await {
                assert_eq!(bundle.unwrap().payload, &b"trust"[..]);
                break;
            }
            check("the trust bundle is read over the link");
            pause().await;
        }
        // It is sent, as well.
        let mut bundles = edge.subscribe(TrustBundle::any()).unwrap();
        bundles.barrier().await.unwrap();
        let mut check = deadline();
        loop {
            hub.publish_stored(&TrustBundle, &bytes::Bytes::from_static(b"news"))
                .await
                .unwrap();
            if let Ok(Some(item)) =
                tokio::time::timeout(Duration::from_secs(1), bundles.next()).await
            {
                assert_eq!(item.unwrap().payload, &b"news"[..]);
                break;
            }
            check("the trust bundle is heard over the link");
        }
        // Its own consumer at the hub, made by the hub; with acknowledgements.
        hub.ensure_consumer(&swarm_bus::topics::events_consumer(&EDGE))
            .await
            .unwrap();
        publish(&edge, 0..3).await;
        let mut events = there
            .consumer::<NodeEvents>(&EVENTS_STREAM, &EDGE)
            .await
            .unwrap();
        for number in 0..3 {
            let delivered = tokio::time::timeout(PATIENCE, events.next()).await;
            let delivered = delivered.unwrap().unwrap();
            assert_eq!((delivered.sequence, delivered.deliveries), (number + 1, 1));
            delivered
                .ack_confirmed(Duration::from_secs(5))
                .await
                .unwrap();
        }
        // Commands go there, and their answers come back.
        let filter = swarm_bus::topics::Commands::filter(Some(&EDGE), None);
        let requests = edge.requests(filter, None).unwrap();
        let serve = requests.serve(async |_| Ok(swarm_bus::topics::CommandReply::default()));
        let ask = async {
            let topic = swarm_bus::topics::Commands {
                node: EDGE,
                verb: Token::from_static("look"),
            };
            let mut check = deadline();
            loop {
                let command = swarm_bus::topics::Command::default();
                let within = Duration::from_secs(1);
                match hub.request(&topic, &command, within).await {
                    Ok(_) => return,
                    Err(error) => check(&format!("a command is answered: {error}")),
                }
                pause().await;
            }
        };
        tokio::select! {
            () = ask => {}
            _ = serve => panic!("it serves until it is dropped"),
        }
    });
}

/// The subjects of what a stream of the hub holds, in its order.
async fn subjects(hub: &Client, stream: &Token) -> Vec<String> {
    let mut subjects = Vec::new();
    let mut from = 1;
    while let Some(stored) = hub
        .stream_message(stream, from, &Pattern::ALL)
        .await
        .unwrap()
    {
        from = stored.sequence + 1;
        subjects.push(stored.subject);
    }
    subjects
}

/// Speaks the leaf protocol, and obeys nothing that the hub says of permissions.
struct Hostile(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Hostile {
    /// Connects with the certificate of a node, or none; `Err` with what the server said.
    fn connect(site: &Site, swarm: Option<&Swarm>) -> Result<Self, String> {
        let hub = site.member(&site.hub);
        let text = |error: std::io::Error| error.to_string();
        let stream = TcpStream::connect(hub.plan().leaf_link_address()).map_err(text)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut info = String::new();
        BufReader::with_capacity(1, &stream)
            .read_line(&mut info)
            .map_err(text)?;
        assert!(info.contains("\"tls_verify\":true"), "{info}");
        let any = Expected::Role(swarm_pki::Role::hub());
        let config = match swarm {
            Some(swarm) => site.member(swarm).tls().client_config(any, &[]),
            None => {
                let trust = hub.tls().trust();
                let mut roots = rustls::RootCertStore::empty();
                for root in trust.roots() {
                    roots.add(root.der().clone()).unwrap();
                }
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let config = rustls::ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                Arc::new(config)
            }
        };
        let name = hub.plan().leaf_link_address().ip().into();
        let connection = ClientConnection::new(config, name).unwrap();
        let mut leaf = Self(BufReader::new(StreamOwned::new(connection, stream)));
        leaf.write(
            "CONNECT {\"version\":\"2.9.10\",\"tls_required\":true,\"server_id\":\"NX\",\"domain\":\
             \"edge1\",\"name\":\"edge1\",\"is_spoke\":true,\"jetstream\":true,\"headers\":true}\r\nPING\r\n",
        )
        .map_err(text)?;
        let said = leaf.until_pong();
        match said
            .iter()
            .find(|line| line.starts_with("-ERR") || line.starts_with("closed"))
        {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(leaf),
        }
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())?;
        self.0.get_mut().flush()
    }

    /// What the server says until it answers a ping, or ends.
    fn until_pong(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(0) => said.push("closed".to_owned()),
                Err(error) => said.push(format!("closed: {error}")),
                Ok(_) if line.trim_end() == "PONG" => return said,
                Ok(_) if line.starts_with("PING") => {
                    let _ = self.write("PONG\r\n");
                    continue;
                }
                Ok(_) => {
                    said.push(line.trim_end().to_owned());
                    continue;
                }
            }
            return said;
        }
    }

    fn publish(&mut self, subject: &str, payload: &str) {
        let length = payload.len();
        self.write(&format!("LMSG {subject} {length}\r\n{payload}\r\n"))
            .unwrap();
    }
}

/// Everything that a hub's account hears, from a user who may hear it.
struct Listener(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Listener {
    fn new(site: &Site) -> Self {
        let hub = site.member(&site.hub);
        let stream = TcpStream::connect(hub.plan().nats_address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut info = String::new();
        BufReader::with_capacity(1, &stream)
            .read_line(&mut info)
            .unwrap();
        let config = hub
            .tls()
            .client_config(Expected::Role(swarm_pki::Role::hub()), &[]);
        let name = hub.plan().nats_address().ip().into();
        let connection = ClientConnection::new(config, name).unwrap();
        let mut listener = Self(BufReader::new(StreamOwned::new(connection, stream)));
        let mut subscriptions = String::new();
        let permissions = Policy::mesh().permissions(&Token::from_static("command0"), &[Role::Hub]);
        for (number, subject) in permissions.subscribe_allow.iter().enumerate() {
            subscriptions.push_str(&format!("SUB {subject} {number}\r\n"));
        }
        listener.say(&format!(
            "CONNECT {{\"verbose\":false,\"headers\":true}}\r\n{subscriptions}"
        ));
        listener
    }

    /// Sends lines, and returns the subjects of what came until the server answers.
    fn say(&mut self, lines: &str) -> Vec<String> {
        self.0
            .get_mut()
            .write_all(format!("{lines}PING\r\n").as_bytes())
            .unwrap();
        let mut subjects = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                ["PONG"] => return subjects,
                ["MSG" | "HMSG", subject, .., length] => {
                    let mut body = vec![0; length.parse::<usize>().unwrap() + 2];
                    self.0.read_exact(&mut body).unwrap();
                    subjects.push((*subject).to_owned());
                }
                [error, ..] if *error == "-ERR" => panic!("{line}"),
                _ => {}
            }
        }
    }
}

#[test]
fn only_a_living_leaf_gets_in_and_no_further_than_what_crosses() {
    const TEST: &str = "leaf::only_a_living_leaf_gets_in";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        publish(&edge, 0..1).await;
        arrived(&hub, &EVENTS_STREAM, 1).await;
        site.kill(End::Edge);

        // Without a certificate, and with that of a node without a bus of its own.
        let bare = Hostile::connect(site, None).err().unwrap();
        assert!(
            bare.contains("ertificate") || bare.contains("closed"),
            "{bare}"
        );
        let other = Hostile::connect(site, Some(&site.other)).err().unwrap();
        assert!(other.contains("Authorization Violation"), "{other}");
        // A leaf is none of the clients, either.
        let direct = std::fs::read_to_string(site.edge.path("swarm.toml")).unwrap();
        std::fs::write(
            site.edge.path("swarm.toml"),
            direct.replace("leaf = true", "leaf = false"),
        )
        .unwrap();
        let client = site.member(&site.edge).bus();
        let refused = client.connected(Duration::from_secs(10)).await;
        assert!(refused.is_err(), "a leaf connects as a client");
        std::fs::write(site.edge.path("swarm.toml"), direct).unwrap();

        // Whoever has the key of a leaf and speaks the protocol.
        let mut listener = Listener::new(site);
        let mut leaf = Hostile::connect(site, Some(&site.edge)).unwrap();
        for subject in [
            "swarm.events.node.edge1",
            "swarm.events.node.edge2",
            "swarm.telemetry.edge1.host",
            "swarm.telemetry.edge2.host",
            "swarm.commands.edge2.reboot",
            "swarm.commands.command0.reboot",
            "swarm.endpoints.edge2",
            "swarm.trust.bundle",
            "_INBOX_command0.x",
            "elsewhere",
        ] {
            leaf.publish(subject, "x");
        }
        let stream = leaf_stream(&EDGE);
        for request in ["DELETE", "PURGE"] {
            for name in [EVENTS_STREAM.as_str(), stream.as_str()] {
                for prefix in ["$JS.API", "$JS.hub.API", "$JS.command0.API"] {
                    leaf.publish(&format!("{prefix}.STREAM.{request}.{name}"), "");
                }
            }
        }
        leaf.write("LS+ >\r\nLS+ swarm.commands.edge2.*\r\nLS+ _INBOX_command0.>\r\nPING\r\n")
            .unwrap();
        leaf.until_pong();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(listener.say(""), ["swarm.telemetry.edge1.host"]);
        let events = hub.stream_info(&EVENTS_STREAM).await.unwrap();
        assert_eq!((events.messages, events.last_sequence), (1, 1));

        // What the hub's server takes for the leaf's stream may bear any subject; it stays with the
        // leaf's own.
        listener.say(
            "PUB swarm.commands.edge2.reboot 1\r\nx\r\nPUB swarm.events.node.edge2 1\r\nx\r\n",
        );
        let mut asked = None;
        let mut check = deadline();
        while asked.is_none() {
            leaf.write("PING\r\n").unwrap();
            let said = leaf.until_pong();
            assert!(
                !said.iter().any(|line| line.contains("commands.edge2")),
                "{said:?}"
            );
            let request = said
                .iter()
                .find(|line| line.contains("API.CONSUMER.CREATE."));
            let deliver = said
                .iter()
                .flat_map(|line| line.split('"'))
                .find(|word| word.starts_with("_LEAF.edge1."));
            asked = request.zip(deliver).map(|(request, deliver)| {
                let reply = request.split(' ').nth(2).unwrap();
                (reply.to_owned(), deliver.to_owned())
            });
            check("the hub asks for a consumer");
            pause().await;
        }
        let (reply, deliver) = asked.unwrap();
        let at = "{\"consumer_seq\":0,\"stream_seq\":0}";
        leaf.publish(
            &reply,
            &format!(
                "{{\"type\":\"io.nats.jetstream.api.v1.consumer_create_response\",\"stream_name\":\
                 \"{stream}\",\"name\":\"c\",\"created\":\"2026-01-01T00:00:00Z\",\"config\":{{}},\
                 \"delivered\":{at},\"ack_floor\":{at},\"num_pending\":2}}"
            ),
        );
        for (number, subject) in [
            (1, "swarm.events.node.edge2"),
            (2, "swarm.events.node.edge1"),
        ] {
            let reply = format!(
                "$JS.ACK.{stream}.c.1.{}.{number}.1700000000000000000.0@{subject}",
                number + 1
            );
            leaf.write(&format!("LMSG {deliver} {reply} 1\r\nx\r\n"))
                .unwrap();
        }
        leaf.write("PING\r\n").unwrap();
        leaf.until_pong();
        // All of it is in the stream of the leaf; of that, its own goes further. The event of edge2 which
        // is there was published by the hub itself, above.
        let [own, forged] = ["swarm.events.node.edge1", "swarm.events.node.edge2"];
        arrived(&hub, &stream, 3).await;
        assert_eq!(subjects(&hub, &stream).await, [own, forged, own]);
        arrived(&hub, &EVENTS_STREAM, 3).await;
        let mut taken = subjects(&hub, &EVENTS_STREAM).await;
        taken.sort();
        assert_eq!(taken, [own, own, forged]);

        // Revoked, it reaches nothing from the reload on, and does not come back.
        let authority = Authority::open(Layout::new(site.hub.path("")).unwrap()).unwrap();
        let id = "edge1".parse().unwrap();
        authority
            .revoke(&id, RevocationReason::KeyCompromise, "test")
            .unwrap();
        authority.render(&"command0".parse().unwrap()).unwrap();
        let before = site.log(&site.hub).len();
        site.reload_hub();
        let mut check = deadline();
        while !site.log(&site.hub)[before..].contains("Reloaded server configuration") {
            check(&site.log(&site.hub)[before..]);
            pause().await;
        }
        listener = Listener::new(site);
        if leaf
            .write("LMSG swarm.telemetry.edge1.host 1\r\nx\r\nPING\r\n")
            .is_ok()
        {
            leaf.until_pong();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(listener.say(""), [] as [&str; 0]);
        let again = Hostile::connect(site, Some(&site.edge)).err().unwrap();
        assert!(again.contains("Authorization Violation"), "{again}");
    });
}
