//! Handshakes between two cores: replayed, forged, under load, at the same moment.

use std::net::SocketAddr;
use std::time::Duration;

use super::{A, B, drops, elsewhere, endpoint, of_type, pair, session};
use crate::core::DropReason;
use crate::key::PresharedKey;
use crate::testing::Network;

#[test]
fn a_replayed_initiation_is_refused_even_after_the_session_was_made_anew() {
    let mut network = pair();
    network.send(A, B, b"x");
    let initiation = network.wire().pop().unwrap();
    network.run_for(Duration::from_millis(50));
    network.inject(B, elsewhere(), &initiation);
    assert_eq!(drops(&network, B, DropReason::ReplayedHandshake), 1);
    // A new pre-shared key makes B's state for A anew; what it remembers must survive that.
    let mut config = network.peer_config(A);
    config.preshared_key = Some(PresharedKey::from_bytes([3; 32]));
    network
        .with(B, |core, now| core.update_peer(&config, now))
        .unwrap();
    network.run_for(Duration::from_millis(50));
    network.inject(B, elsewhere(), &initiation);
    assert_eq!(drops(&network, B, DropReason::ReplayedHandshake), 2);
    assert_ne!(endpoint(&network, A, B), Some(elsewhere()));
}

#[test]
fn under_load_a_cookie_is_asked_for_and_no_endpoint_moves_for_it() {
    let mut network = Network::new(1);
    network.add_node();
    network.add_node_with(|config| config.handshakes_before_cookies = 3);
    network.connect(A, B);
    let before = endpoint(&network, B, A);
    network.send(A, B, b"x");
    let initiation = network.wire().pop().unwrap();
    // A flood of initiations with a right MAC: all but the first are replays. The limit
    // counts real seconds, so a slow machine may begin a new one in between.
    for n in 0..20u16 {
        let source = SocketAddr::new([198, 51, 100, 7].into(), 1000 + n);
        network.inject(B, source, &initiation);
    }
    let cookies = drops(&network, B, DropReason::CookieSent);
    let refused = drops(&network, B, DropReason::ReplayedHandshake)
        + drops(&network, B, DropReason::InitiationFlood);
    assert!(
        cookies > 0 && cookies + refused == 19,
        "{cookies} + {refused}"
    );
    let wire = network.wire();
    let reply = of_type(&wire, 3)[0].clone();
    assert_eq!(reply.len(), 64);
    // The reply is authentic to A, which still must not move B for it.
    network.inject(A, elsewhere(), &reply);
    assert_eq!(drops(&network, A, DropReason::BadCookie), 0);
    assert_eq!(endpoint(&network, B, A), before);
    network.inject(A, elsewhere(), &[&reply[..63], &[reply[63] ^ 1]].concat());
    assert_eq!(drops(&network, A, DropReason::BadCookie), 1);
}

#[test]
fn garbage_is_counted_and_costs_no_answer() {
    let mut network = session();
    let mut initiation = vec![0u8; 148];
    initiation[0] = 1;
    network.inject(A, elsewhere(), &initiation);
    network.inject(A, elsewhere(), b"hello");
    let mut data = vec![0u8; 64];
    data[0] = 4;
    network.inject(A, elsewhere(), &data);
    assert_eq!(drops(&network, A, DropReason::BadMac), 1);
    assert_eq!(drops(&network, A, DropReason::NotWireGuard), 1);
    assert_eq!(drops(&network, A, DropReason::UnknownIndex), 1);
    assert!(network.wire().is_empty());
}

#[test]
fn an_initiation_from_a_stranger_is_counted_and_not_answered() {
    let mut network = Network::new(1);
    for _ in 0..2 {
        network.add_node();
    }
    let config = network.peer_config(B);
    network
        .with(A, |core, now| core.add_peer(&config, now))
        .unwrap();
    network.send(A, B, b"x");
    network.run_for(Duration::from_millis(5));
    assert_eq!(drops(&network, B, DropReason::UnknownPeer), 1);
    assert_eq!(network.wire().len(), 1);
}

#[test]
fn both_may_begin_at_the_same_moment() {
    let mut network = pair();
    network.send(A, B, b"from A");
    network.send(B, A, b"from B");
    network.run_for(Duration::from_millis(50));
    assert_eq!(network.received(A).len(), 1);
    assert_eq!(network.received(B).len(), 1);
}
