//! Where peers are: learnt from what is authentic, and told.

use std::time::Duration;

use super::{A, B, drops, elsewhere, endpoint, of_type, session};
use crate::core::DropReason;
use crate::event::Event;
use crate::testing::Network;

#[test]
fn an_endpoint_moves_for_an_authentic_packet_and_not_for_a_replay_or_a_forgery() {
    let mut network = session();
    let before = endpoint(&network, A, B);
    network.send(A, B, b"x");
    let genuine = network.wire().pop().unwrap();
    let mut forged = genuine.clone();
    *forged.last_mut().unwrap() ^= 1;
    network.inject(B, elsewhere(), &forged);
    assert_eq!(endpoint(&network, A, B), before);
    network.run_for(Duration::from_millis(5));
    network.inject(B, elsewhere(), &genuine);
    assert_eq!(endpoint(&network, A, B), before);
    assert_eq!(drops(&network, B, DropReason::ReplayedData), 1);
    assert_eq!(drops(&network, B, DropReason::BadTag), 1);

    network.set_address(A, elsewhere());
    network.send(A, B, b"y");
    network.run_for(Duration::from_millis(5));
    assert_eq!(endpoint(&network, A, B), Some(elsewhere()));
    let peer = network.core(A).public_key();
    let moved = Event::EndpointMoved {
        peer,
        from: before,
        to: elsewhere(),
    };
    assert!(network.events(B).contains(&moved));
    // And the answer goes there.
    network.send(B, A, b"z");
    network.run_for(Duration::from_millis(5));
    assert_eq!(network.received(A).len(), 1);
}

#[test]
fn an_endpoint_told_without_a_session_starts_a_handshake_at_once_and_again_after_a_second() {
    let mut network = Network::new(1);
    for _ in 0..2 {
        network.add_node();
    }
    for (this, other) in [(A, B), (B, A)] {
        let mut config = network.peer_config(other);
        config.endpoint = None;
        network
            .with(this, |core, now| core.add_peer(&config, now))
            .unwrap();
    }
    network.send(A, B, b"nowhere to go");
    assert_eq!(drops(&network, A, DropReason::NoEndpoint), 1);
    let peer = network.core(B).public_key();
    // The first goes where nobody is, as through a NAT that is still shut.
    network
        .with(A, |core, now| core.set_endpoint(&peer, elsewhere(), now))
        .unwrap();
    assert_eq!(of_type(&network.wire(), 1).len(), 1);
    network.run_for(Duration::from_millis(10));
    network.set_address(B, elsewhere());
    network.run_for(Duration::from_millis(1400));
    assert_eq!(of_type(&network.wire(), 1).len(), 1);
    assert!(network.core(A).peer(&peer, network.now()).unwrap().session);
}
