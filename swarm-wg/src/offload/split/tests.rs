use std::net::IpAddr;

use proptest::prelude::*;

use super::super::fuzz::{fuzz_split, write_all};
use super::super::ip::Transport::{self, Tcp, Udp};
use super::super::ip::Version::{self, V4, V6};
use super::super::ip::tcp::{ACK, CWR, FIN, PSH};
use super::super::packets::{Recipe, destination_options, is_whole};
use super::super::virtio::{GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4};
use super::*;

const KINDS: [(Version, Transport); 4] = [(V4, Tcp), (V6, Tcp), (V4, Udp), (V6, Udp)];

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 % 251) as u8).collect()
}

fn split(header: VirtioHeader, packet: &[u8]) -> Vec<Vec<u8>> {
    write_all(&Split::parse(header, packet).unwrap())
}

fn refusal(header: VirtioHeader, packet: &[u8]) -> Malformed {
    Split::parse(header, packet).unwrap_err()
}

/// What each segment has to be: the recipe with its part of the payload.
fn segment(recipe: &Recipe, n: usize, payload: &[u8], size: usize) -> Recipe {
    let mut segment = recipe.clone();
    segment.payload = payload.to_vec();
    segment.sequence = recipe.sequence.wrapping_add((n * size) as u32);
    segment.identification = recipe.identification.wrapping_add(n as u16);
    segment
}

#[test]
fn a_plain_packet_is_written_as_it_is() {
    for (version, transport) in KINDS {
        let mut packet = Recipe::new(version, transport, &data(99)).build();
        // A wrong checksum, too: it is not ours.
        packet[60] ^= 1;
        assert_eq!(split(VirtioHeader::default(), &packet), [packet]);
    }
}

#[test]
fn a_checksum_that_was_left_open_is_finished() {
    for (version, transport) in KINDS {
        for length in [0, 1, 99, 1400] {
            let recipe = Recipe::new(version, transport, &data(length));
            let (mut header, packet) = recipe.build_long(0);
            header.gso_type = GSO_NONE;
            assert_eq!(split(header, &packet), [recipe.build()]);
        }
    }
}

#[test]
fn a_finished_udp_checksum_of_zero_becomes_ones() {
    let mut recipe = Recipe::new(V4, Udp, &[0, 0]);
    let packet = recipe.build();
    // With the checksum's complement among the data, the checksum of the whole is zero.
    recipe.payload = packet[26..28].to_vec();
    let (mut header, packet) = recipe.build_long(2);
    for gso_type in [header.gso_type, GSO_NONE] {
        header.gso_type = gso_type;
        let written = split(header, &packet);
        assert_eq!(written[0][26..28], [0xff, 0xff]);
        assert!(is_whole(&written[0], Udp, 20));
    }
}

#[test]
fn segments_are_the_packets_the_sender_would_have_sent() {
    for (version, transport) in KINDS {
        for (length, size) in [(1, 1), (300, 100), (301, 100), (64_000, 1368), (99, 1400)] {
            let mut recipe = Recipe::new(version, transport, &data(length));
            // Numbers that are about to wrap.
            recipe.identification = 0xffff;
            recipe.sequence = 0xffff_ffff;
            let (header, packet) = recipe.build_long(size as u16);
            let payload = recipe.payload.clone();
            let expected: Vec<_> = payload
                .chunks(size)
                .enumerate()
                .map(|(n, part)| segment(&recipe, n, part, size).build())
                .collect();
            assert_eq!(split(header, &packet), expected);
        }
    }
}

#[test]
fn options_and_extension_headers_are_copied_to_each_segment() {
    for (version, transport) in KINDS {
        let mut recipe = Recipe::new(version, transport, &data(250));
        recipe.options = vec![1; 40];
        recipe.extension = match version {
            V4 => vec![1; 40],
            V6 => destination_options(transport),
        };
        let (header, packet) = recipe.build_long(100);
        let payload = recipe.payload.clone();
        let expected: Vec<_> = payload
            .chunks(100)
            .enumerate()
            .map(|(n, part)| segment(&recipe, n, part, 100).build())
            .collect();
        assert_eq!(split(header, &packet), expected);
    }
}

#[test]
fn the_end_is_said_once_at_the_end_and_congestion_once_at_the_start() {
    for version in [V4, V6] {
        let mut recipe = Recipe::new(version, Tcp, &data(250));
        recipe.flags = ACK | PSH | FIN | CWR;
        let (mut header, packet) = recipe.build_long(100);
        header.gso_type |= GSO_ECN;
        let at = recipe.transport_at();
        let segments = split(header, &packet);
        let flags: Vec<_> = segments.iter().map(|packet| packet[at + 13]).collect();
        assert_eq!(flags, [ACK | CWR, ACK, ACK | PSH | FIN]);
        assert!(segments.iter().all(|packet| is_whole(packet, Tcp, at)));
    }
}

#[test]
fn a_single_segment_keeps_all_its_flags() {
    let mut recipe = Recipe::new(V4, Tcp, &data(100));
    recipe.flags = ACK | PSH | FIN | CWR;
    let (header, packet) = recipe.build_long(100);
    assert_eq!(split(header, &packet), [recipe.build()]);
}

#[test]
fn a_segment_of_no_data_is_a_packet() {
    for (version, transport) in KINDS {
        let recipe = Recipe::new(version, transport, &[]);
        let (header, packet) = recipe.build_long(100);
        assert_eq!(split(header, &packet), [recipe.build()]);
    }
}

#[test]
fn the_header_length_of_the_kernel_is_not_trusted() {
    for (version, transport) in KINDS {
        let (mut header, packet) = Recipe::new(version, transport, &data(250)).build_long(100);
        let expected = split(header, &packet);
        for hdr_len in [0, 1, packet.len() as u16, u16::MAX] {
            header.hdr_len = hdr_len;
            assert_eq!(split(header, &packet), expected);
        }
    }
}

#[test]
fn segments_are_found_without_a_start_of_the_checksum() {
    for (version, transport) in KINDS {
        let (mut header, packet) = Recipe::new(version, transport, &data(250)).build_long(100);
        let expected = split(header, &packet);
        header.flags = 0;
        header.csum_start = 0;
        header.csum_offset = 0;
        assert_eq!(split(header, &packet), expected);
    }
}

#[test]
fn bytes_past_the_end_are_left_out() {
    for (version, transport) in KINDS {
        let recipe = Recipe::new(version, transport, &data(250));
        let (header, mut packet) = recipe.build_long(100);
        let expected = split(header, &packet);
        packet.extend([7; 9]);
        assert_eq!(split(header, &packet), expected);
        let mut plain = recipe.build();
        plain.extend([7; 9]);
        assert_eq!(split(VirtioHeader::default(), &plain), [recipe.build()]);
    }
}

#[test]
fn a_packet_too_long_for_its_length_field_is_as_long_as_it_is() {
    for version in [V4, V6] {
        let recipe = Recipe::new(version, Tcp, &data(80_000));
        let (header, mut packet) = recipe.build_long(1000);
        let at = if version == V4 { 2 } else { 4 };
        for said in [0, 1234] {
            packet[at..at + 2].copy_from_slice(&u16::to_be_bytes(said));
            let segments = split(header, &packet);
            assert_eq!(segments.len(), 80);
            assert_eq!(
                segments[79],
                segment(&recipe, 79, &data(80_000)[79_000..], 1000).build()
            );
        }
    }
}

#[test]
fn a_jumbo_payload_option_is_refused() {
    let mut recipe = Recipe::new(V6, Tcp, &data(80_000));
    recipe.extension = destination_options(Tcp);
    let (header, mut packet) = recipe.build_long(1000);
    packet[4..6].fill(0);
    assert_eq!(refusal(header, &packet), Malformed::Transport);
}

#[test]
fn what_is_no_ip_packet_is_refused() {
    for bytes in [
        &[][..],
        &[0x45],
        &[0x60; 39],
        &[0x50; 60],
        &[0x44; 60],
        &[0x4f; 59],
    ] {
        assert_eq!(refusal(VirtioHeader::default(), bytes), Malformed::Ip);
    }
}

#[test]
fn a_packet_shorter_than_it_says_is_refused() {
    for (version, transport) in KINDS {
        let (header, packet) = Recipe::new(version, transport, &data(250)).build_long(100);
        let short = &packet[..packet.len() - 1];
        assert_eq!(refusal(header, short), Malformed::Length);
        assert_eq!(refusal(VirtioHeader::default(), short), Malformed::Length);
    }
}

#[test]
fn a_packet_shorter_than_its_header_by_its_own_account_is_refused() {
    for length in [0, 19] {
        let (header, mut packet) = Recipe::new(V4, Tcp, &data(250)).build_long(100);
        packet[2..4].copy_from_slice(&u16::to_be_bytes(length));
        assert_eq!(refusal(header, &packet), Malformed::Length);
        assert_eq!(refusal(VirtioHeader::default(), &packet), Malformed::Length);
    }
}

#[test]
fn kinds_that_were_not_offered_are_refused() {
    let (mut header, packet) = Recipe::new(V4, Tcp, &data(250)).build_long(100);
    for gso_type in [GSO_UDP, GSO_TCPV6, 2, 6, GSO_ECN, GSO_ECN | GSO_UDP_L4] {
        header.gso_type = gso_type;
        assert_eq!(refusal(header, &packet), Malformed::Kind { gso_type });
    }
    let (mut header, packet) = Recipe::new(V6, Tcp, &data(250)).build_long(100);
    header.gso_type = GSO_TCPV4;
    assert_eq!(
        refusal(header, &packet),
        Malformed::Kind {
            gso_type: GSO_TCPV4
        }
    );
}

#[test]
fn segments_of_no_bytes_or_of_too_few_are_refused() {
    for (version, transport) in KINDS {
        let recipe = Recipe::new(version, transport, &data(60_000));
        for gso_size in [0, 1, 7] {
            let (header, packet) = recipe.build_long(gso_size);
            assert_eq!(
                refusal(header, &packet),
                Malformed::SegmentSize { gso_size }
            );
        }
        let (header, packet) = recipe.build_long(8);
        assert_eq!(Split::parse(header, &packet).unwrap().count(), 7500);
    }
}

#[test]
fn segments_longer_than_a_packet_are_refused() {
    for version in [V4, V6] {
        let (header, packet) = Recipe::new(version, Tcp, &data(80_000)).build_long(65_530);
        let gso_size = 65_530;
        assert_eq!(
            refusal(header, &packet),
            Malformed::SegmentSize { gso_size }
        );
    }
}

#[test]
fn a_checksum_out_of_place_is_refused() {
    for (version, transport) in KINDS {
        let recipe = Recipe::new(version, transport, &data(250));
        let (mut header, packet) = recipe.build_long(100);
        header.csum_offset += 1;
        assert_eq!(refusal(header, &packet), Malformed::Checksum);
        header.gso_type = GSO_NONE;
        header.csum_offset = (packet.len() - recipe.transport_at() - 1) as u16;
        assert_eq!(refusal(header, &packet), Malformed::Checksum);
        header.csum_offset -= 1;
        assert!(Split::parse(header, &packet).is_ok());
        header.csum_start = 19;
        assert_eq!(refusal(header, &packet), Malformed::Checksum);
    }
}

#[test]
fn a_transport_header_that_is_not_where_it_should_be_is_refused() {
    for (version, transport) in KINDS {
        let recipe = Recipe::new(version, transport, &data(250));
        let (good, packet) = recipe.build_long(100);
        for csum_start in [0, 19, good.csum_start + 4, good.csum_start + 8, u16::MAX] {
            let header = VirtioHeader { csum_start, ..good };
            assert_eq!(refusal(header, &packet), Malformed::Transport);
        }
        let mut other = packet.clone();
        other[if version == V4 { 9 } else { 6 }] = 1;
        assert_eq!(refusal(good, &other), Malformed::Transport);
    }
}

#[test]
fn a_transport_header_that_is_cut_is_refused() {
    for (version, transport) in KINDS {
        let recipe = Recipe::new(version, transport, &[]);
        let (header, mut packet) = recipe.build_long(100);
        packet.truncate(recipe.transport_at() + 7);
        let length = packet.len() as u16;
        match version {
            V4 => packet[2..4].copy_from_slice(&length.to_be_bytes()),
            V6 => packet[4..6].copy_from_slice(&(length - 40).to_be_bytes()),
        }
        assert_eq!(refusal(header, &packet), Malformed::Transport);
    }
}

#[test]
fn a_wrong_tcp_data_offset_is_refused() {
    for words in [0, 4, 15] {
        let (header, mut packet) = Recipe::new(V4, Tcp, &[]).build_long(100);
        packet[32] = words << 4;
        assert_eq!(refusal(header, &packet), Malformed::Transport);
    }
}

#[test]
fn a_udp_length_that_disagrees_is_refused() {
    for version in [V4, V6] {
        let recipe = Recipe::new(version, Udp, &data(250));
        let (header, mut packet) = recipe.build_long(100);
        packet[recipe.transport_at() + 5] -= 1;
        assert_eq!(refusal(header, &packet), Malformed::Length);
    }
}

#[test]
fn a_fragment_is_not_segmented() {
    for fragment in [0x2000, 1] {
        let mut recipe = Recipe::new(V4, Tcp, &data(250));
        recipe.fragment = fragment;
        let (header, packet) = recipe.build_long(100);
        assert_eq!(refusal(header, &packet), Malformed::Transport);
    }
}

#[test]
fn extension_headers_that_segments_cannot_share_are_refused() {
    let mut recipe = Recipe::new(V6, Tcp, &data(250));
    recipe.extension = destination_options(Tcp);
    let (header, good) = recipe.build_long(100);
    assert!(Split::parse(header, &good).is_ok());
    // A fragment header, a route with one stop to go, and one at its end.
    for (kind, segments_left, accepted) in [(44, 0, false), (43, 1, false), (43, 0, true)] {
        let mut packet = good.clone();
        packet[6] = kind;
        packet[43] = segments_left;
        assert_eq!(Split::parse(header, &packet).is_ok(), accepted, "{kind}");
    }
}

#[test]
fn the_destination_is_read() {
    let packet = Recipe::new(V4, Udp, &[1]).build();
    let v4 = Split::parse(VirtioHeader::default(), &packet).unwrap();
    assert_eq!(v4.destination(), IpAddr::from([10, 0, 0, 250]));
    let packet = Recipe::new(V6, Udp, &[1]).build();
    let v6 = Split::parse(VirtioHeader::default(), &packet).unwrap();
    assert_eq!(v6.destination(), "fd00::fa".parse::<IpAddr>().unwrap());
}

#[test]
fn a_buffer_of_another_length_is_zeroed() {
    let (header, packet) = Recipe::new(V4, Udp, &data(250)).build_long(100);
    let plain = VirtioHeader::default();
    for (header, n) in [
        (header, 0),
        (header, 3),
        (header, usize::MAX),
        (plain, 0),
        (plain, 1),
    ] {
        let split = Split::parse(header, &packet).unwrap();
        let mut out = [7; 129];
        split.write(n, &mut out);
        assert_eq!(out, [0; 129]);
        split.write(n, &mut []);
    }
}

fn any_long_packet() -> impl Strategy<Value = (VirtioHeader, Vec<u8>)> {
    let parts = (
        0..4usize,
        0..3000usize,
        1..1500u16,
        0..11usize,
        any::<bool>(),
        any::<u8>(),
    );
    parts.prop_map(|(kind, length, size, options, extended, flags)| {
        let (version, transport) = KINDS[kind];
        let mut recipe = Recipe::new(version, transport, &data(length));
        recipe.options = vec![1; options * 4];
        recipe.flags = flags;
        if extended {
            recipe.extension = match version {
                V4 => vec![1; options.min(10) * 4],
                V6 => destination_options(transport),
            };
        }
        recipe.build_long(size)
    })
}

proptest! {
    #[test]
    fn whatever_can_be_split_makes_whole_packets((header, packet) in any_long_packet()) {
        prop_assert!(Split::parse(header, &packet).is_ok());
        fuzz_split(&[&header.encode()[..], &packet].concat());
    }

    #[test]
    fn a_read_with_any_damage_is_split_or_refused(
        (header, packet) in any_long_packet(),
        damage in proptest::collection::vec((0..120usize, any::<u8>()), 1..4),
        cut in 0..3usize,
    ) {
        let mut bytes = [&header.encode()[..], &packet].concat();
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(bytes.len() - cut);
        fuzz_split(&bytes);
    }

    #[test]
    fn any_bytes_are_split_or_refused(bytes: Vec<u8>) {
        fuzz_split(&bytes);
    }
}
