//! Two tunnels of ours.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use swarm_wg::core::DropReason;
use swarm_wg::{Event, Tunnel};

use crate::lab::{Lab, Side, endpoint, peer};
use crate::programs::until;

/// Both ends up; A knows where B is, and B learns where A is.
fn pair(lab: &Lab) -> (Tunnel, Tunnel) {
    let a = lab.start(Side::A, lab.config(Side::A));
    let b = lab.start(Side::B, lab.config(Side::B));
    let mut to_b = peer(&b, Side::B);
    to_b.endpoint = Some(endpoint(Side::B, b.listen_port()));
    b.add_peer(peer(&a, Side::A)).unwrap();
    a.add_peer(to_b).unwrap();
    (a, b)
}

#[test]
fn packets_pass_both_ways_over_both_families_inside_and_outside() {
    let Some(lab) = Lab::new("packets_pass_both_ways_over_both_families_inside_and_outside") else {
        return;
    };
    let (a, b) = pair(&lab);
    let events = b.events();
    lab.assert_pings();
    lab.assert_transfers(1 << 20);
    let completed = Event::HandshakeCompleted {
        peer: a.public_key(),
    };
    assert!(std::iter::from_fn(|| events.try_recv()).any(|event| event == completed));

    // A packet of the transfers that is still on its way moves the endpoint back.
    let from = SocketAddr::new(Side::A.outer_v6(), a.listen_port());
    let to = SocketAddr::new(Side::B.outer_v6(), b.listen_port());
    assert!(until(Duration::from_secs(10), || {
        a.set_endpoint(&b.public_key(), to).unwrap();
        lab.assert_pings();
        b.peer(&a.public_key()).unwrap().endpoint == Some(from)
    }));

    let metrics = a.metrics();
    let received = metrics
        .samples()
        .into_iter()
        .find(|sample| sample.name == "wireguard_received_bytes_total")
        .unwrap();
    assert!(received.value > 2 << 20, "{received:?}");
    assert_eq!(a.metrics().drops.count(DropReason::SendFailed), 0);
}

#[test]
fn a_handshake_begins_at_once_for_a_keepalive_and_an_endpoint_told_later() {
    let Some(lab) =
        Lab::new("a_handshake_begins_at_once_for_a_keepalive_and_an_endpoint_told_later")
    else {
        return;
    };
    let a = lab.start(Side::A, lab.config(Side::A));
    let b = lab.start(Side::B, lab.config(Side::B));
    for (this, other, side) in [(&a, &b, Side::B), (&b, &a, Side::A)] {
        let mut peer = peer(other, side);
        peer.persistent_keepalive = Some(25);
        this.add_peer(peer).unwrap();
    }
    let events = a.events();
    assert!(events.recv_timeout(Duration::from_millis(300)).is_err());
    a.set_endpoint(&b.public_key(), endpoint(Side::B, b.listen_port()))
        .unwrap();
    let event = events.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(
        event,
        Event::HandshakeCompleted {
            peer: b.public_key()
        }
    );
    assert!(until(Duration::from_secs(5), || b
        .peer(&a.public_key())
        .unwrap()
        .session));
}

#[test]
fn a_removed_peer_is_cut_off_before_the_call_returns() {
    let Some(lab) = Lab::new("a_removed_peer_is_cut_off_before_the_call_returns") else {
        return;
    };
    let (a, b) = pair(&lab);
    assert!(lab.ping(Side::A, Side::B.inner()));
    for (from, remover, removed) in [(Side::A, &b, &a), (Side::B, &b, &a)] {
        let socket = lab
            .inside(from, || UdpSocket::bind((from.inner(), 0)))
            .unwrap();
        let to = SocketAddr::new(from.other().inner(), 9);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let _ = socket.send_to(&[0; 600], to);
                }
            });
            // Packets flow, and then none does.
            let before = lab.delivered(from.other());
            assert!(until(Duration::from_secs(10), || lab
                .delivered(from.other())
                > before + 100));
            assert!(remover.remove_peer(&removed.public_key()));
            let is_quiet = || {
                let before = lab.delivered(from.other());
                std::thread::sleep(Duration::from_millis(300));
                lab.delivered(from.other()) == before
            };
            if from == Side::B {
                // What the sending side let go waits in the other's socket, as long as that is busy.
                assert!(
                    until(Duration::from_secs(10), is_quiet),
                    "towards {:?}",
                    from.other()
                );
            } else {
                assert!(is_quiet(), "towards {:?}", from.other());
            }
            stop.store(true, Ordering::SeqCst);
        });
        assert!(remover.peer(&removed.public_key()).is_none());
        let mut again = peer(removed, Side::A);
        again.endpoint = Some(endpoint(Side::A, removed.listen_port()));
        remover.add_peer(again).unwrap();
        // A socket that is full from before may drop the first handshake.
        let back = until(Duration::from_secs(20), || {
            lab.ping(Side::B, Side::A.inner())
        });
        assert!(back, "the peer is back");
    }
}

#[test]
fn a_spoofed_inner_source_is_dropped_and_counted() {
    let Some(lab) = Lab::new("a_spoofed_inner_source_is_dropped_and_counted") else {
        return;
    };
    let (_a, b) = pair(&lab);
    assert!(lab.ping(Side::A, Side::B.inner()));
    lab.ip(
        Side::A,
        &[
            "addr",
            "add",
            "10.77.0.99/32",
            "dev",
            &lab.interface(Side::A),
        ],
    );
    let delivered = lab.delivered(Side::B);
    let ping = [
        "-c",
        "3",
        "-i",
        "0.2",
        "-W",
        "1",
        "-I",
        "10.77.0.99",
        "10.77.0.2",
    ];
    assert!(!lab.exec(Side::A, "ping", &ping).status.success());
    assert_eq!(b.metrics().drops.count(DropReason::SpoofedSource), 3);
    assert_eq!(lab.delivered(Side::B), delivered);
}

#[test]
fn a_peer_that_moves_is_found_where_it_went() {
    let Some(lab) = Lab::new("a_peer_that_moves_is_found_where_it_went") else {
        return;
    };
    let (a, b) = pair(&lab);
    assert!(lab.ping(Side::A, Side::B.inner()));
    let events = b.events();
    let from = b.peer(&a.public_key()).unwrap().endpoint;
    let port = lab.inside(Side::A, || a.set_listen_port(0)).unwrap();
    assert_ne!(from, Some(endpoint(Side::A, port)));
    assert!(lab.ping(Side::A, Side::B.inner()));
    let moved = Event::EndpointMoved {
        peer: a.public_key(),
        from,
        to: endpoint(Side::A, port),
    };
    assert!(std::iter::from_fn(|| events.try_recv()).any(|event| event == moved));
    lab.assert_pings();

    lab.ip(Side::A, &["addr", "del", "192.0.2.1/24", "dev", "cable"]);
    lab.ip(Side::A, &["addr", "add", "192.0.2.50/24", "dev", "cable"]);
    assert!(until(Duration::from_secs(10), || lab
        .ping(Side::A, Side::B.inner())));
    let now = b.peer(&a.public_key()).unwrap().endpoint.unwrap();
    assert_eq!(now.ip().to_string(), "192.0.2.50");
    assert!(lab.ping(Side::B, Side::A.inner()));
}

#[test]
fn allowed_ips_outside_the_subnet_have_routes_as_long_as_a_peer_has_them() {
    let Some(lab) =
        Lab::new("allowed_ips_outside_the_subnet_have_routes_as_long_as_a_peer_has_them")
    else {
        return;
    };
    let (a, b) = pair(&lab);
    let routes = || {
        let device = lab.interface(Side::A);
        lab.ip(Side::A, &["route", "show", "dev", &device])
            + &lab.ip(Side::A, &["-6", "route", "show", "dev", &device])
    };
    let mut wide = peer(&b, Side::B);
    wide.allowed_ips.extend(
        ["10.88.0.0/16", "fd88::/64", "0.0.0.0/0"].map(|p| p.parse::<ipnet::IpNet>().unwrap()),
    );
    a.update_peer(wide).unwrap();
    let text = routes();
    assert!(
        text.contains("10.88.0.0/16") && text.contains("fd88::/64"),
        "{text}"
    );
    assert!(
        !text.contains("default") && !text.contains("10.77.0.2"),
        "{text}"
    );
    let mut narrow = peer(&b, Side::B);
    narrow.allowed_ips.push("fd88::/64".parse().unwrap());
    a.update_peer(narrow).unwrap();
    assert!(!routes().contains("10.88") && routes().contains("fd88::/64"));
    a.remove_peer(&b.public_key());
    assert!(!routes().contains("fd88"));
}

#[test]
fn nothing_is_left_of_a_tunnel_that_was_dropped() {
    let Some(lab) = Lab::new("nothing_is_left_of_a_tunnel_that_was_dropped") else {
        return;
    };
    let tunnel = lab.start(Side::A, lab.config(Side::A));
    let (interface, port) = (tunnel.interface().to_owned(), tunnel.listen_port());
    let socket = format!("/var/run/wireguard/{interface}.sock");
    assert!(lab.ip(Side::A, &["link"]).contains(&interface));
    assert!(std::path::Path::new(&socket).exists());
    let events = tunnel.events();
    assert!(
        lab.inside(Side::A, || UdpSocket::bind(("0.0.0.0", port)))
            .is_err()
    );
    tunnel.shutdown();
    assert!(!lab.ip(Side::A, &["link"]).contains(&interface));
    assert!(!std::path::Path::new(&socket).exists());
    lab.inside(Side::A, || UdpSocket::bind(("0.0.0.0", port)))
        .unwrap();
    assert_eq!(events.recv(), Err(swarm_wg::RecvError::Closed));
}

#[test]
fn a_tunnel_that_cannot_start_says_why_and_leaves_nothing_behind() {
    let Some(lab) = Lab::new("a_tunnel_that_cannot_start_says_why_and_leaves_nothing_behind")
    else {
        return;
    };
    let taken = lab
        .inside(Side::A, || UdpSocket::bind("0.0.0.0:0"))
        .unwrap();
    let mut config = lab.config(Side::A);
    config.listen_port = taken.local_addr().unwrap().port();
    let error = lab
        .inside(Side::A, || Tunnel::start(config.clone()))
        .unwrap_err();
    assert!(matches!(error, swarm_wg::Error::Bind { .. }), "{error}");
    config.listen_port = 0;
    config.interface = "cable".parse().unwrap();
    let error = lab
        .inside(Side::A, || Tunnel::start(config.clone()))
        .unwrap_err();
    assert!(
        matches!(error, swarm_wg::Error::Interface { .. }),
        "{error}"
    );
    config.interface = lab.interface(Side::A).parse().unwrap();
    config.peers = vec![swarm_wg::PeerConfig::new(config.private_key.public_key())];
    let error = lab.inside(Side::A, || Tunnel::start(config)).unwrap_err();
    assert!(matches!(error, swarm_wg::Error::PeerIsSelf), "{error}");
    assert!(!lab.ip(Side::A, &["link"]).contains(&lab.interface(Side::A)));
}
