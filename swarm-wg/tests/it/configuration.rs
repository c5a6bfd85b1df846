//! Debian's `wg` against the configuration socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use swarm_wg::{PeerConfig, PrivateKey, Tunnel};

use crate::lab::{Lab, Side};
use crate::programs::{find_tool, run, skip};

fn tunnel(test: &str) -> Option<(Lab, Tunnel)> {
    if find_tool("wg").is_none() {
        return skip(test, "needs wg");
    }
    let lab = Lab::new(test)?;
    let tunnel = lab.start(Side::A, lab.config(Side::A));
    Some((lab, tunnel))
}

fn peer(n: u8) -> PeerConfig {
    let mut peer = PeerConfig::new(PrivateKey::from_bytes([n; 32]).public_key());
    peer.allowed_ips = vec![format!("10.77.0.{n}/32").parse().unwrap()];
    peer
}

#[test]
fn wg_shows_the_tunnel_and_its_peers() {
    let Some((lab, tunnel)) = tunnel("wg_shows_the_tunnel_and_its_peers") else {
        return;
    };
    let interface = lab.interface(Side::A);
    let mut first = peer(11);
    first.endpoint = Some("192.0.2.2:1234".parse().unwrap());
    first.persistent_keepalive = Some(25);
    first.preshared_key = Some(swarm_wg::PresharedKey::from_bytes([7; 32]));
    tunnel.add_peer(first.clone()).unwrap();
    tunnel.add_peer(peer(12)).unwrap();

    let text = run("wg", &["show", &interface]);
    assert!(
        text.contains(&format!("public key: {}", tunnel.public_key())),
        "{text}"
    );
    assert!(
        text.contains(&format!("listening port: {}", tunnel.listen_port())),
        "{text}"
    );
    assert!(text.contains("endpoint: 192.0.2.2:1234"), "{text}");
    assert!(
        text.contains("persistent keepalive: every 25 seconds"),
        "{text}"
    );

    let dump = run("wg", &["show", &interface, "dump"]);
    let lines: Vec<Vec<&str>> = dump
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(lines.len(), 3, "{dump}");
    assert_eq!(lines[0][1], tunnel.public_key().to_string());
    assert_eq!(lines[0][3], "off");
    let line = lines
        .iter()
        .find(|line| line[0] == first.public_key.to_string())
        .unwrap();
    let psk = swarm_wg::PresharedKey::from_bytes([7; 32]).to_base64();
    assert_eq!(
        line[1..5],
        [psk.as_str(), "192.0.2.2:1234", "10.77.0.11/32", "0"]
    );
    assert_eq!(line[7], "25");
    assert!(run("wg", &["show", "interfaces"]).contains(&interface));
}

#[test]
fn wg_set_changes_peers_and_the_tunnel() {
    let Some((lab, tunnel)) = tunnel("wg_set_changes_peers_and_the_tunnel") else {
        return;
    };
    let interface = lab.interface(Side::A);
    let key = peer(11).public_key;
    let name = key.to_string();
    run(
        "wg",
        &[
            "set",
            &interface,
            "peer",
            &name,
            "allowed-ips",
            "10.77.0.11/32,fd77::11/128",
            "endpoint",
            "[2001:db8::2]:99",
            "persistent-keepalive",
            "30",
        ],
    );
    let stats = tunnel.peer(&key).unwrap();
    assert_eq!(stats.allowed_ips.len(), 2);
    assert_eq!(stats.endpoint, Some("[2001:db8::2]:99".parse().unwrap()));
    assert_eq!(stats.persistent_keepalive, Some(30));

    run(
        "wg",
        &[
            "set",
            &interface,
            "peer",
            &name,
            "persistent-keepalive",
            "off",
        ],
    );
    let stats = tunnel.peer(&key).unwrap();
    assert_eq!(
        (stats.persistent_keepalive, stats.allowed_ips.len()),
        (None, 2)
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    let private = PrivateKey::generate().unwrap();
    file.as_file()
        .write_all(private.to_base64().as_bytes())
        .unwrap();
    let path = file.path().to_str().unwrap();
    run(
        "wg",
        &[
            "set",
            &interface,
            "private-key",
            path,
            "listen-port",
            "45454",
            "fwmark",
            "0x51",
        ],
    );
    assert_eq!(tunnel.public_key(), private.public_key());
    assert_eq!(tunnel.listen_port(), 45454);
    assert!(run("wg", &["show", &interface, "fwmark"]).contains("0x51"));

    run("wg", &["set", &interface, "peer", &name, "remove"]);
    assert!(tunnel.peers().is_empty());
}

#[test]
fn wg_syncconf_leaves_what_is_the_same_alone() {
    let Some((lab, tunnel)) = tunnel("wg_syncconf_leaves_what_is_the_same_alone") else {
        return;
    };
    let interface = lab.interface(Side::A);
    tunnel.add_peer(peer(11)).unwrap();
    tunnel.add_peer(peer(12)).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "[Interface]\nPrivateKey = {}\nListenPort = {}\n[Peer]\nPublicKey = {}\nAllowedIPs = 10.77.0.12/32\n\
         [Peer]\nPublicKey = {}\nAllowedIPs = 10.77.0.13/32\n",
        lab_key(&interface),
        tunnel.listen_port(),
        peer(12).public_key,
        peer(13).public_key,
    );
    file.as_file().write_all(text.as_bytes()).unwrap();
    run(
        "wg",
        &["syncconf", &interface, file.path().to_str().unwrap()],
    );
    let keys: Vec<_> = tunnel.peers().iter().map(|peer| peer.public_key).collect();
    let mut expected = [peer(12).public_key, peer(13).public_key];
    expected.sort();
    assert_eq!(keys, expected);
    assert!(run("wg", &["showconf", &interface]).contains("10.77.0.13/32"));
}

fn lab_key(interface: &str) -> String {
    run("wg", &["show", interface, "private-key"])
        .trim()
        .to_owned()
}

#[test]
fn a_client_that_breaks_the_protocol_or_falls_silent_holds_up_nobody() {
    let Some((lab, tunnel)) =
        tunnel("a_client_that_breaks_the_protocol_or_falls_silent_holds_up_nobody")
    else {
        return;
    };
    let path = format!("/var/run/wireguard/{}.sock", lab.interface(Side::A));
    let connect = || {
        let stream = UnixStream::connect(&path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    };
    let mut silent = connect();
    silent.write_all(b"get=1\n").unwrap();
    let mut broken = connect();
    broken
        .write_all(b"set=1\nlisten_port=1\nnonsense=1\n\nget=1\n\n")
        .unwrap();
    broken.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    broken.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("errno=-22\n\nprivate_key="), "{answer}");
    assert!(answer.ends_with("errno=0\n\n"), "{answer}");
    assert!(answer.contains(&format!("listen_port={}\n", tunnel.listen_port())));
    let mut endless = connect();
    let mut sent = 0;
    while sent < 64 << 20 && endless.write_all(&[b'x'; 64 << 10]).is_ok() {
        sent += 64 << 10;
    }
    assert!(sent < 64 << 20, "a request without end was read to no end");
    run("wg", &["show", &lab.interface(Side::A)]);
}
