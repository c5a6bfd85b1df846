//! `swarm bus pub --spool`: what a running node keeps on its disk until the bus is there.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use swarm_bus::topics::NodeEvent;

use super::Hub;
use crate::lab::{run, skip, until};
use crate::program::{Ended, json_of, lines_of, words};

const SUBJECT: &str = "swarm.events.node.edge1";

/// The edge's node at work, on the machine of the hub's server.
struct Daemon<'a> {
    hub: &'a Hub,
    process: Child,
}

impl<'a> Daemon<'a> {
    /// Starts it, with a file system of so many bytes for its spool where that is said.
    fn start(hub: &'a Hub, spool_bytes: Option<u32>) -> Self {
        // the configuration sockets of tunnels are a machine's own
        let mut script = "mount -t tmpfs tmpfs /run && ".to_owned();
        let spool = hub.edge.path("nodes/edge1/spool");
        if let Some(bytes) = spool_bytes {
            std::fs::create_dir_all(&spool).unwrap();
            script.push_str(&format!(
                "mount -t tmpfs -o size={bytes} tmpfs '{}' && ",
                spool.display()
            ));
        }
        script.push_str("exec \"$@\"");
        let log = File::options()
            .create(true)
            .append(true)
            .open(hub.edge.path("up.log"))
            .unwrap();
        let mut command = hub.inside("sh".into());
        command.args([
            "-c",
            &script,
            "sh",
            env!("CARGO_BIN_EXE_swarm"),
            "-v",
            "--dir",
        ]);
        let process = command
            .arg(hub.edge.path(""))
            .arg("up")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { hub, process }
    }

    /// As a power cut would.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    #[track_caller]
    fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let mut status = Value::Null;
        until(what, || {
            let ended = self.hub.edge.run(&["--json", "status"]);
            status = serde_json::from_str(&ended.output).unwrap_or_default();
            so(&status)
        });
        status
    }

    fn spool(&self, event: &Value) -> Ended {
        let event = event.to_string();
        let arguments = ["--json", "bus", "pub", "--spool", SUBJECT, &event];
        self.hub.edge.run(&arguments)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether a node can be started here; said on stderr where not.
fn start(test: &str) -> Option<Hub> {
    if !Path::new("/dev/net/tun").exists() {
        return skip(test, "needs /dev/net/tun");
    }
    if run(Command::new("sh").args(["-c", "command -v mount"])).code != Some(0) {
        return skip(test, "needs mount");
    }
    let hub = Hub::start(test)?;
    hub.make_streams();
    Some(hub)
}

fn told(number: u64) -> Value {
    json!({"at": number, "event": {"kind": "custom", "name": "told", "body": number}})
}

fn alert(node: &str) -> Value {
    json!({"at": 1, "event": {
        "kind": "alert", "severity": "critical", "key": "disk", "summary": "full",
        "labels": {"node": node},
    }})
}

fn is_connected(status: &Value) -> bool {
    status["bus"]["connected"] == true && status["events"]["waiting"] == 0
}

/// The events of applications that the stream has, in its order, and the alerts among them.
fn stored(hub: &Hub) -> Vec<Value> {
    let show = words("--json bus stream show SWARM_EVENTS --count=1000");
    let events = lines_of(&hub.hub(&show).success()).into_iter();
    let events = events.map(|line| line["payload"].clone());
    let of_applications =
        |event: &Value| ["custom", "alert"].contains(&event["event"]["kind"].as_str().unwrap());
    events.filter(of_applications).collect()
}

#[test]
fn what_is_spooled_without_the_bus_is_stored_once_and_in_order_when_it_is_back() {
    let Some(mut hub) = start("bus::spool::outage") else {
        return;
    };
    let daemon = Daemon::start(&hub, None);
    daemon.until("the bus", is_connected);
    daemon.spool(&told(0)).success();
    until("the first is stored", || stored(&hub).len() == 1);
    daemon.kill();

    // From here on the bus is away; the node is started without it.
    hub.kill_server();
    let daemon = Daemon::start(&hub, None);
    daemon.until("the node", |status| status["bus"]["connected"] == false);
    hub.edge(&["bus", "pub", SUBJECT, &told(1).to_string()])
        .failure(1, &["swarm status"]);
    let mut ids = Vec::new();
    let mut before = 0;
    for number in 1..=20 {
        let spooled = json_of(daemon.spool(&told(number)));
        ids.push(spooled["id"].as_str().unwrap().to_owned());
        let waiting = spooled["waiting"].as_u64().unwrap();
        assert!(waiting > before, "{waiting} after {before}");
        before = waiting;
    }
    let all: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(all.len(), ids.len(), "{ids:?}");
    let event = told(21).to_string();
    let said = hub.edge.run(&["bus", "pub", "--spool", SUBJECT, &event]);
    assert!(said.success().contains("wait for the bus"));
    // The node's machine loses its power as well.
    daemon.kill();
    let daemon = Daemon::start(&hub, None);
    daemon.until("the node again", |status| {
        status["events"]["waiting"].as_u64() > Some(before)
    });
    daemon.spool(&told(22)).success();
    daemon.spool(&alert("edge1")).success();
    daemon.kill();

    hub.serve();
    let daemon = Daemon::start(&hub, None);
    daemon.until("the bus again", is_connected);
    let mut expected: Vec<_> = (0..=22).map(told).collect();
    expected.push(alert("edge1"));
    expected[23]["event"]["resolved"] = json!(false);
    assert_eq!(stored(&hub), expected);
    // and by the ids that were told
    let show = words("--json bus stream show SWARM_EVENTS --count=1000");
    let lines = lines_of(&hub.hub(&show).success());
    let known: Vec<_> = lines
        .iter()
        .filter_map(|line| line["id"].as_str())
        .collect();
    assert!(
        ids.iter().all(|id| known.contains(&id.as_str())),
        "{known:?}"
    );
}

#[test]
fn what_the_node_does_not_take_is_refused_with_the_reason() {
    let Some(hub) = start("bus::spool::refused") else {
        return;
    };
    // room for some events, and no more
    let daemon = Daemon::start(&hub, Some(1 << 20));
    daemon.until("the bus", is_connected);

    // In another node's name, by this command and past it.
    let forged = alert("edge2");
    daemon
        .spool(&forged)
        .failure(2, &["edge2", "label `node`", "edge1"]);
    let event: NodeEvent = serde_json::from_value(forged).unwrap();
    let socket = hub.edge.path("nodes/edge1/control.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let refused = runtime.block_on(swarm::control::spool_event(&socket, &event));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("edge2"), "{refused}");
    let other = [
        "bus",
        "pub",
        "--spool",
        "swarm.events.node.edge2",
        &told(1).to_string(),
    ];
    hub.edge
        .run(&other)
        .failure(2, &["edge2 is not this node", "--node"]);

    // A disk that is full while the server does not answer: nothing leaves the spool.
    hub.signal(rustix::process::Signal::STOP);
    let body = "x".repeat(100_000);
    let large = json!({"at": 1, "event": {"kind": "custom", "name": "large", "body": body}});
    let mut taken = 0;
    let refused = loop {
        let ended = daemon.spool(&large);
        if ended.code != Some(0) {
            break ended;
        }
        taken += 1;
        assert!(taken < 20, "it all goes into one mebibyte");
    };
    hub.signal(rustix::process::Signal::CONT);
    refused.failure(
        1,
        &["the node does not take it", "No space left", "swarm status"],
    );
    // What was taken is stored, and then there is room again.
    daemon.until("all is stored", is_connected);
    until("there is room", || daemon.spool(&told(7)).code == Some(0));
    daemon.until("that too", is_connected);
    let stored = stored(&hub);
    assert_eq!(stored.len(), taken + 1);
    assert_eq!(stored[taken], told(7));
}
