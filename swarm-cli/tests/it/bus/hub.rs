//! A hub's server with the configuration that a hub renders, and one edge.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use swarm_bus::client::Client;
use swarm_bus::topics::mesh_streams;

use crate::lab::{ended, find_tool, in_namespace, needs_root_and, run, until};
use crate::program::{Ended, Swarm, admit};

/// A hub's server in a network namespace that has the hub's address, and one edge.
pub(super) struct Hub {
    pub(super) swarm: Swarm,
    pub(super) edge: Swarm,
    namespace: String,
    server: Option<Child>,
}

impl Hub {
    /// Starts it; `None`, said on stderr, where the machine does not allow it.
    pub(super) fn start(test: &str) -> Option<Self> {
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
    pub(super) fn serve(&mut self) {
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
    pub(super) fn kill_server(&mut self) {
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

    pub(super) fn inside(&self, program: PathBuf) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    pub(super) fn command(&self, swarm: &Swarm, arguments: &[&str]) -> Command {
        let mut command = self.inside(env!("CARGO_BIN_EXE_swarm").into());
        command.arg("--dir").arg(swarm.path("")).args(arguments);
        command
    }

    /// Starts a command that is fed, and read, as it goes.
    pub(super) fn start_command(&self, swarm: &Swarm, arguments: &[&str]) -> Child {
        self.command(swarm, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a command to its end that reads this.
    pub(super) fn fed(&self, swarm: &Swarm, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self.start_command(swarm, arguments);
        child.stdin.take().unwrap().write_all(input).unwrap();
        ended(child, arguments)
    }

    pub(super) fn hub(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(&self.swarm, arguments))
    }

    pub(super) fn edge(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(&self.edge, arguments))
    }

    /// Runs something on a thread of its own, in the namespace.
    fn on_thread<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        in_namespace(&self.namespace, work)
    }

    /// Makes the streams, as a hub does when it starts.
    pub(super) fn make_streams(&self) {
        self.as_member(&self.swarm, async |bus| {
            for stream in mesh_streams() {
                bus.ensure_stream(&stream).await.unwrap();
            }
        });
    }

    /// Halts the server, or lets it go on.
    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        let server = self.server.as_ref().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(server), signal).unwrap();
    }

    /// Runs something with a connection of a node, in the namespace.
    pub(super) fn as_member(&self, node: &Swarm, work: impl AsyncFnOnce(Client) + Send) {
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
    pub(super) async fn on_other_thread(&self, arguments: &[&str]) -> Ended {
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
