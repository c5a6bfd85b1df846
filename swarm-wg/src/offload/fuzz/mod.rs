//! Entry points of fuzz targets. Each panics where a law of this module is broken.

mod kin;
mod script;

use super::ip::Transport;
use super::packets::{folded, is_whole};
use super::virtio::{GSO_NONE, GSO_UDP_L4, HEADER_LEN, NEEDS_CSUM, VirtioHeader};
use super::{Joiner, Offer, Split};
use kin::Kin;
use script::Script;

/// Splits bytes that are read as a virtio header and a packet. What can be split makes whole
/// packets with the same payload.
pub(crate) fn fuzz_split(data: &[u8]) {
    let Some((header, packet)) = data.split_first_chunk::<HEADER_LEN>() else {
        return;
    };
    let header = VirtioHeader::parse(header);
    let Ok(split) = Split::parse(header, packet) else {
        return;
    };
    let segments = write_all(&split);
    assert!(!segments.is_empty());
    assert_eq!(split.destination().is_ipv4(), packet[0] >> 4 == 4);
    assert_eq!(split.destination().is_ipv4(), packet[0] >> 4 == 4);
    if header.gso_type == GSO_NONE {
        assert_same_but_checksum(&header, &segments[0], packet);
    } else {
        assert_segments(&header, &segments, packet);
    }
}

fn assert_same_but_checksum(header: &VirtioHeader, written: &[u8], packet: &[u8]) {
    let mut expected = packet[..written.len()].to_vec();
    if header.flags & NEEDS_CSUM != 0 {
        let at = usize::from(header.csum_start) + usize::from(header.csum_offset);
        expected[at..at + 2].copy_from_slice(&written[at..at + 2]);
    }
    assert_eq!(written, expected);
}

fn assert_segments(header: &VirtioHeader, segments: &[Vec<u8>], packet: &[u8]) {
    let transport_at = match packet[0] >> 4 {
        _ if header.flags & NEEDS_CSUM != 0 => usize::from(header.csum_start),
        4 => usize::from(packet[0] & 0xf) * 4,
        _ => 40,
    };
    let (transport, transport_len) = match header.gso_type {
        GSO_UDP_L4 => (Transport::Udp, 8),
        _ => (
            Transport::Tcp,
            usize::from(packet[transport_at + 12] >> 4) * 4,
        ),
    };
    let header_len = transport_at + transport_len;
    let mut payload = Vec::new();
    for (n, segment) in segments.iter().enumerate() {
        assert!(is_whole(segment, transport, transport_at), "segment {n}");
        let carried = segment.len() - header_len;
        let last = n + 1 == segments.len();
        assert!(
            carried == usize::from(header.gso_size) || last && carried < header.gso_size.into()
        );
        payload.extend_from_slice(&segment[header_len..]);
    }
    assert!(packet[header_len..].starts_with(&payload));
}

/// Joins packets that are built as bytes say, and splits what was joined. Each flow has its
/// packets again, in order, byte for byte.
pub(crate) fn fuzz_join(data: &[u8]) {
    join_and_split(data);
}

/// Returns the number of packets that were joined to others.
pub(crate) fn join_and_split(data: &[u8]) -> usize {
    let mut script = Script::new(data);
    let offer = script.byte();
    let offer = Offer {
        tcp: offer & 1 == 0,
        udp: offer & 2 == 0,
    };
    let mut joiner = Joiner::new(offer);
    let mut joined = 0;
    // A second batch finds the memory of the first.
    for _ in 0..2 {
        let (mut buffer, places) = script.batch();
        let packets: Vec<_> = places
            .iter()
            .map(|place| buffer[place.clone()].to_vec())
            .collect();
        joiner.join(&mut buffer, &places);
        let written = split_writes(&joiner, &buffer, offer);
        assert_same_flows(&packets, &written);
        joined += packets.len() - joiner.writes().count();
    }
    joined
}

/// A packet that came out, and whether it was part of a larger one.
struct Written {
    packet: Vec<u8>,
    joined: bool,
}

fn split_writes(joiner: &Joiner, buffer: &[u8], offer: Offer) -> Vec<Written> {
    let mut written = Vec::new();
    for (header, pieces) in joiner.writes() {
        let packet: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| &buffer[piece.clone()])
            .copied()
            .collect();
        let header = VirtioHeader::parse(header);
        if pieces.len() == 1 {
            assert_eq!(header, VirtioHeader::default());
            written.push(Written {
                packet,
                joined: false,
            });
            continue;
        }
        let datagrams = header.gso_type == GSO_UDP_L4;
        assert!(packet.len() <= 65_535 && pieces.len() <= if datagrams { 64 } else { 1023 });
        assert!(if datagrams { offer.udp } else { offer.tcp });
        assert_eq!(
            usize::from(header.hdr_len + header.gso_size),
            pieces[0].len()
        );
        let split = Split::parse(header, &packet).expect("what was joined can be split");
        assert_eq!(split.count(), pieces.len());
        written.extend(write_all(&split).into_iter().map(|packet| Written {
            packet,
            joined: true,
        }));
    }
    written
}

/// The packets of a split, each written into a buffer that is not clean.
pub(crate) fn write_all(split: &Split<'_>) -> Vec<Vec<u8>> {
    (0..split.count())
        .map(|n| {
            let mut out = vec![0xa5; split.segment_len(n)];
            split.write(n, &mut out);
            out
        })
        .collect()
}

/// Pairs each packet that came out with the first of its flow that went in and has not come
/// out, and sees that no packet overtook one it may not.
fn assert_same_flows(packets: &[Vec<u8>], written: &[Written]) {
    let kin: Vec<_> = packets.iter().map(|packet| Kin::of(packet)).collect();
    let mut positions: Vec<Option<usize>> = vec![None; packets.len()];
    for (position, out) in written.iter().enumerate() {
        let of = Kin::of(&out.packet);
        let index = (0..packets.len()).find(|n| positions[*n].is_none() && kin[*n] == of);
        let index = index.expect("every packet that comes out went in");
        assert!(is_same(&packets[index], out), "packet {index}");
        positions[index] = Some(position);
    }
    for later in 0..packets.len() {
        assert!(positions[later].is_some(), "packet {later} is lost");
        for earlier in 0..later {
            assert!(
                !kin[earlier].is_ordered(&kin[later]) || positions[earlier] < positions[later],
                "packet {later} overtook {earlier}"
            );
        }
    }
}

/// Whether a packet came out as it went in. If it was joined, the IPv4 identification may be
/// another where it means nothing, and so the checksum over it.
fn is_same(packet: &[u8], out: &Written) -> bool {
    if packet == out.packet {
        return true;
    }
    let unfragmentable = packet[0] >> 4 == 4 && packet[6] == 0x40;
    let header_holds = folded(&out.packet[..20]) == 0xffff && folded(&packet[..20]) == 0xffff;
    let mut changed = out.packet.clone();
    changed[4..6].copy_from_slice(&packet[4..6]);
    changed[10..12].copy_from_slice(&packet[10..12]);
    out.joined && unfragmentable && header_holds && changed == packet
}
