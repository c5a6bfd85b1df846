//! Other implementations of WireGuard in userspace, on side B of a laboratory.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use swarm_wg::{PeerConfig, PresharedKey, PrivateKey, PublicKey, Tunnel};

use crate::lab::{Family, Lab, Side};
use crate::programs::{find_tool, run, until, wait};

/// Another implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    WireguardGo,
    Boringtun,
    Gotatun,
}

impl Program {
    pub(crate) const ALL: [Self; 3] = [Self::WireguardGo, Self::Boringtun, Self::Gotatun];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WireguardGo => "wireguard-go",
            Self::Boringtun => "boringtun-cli",
            Self::Gotatun => "gotatun",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::WireguardGo => &["-f"],
            Self::Boringtun | Self::Gotatun => {
                &["--disable-drop-privileges", "--verbosity", "error", "-f"]
            }
        }
    }

    /// Whether it counts keepalives as bytes received.
    pub(crate) fn counts_keepalives(self) -> bool {
        self == Self::WireguardGo
    }
}

/// What the other one is told of us.
#[derive(Default)]
pub(crate) struct Known<'a> {
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) preshared: Option<&'a PresharedKey>,
    pub(crate) keepalive: Option<u16>,
}

/// Another implementation that runs.
pub(crate) struct Foreign<'a> {
    lab: &'a Lab,
    program: Program,
    process: Child,
    output: File,
    pub(crate) key: PublicKey,
    pub(crate) port: u16,
}

impl<'a> Foreign<'a> {
    /// Starts it with a key, a port and its addresses, and nobody known.
    pub(crate) fn start(lab: &'a Lab, program: Program) -> Self {
        let interface = lab.interface(Side::B);
        let arguments: Vec<_> = program
            .arguments()
            .iter()
            .copied()
            .chain([&*interface])
            .collect();
        let output = tempfile::tempfile().unwrap();
        let private = PrivateKey::generate().unwrap();
        let mut foreign = Self {
            lab,
            program,
            process: lab.daemon(Side::B, program.name(), &arguments, &output),
            output,
            key: private.public_key(),
            port: 51_820,
        };
        let socket = format!("/var/run/wireguard/{interface}.sock");
        // wg takes a socket away that nobody listens on yet.
        let up = until(Duration::from_secs(10), || {
            UnixStream::connect(&socket).is_ok()
        });
        assert!(
            up,
            "{} does not come up: {}",
            program.name(),
            foreign.said()
        );
        foreign.set(
            &["private-key", "/dev/stdin", "listen-port", "51820"],
            &private.to_base64(),
        );
        for address in [
            format!("{}/24", Side::B.inner()),
            format!("{}/64", Side::B.inner_v6()),
        ] {
            let add = ["addr", "add", &address, "dev", &interface, "nodad"];
            let words = if address.contains(':') { 6 } else { 5 };
            lab.ip(Side::B, &add[..words]);
        }
        lab.ip(Side::B, &["link", "set", &interface, "mtu", "1420", "up"]);
        foreign
    }

    /// What it printed so far.
    pub(crate) fn said(&mut self) -> String {
        let mut text = String::new();
        self.output.rewind().unwrap();
        self.output.read_to_string(&mut text).unwrap();
        text
    }

    /// `wg set`, with something on its standard input.
    fn set(&self, arguments: &[&str], input: &str) {
        let mut child = Command::new(find_tool("wg").unwrap())
            .args(["set", &self.lab.interface(Side::B)])
            .args(arguments)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = wait(child, Duration::from_secs(10));
        assert!(
            output.status.success(),
            "{}: {output:?}",
            self.program.name()
        );
    }

    /// Has it know our tunnel. Once only: boringtun does not take changes of a peer.
    pub(crate) fn know(&self, ours: &Tunnel, known: &Known<'_>) {
        let key = ours.public_key().to_string();
        let allowed = format!("{}/32,{}/128", Side::A.inner(), Side::A.inner_v6());
        let mut arguments = vec!["peer", &key, "allowed-ips", &allowed];
        let endpoint = known.endpoint.map(|endpoint| endpoint.to_string());
        if let Some(endpoint) = &endpoint {
            arguments.extend(["endpoint", endpoint]);
        }
        let keepalive = known.keepalive.map(|seconds| seconds.to_string());
        if let Some(seconds) = &keepalive {
            arguments.extend(["persistent-keepalive", seconds]);
        }
        let input = known.preshared.map(|key| key.to_base64().to_string());
        if input.is_some() {
            arguments.extend(["preshared-key", "/dev/stdin"]);
        }
        self.set(&arguments, &input.unwrap_or_default());
    }

    /// Has it listen elsewhere.
    pub(crate) fn listen(&mut self, port: u16) {
        self.set(&["listen-port", &port.to_string()], "");
        self.port = port;
    }

    /// How it is known to us.
    pub(crate) fn as_peer(&self) -> PeerConfig {
        let mut peer = PeerConfig::new(self.key);
        peer.allowed_ips = vec![Side::B.inner().into(), Side::B.inner_v6().into()];
        peer
    }

    /// Where it is.
    pub(crate) fn at(&self, family: Family) -> SocketAddr {
        SocketAddr::new(Side::B.outer_of(family), self.port)
    }

    /// The endpoint it has for its one peer.
    pub(crate) fn endpoint(&self) -> Option<SocketAddr> {
        let text = self.show("endpoints");
        let endpoint: SocketAddr = text.split_whitespace().nth(1)?.parse().ok()?;
        // An IPv4 address may come in IPv6 clothes.
        let ip = match endpoint.ip() {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(v6.into(), IpAddr::from),
            v4 => v4,
        };
        Some(SocketAddr::new(ip, endpoint.port()))
    }

    /// The bytes it has received from its one peer.
    pub(crate) fn received(&self) -> u64 {
        let text = self.show("transfer");
        let bytes = text.split_whitespace().nth(1);
        bytes.unwrap().parse().unwrap()
    }

    fn show(&self, what: &str) -> String {
        run("wg", &["show", &self.lab.interface(Side::B), what])
    }
}

impl Drop for Foreign<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(format!(
            "/var/run/wireguard/{}.sock",
            self.lab.interface(Side::B)
        ));
    }
}
