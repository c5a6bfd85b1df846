//! Flows: which packets belong together, and which of those may be joined.

use super::super::ip::{Ip, TCP_HEADER, Transport, UDP_HEADER, Version, is_extension, tcp};
use super::Offer;

/// The addresses of a packet, as they lie in it. Those of IPv4 fill the first number.
type Addresses = [u64; 4];

/// What tells one flow from another: the addresses, ports and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    addresses: Addresses,
    /// Source and destination, as they lie in the packet.
    ports: u32,
    pub(super) version: Version,
    pub(super) transport: Transport,
}

impl Flow {
    /// Whether a packet of which only the addresses are known may belong to this flow.
    pub(super) fn is_between(&self, pair: &Pair) -> bool {
        self.version == pair.version && self.addresses == pair.addresses
    }
}

/// Two addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    version: Version,
    addresses: Addresses,
}

/// A packet that can be joined with others, by its headers alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Where the transport's header starts, in bytes.
    pub(super) transport_at: usize,
    /// Length of all headers, in bytes.
    pub(super) header_len: usize,
    /// Identification of IPv4.
    pub(super) identification: u16,
    /// Length of the payload, in bytes, never zero.
    pub(super) payload: usize,
    /// Sequence number of TCP.
    pub(super) sequence: u32,
    /// Whether TCP has PSH set, after which nothing is joined.
    pub(super) pushed: bool,
}

/// What a packet is to the packets around it.
#[derive(Debug)]
pub(super) enum Class {
    /// It may be joined with others of its flow.
    Segment(Flow, Segment),
    /// It keeps its place in its flow and is written as it is.
    Alone(Flow),
    /// It may belong to any flow between two addresses: a fragment, or what lies behind
    /// extension headers.
    Hidden(Pair),
    /// It belongs to no flow that is joined.
    Free,
}

impl Class {
    /// Classifies a packet. No byte of it is trusted.
    #[inline]
    pub(super) fn of(packet: &[u8], offer: Offer) -> Self {
        let Some(ip) = Ip::parse(packet) else {
            return Self::Free;
        };
        let addresses = addresses(packet, ip.version);
        let pair = Pair {
            version: ip.version,
            addresses,
        };
        let transport = match Transport::of(ip.protocol) {
            Some(transport) if offer.takes(transport) => transport,
            None if ip.version == Version::V6 && is_extension(ip.protocol) => {
                return Self::Hidden(pair);
            }
            _ => return Self::Free,
        };
        let bytes = packet.get(ip.header_len..).unwrap_or_default();
        let ports = match bytes.first_chunk() {
            Some(ports) if !ip.fragment => u32::from_ne_bytes(*ports),
            _ => return Self::Hidden(pair),
        };
        let flow = Flow {
            addresses,
            ports,
            version: ip.version,
            transport,
        };
        let segment = match transport {
            _ if !ip.plain || ip.length != packet.len() => None,
            Transport::Tcp => tcp_segment(bytes, &ip),
            Transport::Udp => udp_segment(bytes, &ip),
        };
        match segment {
            Some(segment) => Self::Segment(flow, segment),
            None => Self::Alone(flow),
        }
    }
}

/// The addresses of a packet whose header is whole.
#[inline]
fn addresses(packet: &[u8], version: Version) -> Addresses {
    let mut numbers = [0; 4];
    let bytes = packet.get(version.addresses()).unwrap_or_default();
    let (words, _) = bytes.as_chunks();
    for (number, word) in numbers.iter_mut().zip(words) {
        *number = u64::from_ne_bytes(*word);
    }
    numbers
}

/// Data and nothing else: no flag but ACK, which all data has, and PSH.
#[inline]
fn tcp_segment(bytes: &[u8], ip: &Ip) -> Option<Segment> {
    let header = bytes.first_chunk::<TCP_HEADER>()?;
    let length = usize::from(header[12] >> 4) * 4;
    let reserved = header[12] & 0xf;
    let plain = header[13] & !tcp::PSH == tcp::ACK && reserved == 0;
    if !plain || length < TCP_HEADER || length >= bytes.len() {
        return None;
    }
    Some(Segment {
        transport_at: ip.header_len,
        identification: ip.identification,
        header_len: ip.header_len + length,
        payload: bytes.len() - length,
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        pushed: header[13] & tcp::PSH != 0,
    })
}

/// A datagram with a checksum, that is as long as it says.
#[inline]
fn udp_segment(bytes: &[u8], ip: &Ip) -> Option<Segment> {
    let header = bytes.first_chunk::<UDP_HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let unsummed = header[6..8] == [0, 0];
    if unsummed || length != bytes.len() || length <= UDP_HEADER {
        return None;
    }
    Some(Segment {
        transport_at: ip.header_len,
        identification: ip.identification,
        header_len: ip.header_len + UDP_HEADER,
        payload: length - UDP_HEADER,
        sequence: 0,
        pushed: false,
    })
}
