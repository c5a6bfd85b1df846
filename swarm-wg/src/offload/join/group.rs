//! Groups: consecutive packets of a flow that are written as one.

use std::ops::Range;

use super::super::checksum;
use super::super::ip::{
    self, DONT_FRAGMENT, IPV4_HEADER, IPV6_HEADER, MAX_LENGTH, TCP_HEADER, Transport, Version, tcp,
};
use super::super::virtio::{self, HEADER_LEN, VirtioHeader};
use super::flow::{Flow, Segment};

/// Datagrams in a group: what every Linux segments (udp(7), `UDP_SEGMENT`).
const MAX_DATAGRAMS: usize = 64;
/// Pieces of a group: `writev` takes 1024 (`UIO_MAXIOV`), and one is the virtio header.
const MAX_PIECES: usize = 1023;

/// What became of a packet that was offered to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is the group's last member for now.
    Joined,
    /// It is the group's last member for good.
    Completed,
    /// It does not continue the group.
    Refused,
    /// It would continue the group, but for its checksum.
    Corrupt,
}

/// Packets of one flow, the first of which stands for all. Its bytes are left as they are
/// until the group is finished.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) flow: Flow,
    /// Which write it is.
    pub(super) write: usize,
    /// Where the first packet lies in the buffer.
    first: Range<usize>,
    /// The first packet.
    segment: Segment,
    members: usize,
    /// Length of the IP packet that all make, in bytes.
    length: usize,
    /// The sequence number that follows.
    sequence: u32,
    /// The IPv4 identification of the last member.
    identification: u16,
    /// Whether the checksums of the first packet were found to hold. That of a packet nobody
    /// wants to join is never looked at.
    verified: bool,
    /// Whether the last member has PSH set.
    pushed: bool,
}

impl Group {
    /// A group of one packet.
    #[inline]
    pub(super) fn new(write: usize, flow: Flow, segment: Segment, place: Range<usize>) -> Self {
        Self {
            flow,
            write,
            first: place,
            segment,
            members: 1,
            length: segment.header_len + segment.payload,
            sequence: segment.sequence.wrapping_add(segment.payload as u32),
            identification: segment.identification,
            verified: false,
            pushed: false,
        }
    }

    /// Takes a packet of the same flow, if it continues this group. `buffer` is the one the
    /// first packet lies in.
    #[inline]
    pub(super) fn offer(&mut self, buffer: &[u8], packet: &[u8], segment: &Segment) -> Outcome {
        let Some(first) = buffer.get(self.first.clone()) else {
            return Outcome::Refused;
        };
        if !self.has_room(segment) || !self.continues(first, packet, segment) {
            return Outcome::Refused;
        }
        if !self.verified {
            if !self.is_intact(first) {
                return Outcome::Refused;
            }
            self.verified = true;
        }
        if !self.is_intact(packet) {
            return Outcome::Corrupt;
        }
        self.members += 1;
        self.length += segment.payload;
        self.sequence = self.sequence.wrapping_add(segment.payload as u32);
        self.identification = segment.identification;
        self.pushed = segment.pushed;
        if segment.pushed || segment.payload < self.segment.payload {
            Outcome::Completed
        } else {
            Outcome::Joined
        }
    }

    fn has_room(&self, segment: &Segment) -> bool {
        let most = match self.flow.transport {
            Transport::Tcp => MAX_PIECES,
            Transport::Udp => MAX_DATAGRAMS,
        };
        self.members < most
            && segment.payload <= self.segment.payload
            && self.length + segment.payload <= MAX_LENGTH
    }

    /// Whether the headers of a packet are what segmentation would make of those of the first.
    #[inline]
    fn continues(&self, first: &[u8], packet: &[u8], segment: &Segment) -> bool {
        let same_ip = match self.flow.version {
            Version::V4 => self.continues_v4(first, packet, segment),
            Version::V6 => continues_v6(first, packet),
        };
        let same_transport = match self.flow.transport {
            Transport::Udp => true,
            Transport::Tcp => {
                segment.sequence == self.sequence
                    && segment.header_len == self.segment.header_len
                    && same_tcp(
                        first.get(segment.transport_at..segment.header_len),
                        packet.get(segment.transport_at..segment.header_len),
                    )
            }
        };
        same_ip && same_transport
    }

    /// The same but for length, identification and checksum. Without DF the identification
    /// has to count up, since it does when the group is split again.
    #[inline]
    fn continues_v4(&self, first: &[u8], packet: &[u8], segment: &Segment) -> bool {
        let (Some(a), Some(b)) = (
            first.first_chunk::<IPV4_HEADER>(),
            packet.first_chunk::<IPV4_HEADER>(),
        ) else {
            return false;
        };
        let counts = b[6] & DONT_FRAGMENT != 0
            || segment.identification == self.identification.wrapping_add(1);
        a[0..2] == b[0..2] && a[6..10] == b[6..10] && counts
    }

    /// Whether the checksums of a packet hold.
    #[inline]
    fn is_intact(&self, packet: &[u8]) -> bool {
        let transport_at = self.segment.transport_at;
        let (Some((header, bytes)), Some(pseudo_header)) = (
            packet.split_at_checked(transport_at),
            ip::pseudo_header(
                packet,
                self.flow.version,
                self.flow.transport,
                packet.len().saturating_sub(transport_at),
            ),
        ) else {
            return false;
        };
        let checksum_at = usize::from(self.flow.transport.checksum_offset());
        let header_holds = match self.flow.version {
            Version::V4 => holds(header, 0, 10, false),
            Version::V6 => true,
        };
        let may_be_ones = self.flow.transport == Transport::Udp;
        header_holds && holds(bytes, pseudo_header, checksum_at, may_be_ones)
    }

    /// Makes the first packet the head of the whole, in place, and returns the header to
    /// write before it. A group of one is left as it is.
    pub(super) fn finish(&self, buffer: &mut [u8]) -> [u8; HEADER_LEN] {
        self.patch(buffer).unwrap_or_default().encode()
    }

    fn patch(&self, buffer: &mut [u8]) -> Option<VirtioHeader> {
        if self.members < 2 {
            return None;
        }
        let Segment {
            transport_at,
            header_len,
            payload,
            ..
        } = self.segment;
        let (version, transport) = (self.flow.version, self.flow.transport);
        let first = buffer.get_mut(self.first.clone())?;
        let length = self.length - transport_at;
        let pseudo_header = ip::pseudo_header(first, version, transport, length)?;
        let (header, bytes) = first.split_at_mut_checked(transport_at)?;
        match version {
            Version::V4 => {
                ip::put(header, 2, self.length as u16);
                ip::put(header, 10, 0);
                let checksum = !checksum::fold(checksum::sum(header, 0));
                ip::store(header, 10, checksum.to_ne_bytes());
            }
            Version::V6 => ip::put(header, 4, length as u16),
        }
        match transport {
            Transport::Tcp if self.pushed => *bytes.get_mut(13)? |= tcp::PSH,
            Transport::Tcp => {}
            Transport::Udp => ip::put(bytes, 4, length as u16),
        }
        let csum_offset = transport.checksum_offset();
        let partial = checksum::fold(pseudo_header).to_ne_bytes();
        ip::store(bytes, usize::from(csum_offset), partial);
        Some(VirtioHeader {
            flags: virtio::NEEDS_CSUM,
            gso_type: match (transport, version) {
                (Transport::Tcp, Version::V4) => virtio::GSO_TCPV4,
                (Transport::Tcp, Version::V6) => virtio::GSO_TCPV6,
                (Transport::Udp, _) => virtio::GSO_UDP_L4,
            },
            hdr_len: header_len as u16,
            gso_size: payload as u16,
            csum_start: transport_at as u16,
            csum_offset,
        })
    }
}

/// The same but for length: version, traffic class, flow label and hop limit.
#[inline]
fn continues_v6(first: &[u8], packet: &[u8]) -> bool {
    let (Some(a), Some(b)) = (
        first.first_chunk::<IPV6_HEADER>(),
        packet.first_chunk::<IPV6_HEADER>(),
    ) else {
        return false;
    };
    a[0..4] == b[0..4] && a[7] == b[7]
}

/// The same but for sequence number, flags and checksum: acknowledgement, window, urgent
/// pointer and options.
#[inline]
fn same_tcp(first: Option<&[u8]>, packet: Option<&[u8]>) -> bool {
    let (Some((a, a_options)), Some((b, b_options))) = (
        first.and_then(|bytes| bytes.split_first_chunk::<TCP_HEADER>()),
        packet.and_then(|bytes| bytes.split_first_chunk::<TCP_HEADER>()),
    ) else {
        return false;
    };
    a[8..12] == b[8..12]
        && a[14..16] == b[14..16]
        && a[18..20] == b[18..20]
        && a_options == b_options
}

/// Whether bytes with a checksum in them sum up to what they have to. Of the two zeros only
/// the one that is written when the checksum is computed anew passes, so that splitting gives
/// back what was joined.
#[inline]
fn holds(bytes: &[u8], initial: u64, checksum_at: usize, may_be_ones: bool) -> bool {
    let ones = bytes.get(checksum_at..checksum_at + 2) == Some(&[0xff; 2]);
    (may_be_ones || !ones) && checksum::fold(checksum::sum(bytes, initial)) == 0xffff
}
