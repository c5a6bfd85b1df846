//! Two network namespaces joined by a cable, made by the test and gone with it.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use swarm_wg::{PeerConfig, PrivateKey, Tunnel, TunnelConfig};

use crate::programs::{PATIENCE, find_tool, run, skip, wait};

/// The two families of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

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

    pub(crate) fn outer_of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.outer(),
            Family::V6 => self.outer_v6(),
        }
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

    /// Starts a program in a side's namespace, its output kept for whoever waits for it.
    pub(crate) fn spawn(&self, side: Side, program: &str, arguments: &[&str]) -> Child {
        self.command(side, program, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// Starts a program in a side's namespace that nobody waits for; its output goes to a file.
    pub(crate) fn daemon(
        &self,
        side: Side,
        program: &str,
        arguments: &[&str],
        output: &File,
    ) -> Child {
        let copy = || output.try_clone().expect("a file can be opened twice");
        self.command(side, program, arguments)
            .stdout(copy())
            .stderr(copy())
            .spawn()
            .expect("the program starts")
    }

    fn command(&self, side: Side, program: &str, arguments: &[&str]) -> Command {
        let program = find_tool(program).unwrap_or_else(|| panic!("no {program}"));
        let mut command = Command::new(find_tool("ip").expect("ip was there a moment ago"));
        command
            .args(["netns", "exec", &self.namespace(side)])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null());
        command
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
