//! The core against other cores.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::DropReason;
use super::wire::COUNTER_LIMIT;
use crate::event::Event;
use crate::key::{PresharedKey, PublicKey};
use crate::testing::{Network, NodeId, udp_packet};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);

fn pair() -> Network {
    let mut network = Network::new(1);
    network.add_node();
    network.add_node();
    network.connect(A, B);
    network
}

/// A pair with a session, nothing left on the wire.
fn session() -> Network {
    let mut network = pair();
    network.send(A, B, b"first");
    network.run_for(Duration::from_millis(20));
    assert_eq!(network.received(B).len(), 1);
    network.wire();
    network
}

fn elsewhere() -> SocketAddr {
    "203.0.113.9:4000".parse().unwrap()
}

fn drops(network: &Network, id: NodeId, reason: DropReason) -> u64 {
    network.core(id).drops().count(reason)
}

fn endpoint(network: &Network, of: NodeId, at: NodeId) -> Option<SocketAddr> {
    network.peer(at, of).endpoint
}

fn of_type(wire: &[Vec<u8>], kind: u8) -> Vec<&Vec<u8>> {
    wire.iter().filter(|datagram| datagram[0] == kind).collect()
}

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
fn a_pre_shared_key_must_be_the_same_and_may_change_while_running() {
    let mut network = session();
    let key = PresharedKey::from_bytes([9; 32]);
    let mut config = network.peer_config(B);
    config.preshared_key = Some(key.clone());
    network
        .with(A, |core, now| core.update_peer(&config, now))
        .unwrap();
    network.send(A, B, b"alone with the key");
    network.run_for(Duration::from_millis(30));
    assert!(network.received(B).is_empty());
    assert_eq!(drops(&network, A, DropReason::BadHandshake), 1);
    let mut config = network.peer_config(A);
    config.preshared_key = Some(key);
    network
        .with(B, |core, now| core.update_peer(&config, now))
        .unwrap();
    network.send(B, A, b"both with the key");
    network.run_for(Duration::from_millis(30));
    assert_eq!(network.received(A).len(), 1);
    assert_eq!(
        network.received(B).len(),
        1,
        "what waited is sent in the new session"
    );
    // The same key again changes nothing.
    let mut config = network.peer_config(A);
    config.preshared_key = Some(PresharedKey::from_bytes([9; 32]));
    network
        .with(B, |core, now| core.update_peer(&config, now))
        .unwrap();
    let peer = network.core(A).public_key();
    assert!(network.core(B).peer(&peer, network.now()).unwrap().session);
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

#[test]
fn a_removed_peer_is_gone_at_once_both_ways() {
    let mut network = session();
    network.send(B, A, b"on its way");
    let peer = network.core(B).public_key();
    assert!(network.with(A, |core, now| core.remove_peer(&peer, now)));
    assert!(!network.with(A, |core, now| core.remove_peer(&peer, now)));
    network.send(A, B, b"no route");
    network.run_for(Duration::from_millis(20));
    assert!(network.received(A).is_empty() && network.received(B).is_empty());
    assert_eq!(drops(&network, A, DropReason::UnknownIndex), 1);
    assert_eq!(drops(&network, A, DropReason::NoRoute), 1);
}

#[test]
fn a_prefix_belongs_to_the_last_peer_that_claimed_it() {
    let mut network = Network::new(1);
    for _ in 0..3 {
        network.add_node();
    }
    network.connect(A, B);
    let mut config = network.peer_config(C);
    config.allowed_ips = vec![Network::inner(B).into()];
    network
        .with(A, |core, now| core.add_peer(&config, now))
        .unwrap();
    let [b, c] = [B, C].map(|id| network.core(id).public_key());
    assert!(
        network
            .core(A)
            .peer(&b, network.now())
            .unwrap()
            .allowed_ips
            .is_empty()
    );
    assert_eq!(
        network
            .core(A)
            .peer(&c, network.now())
            .unwrap()
            .allowed_ips
            .len(),
        1
    );
    network.with(A, |core, now| core.remove_peer(&c, now));
    assert!(!network.core(A).is_allowed(Network::inner(B).into()));
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
fn both_may_begin_at_the_same_moment() {
    let mut network = pair();
    network.send(A, B, b"from A");
    network.send(B, A, b"from B");
    network.run_for(Duration::from_millis(50));
    assert_eq!(network.received(A).len(), 1);
    assert_eq!(network.received(B).len(), 1);
}

#[test]
fn a_lossy_reordering_duplicating_link_delivers_each_packet_at_most_once() {
    let mut network = session();
    let jitter = Duration::from_millis(20);
    let link = crate::testing::Link {
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
fn a_changed_private_key_ends_the_sessions_and_new_ones_begin_under_it() {
    let mut network = session();
    let key = crate::key::PrivateKey::from_bytes([5; 32]);
    let old = network.core(A).public_key();
    network.with(A, |core, now| core.set_private_key(key, now));
    network.send(A, B, b"as nobody known");
    network.run_for(Duration::from_millis(20));
    assert!(network.received(B).is_empty());
    let config = network.peer_config(A);
    network
        .with(B, |core, now| {
            core.remove_peer(&old, now);
            core.add_peer(&config, now)
        })
        .unwrap();
    network.send(B, A, b"x");
    network.run_for(Duration::from_millis(50));
    assert_eq!(network.received(A).len(), 1);
}

/// A core with the key of a node, that lives on from what `floor` says, on a clock of its own.
fn reborn(network: &mut Network, of: NodeId, floor: SystemTime, wall: SystemTime) -> super::Core {
    let mut config = super::CoreConfig::new(network.core(of).private_key().clone());
    config.handshake_floor = Some(floor);
    super::Core::new(config, [9; 32], network.now(), wall)
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
    let mut batch = super::TransmitBatch::default();
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
fn a_peer_cannot_be_added_twice_nor_be_oneself() {
    let mut network = pair();
    let config = network.peer_config(B);
    let own = network.peer_config(A);
    let exists = network
        .with(A, |core, now| core.add_peer(&config, now))
        .unwrap_err();
    assert!(matches!(exists, crate::Error::PeerExists { .. }));
    let own = network
        .with(A, |core, now| core.add_peer(&own, now))
        .unwrap_err();
    assert!(matches!(own, crate::Error::PeerIsSelf));
    let unknown = PublicKey::from_bytes([1; 32]);
    let unknown = network.with(A, |core, now| core.set_endpoint(&unknown, elsewhere(), now));
    assert!(matches!(
        unknown.unwrap_err(),
        crate::Error::UnknownPeer { .. }
    ));
}
