//! A hub and a node with a bus of its own, whole: two daemons on two machines, from the invite to the
//! revocation.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use swarm::{Layout, Member};
use swarm_pki::tls::Expected;

use crate::lab::{Lab, SIDES, Side, run};
use crate::program::{Ended, Swarm, admit, file, lines_of, words};

/// How long anything may take: a homeserver has to come up, and servers notice a dead link after some seconds.
const PATIENCE: Duration = Duration::from_secs(90);
const HUB: Side = SIDES[0];
const EDGE: Side = SIDES[1];
const PLAN: &str = "[swarm]\nname = \"swarm\"\n\
    [nodes.command0]\nroles = [\"hub\"]\nendpoint = \"192.0.2.1:51820\"\nenroll = \"192.0.2.1:7443\"\n\
    [nodes.edge1]\nleaf = true\n[nodes.edge2]\nleaf = true\n[nats]\nping_interval = \"1s\"\n";
const PING: [&str; 4] = [
    "bus",
    "request",
    "swarm.commands.edge1.ping",
    "--timeout=5s",
];

/// Two machines and what runs on them.
struct Site {
    swarms: [Swarm; 2],
    daemons: [Option<Child>; 2],
    // last: daemons end before the network does
    lab: Lab,
}

impl Site {
    fn new(test: &str) -> Option<Self> {
        let lab = Lab::new(
            test,
            &["ip", "nats-server", "synapse_homeserver", "setpriv"],
        )?;
        for side in SIDES {
            lab.ip(side, &["link", "set", "lo", "up"]);
        }
        let swarms = [Swarm::new(), Swarm::new()];
        std::fs::create_dir_all(swarms[0].path("")).unwrap();
        file(&swarms[0].path(""), "swarm.toml", PLAN);
        swarms[0].run(&["bootstrap"]).success();
        // two of them: what one answers must not be what the other answers
        admit(&swarms[0], &Swarm::new(), "edge2");
        Some(Self {
            swarms,
            daemons: [None, None],
            lab,
        })
    }

    fn swarm(&self, side: Side) -> &Swarm {
        &self.swarms[usize::from(side.0) - 1]
    }

    /// The program on a machine, whose configuration sockets are its own.
    fn command(&self, side: Side, arguments: &[&str]) -> Command {
        const SCRIPT: &str = "mount -t tmpfs tmpfs /run && exec \"$@\"";
        let directory = self.swarm(side).path("");
        let program = env!("CARGO_BIN_EXE_swarm");
        let own = [
            "-c",
            SCRIPT,
            "sh",
            program,
            "--dir",
            directory.to_str().unwrap(),
        ];
        self.lab
            .command(side, "sh", &[&own[..], arguments].concat())
    }

    fn run(&self, side: Side, arguments: &[&str]) -> Ended {
        run(&mut self.command(side, arguments))
    }

    fn start(&mut self, side: Side) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.swarm(side).path("up.log"))
            .unwrap();
        let daemon = self
            .command(side, &["-v", "up"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemons[usize::from(side.0) - 1] = Some(daemon);
    }

    /// As a power cut would: what the daemon started ends with it.
    fn kill(&mut self, side: Side) {
        let mut daemon = self.daemons[usize::from(side.0) - 1].take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// What a daemon says of itself; `Null` when it says nothing.
    fn status(&self, side: Side) -> Value {
        let ended = self.run(side, &["--json", "status"]);
        serde_json::from_str(&ended.output).unwrap_or_default()
    }

    #[track_caller]
    fn until(&self, side: Side, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status(side);
            if so(&status) {
                return status;
            }
            if start.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.swarm(side).path("up.log")).unwrap();
                let lines: Vec<_> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(40)..].join("\n");
                panic!("never: {what}; status {status:#}; its log ends with\n{last}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The events of the edge that the hub has, in their order.
    fn events(&self) -> Vec<Value> {
        let subject = "--subject=swarm.events.node.edge1";
        let show = [
            "--json",
            "bus",
            "stream",
            "show",
            "SWARM_EVENTS",
            "--count=1000",
            subject,
        ];
        let ended = self.run(HUB, &show);
        let lines = lines_of(&ended.success());
        lines
            .into_iter()
            .map(|line| line["payload"]["event"].clone())
            .collect()
    }

    /// Waits until the hub has so many events of the edge, and a little longer: none comes twice.
    #[track_caller]
    fn arrived(&self, count: usize) -> Vec<Value> {
        let start = Instant::now();
        while self.events().len() < count {
            assert!(
                start.elapsed() < PATIENCE,
                "never: {count} events, of {:?}",
                self.events()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        std::thread::sleep(Duration::from_secs(2));
        self.events()
    }

    /// What a machine sees of a key of the mesh's state, once it is there.
    #[track_caller]
    fn state(&self, side: Side, key: &str) -> Value {
        let start = Instant::now();
        loop {
            let ended = self.run(side, &["--json", "bus", "kv", "get", "swarm-state", key]);
            if ended.code == Some(0) {
                let entry: Value = serde_json::from_str(&ended.output).unwrap();
                return entry["value"].clone();
            }
            assert!(start.elapsed() < PATIENCE, "never: {key}: {}", ended.said);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn tell(&self, number: u64) {
        let event = json!({"at": number, "event": told(number)}).to_string();
        let subject = "swarm.events.node.edge1";
        self.run(EDGE, &["bus", "pub", "--spool", subject, &event])
            .success();
    }

    /// Waits until the hub's request is answered over the link.
    #[track_caller]
    fn answered(&self) {
        let start = Instant::now();
        loop {
            let ended = self.run(HUB, &PING);
            if ended.code == Some(0) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "no answer: {}", ended.said);
        }
    }

    /// The serial number of the certificate that the edge's own server shows its clients.
    fn shown(&self) -> String {
        let root = self.swarm(EDGE).path("");
        self.lab
            .inside(EDGE, || {
                let member = Member::open(Layout::new(root).unwrap(), None).unwrap();
                let address = SocketAddr::from(([127, 0, 0, 1], 4322));
                let stream = TcpStream::connect(address).ok()?;
                stream
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap();
                let mut info = String::new();
                BufReader::with_capacity(1, &stream)
                    .read_line(&mut info)
                    .ok()?;
                let config = member
                    .tls()
                    .client_config(Expected::Node("edge1".parse().unwrap()), &[]);
                let connection = ClientConnection::new(config, address.ip().into()).unwrap();
                let mut tls = StreamOwned::new(connection, stream);
                tls.write_all(b"PING\r\n").and_then(|()| tls.flush()).ok()?;
                let shown = tls.conn.peer_certificates()?.first()?;
                Some(
                    swarm_pki::Certificate::from_der(shown)
                        .unwrap()
                        .serial()
                        .to_string(),
                )
            })
            .unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().flatten() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn told(number: u64) -> Value {
    json!({"kind": "custom", "name": "told", "body": number})
}

fn is_linked(status: &Value) -> bool {
    status["bus"]["connected"] == true && status["link"]["connected"] == true
}

fn has_ready_bus(status: &Value) -> bool {
    let services = status["services"].as_array();
    services.is_some_and(|services| {
        services
            .iter()
            .any(|service| service["name"] == "nats-server" && service["ready"] == true)
    })
}

#[test]
fn a_node_with_a_bus_of_its_own_lives_from_the_invite_to_the_revocation() {
    let Some(mut site) = Site::new("leaf_node::a_node_with_a_bus_of_its_own") else {
        return;
    };
    site.start(HUB);
    site.until(HUB, "the hub's bus", |status| {
        has_ready_bus(status) && status["bus"]["connected"] == true && status["link"].is_null()
    });

    // It joins, and its bus comes up and finds the hub's.
    let invite = site.run(HUB, &["invite", "edge1"]).success();
    let invite = file(site.lab.directory.path(), "invite", &invite);
    site.run(EDGE, &["join", invite.to_str().unwrap()])
        .success();
    site.start(EDGE);
    let status = site.until(EDGE, "its bus and the link", |status| {
        is_linked(status) && has_ready_bus(status) && status["events"]["waiting"] == 0
    });
    let state = status["bus"]["state"].as_str().unwrap();
    assert!(state.contains("127.0.0.1:4322"), "{state}");
    let text = site.run(EDGE, &["status"]).output;
    assert!(text.contains("link to hub  connected"), "{text}");
    assert_eq!(site.arrived(1), [json!({"kind": "up"})]);
    site.answered();

    // State is the hub's, and goes both ways.
    for (side, key) in [
        (HUB, "edge1.node"),
        (EDGE, "command0.node"),
        (EDGE, "edge1.node"),
    ] {
        let value = site.state(side, key);
        assert_eq!(
            value["version"],
            env!("CARGO_PKG_VERSION"),
            "{key}: {value}"
        );
    }
    let put = words("bus kv put swarm-state edge1.mode \"night\"");
    site.run(EDGE, &put).success();
    assert_eq!(site.state(HUB, "edge1.mode"), "night");

    // What is told without the hub is kept here, and arrives once and in order.
    site.kill(HUB);
    for number in 0..10 {
        site.tell(number);
    }
    site.until(EDGE, "no link, and all in its own stream", |status| {
        status["link"]["connected"] == false
            && status["bus"]["connected"] == true
            && status["events"]["waiting"] == 0
    });
    // A power cut here, too: what its disk has is asked about, and none is stored twice.
    site.kill(EDGE);
    site.start(EDGE);
    site.until(EDGE, "its own bus again", |status| {
        status["events"]["waiting"] == 0 && has_ready_bus(status)
    });
    for number in 10..20 {
        site.tell(number);
    }
    site.start(HUB);
    site.until(EDGE, "the link again", is_linked);
    let events = site.arrived(22);
    let up = || json!({"kind": "up"});
    let mut expected = vec![up()];
    expected.extend((0..10).map(told));
    expected.push(up());
    expected.extend((10..20).map(told));
    assert_eq!(events, expected);
    site.answered();

    // A new certificate, which its server shows, and brings to the hub's.
    let before = site.shown();
    site.run(EDGE, &["renew"]).success();
    let start = Instant::now();
    let serial = site.status(EDGE)["certificate"]["serial"].clone();
    while site.shown() != serial {
        assert!(
            start.elapsed() < PATIENCE,
            "{} is shown, not {serial}",
            site.shown()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_ne!(before, serial);
    site.until(EDGE, "the link with the new certificate", is_linked);
    site.answered();
    site.tell(20);
    // Its server was away for a moment, which it tells as well.
    let since = site.arrived(25).split_off(22);
    for wanted in [&up(), &told(20)] {
        assert_eq!(
            since.iter().filter(|event| *event == wanted).count(),
            1,
            "{since:?}"
        );
    }
    let renewed = |event: &&Value| event["kind"] == "renewed";
    assert_eq!(
        (since.len(), since.iter().filter(renewed).count()),
        (3, 1),
        "{since:?}"
    );

    // Revoked, it says what it likes to itself.
    let had = site.events().len();
    site.run(HUB, &["revoke", "edge1", "--reason", "key-compromise"])
        .success();
    site.until(EDGE, "cut off", |status| {
        status["link"]["connected"] == false
    });
    site.tell(21);
    assert_ne!(site.run(HUB, &PING).code, Some(0));
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(site.events().len(), had);
    assert_eq!(site.status(EDGE)["link"]["connected"], false);
}
