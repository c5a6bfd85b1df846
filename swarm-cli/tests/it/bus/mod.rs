//! `swarm bus`, each command against a real server with the configuration that a hub renders.

mod endings;
mod kv;
mod objects;
mod spool;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use swarm_bus::client::Client;
use swarm_bus::permissions::{Policy, Role};
use swarm_bus::topics::mesh_streams;

use crate::lab::{find_tool, needs_root_and, run};
use crate::program::{Ended, Swarm, file};

/// A hub's server in a network namespace that has the hub's address, and one edge.
pub(crate) struct Hub {
    pub(crate) swarm: Swarm,
    pub(crate) edge: Swarm,
    namespace: String,
    server: Option<Child>,
}

impl Hub {
    /// Starts it; `None`, said on stderr, where the machine does not allow it.
    pub(crate) fn start(test: &str) -> Option<Self> {
        needs_root_and(test, &["ip", "nats-server"])?;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let (swarm, edge) = (Swarm::bootstrapped(), Swarm::new());
        admit(&swarm, &edge, "edge1");
        // the server's users follow from the inventory
        swarm.run(&["bootstrap"]).success();
        let mut hub = Self {
            swarm,
            edge,
            namespace: format!("swbus-{:x}-{number:x}", std::process::id()),
            server: None,
        };
        hub.ip(&["netns", "add", &hub.namespace]);
        let address = hub.address();
        let host = format!("{}/32", address.ip());
        hub.ip(&["-n", &hub.namespace, "link", "set", "lo", "up"]);
        hub.ip(&["-n", &hub.namespace, "addr", "add", &host, "dev", "lo"]);
        hub.serve();
        Some(hub)
    }

    /// Starts the server.
    fn serve(&mut self) {
        let log = std::fs::File::create(self.swarm.path("nats.log")).unwrap();
        let server = self
            .inside(find_tool("nats-server").unwrap())
            .arg("-c")
            .arg(self.swarm.path("nats/nats-server.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
        let address = self.address();
        until("the server answers", || {
            self.on_thread(move || std::net::TcpStream::connect(address).is_ok())
        });
    }

    /// Ends the server, as a power cut would.
    fn kill_server(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    fn ip(&self, arguments: &[&str]) {
        run(Command::new("ip").args(arguments)).success();
    }

    /// Where the server listens, as rendered.
    fn address(&self) -> SocketAddr {
        let rendered = std::fs::read_to_string(self.swarm.path("nats/nats-server.conf")).unwrap();
        let line = rendered.lines().find(|line| line.starts_with("listen: "));
        line.unwrap()
            .trim_start_matches("listen: ")
            .trim_matches('"')
            .parse()
            .unwrap()
    }

    fn inside(&self, program: PathBuf) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn command(&self, swarm: &Swarm, arguments: &[&str]) -> Command {
        let mut command = self.inside(env!("CARGO_BIN_EXE_swarm").into());
        command.arg("--dir").arg(swarm.path("")).args(arguments);
        command
    }

    pub(crate) fn hub(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(&self.swarm, arguments))
    }

    pub(crate) fn edge(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(&self.edge, arguments))
    }

    /// Runs something on a thread of its own, in the namespace.
    fn on_thread<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
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
                work()
            });
            thread.join().unwrap()
        })
    }

    /// Makes the streams, as a hub does when it starts.
    pub(crate) fn make_streams(&self) {
        self.as_member(&self.swarm, async |bus| {
            for stream in mesh_streams() {
                bus.ensure_stream(&stream).await.unwrap();
            }
        });
    }

    /// Halts the server, or lets it go on.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let server = self.server.as_ref().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(server), signal).unwrap();
    }

    /// Runs something with a connection of a node, in the namespace.
    pub(crate) fn as_member(&self, node: &Swarm, work: impl AsyncFnOnce(Client) + Send) {
        let directory = node.path("");
        self.on_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let layout = swarm::Layout::new(directory).unwrap();
                let bus = swarm::Member::open(layout, None).unwrap().bus();
                bus.connected(Duration::from_secs(10)).await.unwrap();
                work(bus).await;
            });
        });
    }

    /// Runs a command of the hub while the caller's tasks go on.
    pub(crate) async fn on_other_thread(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command(&self.swarm, arguments);
        tokio::task::spawn_blocking(move || run(&mut command))
            .await
            .unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = Command::new("ip")
            .args(["netns", "del", &self.namespace])
            .output();
    }
}

/// Waits for what takes several runs of the program.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A node that joins by what is carried.
pub(crate) fn admit(hub: &Swarm, edge: &Swarm, id: &str) {
    let request = edge.run(&["request", id]).success();
    let request = file(&edge.path(""), "request", &request);
    let grant = hub.run(&["grant", id, request.to_str().unwrap(), "--role", "edge"]);
    let grant = file(&edge.path(""), "grant", &grant.success());
    let shown = json_of(hub.run(&["--json", "ca", "show"]));
    let root = shown["root"]["fingerprint"].as_str().unwrap();
    edge.run(&["accept", "--root", root, grant.to_str().unwrap()])
        .success();
}

#[track_caller]
pub(crate) fn json_of(ended: Ended) -> Value {
    serde_json::from_str(&ended.success()).unwrap()
}

#[track_caller]
pub(crate) fn lines_of(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn event(number: u64) -> String {
    json!({"at": number, "event": {"kind": "up"}}).to_string()
}

#[test]
fn the_topics_are_shown_without_a_node() {
    let nowhere = Swarm::new();
    let topics = json_of(nowhere.run(&["--json", "bus", "topics"]));
    let events = topics
        .as_array()
        .unwrap()
        .iter()
        .find(|topic| topic["name"] == "NodeEvents")
        .unwrap();
    assert_eq!(events["template"], "swarm.events.node.{node}");
    assert_eq!(events["streams"], json!(["SWARM_EVENTS"]));
    assert_eq!(events["payload"]["has_schema"], true);
    let table = nowhere.run(&["bus", "topics"]).success();
    let line = table.lines().find(|line| line.starts_with("NodeEvents"));
    assert!(line.unwrap().contains("hub edge* operator*"), "{table}");

    let schema = json_of(nowhere.run(&["bus", "topics", "--schema", "swarm.events.node.n1"]));
    assert_eq!(schema["title"], "NodeEvent");
    let reply = ["bus", "topics", "--schema", "PingCommand", "--reply"];
    assert_eq!(json_of(nowhere.run(&reply))["title"], "Pong");
    let document = json_of(nowhere.run(&["bus", "topics", "--asyncapi"]));
    assert_eq!(document["asyncapi"], "3.0.0");
    assert!(document["operations"]["requestCommands"]["reply"].is_object());

    for (arguments, words) in [
        (
            &["--schema", "Nothing"][..],
            &["Nothing", "swarm bus topics"][..],
        ),
        (&["--schema", "TrustBundle"], &["application/octet-stream"]),
        (&["--schema", "NodeEvents", "--reply"], &["not answered"]),
    ] {
        let arguments = [&["bus", "topics"], arguments].concat();
        nowhere.run(&arguments).failure(2, words);
    }
}

#[test]
fn permissions_are_the_rendered_ones_and_explained() {
    let swarm = Swarm::bootstrapped();
    let node = swarm_bus::Token::from_static("edge7");
    let expected = Policy::mesh().permissions(&node, &[Role::Edge]);
    let shown =
        json_of(Swarm::new().run(&["--json", "bus", "permissions", "edge7", "--role", "edge"]));
    assert_eq!(shown["node"], "edge7");
    assert_eq!(shown["roles"], json!(["edge"]));
    let expected = serde_json::to_value(&expected).unwrap();
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    // This machine's node, as its certificate has it, and as the server is told.
    let own = json_of(swarm.run(&["--json", "bus", "permissions"]));
    assert_eq!(own["node"], "command0");
    assert!(
        own["roles"].as_array().unwrap().contains(&json!("hub")),
        "{own}"
    );
    let rendered = std::fs::read_to_string(swarm.path("nats/nats-server.conf")).unwrap();
    for list in ["publish_allow", "subscribe_allow"] {
        for subject in own[list].as_array().unwrap() {
            assert!(rendered.contains(subject.as_str().unwrap()), "{subject}");
        }
    }
    let table = swarm.run(&["bus", "permissions"]).success();
    assert!(table.contains("hub keeps the streams"), "{table}");

    let explain = |node: &str, role: &str, subject: &str| {
        json_of(swarm.run(&[
            "--json",
            "bus",
            "permissions",
            node,
            "--role",
            role,
            "--explain",
            subject,
        ]))
    };
    let reboot = explain("edge7", "edge", "swarm.commands.edge8.reboot");
    assert_eq!(reboot["publish"], json!({"allowed": false, "rules": []}));
    let reboot = explain("edge7", "operator", "swarm.commands.edge8.reboot");
    assert_eq!(
        reboot["publish"],
        json!({
            "allowed": true,
            "rules": ["operator may publish all swarm.commands.{node}.{verb}"],
        })
    );
    assert_eq!(reboot["subscribe"]["allowed"], false);
    let said = [
        "bus",
        "permissions",
        "e",
        "--role",
        "edge",
        "--explain",
        "swarm.telemetry.e.x",
    ];
    let said = swarm.run(&said).success();
    assert!(
        said.contains("publish    yes: edge may publish its own"),
        "{said}"
    );
    assert!(said.contains("subscribe  no"), "{said}");

    swarm
        .run(&["bus", "permissions", "edge9"])
        .failure(2, &["edge9 is not in the roster", "--role"]);
    swarm
        .run(&["bus", "permissions", "--explain", "a..b"])
        .failure(2, &["a..b"]);
    Swarm::new()
        .run(&["bus", "permissions"])
        .failure(2, &["there is no node"]);
}

#[test]
fn messages_are_published_and_heard() {
    let Some(hub) = Hub::start("bus::messages") else {
        return;
    };
    let arguments = [
        "--json",
        "bus",
        "sub",
        "swarm.events.>",
        "--count",
        "2",
        "--time",
        "30s",
    ];
    let mut listener = hub
        .command(&hub.swarm, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // what is published before it listens does not reach it
    until("two messages came", || {
        hub.edge(&["bus", "pub", "swarm.events.node.edge1", &event(1)])
            .success();
        listener.try_wait().unwrap().is_some()
    });
    let heard = Ended::of(listener.wait_with_output().unwrap()).success();
    let heard = lines_of(&heard);
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0]["subject"], "swarm.events.node.edge1");
    assert_eq!(
        heard[0]["payload"],
        json!({"at": 1, "event": {"kind": "up"}})
    );
    assert!(heard[0]["age_milliseconds"].as_u64().unwrap() > 1_000_000_000_000);

    // Time without a message: fine, unless some were asked for.
    hub.edge(&["bus", "sub", "--time", "200ms"]).success();
    hub.edge(&["bus", "sub", "--time", "200ms", "--count", "1"])
        .failure(1, &["0 of 1 messages"]);
    hub.edge(&["bus", "pub", "swarm.events.node.other", &event(1)])
        .failure(1, &["not permitted", "--explain 'swarm.events.node.other'"]);
    hub.edge(&["bus", "pub", "swarm.events.node.edge1", "{}"])
        .failure(2, &["not of the topic's type", "--schema NodeEvents"]);
    hub.edge(&["bus", "request", "swarm.commands.command0.ping"])
        .failure(1, &["nobody serves"]);
    hub.edge(&["bus", "sub", "elsewhere.>"])
        .failure(2, &["no topic", "swarm bus permissions"]);
}

#[test]
fn streams_are_listed_shown_and_emptied() {
    let Some(hub) = Hub::start("bus::streams") else {
        return;
    };
    let none = hub.hub(&["bus", "stream", "list"]).success();
    assert_eq!(none.trim(), "there is no stream");
    hub.make_streams();
    for number in 1..=3 {
        let subject = "swarm.events.node.edge1";
        let stored = hub.edge(&["--json", "bus", "pub", subject, &event(number), "--stored"]);
        let stored = json_of(stored);
        assert_eq!(stored["stream"], "SWARM_EVENTS");
        assert_eq!(stored["sequence"], number);
    }
    let listed = json_of(hub.hub(&["--json", "bus", "stream", "list"]));
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["name"])
        .collect();
    let all = [
        "KV_swarm-state",
        "OBJ_swarm-files",
        "SWARM_ENDPOINTS",
        "SWARM_EVENTS",
        "SWARM_TRUST",
    ];
    assert_eq!(names, all);
    let info = json_of(hub.hub(&["--json", "bus", "stream", "info", "SWARM_EVENTS"]));
    assert_eq!(
        (&info["messages"], &info["max_age_seconds"]),
        (&json!(3), &json!(604_800))
    );
    let info = hub
        .hub(&["bus", "stream", "info", "SWARM_EVENTS"])
        .success();
    assert!(
        info.contains("at most 7days") && info.contains("1..3"),
        "{info}"
    );

    let show = [
        "--json",
        "bus",
        "stream",
        "show",
        "SWARM_EVENTS",
        "--from",
        "2",
    ];
    let shown = lines_of(&hub.hub(&show).success());
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["sequence"], 2);
    assert_eq!(shown[0]["payload"]["event"]["kind"], "up");
    assert_eq!(shown[0]["error"], Value::Null);
    let one = [&show[..], &["--count", "1"]].concat();
    assert_eq!(lines_of(&hub.hub(&one).success()).len(), 1);
    let other = [&show[..], &["--subject", "swarm.events.node.edge2"]].concat();
    assert_eq!(hub.hub(&other).success(), "");

    let purge = [
        "--json",
        "bus",
        "stream",
        "purge",
        "SWARM_EVENTS",
        "--keep",
        "1",
    ];
    hub.hub(&purge).failure(2, &["holds 3 messages", "--yes"]);
    let purged = json_of(hub.hub(&[&purge[..], &["--yes"]].concat()));
    assert_eq!(purged, json!({"stream": "SWARM_EVENTS", "purged": 2}));
    assert_eq!(lines_of(&hub.hub(&show).success()).len(), 1);

    hub.hub(&["bus", "stream", "info", "NOWHERE"])
        .failure(1, &["no such stream", "swarm bus stream list"]);
    hub.hub(&["bus", "stream", "info", "a.b"])
        .failure(2, &["no name of a stream"]);
    hub.edge(&["bus", "stream", "list"])
        .failure(1, &["not permitted", "only a hub"]);
}

#[test]
fn the_bus_is_measured_within_bounds() {
    let Some(hub) = Hub::start("bus::bench") else {
        return;
    };
    hub.make_streams();
    let bench = [
        "--json", "bus", "bench", "--count", "50", "--size", "500", "--stored",
    ];
    let measured = json_of(hub.edge(&bench));
    let measured = measured.as_array().unwrap();
    let kinds: Vec<_> = measured
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["publish", "flushed", "request", "stored"]);
    for one in measured {
        assert_eq!(one["messages"], 50, "{one}");
        assert!(one["per_second"].as_f64().unwrap() > 0.0);
        let latency = &one["latency_milliseconds"];
        if one["what"] == "publish" {
            assert!(latency.is_null());
        } else {
            let at = |key: &str| latency[key].as_f64().unwrap();
            assert!(0.0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("max"));
        }
        if one["what"] != "request" {
            assert_eq!(one["payload_bytes"], 500, "{one}");
        }
    }
    let info = json_of(hub.hub(&["--json", "bus", "stream", "info", "SWARM_EVENTS"]));
    assert_eq!(info["messages"], 50);

    // Bounded in time as well.
    let short = [
        "--json", "bus", "bench", "--count", "1000000", "--time", "200ms",
    ];
    for one in json_of(hub.hub(&short)).as_array().unwrap() {
        assert!(one["messages"].as_u64().unwrap() < 1_000_000, "{one}");
    }
    hub.edge(&["bus", "bench", "--to", "command0"])
        .failure(1, &["nobody serves"]);
    hub.edge(&["bus", "bench", "--time", "2h"])
        .failure(2, &["--time"]);
    hub.edge(&["bus", "bench", "--count", "0"])
        .code
        .filter(|code| *code == 2)
        .unwrap();
}
