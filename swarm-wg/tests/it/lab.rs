//! Two network namespaces joined by a cable, made by the test and gone with it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use swarm_wg::{PeerConfig, PrivateKey, Tunnel, TunnelConfig};

/// How long any single step may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The two ends of the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }

    /// The address on the cable.
    pub(crate) fn outer(self) -> IpAddr {
        [192, 0, 2, self.number()].into()
    }

    pub(crate) fn outer_v6(self) -> IpAddr {
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(self.number())].into()
    }

    /// The address inside the tunnel.
    pub(crate) fn inner(self) -> IpAddr {
        [10, 77, 0, self.number()].into()
    }

    pub(crate) fn inner_v6(self) -> IpAddr {
        [0xfd77, 0, 0, 0, 0, 0, 0, u16::from(self.number())].into()
    }
}

pub(crate) struct Lab {
    tag: String,
}

impl Lab {
    /// Makes a laboratory; `None`, said on stderr, where the machine does not allow it.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return skip(test, "needs root");
        }
        if !std::path::Path::new("/dev/net/tun").exists() {
            return skip(test, "needs /dev/net/tun");
        }
        for tool in ["ip", "ping"] {
            if find_tool(tool).is_none() {
                return skip(test, &format!("needs {tool}"));
            }
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        // Interface names have 15 characters, and the configuration sockets share a directory.
        let lab = Self {
            tag: format!("{:x}{number:x}", std::process::id()),
        };
        let (a, b) = (lab.namespace(Side::A), lab.namespace(Side::B));
        for side in [Side::A, Side::B] {
            run("ip", &["netns", "add", &lab.namespace(side)]);
        }
        run(
            "ip",
            &[
                "-n", &a, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
                &b,
            ],
        );
        for side in [Side::A, Side::B] {
            lab.ip(side, &["link", "set", "lo", "up"]);
            lab.ip(side, &["link", "set", "cable", "up"]);
            lab.ip(
                side,
                &[
                    "addr",
                    "add",
                    &format!("{}/24", side.outer()),
                    "dev",
                    "cable",
                ],
            );
            let v6 = format!("{}/64", side.outer_v6());
            lab.ip(side, &["addr", "add", &v6, "dev", "cable", "nodad"]);
        }
        Some(lab)
    }

    fn namespace(&self, side: Side) -> String {
        format!("swwg-{}-{}", self.tag, side.number())
    }

    /// The name of the tunnel interface on a side.
    pub(crate) fn interface(&self, side: Side) -> String {
        format!(
            "t{}{}",
            self.tag,
            ["a", "b"][usize::from(side.number()) - 1]
        )
    }

    pub(crate) fn ip(&self, side: Side, arguments: &[&str]) -> String {
        let namespace = self.namespace(side);
        let all: Vec<_> = ["-n", &namespace]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        run("ip", &all)
    }

    /// Runs a program in a side's namespace.
    pub(crate) fn exec(&self, side: Side, program: &str, arguments: &[&str]) -> Output {
        wait(self.spawn(side, program, arguments), PATIENCE)
    }

    /// Starts a program in a side's namespace, its output kept.
    pub(crate) fn spawn(&self, side: Side, program: &str, arguments: &[&str]) -> Child {
        let program = find_tool(program).unwrap_or_else(|| panic!("no {program}"));
        Command::new(find_tool("ip").expect("ip was there a moment ago"))
            .args(["netns", "exec", &self.namespace(side)])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// Calls a function on a thread inside a side's namespace.
    pub(crate) fn inside<R: Send>(&self, side: Side, call: impl FnOnce() -> R + Send) -> R {
        let path = format!("/var/run/netns/{}", self.namespace(side));
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    use std::os::fd::AsFd as _;
                    let namespace = std::fs::File::open(path).expect("the namespace is there");
                    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                    rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)
                        .expect("root may enter");
                    call()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The configuration of our tunnel on a side.
    pub(crate) fn config(&self, side: Side) -> TunnelConfig {
        let mut config = TunnelConfig::new(PrivateKey::generate().unwrap());
        config.interface = self.interface(side).parse().unwrap();
        config.addresses = vec![
            format!("{}/24", side.inner()).parse().unwrap(),
            format!("{}/64", side.inner_v6()).parse().unwrap(),
        ];
        config
    }

    pub(crate) fn start(&self, side: Side, config: TunnelConfig) -> Tunnel {
        self.inside(side, || Tunnel::start(config)).unwrap()
    }

    /// One ping through the tunnel from a side, with patience for a handshake.
    pub(crate) fn ping(&self, from: Side, to: IpAddr) -> bool {
        let to = to.to_string();
        self.exec(from, "ping", &["-c", "1", "-W", "5", "-n", &to])
            .status
            .success()
    }

    pub(crate) fn assert_pings(&self) {
        for side in [Side::A, Side::B] {
            assert!(self.ping(side, side.other().inner()), "IPv4 from {side:?}");
            assert!(
                self.ping(side, side.other().inner_v6()),
                "IPv6 from {side:?}"
            );
        }
    }

    /// Sends bytes over TCP from a side to an address of the other, and reads them there.
    pub(crate) fn transfer(&self, from: Side, to: IpAddr, length: usize) {
        let listener = self
            .inside(from.other(), || TcpListener::bind((to, 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let data: Vec<u8> = (0..length).map(|n| (n * 31 % 251) as u8).collect();
        std::thread::scope(|scope| {
            let received = scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut received = Vec::new();
                stream.read_to_end(&mut received).unwrap();
                received
            });
            let mut stream = self
                .inside(from, || TcpStream::connect_timeout(&address, PATIENCE))
                .unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&data).unwrap();
            drop(stream);
            assert!(
                received.join().unwrap() == data,
                "TCP from {from:?} to {to}"
            );
        });
    }

    pub(crate) fn assert_transfers(&self, length: usize) {
        for side in [Side::A, Side::B] {
            self.transfer(side, side.other().inner(), length);
            self.transfer(side, side.other().inner_v6(), length);
        }
    }

    /// Packets that the tunnel interface of a side has delivered.
    pub(crate) fn delivered(&self, side: Side) -> u64 {
        let text = self.ip(side, &["-s", "link", "show", "dev", &self.interface(side)]);
        let counts = text
            .lines()
            .skip_while(|line| !line.trim_start().starts_with("RX:"))
            .nth(1);
        let counts: Vec<_> = counts.unwrap().split_whitespace().collect();
        counts[1].parse().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for side in [Side::A, Side::B] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.namespace(side)])
                .output();
        }
    }
}

/// How a side is known to the other.
pub(crate) fn peer(tunnel: &Tunnel, side: Side) -> PeerConfig {
    let mut peer = PeerConfig::new(tunnel.public_key());
    peer.allowed_ips = vec![side.inner().into(), side.inner_v6().into()];
    peer
}

pub(crate) fn endpoint(side: Side, port: u16) -> SocketAddr {
    SocketAddr::new(side.outer(), port)
}

/// Says that a test is skipped; where nothing may be, it fails.
pub(crate) fn skip<T>(test: &str, reason: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{test}: {reason}");
    eprintln!("SKIPPED: {test}: {reason}");
    None
}

/// Finds a program on the path, or among the tools of the workspace.
pub(crate) fn find_tool(name: &str) -> Option<PathBuf> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = [
        "/usr/sbin".into(),
        "/sbin".into(),
        "/usr/bin".into(),
        workspace.into(),
    ];
    std::env::split_paths(&path)
        .chain(system)
        .map(|dir: PathBuf| dir.join(name))
        .find(|file| file.is_file())
}

/// Runs a program that must succeed; returns what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let path = find_tool(program).unwrap_or_else(|| panic!("no {program}"));
    let child = Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let output = wait(child, PATIENCE);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for a program, and ends it when that takes too long.
pub(crate) fn wait(mut child: Child, patience: Duration) -> Output {
    until(patience, || {
        child
            .try_wait()
            .expect("a child can be waited for")
            .is_some()
    });
    let _ = child.kill();
    child.wait_with_output().expect("a child can be waited for")
}

/// Waits until something is true; says whether it became so in time.
#[allow(clippy::disallowed_methods, reason = "these tests run in real time")]
pub(crate) fn until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < patience {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    done()
}
