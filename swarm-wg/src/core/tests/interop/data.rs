//! Data to and from boringtun, of every length.

use std::net::IpAddr;

use super::{Pair, SIDES, Setup, Side};
use crate::core::DropReason;
use crate::testing::udp_packet;

const MTU: usize = 1420;

/// An IP packet of this length, as far as there can be one.
fn packet(source: IpAddr, destination: IpAddr, length: usize) -> Vec<u8> {
    let header = if source.is_ipv4() { 20 } else { 40 };
    let fill = |n: usize| (n * 31 + length) as u8;
    if let Some(payload) = length.checked_sub(header + 8) {
        let payload: Vec<u8> = (0..payload).map(fill).collect();
        return udp_packet(source, destination, &payload);
    }
    let mut bytes = udp_packet(source, destination, &[]);
    bytes.truncate(length);
    // By its own account, it ends where it does.
    match source {
        IpAddr::V4(_) if length >= header => bytes[3] = length as u8,
        IpAddr::V6(_) if length >= header => bytes[5] = (length - header) as u8,
        _ => {}
    }
    bytes
}

#[test]
fn packets_of_every_length_pass_to_and_from_boringtun_unchanged() {
    let mut pair = Pair::new(Setup::default());
    pair.assert_passes(Side::Ours);
    for from in SIDES {
        for length in 20..=MTU {
            let v4 = packet(from.inner(), from.other().inner(), length);
            pair.send(from, &v4);
            assert_eq!(pair.received(from.other()), [v4], "{length} from {from:?}");
        }
        for length in 40..=MTU {
            let v6 = packet(from.inner_v6(), from.other().inner_v6(), length);
            pair.send(from, &v6);
            assert_eq!(pair.received(from.other()), [v6], "{length} from {from:?}");
        }
    }
    assert_eq!(pair.ours.drops().total(), 0);
    // Ours are padded, which boringtun cuts off; theirs are not, which ours does not mind.
    let lengths = |by| {
        let all = pair.sent(by, 4).into_iter();
        all.map(|datagram| datagram.len() - 32)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let padded = lengths(Side::Ours);
    assert!(
        padded
            .iter()
            .all(|length| length % 16 == 0 || *length == MTU)
    );
    assert!(lengths(Side::Theirs).len() > 1400);
}

#[test]
fn what_is_no_packet_is_counted_and_an_empty_one_keeps_the_session_alive() {
    let mut pair = Pair::new(Setup::default());
    pair.assert_passes(Side::Theirs);
    let theirs = pair.ours.peers(pair.now)[0].rx_bytes;
    for length in 0..20 {
        pair.send(Side::Theirs, &vec![0x45; length]);
        pair.send(Side::Ours, &vec![0x45; length]);
    }
    assert_eq!(pair.drops(DropReason::MalformedInner), 19);
    assert_eq!(pair.drops(DropReason::MalformedOutgoing), 20);
    assert!(pair.received(Side::Ours).is_empty());
    // An authentic message is counted as received, whatever is in it.
    let sum: u64 = (0..20).map(|length| length + 32).sum();
    assert_eq!(pair.ours.peers(pair.now)[0].rx_bytes - theirs, sum);
}

#[test]
fn messages_of_boringtun_are_taken_late_and_never_twice() {
    let mut pair = Pair::new(Setup::default());
    pair.assert_passes(Side::Ours);
    let packets: Vec<_> = (0..3000u16)
        .map(|n| Side::Theirs.packet(&n.to_be_bytes()))
        .collect();
    let sealed: Vec<Vec<u8>> = packets
        .iter()
        .map(|packet| {
            let mut room = [0; 148];
            match pair.theirs.encapsulate(packet, &mut room) {
                boringtun::noise::TunnResult::WriteToNetwork(datagram) => datagram.to_vec(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    for _ in 0..2 {
        for datagram in sealed.iter().rev() {
            pair.arrive_at_ours(datagram);
        }
    }
    pair.settle();
    let received = pair.received(Side::Ours);
    assert!(received.iter().eq(packets.iter().rev()));
    assert_eq!(pair.drops(DropReason::ReplayedData), 3000);
}
