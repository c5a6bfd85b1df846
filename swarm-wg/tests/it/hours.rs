//! What takes minutes or hours: sessions renewed and run out, handshakes given up and begun
//! again, on a clock that these tests move.

use std::time::Duration;

use swarm_wg::core::DropReason;
use swarm_wg::testing::{Link, Network, NodeId};
use swarm_wg::{Event, PeerConfig};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);

fn pair() -> Network {
    let mut network = Network::new(1);
    network.add_node();
    network.add_node();
    network.connect(A, B);
    network
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn initiations(network: &mut Network) -> usize {
    network
        .wire()
        .iter()
        .filter(|datagram| datagram[0] == 1)
        .count()
}

fn with_keepalive(network: &Network, of: NodeId, seconds: u16) -> PeerConfig {
    let mut config = network.peer_config(of);
    config.persistent_keepalive = Some(seconds);
    config
}

fn has_session(network: &Network, at: NodeId, with: NodeId) -> bool {
    network.peer(at, with).session
}

fn count(events: &[Event], wanted: fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

#[test]
fn a_day_of_traffic_both_ways_loses_nothing_over_its_renewals() {
    let mut network = pair();
    network.send(A, B, b"begin");
    network.run_for(secs(1));
    network.received(B);
    let mut sent = 0u32;
    for _ in 0..24 * 60 * 6 {
        network.send(A, B, &sent.to_be_bytes());
        network.send(B, A, &sent.to_be_bytes());
        sent += 1;
        network.run_for(secs(10));
    }
    assert_eq!(network.received(A).len() as u32, sent);
    assert_eq!(network.received(B).len() as u32, sent);
    let completed = count(&network.events(A), |e| {
        matches!(e, Event::HandshakeCompleted { .. })
    });
    // One every 120 seconds, or the next packet after.
    assert!(
        (24 * 60 / 3..=24 * 60 / 2 + 1).contains(&completed),
        "{completed}"
    );
    assert_eq!(
        count(&network.events(B), |e| matches!(
            e,
            Event::PeerExpired { .. }
        )),
        0
    );
}

#[test]
fn nothing_under_way_is_lost_when_both_who_began_at_the_same_moment_renew() {
    let mut network = pair();
    let mut link = Link::default();
    link.latency = Duration::from_millis(300);
    network.set_link(link);
    let mut sent = 0u32;
    // Each has a session that it began, and so does the other: both renew theirs.
    for _ in 0..4000 {
        for (from, to) in [(A, B), (B, A)] {
            network.send(from, to, &sent.to_be_bytes());
        }
        sent += 1;
        network.run_for(Duration::from_millis(100));
    }
    network.run_for(secs(1));
    for id in [A, B] {
        let arrived = network.received(id).len() as u32;
        assert_eq!(sent - arrived, 0, "lost on the way to {id:?}");
    }
}

#[test]
fn traffic_passes_both_ways_in_every_second_after_a_handshake_whoever_began_it() {
    for (first, second) in [(A, B), (B, A)] {
        // Both talk from the first moment on, or the other one is silent for long.
        for silence in [0, 14, 29, 59] {
            let mut network = pair();
            network.send(first, second, b"begin");
            network.run_for(secs(1));
            network.received(second);
            for second_of in 0..400u32 {
                network.send(first, second, b"there");
                if second_of % (silence + 1) == silence {
                    network.send(second, first, b"back");
                }
                network.run_for(secs(1));
                let there = network.received(second).len();
                let back = network.received(first).len();
                assert_eq!(there, 1, "{first:?} began, {second_of} s, {silence} s");
                assert_eq!(back, usize::from(second_of % (silence + 1) == silence));
            }
        }
    }
}

#[test]
fn an_hour_on_a_bad_link_goes_on_without_a_gap_longer_than_a_few_retries() {
    let mut network = pair();
    let mut link = Link::default();
    link.latency = Duration::from_millis(300);
    link.jitter = Duration::from_millis(200);
    link.loss = 100;
    link.duplicates = 50;
    network.set_link(link);
    let (mut gap, mut longest, mut arrived) = (0, 0, 0);
    for n in 0..3600u32 {
        network.send(A, B, &n.to_be_bytes());
        network.send(B, A, &n.to_be_bytes());
        network.run_for(secs(1));
        let now = network.received(B).len();
        arrived += now;
        gap = if now == 0 { gap + 1 } else { 0 };
        longest = longest.max(gap);
    }
    assert!(arrived > 3100, "{arrived} of 3600");
    assert!(longest < 12, "{longest} s without a packet");
}

#[test]
fn a_session_made_after_a_long_silence_lives_its_full_time() {
    let mut network = pair();
    network.run_for(secs(5000));
    network.send(A, B, b"x");
    network.run_for(secs(1));
    assert_eq!(network.received(B).len(), 1);
    for _ in 0..10 {
        assert!(has_session(&network, A, B) && has_session(&network, B, A));
        network.run_for(secs(10));
    }
    network.events(A);
    network.send(B, A, b"y");
    network.run_for(secs(1));
    assert_eq!(network.received(A).len(), 1);
    assert!(
        network.events(A).is_empty(),
        "no other handshake was needed"
    );
}

#[test]
fn a_handshake_nobody_answers_is_given_up_and_begun_again_with_pauses() {
    let mut network = pair();
    network.set_plugged(B, false);
    let config = {
        let mut config = with_keepalive(&network, B, 25);
        config.endpoint = None;
        config
    };
    network
        .with(A, |core, now| core.update_peer(&config, now))
        .unwrap();
    network.run_for(secs(89));
    let first = initiations(&mut network);
    // Every 5 seconds and up to a third of one more.
    assert!((16..=18).contains(&first), "{first}");
    network.run_for(secs(10));
    let events = network.events(A);
    assert_eq!(
        count(&events, |e| matches!(e, Event::HandshakeFailed { .. })),
        1
    );
    initiations(&mut network);
    network.run_for(secs(3600));
    let later = initiations(&mut network);
    assert!((300..=660).contains(&later), "{later}");
    // The peer comes back where it was, an hour later, and is found.
    network.set_plugged(B, true);
    network.run_for(secs(90));
    assert!(has_session(&network, A, B));
}

#[test]
fn retries_are_spread_by_jitter() {
    let mut gaps = std::collections::BTreeSet::new();
    let mut network = pair();
    network.set_plugged(B, false);
    network.send(A, B, b"x");
    let mut last = None;
    for step in 0..8000u64 {
        network.run_for(Duration::from_millis(10));
        if initiations(&mut network) > 0
            && let Some(last) = last.replace(step)
        {
            let gap = step - last;
            assert!((499..=536).contains(&gap), "{gap}0 ms");
            gaps.insert(gap);
        }
    }
    assert!(gaps.len() > 5, "{gaps:?}");
}

#[test]
fn packets_that_waited_are_dropped_when_the_handshake_is_given_up() {
    let mut network = pair();
    network.set_plugged(B, false);
    for _ in 0..5 {
        network.send(A, B, b"x");
    }
    network.run_for(secs(100));
    assert_eq!(
        network.core(A).drops().count(DropReason::HandshakeTimeout),
        5
    );
    initiations(&mut network);
    network.run_for(secs(1000));
    assert_eq!(
        initiations(&mut network),
        0,
        "nobody waits, so nobody tries"
    );
    // A new packet is a new reason.
    network.send(A, B, b"x");
    assert_eq!(initiations(&mut network), 1);
}

#[test]
fn sparse_packets_on_a_slow_path_need_no_handshake_of_their_own() {
    let mut network = pair();
    let mut link = Link::default();
    link.latency = Duration::from_millis(400);
    network.set_link(link);
    network.send(A, B, b"x");
    network.run_for(secs(2));
    network.wire();
    for _ in 0..5 {
        network.run_for(secs(18));
        network.send(A, B, b"question");
        network.run_for(secs(1));
        network.send(B, A, b"answer");
        network.run_for(secs(1));
    }
    assert_eq!(network.received(A).len(), 5);
    assert_eq!(initiations(&mut network), 0);
    // Without an answer there is one, after its time.
    network.run_for(secs(12));
    network.set_plugged(B, false);
    network.send(A, B, b"question");
    network.run_for(Duration::from_millis(14_900));
    assert_eq!(initiations(&mut network), 0);
    network.run_for(secs(1));
    assert_eq!(initiations(&mut network), 1);
}

#[test]
fn keepalives_alone_hold_a_session_for_hours() {
    let mut network = pair();
    let config = with_keepalive(&network, B, 25);
    network
        .with(A, |core, now| core.update_peer(&config, now))
        .unwrap();
    network.run_for(secs(1));
    network.wire();
    for _ in 0..720 {
        network.run_for(secs(10));
        assert!(has_session(&network, A, B) && has_session(&network, B, A));
    }
    let wire = network.wire();
    // A NAT forgets after 30 seconds: something leaves A every 25.
    assert!(wire.len() >= 7200 / 25, "{}", wire.len());
    for id in [A, B] {
        let events = network.events(id);
        assert_eq!(
            count(&events, |e| matches!(e, Event::PeerExpired { .. })),
            0
        );
    }
}

#[test]
fn a_peer_that_falls_silent_expires_and_is_reported_once() {
    let mut network = pair();
    network.send(A, B, b"x");
    network.run_for(secs(1));
    network.events(A);
    network.set_plugged(B, false);
    for _ in 0..60 {
        network.send(A, B, b"x");
        network.run_for(secs(5));
    }
    let events = network.events(A);
    assert_eq!(
        count(&events, |e| matches!(e, Event::PeerExpired { .. })),
        1
    );
    assert!(count(&events, |e| matches!(e, Event::HandshakeFailed { .. })) >= 1);
    assert!(!has_session(&network, A, B));
}

#[test]
fn an_idle_network_of_many_nodes_asks_for_little() {
    let mut network = Network::new(1);
    let nodes: Vec<_> = (0..20).map(|_| network.add_node()).collect();
    for hub in &nodes[1..] {
        network.connect(nodes[0], *hub);
    }
    for node in &nodes[1..] {
        network.send(*node, nodes[0], b"x");
    }
    network.run_for(secs(1200));
    assert_eq!(network.received(nodes[0]).len(), 19);
    // All sessions have run out and all keys are wiped: there is nothing left to wake up for.
    for node in &nodes {
        assert_eq!(network.core(*node).next_deadline(), None);
    }
}
