//! A hub's server and that of a site on one machine, with the configurations that the two render.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use swarm::{Layout, Member};
use swarm_bus::client::Client;
use swarm_bus::topics::{leaf_streams, mesh_streams_with};

use super::{EDGE, PATIENCE, ensure, leaf};
use crate::lab::{find_tool, in_namespace, needs_root_and, run};
use crate::program::{Swarm, admit};

/// Servers that soon notice a dead link, and an edge with a bus of its own.
const PLAN: &str = "[nodes.edge1]\nleaf = true\n[nats]\nping_interval = \"1s\"\n";

/// A hub's server, and a leaf node's on the same machine, in a network namespace of its own.
pub(super) struct Site {
    pub(super) hub: Swarm,
    pub(super) edge: Swarm,
    pub(super) other: Swarm,
    namespace: String,
    servers: [Option<Child>; 2],
}

#[derive(Clone, Copy)]
pub(super) enum End {
    Hub = 0,
    Edge = 1,
}

impl Site {
    /// Prepares both servers; `None`, said on stderr, where the machine does not allow it.
    pub(super) fn new(test: &str) -> Option<Self> {
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
        site.rule("add", &["pref", "10", "lookup", "local"]);
        site.rule("del", &["pref", "0"]);
        site.link("add");
        Some(site)
    }

    pub(super) fn member(&self, swarm: &Swarm) -> Member {
        Member::open(Layout::new(swarm.path("")).unwrap(), None).unwrap()
    }

    fn ip(&self, arguments: &[&str]) {
        run(Command::new("ip").args(arguments)).success();
    }

    /// Makes the hub's address, or takes it away: nothing gets through then, and nobody is told.
    pub(super) fn link(&self, verb: &str) {
        let hub = self.member(&self.hub).plan().nats_address();
        let address = format!("{}/32", hub.ip());
        self.ip(&["-n", &self.namespace, "addr", verb, &address, "dev", "lo"]);
    }

    fn rule(&self, verb: &str, rule: &[&str]) {
        let command = ["-n", &self.namespace, "rule", verb];
        self.ip(&[&command[..], rule].concat());
    }

    /// Takes the link between the two servers away, or gives it back: nothing gets through, nobody is
    /// told, and clients go on with the server that they have.
    pub(super) fn between(&self, verb: &str) {
        let port = self.member(&self.hub).plan().leaf_link_address().port();
        let port = port.to_string();
        for side in ["dport", "sport"] {
            self.rule(
                verb,
                &["pref", "5", "ipproto", "tcp", side, &port, "blackhole"],
            );
        }
    }

    pub(super) fn start(&mut self, end: End) {
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
    pub(super) fn kill(&mut self, end: End) {
        let mut server = self.servers[end as usize].take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    pub(super) fn reload_hub(&self) {
        let id = self.servers[0].as_ref().unwrap().id().to_string();
        run(Command::new("kill").args(["-HUP", &id])).success();
    }

    pub(super) fn log(&self, swarm: &Swarm) -> String {
        std::fs::read_to_string(swarm.path("nats.log")).unwrap_or_default()
    }

    /// Runs a test on a thread of its own, in the namespace.
    pub(super) fn inside(mut self, test: impl AsyncFnOnce(&mut Self) + Send) {
        in_namespace(&self.namespace.clone(), move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(test(&mut self));
        });
    }

    /// Starts both servers and makes the streams of both, as the nodes do.
    pub(super) async fn begin(&mut self) -> (Client, Client) {
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
