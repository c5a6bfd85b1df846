//! Against Debian's wireguard-go, as initiator and as responder.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use swarm_wg::{Event, PeerConfig, PresharedKey, PrivateKey, PublicKey, Tunnel};

use crate::lab::{Lab, Side, endpoint, find_tool, run, skip, until, wait};

/// A wireguard-go on side B.
struct Foreign<'a> {
    lab: &'a Lab,
    process: Child,
    key: PublicKey,
    port: u16,
}

impl<'a> Foreign<'a> {
    fn start(lab: &'a Lab) -> Self {
        let interface = lab.interface(Side::B);
        let mut process = lab.spawn(Side::B, "wireguard-go", &["-f", &interface]);
        let socket = format!("/var/run/wireguard/{interface}.sock");
        let up = until(Duration::from_secs(10), || Path::new(&socket).exists());
        if !up {
            let _ = process.kill();
            panic!(
                "wireguard-go does not come up: {:?}",
                process.wait_with_output()
            );
        }
        let private = PrivateKey::generate().unwrap();
        let foreign = Self {
            lab,
            process,
            key: private.public_key(),
            port: 51_820,
        };
        foreign.set(
            &["private-key", "/dev/stdin", "listen-port", "51820"],
            &private.to_base64(),
        );
        for address in [
            format!("{}/24", Side::B.inner()),
            format!("{}/64", Side::B.inner_v6()),
        ] {
            lab.ip(Side::B, &["addr", "add", &address, "dev", &interface]);
        }
        lab.ip(Side::B, &["link", "set", &interface, "mtu", "1420", "up"]);
        foreign
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
        assert!(output.status.success(), "{output:?}");
    }

    /// Has it know our tunnel.
    fn know(&self, ours: &Tunnel, endpoint: Option<&str>, preshared: Option<&PresharedKey>) {
        let key = ours.public_key().to_string();
        let allowed = format!("{}/32,{}/128", Side::A.inner(), Side::A.inner_v6());
        let mut arguments = vec!["peer", &key, "allowed-ips", &allowed];
        if let Some(endpoint) = endpoint {
            arguments.extend(["endpoint", endpoint]);
        }
        let input = preshared.map(|key| key.to_base64().to_string());
        if input.is_some() {
            arguments.extend(["preshared-key", "/dev/stdin"]);
        }
        self.set(&arguments, &input.unwrap_or_default());
    }

    fn as_peer(&self) -> PeerConfig {
        let mut peer = PeerConfig::new(self.key);
        peer.allowed_ips = vec![Side::B.inner().into(), Side::B.inner_v6().into()];
        peer
    }

    /// The endpoint it has for its one peer.
    fn endpoint(&self) -> String {
        let text = run("wg", &["show", &self.lab.interface(Side::B), "endpoints"]);
        text.split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
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

fn lab(test: &str) -> Option<Lab> {
    for tool in ["wireguard-go", "wg"] {
        if find_tool(tool).is_none() {
            return skip(test, &format!("needs {tool}"));
        }
    }
    Lab::new(test)
}

/// Which side begins the handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Initiator {
    Ours,
    Theirs,
}

/// Pings without a pause while a session is renewed, with transfers before and after.
fn survive_a_rekey(lab: &Lab, initiator: Initiator, preshared: Option<PresharedKey>) {
    let ours = lab.start(Side::A, lab.config(Side::A));
    let theirs = Foreign::start(lab);
    let mut peer = theirs.as_peer();
    peer.preshared_key = preshared.clone();
    let at = endpoint(Side::A, ours.listen_port()).to_string();
    match initiator {
        Initiator::Ours => {
            peer.endpoint = Some(endpoint(Side::B, theirs.port));
            theirs.know(&ours, None, preshared.as_ref());
        }
        Initiator::Theirs => theirs.know(&ours, Some(&at), preshared.as_ref()),
    }
    ours.add_peer(peer).unwrap();
    let events = ours.events();
    let (first, second) = match initiator {
        Initiator::Ours => (Side::A, Side::B),
        Initiator::Theirs => (Side::B, Side::A),
    };
    // Whoever pings first begins; the other one could not.
    assert!(lab.ping(first, second.inner()), "{initiator:?}");
    assert!(lab.ping(second, first.inner()), "{initiator:?}");
    lab.assert_pings();
    lab.assert_transfers(1 << 20);

    // A session is renewed after 120 s; the pings go on past it, in both directions.
    let ping = |side: Side| {
        let to = side.other().inner().to_string();
        lab.spawn(
            side,
            "ping",
            &["-q", "-n", "-i", "0.2", "-c", "690", "-W", "2", &to],
        )
    };
    let pings = [ping(first), ping(second)];
    for child in pings {
        let output = wait(child, Duration::from_secs(170));
        let text = String::from_utf8_lossy(&output.stdout);
        let received = text
            .split(", ")
            .find_map(|part| part.strip_suffix(" received"))
            .and_then(|count| count.parse::<u32>().ok());
        assert!(
            received.is_some_and(|count| count >= 688),
            "{initiator:?}: {text}"
        );
    }
    let completed = std::iter::from_fn(|| events.try_recv())
        .filter(|event| *event == Event::HandshakeCompleted { peer: theirs.key })
        .count();
    assert!(completed >= 2, "{initiator:?}: {completed} handshakes");
    lab.assert_transfers(1 << 20);
    let stats = ours.peer(&theirs.key).unwrap();
    assert!(
        stats.rx_bytes > 4 << 20 && stats.tx_bytes > 4 << 20,
        "{stats:?}"
    );
}

#[test]
fn sessions_with_wireguard_go_survive_their_renewal_whoever_began() {
    let test = "sessions_with_wireguard_go_survive_their_renewal_whoever_began";
    let Some((first, second)) = lab(test).zip(lab(test)) else {
        return;
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let key = PresharedKey::generate().unwrap();
            survive_a_rekey(&first, Initiator::Ours, Some(key));
        });
        scope.spawn(|| survive_a_rekey(&second, Initiator::Theirs, None));
    });
}

#[test]
fn a_wrong_pre_shared_key_keeps_wireguard_go_out() {
    let Some(lab) = lab("a_wrong_pre_shared_key_keeps_wireguard_go_out") else {
        return;
    };
    let ours = lab.start(Side::A, lab.config(Side::A));
    let theirs = Foreign::start(&lab);
    let mut peer = theirs.as_peer();
    peer.endpoint = Some(endpoint(Side::B, theirs.port));
    peer.preshared_key = Some(PresharedKey::from_bytes([1; 32]));
    let wrong = PresharedKey::from_bytes([2; 32]);
    theirs.know(&ours, None, Some(&wrong));
    ours.add_peer(peer.clone()).unwrap();
    assert!(!lab.ping(Side::A, Side::B.inner()));
    // The right key, told while running, lets it in.
    peer.preshared_key = Some(wrong);
    ours.update_peer(peer).unwrap();
    assert!(until(Duration::from_secs(15), || lab
        .ping(Side::A, Side::B.inner())));
}

#[test]
fn wireguard_go_and_the_tunnel_follow_each_other_when_they_move() {
    let Some(lab) = lab("wireguard_go_and_the_tunnel_follow_each_other_when_they_move") else {
        return;
    };
    let ours = lab.start(Side::A, lab.config(Side::A));
    let theirs = Foreign::start(&lab);
    let mut peer = theirs.as_peer();
    peer.endpoint = Some(endpoint(Side::B, theirs.port));
    theirs.know(&ours, None, None);
    ours.add_peer(peer).unwrap();
    lab.assert_pings();

    theirs.set(&["listen-port", "50001"], "");
    assert!(lab.ping(Side::B, Side::A.inner()));
    assert_eq!(
        ours.peer(&theirs.key).unwrap().endpoint,
        Some(endpoint(Side::B, 50_001))
    );
    lab.ip(Side::B, &["addr", "del", "192.0.2.2/24", "dev", "cable"]);
    lab.ip(Side::B, &["addr", "add", "192.0.2.60/24", "dev", "cable"]);
    // wireguard-go goes on sending from the address that is gone ("network is unreachable")
    // until it begins a handshake, 15 seconds later.
    let found = until(Duration::from_secs(40), || {
        lab.ping(Side::B, Side::A.inner())
    });
    let (drops, stats) = (ours.metrics().drops, ours.peer(&theirs.key));
    let drops: Vec<_> = drops.iter().filter(|(_, count)| *count > 0).collect();
    assert!(
        found,
        "{stats:?}, dropped {drops:?}, theirs at {}",
        theirs.endpoint()
    );
    let now = ours.peer(&theirs.key).unwrap().endpoint.unwrap();
    assert_eq!(now.to_string(), "192.0.2.60:50001");

    let port = lab.inside(Side::A, || ours.set_listen_port(0)).unwrap();
    assert!(lab.ping(Side::A, Side::B.inner()));
    assert_eq!(theirs.endpoint(), endpoint(Side::A, port).to_string());
    lab.assert_pings();
}
