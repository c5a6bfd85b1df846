//! The dates on handshakes, where the clock is wrong.

use std::time::{Duration, SystemTime};

use super::{A, B, drops, elsewhere, of_type, pair, session};
use crate::core::{Core, CoreConfig, DropReason, TransmitBatch};
use crate::event::Event;
use crate::testing::{Network, NodeId, udp_packet};

/// A core with the key of a node, that lives on from what `floor` says, on a clock of its own.
fn reborn(network: &mut Network, of: NodeId, floor: SystemTime, wall: SystemTime) -> Core {
    let mut config = CoreConfig::new(network.core(of).private_key().clone());
    config.handshake_floor = Some(floor);
    Core::new(config, [9; 32], network.now(), wall)
}

#[test]
fn a_clock_behind_the_handshakes_of_an_earlier_life_is_named_and_peers_answer_all_the_same() {
    let mut network = session();
    let floor = network.core(A).handshake_floor();
    let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
    let mut core = reborn(&mut network, A, floor, epoch);
    let Some(Event::ClockBehind { behind }) = core.poll_event() else {
        panic!("no event")
    };
    assert_eq!(behind, floor.duration_since(epoch).unwrap());
    assert_eq!(core.handshake_floor(), floor);

    network.run_for(Duration::from_secs(1));
    let now = network.now();
    core.add_peer(&network.peer_config(B), now).unwrap();
    core.handle_inner(&udp_packet(Network::inner(A), Network::inner(B), b"x"), now);
    let mut batch = TransmitBatch::default();
    assert!(core.poll_transmit(&mut batch));
    let initiation = batch.iter().next().unwrap().payload.to_vec();
    network.inject(B, elsewhere(), &initiation);
    assert_eq!(of_type(&network.wire(), 2).len(), 1);
    assert_eq!(drops(&network, B, DropReason::ReplayedHandshake), 0);
    assert!(core.handshake_floor() > floor);
}

#[test]
fn a_step_of_the_clock_is_followed_and_a_step_back_is_named() {
    let mut network = pair();
    let later = network.wall_now() + Duration::from_secs(1000);
    network.with(A, |core, now| core.handle_wall_clock(later, now));
    network.send(A, B, b"x");
    network.run_for(Duration::from_millis(20));
    assert_eq!(network.received(B).len(), 1);
    let floor = network.core(A).handshake_floor();
    assert!(floor >= later);
    network.events(A);
    let back = later - Duration::from_secs(500);
    network.with(A, |core, now| core.handle_wall_clock(back, now));
    let behind = floor.duration_since(back).unwrap();
    assert_eq!(network.events(A), [Event::ClockBehind { behind }]);
}

#[test]
fn many_handshakes_at_one_moment_do_not_run_ahead_of_the_clock() {
    let mut network = pair();
    network.with(A, |core, now| {
        let mut batch = TransmitBatch::default();
        for n in 0..200 {
            let key = crate::PrivateKey::from_bytes([n + 10; 32]).public_key();
            core.add_peer(&crate::PeerConfig::new(key), now).unwrap();
            core.set_endpoint(&key, elsewhere(), now).unwrap();
            assert!(core.poll_transmit(&mut batch));
        }
    });
    assert_eq!(network.core(A).handshake_floor(), network.wall_now());
}

#[test]
fn a_peer_that_was_removed_and_added_again_at_once_is_not_taken_for_a_replay() {
    let mut network = pair();
    let config = network.peer_config(B);
    let key = config.public_key;
    let initiations = network.with(A, |core, now| {
        [(); 2].map(|()| {
            assert!(core.remove_peer(&key, now));
            core.add_peer(&config, now).unwrap();
            core.set_endpoint(&key, config.endpoint.unwrap(), now)
                .unwrap();
            let mut batch = TransmitBatch::default();
            assert!(core.poll_transmit(&mut batch));
            batch.iter().next().unwrap().payload.to_vec()
        })
    });
    for initiation in initiations {
        network.inject(B, elsewhere(), &initiation);
        network.run_for(Duration::from_millis(30));
    }
    assert_eq!(drops(&network, B, DropReason::ReplayedHandshake), 0);
    assert_eq!(of_type(&network.wire(), 2).len(), 2);
}
