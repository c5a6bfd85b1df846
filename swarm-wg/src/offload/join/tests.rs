use proptest::prelude::*;

use super::super::fuzz::join_and_split;
use super::super::ip::Transport::{self, Tcp, Udp};
use super::super::ip::Version::{self, V4, V6};
use super::super::ip::tcp::{ACK, CWR, FIN, PSH};
use super::super::packets::{Recipe, destination_options};
use super::super::virtio::VirtioHeader;
use super::*;

const KINDS: [(Version, Transport); 4] = [(V4, Tcp), (V6, Tcp), (V4, Udp), (V6, Udp)];
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const URG: u8 = 0x20;
const ECE: u8 = 0x40;
const BOTH: Offer = Offer {
    tcp: true,
    udp: true,
};

/// A flow that goes on: each packet follows the one before it.
struct Sender(Recipe);

impl Sender {
    fn new(version: Version, transport: Transport) -> Self {
        Self(Recipe::new(version, transport, &[]))
    }

    /// The next packet, with something in it changed.
    fn send_with(&mut self, length: usize, change: impl FnOnce(&mut Recipe)) -> Vec<u8> {
        let mut once = self.0.clone();
        once.payload = (0..length).map(|n| (n * 7 % 251) as u8).collect();
        self.0.sequence = self.0.sequence.wrapping_add(length as u32);
        self.0.identification = self.0.identification.wrapping_add(1);
        change(&mut once);
        once.build()
    }

    fn send(&mut self, length: usize) -> Vec<u8> {
        self.send_with(length, |_| ())
    }
}

/// Writes, as their header and the whole that is written after it.
fn join_with(joiner: &mut Joiner, packets: &[Vec<u8>]) -> Vec<(VirtioHeader, Vec<u8>)> {
    let mut buffer = vec![0xa5; 3];
    let mut places = Vec::new();
    for packet in packets {
        places.push(buffer.len()..buffer.len() + packet.len());
        buffer.extend(packet);
        buffer.push(0xa5);
    }
    joiner.join(&mut buffer, &places);
    let whole = |pieces: &[Range<usize>]| {
        pieces
            .iter()
            .flat_map(|place| &buffer[place.clone()])
            .copied()
            .collect()
    };
    let writes = joiner.writes();
    writes
        .map(|(header, pieces)| (VirtioHeader::parse(header), whole(pieces)))
        .collect()
}

fn join(packets: &[Vec<u8>]) -> Vec<(VirtioHeader, Vec<u8>)> {
    join_with(&mut Joiner::new(BOTH), packets)
}

/// Which packets each write is made of, told by the lengths of its pieces: a whole packet and
/// payloads.
fn pieces(packets: &[Vec<u8>]) -> Vec<usize> {
    let mut joiner = Joiner::new(BOTH);
    join_with(&mut joiner, packets);
    joiner.writes().map(|(_, pieces)| pieces.len()).collect()
}

/// Asserts that all packets are written as they are, each by itself.
fn assert_untouched(packets: &[Vec<u8>]) {
    let plain: Vec<_> = packets
        .iter()
        .map(|packet| (VirtioHeader::default(), packet.clone()))
        .collect();
    assert_eq!(join(packets), plain);
}

/// Asserts that of data, two odd packets, and data, the odd ones are written by themselves, as
/// they are, and in order.
fn assert_stands_alone(sender: &mut Sender, odd: impl Fn(&mut Sender) -> Vec<u8>) {
    let before = [sender.send(100), sender.send(100)];
    let between = [odd(sender), odd(sender)];
    let after = [sender.send(100), sender.send(100)];
    let all = [before, between.clone(), after].concat();
    assert_eq!(pieces(&all), [2, 1, 1, 2]);
    let plain = between.map(|packet| (VirtioHeader::default(), packet));
    assert_eq!(join(&all)[1..3], plain);
}

#[test]
fn joined_packets_are_the_packet_the_kernel_would_have_handed_over() {
    for (version, transport) in KINDS {
        for lengths in [
            &[1, 1][..],
            &[100, 100, 100],
            &[100, 100, 99],
            &[1368; 40],
            &[1001, 7],
        ] {
            let mut sender = Sender::new(version, transport);
            sender.0.identification = 0xffff;
            sender.0.sequence = 0xffff_ff00;
            let packets: Vec<_> = lengths.iter().map(|length| sender.send(*length)).collect();
            let mut whole = Sender::new(version, transport).0;
            whole.identification = 0xffff;
            whole.sequence = 0xffff_ff00;
            let header_len = packets[0].len() - lengths[0];
            whole.payload = packets
                .iter()
                .flat_map(|packet| &packet[header_len..])
                .copied()
                .collect();
            assert_eq!(join(&packets), [whole.build_long(lengths[0] as u16)]);
        }
    }
}

#[test]
fn a_joined_write_is_the_first_packet_and_the_payloads_of_the_others_where_they_lie() {
    let mut sender = Sender::new(V4, Udp);
    let packets = [sender.send(100), sender.send(100)];
    let mut buffer = packets.concat();
    let mut joiner = Joiner::new(BOTH);
    joiner.join(&mut buffer, &[0..128, 128..256]);
    let writes: Vec<_> = joiner.writes().collect();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].1, [0..128, 156..256]);
    assert_eq!(buffer[128..], packets[1]);
}

#[test]
fn a_lone_packet_is_untouched_whatever_its_checksum() {
    for (version, transport) in KINDS {
        let mut packet = Sender::new(version, transport).send(100);
        assert_untouched(&[packet.clone()]);
        packet[70] ^= 1;
        assert_untouched(&[packet]);
    }
}

#[test]
fn nothing_makes_no_writes() {
    assert!(join(&[]).is_empty());
    assert_untouched(&[vec![]]);
    assert_untouched(&[vec![0x45; 3], vec![0x60; 39], vec![0; 99]]);
}

#[test]
fn a_short_last_segment_closes_the_group() {
    for (version, transport) in KINDS {
        let mut sender = Sender::new(version, transport);
        let packets = [100, 100, 99, 99, 99].map(|length| sender.send(length));
        assert_eq!(pieces(&packets), [3, 2]);
    }
}

#[test]
fn a_longer_segment_starts_a_group() {
    for (version, transport) in KINDS {
        let mut sender = Sender::new(version, transport);
        let packets = [100, 101, 101].map(|length| sender.send(length));
        assert_eq!(pieces(&packets), [1, 2]);
    }
}

#[test]
fn a_push_closes_the_group_and_is_kept() {
    for version in [V4, V6] {
        let mut sender = Sender::new(version, Tcp);
        let at = sender.0.transport_at() + 13;
        let mut packets = vec![sender.send(100), sender.send(100)];
        packets.push(sender.send_with(100, |once| once.flags |= PSH));
        packets.extend([sender.send(100), sender.send(100)]);
        let writes = join(&packets);
        assert_eq!(pieces(&packets), [3, 2]);
        assert_eq!(writes[0].1[at], ACK | PSH);
        assert_eq!(writes[1].1[at], ACK);
    }
}

#[test]
fn nothing_joins_a_first_packet_with_a_push() {
    for version in [V4, V6] {
        let mut sender = Sender::new(version, Tcp);
        let pushed = sender.send_with(100, |once| once.flags |= PSH);
        assert_untouched(&[pushed, sender.send(100)]);
    }
}

#[test]
fn packets_with_other_flags_keep_their_place_in_the_flow() {
    for version in [V4, V6] {
        for flags in [
            0,
            PSH,
            SYN,
            ACK | SYN,
            ACK | FIN,
            ACK | RST,
            RST,
            ACK | URG,
            ACK | CWR,
            ACK | ECE,
        ] {
            for length in [0, 100] {
                assert_stands_alone(&mut Sender::new(version, Tcp), |sender| {
                    sender.send_with(length, |once| once.flags = flags)
                });
            }
        }
    }
}

#[test]
fn a_pure_acknowledgement_keeps_its_place_in_the_flow() {
    for version in [V4, V6] {
        assert_stands_alone(&mut Sender::new(version, Tcp), |sender| sender.send(0));
    }
}

#[test]
fn an_empty_datagram_keeps_its_place_in_the_flow() {
    for version in [V4, V6] {
        assert_stands_alone(&mut Sender::new(version, Udp), |sender| sender.send(0));
    }
}

#[test]
fn reserved_bits_of_tcp_keep_a_packet_alone() {
    for version in [V4, V6] {
        for reserved in [1, 8] {
            assert_stands_alone(&mut Sender::new(version, Tcp), |sender| {
                sender.send_with(100, |once| once.reserved = reserved)
            });
        }
    }
}

#[test]
fn a_change_of_any_header_starts_a_group() {
    type Change = fn(&mut Recipe);
    let of_ip: [Change; 2] = [|recipe| recipe.class ^= 1, |recipe| recipe.hops -= 1];
    let of_v4: [Change; 1] = [|recipe| recipe.fragment = 0];
    let of_v6: [Change; 1] = [|recipe| recipe.flow_label += 1];
    let of_tcp: [Change; 7] = [
        |recipe| recipe.acknowledgement += 1,
        |recipe| recipe.window += 1,
        |recipe| recipe.urgent += 1,
        |recipe| recipe.options[7] += 1,
        |recipe| recipe.options.extend([1; 4]),
        |recipe| recipe.sequence += 1,
        |recipe| recipe.sequence -= 100,
    ];
    for (version, transport) in KINDS {
        let mut changes = of_ip.to_vec();
        changes.extend(if version == V4 { of_v4 } else { of_v6 });
        if transport == Tcp {
            changes.extend(of_tcp);
        }
        for (n, change) in changes.into_iter().enumerate() {
            let mut sender = Sender::new(version, transport);
            let mut packets = vec![sender.send(100), sender.send(100)];
            change(&mut sender.0);
            packets.extend([sender.send(100), sender.send(100)]);
            assert_eq!(pieces(&packets), [2, 2], "{version:?} {transport:?} {n}");
        }
    }
}

#[test]
fn identifications_count_up_unless_they_mean_nothing() {
    for transport in [Tcp, Udp] {
        for (fragment, joined) in [(0, vec![3, 3]), (0x4000, vec![6])] {
            let mut sender = Sender::new(V4, transport);
            sender.0.fragment = fragment;
            sender.0.identification = 0xfffe;
            let mut packets = [100; 3].map(|length| sender.send(length)).to_vec();
            sender.0.identification += 1;
            packets.extend([100; 3].map(|length| sender.send(length)));
            assert_eq!(pieces(&packets), joined);
        }
    }
}

#[test]
fn ipv4_options_keep_a_packet_alone() {
    for transport in [Tcp, Udp] {
        assert_stands_alone(&mut Sender::new(V4, transport), |sender| {
            sender.send_with(100, |once| once.extension = vec![1; 4])
        });
    }
}

#[test]
fn a_reserved_bit_of_ipv4_keeps_a_packet_alone() {
    for transport in [Tcp, Udp] {
        assert_stands_alone(&mut Sender::new(V4, transport), |sender| {
            sender.send_with(100, |once| once.fragment |= 0x8000)
        });
    }
}

#[test]
fn a_length_that_disagrees_keeps_a_packet_alone() {
    for (version, transport) in KINDS {
        assert_stands_alone(&mut Sender::new(version, transport), |sender| {
            let mut packet = sender.send(100);
            packet.push(0);
            packet
        });
    }
    for version in [V4, V6] {
        assert_stands_alone(&mut Sender::new(version, Udp), |sender| {
            let at = sender.0.transport_at();
            let mut packet = sender.send(100);
            // The sum stays what it was.
            packet[at + 5] += 1;
            packet[at + 107] -= 1;
            packet
        });
        for words in [4, 15] {
            assert_stands_alone(&mut Sender::new(version, Tcp), |sender| {
                let at = sender.0.transport_at();
                let mut packet = sender.send(8);
                packet[at + 12] = words << 4;
                packet
            });
        }
    }
}

#[test]
fn fragments_keep_their_place_among_all_flows_between_their_addresses() {
    for transport in [Tcp, Udp] {
        for fragment in [0x2000, 0x2001, 1] {
            assert_stands_alone(&mut Sender::new(V4, transport), |sender| {
                sender.send_with(100, |once| once.fragment = fragment)
            });
        }
    }
    // Also the flows of other ports: the port of a fragment is unknown.
    let mut senders = [
        Sender::new(V4, Udp),
        Sender::new(V4, Udp),
        Sender::new(V4, Udp),
    ];
    senders[1].0.ports[0] += 1;
    senders[2].0.host += 1;
    let mut packets: Vec<_> = senders.iter_mut().map(|sender| sender.send(100)).collect();
    packets.push(senders[0].send_with(100, |once| once.fragment = 0x2000));
    packets.extend(senders.iter_mut().map(|sender| sender.send(100)));
    assert_eq!(pieces(&packets), [1, 1, 2, 1, 1, 1]);
}

#[test]
fn what_lies_behind_extension_headers_keeps_its_place() {
    for transport in [Tcp, Udp] {
        assert_stands_alone(&mut Sender::new(V6, transport), |sender| {
            sender.send_with(100, |once| once.extension = destination_options(transport))
        });
    }
}

#[test]
fn a_packet_with_a_bad_checksum_keeps_its_place_in_the_flow() {
    for (version, transport) in KINDS {
        for from_the_end in [1, 50, 100] {
            assert_stands_alone(&mut Sender::new(version, transport), |sender| {
                let mut packet = sender.send(100);
                let at = packet.len() - from_the_end;
                packet[at] ^= 0x10;
                packet
            });
        }
        assert_stands_alone(&mut Sender::new(version, transport), |sender| {
            let at = sender.0.transport_at() + usize::from(transport.checksum_offset());
            let mut packet = sender.send(100);
            packet[at] ^= 0x10;
            packet
        });
    }
}

#[test]
fn a_packet_with_a_bad_ipv4_checksum_keeps_its_place_in_the_flow() {
    for transport in [Tcp, Udp] {
        assert_stands_alone(&mut Sender::new(V4, transport), |sender| {
            let mut packet = sender.send(100);
            packet[5] ^= 1;
            packet
        });
    }
}

#[test]
fn nothing_joins_a_first_packet_with_a_bad_checksum() {
    for (version, transport) in KINDS {
        let mut sender = Sender::new(version, transport);
        let mut packets = [100, 100, 100].map(|length| sender.send(length));
        packets[0][70] ^= 1;
        assert_eq!(pieces(&packets), [1, 2]);
        assert_eq!(join(&packets)[0].1, packets[0]);
    }
}

#[test]
fn the_other_zero_of_a_checksum_keeps_a_packet_alone() {
    for version in [V4, V6] {
        assert_stands_alone(&mut Sender::new(version, Tcp), |sender| {
            let at = sender.0.transport_at() + 16;
            let mut packet = sender.send_with(100, |once| once.payload[98..].fill(0));
            // With its checksum among its data, the checksum of the whole is zero.
            let end = packet.len();
            packet.copy_within(at..at + 2, end - 2);
            packet[at..at + 2].fill(0xff);
            packet
        });
    }
    assert_stands_alone(&mut Sender::new(V4, Tcp), |sender| {
        let mut other = sender.0.clone();
        other.identification = 0;
        let checksum = Sender(other).send(100)[10..12].to_vec();
        let mut packet = sender.send_with(100, |once| {
            once.identification = u16::from_be_bytes([checksum[0], checksum[1]]);
        });
        packet[10..12].fill(0xff);
        packet
    });
}

#[test]
fn a_datagram_without_a_checksum_keeps_its_place_in_the_flow() {
    for version in [V4, V6] {
        assert_stands_alone(&mut Sender::new(version, Udp), |sender| {
            let at = sender.0.transport_at();
            let mut packet = sender.send(100);
            packet[at + 6..at + 8].fill(0);
            packet
        });
        // Also where zero is what the checksum would be.
        assert_stands_alone(&mut Sender::new(version, Udp), |sender| {
            let at = sender.0.transport_at() + 6;
            let mut packet = sender.send_with(100, |once| once.payload[98..].fill(0));
            let end = packet.len();
            packet.copy_within(at..at + 2, end - 2);
            packet[at..at + 2].fill(0);
            packet
        });
    }
}

#[test]
fn at_most_64_datagrams_are_joined() {
    for version in [V4, V6] {
        let mut sender = Sender::new(version, Udp);
        let packets: Vec<_> = (0..130).map(|_| sender.send(10)).collect();
        assert_eq!(pieces(&packets), [64, 64, 2]);
    }
}

#[test]
fn at_most_as_many_pieces_are_joined_as_one_writev_takes() {
    let mut sender = Sender::new(V4, Tcp);
    let packets: Vec<_> = (0..1030).map(|_| sender.send(1)).collect();
    assert_eq!(pieces(&packets), [1023, 7]);
}

#[test]
fn at_most_65535_bytes_are_joined() {
    for (version, transport) in KINDS {
        let most = 65_535 - Sender::new(version, transport).send(0).len();
        let size = most.div_ceil(5);
        for (last, expected) in [
            (most - 4 * size, vec![5]),
            (most - 4 * size + 1, vec![4, 1]),
        ] {
            let mut sender = Sender::new(version, transport);
            let packets = [size, size, size, size, last].map(|length| sender.send(length));
            assert_eq!(pieces(&packets), expected);
        }
    }
}

#[test]
fn flows_that_take_turns_are_each_joined() {
    let mut senders: Vec<_> = KINDS
        .map(|(version, transport)| Sender::new(version, transport))
        .into();
    for (version, transport) in KINDS {
        let mut sender = Sender::new(version, transport);
        sender.0.ports = [443, 40_000];
        senders.push(sender);
    }
    let mut packets = Vec::new();
    for _ in 0..3 {
        packets.extend(senders.iter_mut().map(|sender| sender.send(100)));
    }
    assert_eq!(pieces(&packets), [3; 8]);
    // In the order of the first packet of each.
    for ((_, written), sent) in join(&packets).iter().zip(&packets) {
        let at = if sent[0] >> 4 == 4 { 20 } else { 40 };
        assert_eq!(written[at..at + 4], sent[at..at + 4]);
    }
}

#[test]
fn of_more_flows_than_are_held_the_one_longest_idle_is_let_go() {
    let sender = |n| {
        let mut sender = Sender::new(V4, Udp);
        sender.0.ports[0] = n;
        sender
    };
    let mut senders: Vec<_> = (0..9).map(sender).collect();
    let mut packets: Vec<_> = senders[..8]
        .iter_mut()
        .map(|sender| sender.send(100))
        .collect();
    // The first goes on, so the second is the one longest idle when the ninth comes.
    packets.push(senders[0].send(100));
    packets.push(senders[8].send(100));
    packets.push(senders[0].send(100));
    packets.push(senders[1].send(100));
    packets.push(senders[8].send(100));
    assert_eq!(pieces(&packets), [3, 1, 1, 1, 1, 1, 1, 1, 2, 1]);
}

#[test]
fn other_protocols_pass_between_the_packets_of_a_group() {
    for (version, transport) in KINDS {
        let mut sender = Sender::new(version, transport);
        let mut icmp = sender.send(100);
        icmp[if version == V4 { 9 } else { 6 }] = 58;
        let mut sender = Sender::new(version, transport);
        let packets = [sender.send(100), icmp.clone(), sender.send(100)];
        assert_eq!(pieces(&packets), [2, 1]);
        assert_eq!(join(&packets)[1], (VirtioHeader::default(), icmp));
    }
}

#[test]
fn what_the_device_does_not_take_is_not_joined() {
    let mut joiner = Joiner::new(Offer::default());
    let packets: Vec<_> = KINDS
        .into_iter()
        .flat_map(|(version, transport)| {
            let mut sender = Sender::new(version, transport);
            [sender.send(100), sender.send(100)]
        })
        .collect();
    for (tcp, udp, writes) in [
        (false, false, 8),
        (true, false, 6),
        (false, true, 6),
        (true, true, 4),
    ] {
        joiner.set_offer(Offer { tcp, udp });
        assert_eq!(join_with(&mut joiner, &packets).len(), writes);
    }
}

#[test]
fn a_batch_knows_nothing_of_the_one_before() {
    let mut joiner = Joiner::new(BOTH);
    let mut sender = Sender::new(V4, Tcp);
    for _ in 0..3 {
        let packets = [sender.send(100), sender.send(100)];
        assert_eq!(join_with(&mut joiner, &packets).len(), 1);
    }
    assert!(join_with(&mut joiner, &[]).is_empty());
}

#[test]
fn what_lies_out_of_bounds_is_left_out() {
    let mut sender = Sender::new(V4, Tcp);
    let mut buffer = [sender.send(100), sender.send(100)].concat();
    let half = buffer.len() / 2;
    let end = buffer.len();
    let mut joiner = Joiner::new(BOTH);
    #[expect(clippy::reversed_empty_ranges)]
    let places = [0..half, half..end + 1, end + 1..end + 2, 9..3, half..end];
    joiner.join(&mut buffer, &places);
    let pieces: Vec<_> = joiner.writes().map(|(_, pieces)| pieces.len()).collect();
    assert_eq!(pieces, [2]);
}

#[test]
fn ranges_that_overlap_do_no_harm() {
    let mut sender = Sender::new(V4, Tcp);
    let packet = sender.send(100);
    let mut buffer = [packet.clone(), packet].concat();
    let places: Vec<_> = (0..200).map(|n| n % 7 * 20..buffer.len()).collect();
    Joiner::new(BOTH).join(&mut buffer, &places);
}

#[test]
fn a_script_of_plain_data_is_joined() {
    // Ten rounds of data of all sixteen flows.
    let script: Vec<u8> = std::iter::once(0).chain((0..160).map(|n| n % 16)).collect();
    assert!(join_and_split(&script) == 0);
    let script: Vec<u8> = std::iter::once(0).chain((0..160).map(|n| n % 8)).collect();
    assert_eq!(join_and_split(&script), 152);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn splitting_what_was_joined_gives_the_packets_that_went_in(
        script in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        join_and_split(&script);
    }

    #[test]
    fn packets_of_few_flows_are_joined_and_split_again(
        steps in proptest::collection::vec((0..3u8, 0..32u8, any::<u8>()), 0..200),
    ) {
        let mut script = vec![0];
        for (flow, action, argument) in steps {
            let action = action.saturating_sub(16);
            script.push(action << 4 | flow);
            if action >= 6 {
                script.push(argument);
            }
        }
        join_and_split(&script);
    }

    #[test]
    fn any_bytes_are_joined_or_not(mut buffer: Vec<u8>, cuts: Vec<(u8, u8)>) {
        let places: Vec<_> = cuts.iter().map(|(start, end)| usize::from(*start)..usize::from(*end)).collect();
        let mut joiner = Joiner::new(BOTH);
        joiner.join(&mut buffer, &places);
        for (_, pieces) in joiner.writes() {
            prop_assert!(pieces.iter().all(|place| buffer.get(place.clone()).is_some()));
        }
    }
}
