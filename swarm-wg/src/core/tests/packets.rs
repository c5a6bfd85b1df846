//! Packets between two cores: delivered, padded, refused, kept waiting.

use std::time::Duration;

use super::{A, B, C, drops, elsewhere, of_type, pair, session};
use crate::core::DropReason;
use crate::core::wire::COUNTER_LIMIT;
use crate::event::Event;
use crate::testing::{Link, Network, NodeId, udp_packet};

#[test]
fn a_packet_that_waited_for_the_handshake_arrives_and_so_does_the_answer() {
    let mut network = pair();
    network.send(A, B, b"question");
    network.run_for(Duration::from_millis(20));
    let expected = udp_packet(Network::inner(A), Network::inner(B), b"question");
    assert_eq!(network.received(B), [expected]);
    network.send(B, A, b"answer");
    network.run_for(Duration::from_millis(20));
    assert_eq!(network.received(A).len(), 1);
    for (id, other) in [(A, B), (B, A)] {
        let peer = network.core(other).public_key();
        let completed = Event::HandshakeCompleted { peer };
        let events = network.events(id);
        assert_eq!(
            events.iter().filter(|event| **event == completed).count(),
            1
        );
        let stats = network.peer(id, other);
        assert!(stats.session && stats.latest_handshake.is_some());
    }
    assert_eq!(
        network.core(A).drops().total() + network.core(B).drops().total(),
        0
    );
}

#[test]
fn plaintexts_are_padded_to_sixteen_and_never_past_the_mtu() {
    let mut network = session();
    for (payload, sealed) in [
        (0, 32 + 32),
        (4, 32 + 32),
        (5, 48 + 32),
        (1391, 1420 + 32),
        (1392, 1420 + 32),
    ] {
        network.send(A, B, &vec![7; payload]);
        network.run_for(Duration::from_millis(5));
        let wire = network.wire();
        assert_eq!(of_type(&wire, 4)[0].len(), sealed, "payload of {payload}");
        assert_eq!(network.received(B)[0].len(), 28 + payload);
    }
}

#[test]
fn a_counter_near_its_end_is_refused_before_any_arithmetic() {
    let mut network = session();
    network.send(A, B, b"x");
    let mut datagram = network.wire().pop().unwrap();
    for counter in [COUNTER_LIMIT, u64::MAX - 1, u64::MAX] {
        datagram[8..16].copy_from_slice(&counter.to_le_bytes());
        network.inject(B, elsewhere(), &datagram);
    }
    assert_eq!(drops(&network, B, DropReason::CounterLimit), 3);
    datagram[8..16].copy_from_slice(&(COUNTER_LIMIT - 1).to_le_bytes());
    network.inject(B, elsewhere(), &datagram);
    assert_eq!(drops(&network, B, DropReason::BadTag), 1);
}

#[test]
fn a_packet_from_an_address_of_another_peer_is_dropped_and_counted() {
    let mut network = Network::new(1);
    for _ in 0..3 {
        network.add_node();
    }
    network.connect(A, B);
    network.connect(A, C);
    // C's prefix is wider than B's address, which lies inside it.
    let mut wide = network.peer_config(C);
    wide.allowed_ips = vec!["10.0.0.0/16".parse().unwrap()];
    network
        .with(A, |core, now| core.update_peer(&wide, now))
        .unwrap();
    network.send(C, A, b"as myself");
    network.run_for(Duration::from_millis(20));
    assert_eq!(network.received(A).len(), 1);
    let spoofed = udp_packet(Network::inner(B), Network::inner(A), b"as B");
    network.with(C, |core, now| core.handle_inner(&spoofed, now));
    network.run_for(Duration::from_millis(20));
    assert!(network.received(A).is_empty());
    assert_eq!(drops(&network, A, DropReason::SpoofedSource), 1);
}

#[test]
fn packets_that_wait_are_bounded_and_their_loss_is_counted() {
    let mut network = pair();
    for _ in 0..300 {
        network.send(A, B, b"x");
    }
    assert_eq!(drops(&network, A, DropReason::QueueFull), 300 - 128);
    assert_eq!(network.wire().len(), 1, "one initiation for all of them");
    network.run_for(Duration::from_millis(20));
    assert_eq!(network.received(B).len(), 128);
}

#[test]
fn a_lossy_reordering_duplicating_link_delivers_each_packet_at_most_once() {
    let mut network = session();
    let jitter = Duration::from_millis(20);
    let link = Link {
        jitter,
        loss: 100,
        duplicates: 200,
        ..Default::default()
    };
    network.set_link(link);
    for n in 0..500u16 {
        network.send(A, B, &n.to_be_bytes());
    }
    network.run_for(Duration::from_millis(100));
    let received = network.received(B);
    let mut distinct = received.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), received.len());
    assert!((400..=480).contains(&received.len()), "{}", received.len());
    assert!(drops(&network, B, DropReason::ReplayedData) > 50);
    assert_ne!(received, distinct, "nothing was reordered");
}

#[test]
fn a_packet_two_thousand_late_is_delivered_and_one_that_the_window_has_passed_is_not() {
    let mut network = session();
    let mut sealed = Vec::new();
    for n in 0..10_000u32 {
        network.send(A, B, &n.to_be_bytes());
        sealed.append(&mut network.wire());
    }
    // The cable took all of them; their order on it is this test's.
    network.set_plugged(B, false);
    network.run_for(Duration::from_millis(5));
    let from = network.address(A);
    let mut arrives = |n: usize| {
        network.inject(B, from, &sealed[n]);
        network.received(B).len() == 1
    };
    assert!(arrives(9_999));
    assert!(arrives(7_999), "2,000 late");
    assert!(arrives(10_000 - 8_128), "at the end of the window");
    assert!(!arrives(9_999 - 8_128));
    assert!(!arrives(7_999), "twice");
    assert_eq!(drops(&network, B, DropReason::ReplayedData), 2);
}

#[test]
fn packets_that_wait_for_many_peers_are_bounded_together() {
    let mut network = Network::new(1);
    network.add_node();
    let mut sent = 0u64;
    for n in 1..=60 {
        let peer = network.add_node();
        network.connect(A, peer);
        network.set_plugged(peer, false);
        for _ in 0..100 {
            network.send(A, NodeId(n), &[0; 1372]);
            sent += 1;
        }
    }
    let waiting = sent - drops(&network, A, DropReason::QueueFull);
    let bytes = waiting * 1400;
    assert!((3 << 20..=4 << 20).contains(&bytes), "{bytes} bytes wait");
    // They are let go with the attempts to reach their peers.
    network.run_for(Duration::from_secs(100));
    assert_eq!(drops(&network, A, DropReason::HandshakeTimeout), waiting);
}
