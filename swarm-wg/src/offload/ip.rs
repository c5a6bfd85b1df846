//! The headers of IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293) and UDP (RFC 768), as far
//! as segmentation has to know them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::checksum;

/// Length of an IPv4 header without options, in bytes.
pub(crate) const IPV4_HEADER: usize = 20;
/// Length of the fixed IPv6 header, in bytes.
pub(crate) const IPV6_HEADER: usize = 40;
/// Length of a TCP header without options, in bytes.
pub(crate) const TCP_HEADER: usize = 20;
/// Length of a UDP header, in bytes.
pub(crate) const UDP_HEADER: usize = 8;
/// What the length field of either version can say, in bytes.
pub(crate) const MAX_LENGTH: usize = 65_535;

/// Bits of the byte that holds the flags of TCP.
pub(crate) mod tcp {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
    pub(crate) const CWR: u8 = 0x80;
}

/// Don't fragment, in the first byte of the fragment field.
pub(crate) const DONT_FRAGMENT: u8 = 0x40;
/// The bit above it, which must be zero (and RFC 3514).
const RESERVED: u8 = 0x80;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

impl Version {
    /// Where the two addresses lie in a packet.
    pub(crate) fn addresses(self) -> Range<usize> {
        match self {
            Self::V4 => 12..20,
            Self::V6 => 8..40,
        }
    }
}

/// A transport that is segmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    /// The transport with a protocol number.
    #[inline]
    pub(crate) fn of(protocol: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp]
            .into_iter()
            .find(|transport| transport.protocol() == protocol)
    }

    /// Its protocol number.
    pub(crate) fn protocol(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// Where its header holds the checksum.
    pub(crate) fn checksum_offset(self) -> u16 {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }
}

/// What the IP header of a packet says. The header itself lies within the packet; what it
/// says of the packet's length may be wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ip {
    pub(crate) version: Version,
    /// Length of the IPv4 header with its options, or of the fixed IPv6 header, in bytes.
    pub(crate) header_len: usize,
    /// Length of the packet by its own account, in bytes.
    pub(crate) length: usize,
    /// What follows the header.
    pub(crate) protocol: u8,
    /// Identification of IPv4.
    pub(crate) identification: u16,
    /// Whether it is an IPv4 fragment.
    pub(crate) fragment: bool,
    /// Whether there are no IPv4 options and no reserved bit is set.
    pub(crate) plain: bool,
}

impl Ip {
    /// Reads the header; `None` for what is no IP packet.
    #[inline]
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => {
                let header = packet.first_chunk::<IPV4_HEADER>()?;
                let header_len = usize::from(header[0] & 0xf) * 4;
                if header_len < IPV4_HEADER || header_len > packet.len() {
                    return None;
                }
                let flags = header[6];
                Some(Self {
                    version: Version::V4,
                    header_len,
                    length: usize::from(u16::from_be_bytes([header[2], header[3]])),
                    protocol: header[9],
                    identification: u16::from_be_bytes([header[4], header[5]]),
                    fragment: flags & !(DONT_FRAGMENT | RESERVED) != 0 || header[7] != 0,
                    plain: header_len == IPV4_HEADER && flags & RESERVED == 0,
                })
            }
            6 => {
                let header = packet.first_chunk::<IPV6_HEADER>()?;
                let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
                Some(Self {
                    version: Version::V6,
                    header_len: IPV6_HEADER,
                    length: IPV6_HEADER + length,
                    protocol: header[6],
                    identification: 0,
                    fragment: false,
                    plain: true,
                })
            }
            _ => None,
        }
    }
}

/// Whether a protocol number stands for an IPv6 extension header, behind which the transport
/// is still to come.
pub(crate) fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP
            | ROUTING
            | FRAGMENT
            | AUTHENTICATION
            | DESTINATION_OPTIONS
            | MOBILITY
            | HOST_IDENTITY
            | SHIM6
    )
}

/// Whether the headers of an IPv6 packet lead to one of `protocol` at `offset`, over
/// extension headers that each segment can have a copy of: no fragment, and no route yet to
/// be travelled, whose end would take the destination's place in the pseudo-header.
pub(crate) fn leads_to(packet: &[u8], protocol: u8, offset: usize) -> bool {
    let Some(header) = packet.first_chunk::<IPV6_HEADER>() else {
        return false;
    };
    let mut next = header[6];
    let mut at = IPV6_HEADER;
    while at < offset {
        let Some([following, length, _, segments_left]) =
            packet.get(at..).and_then(|rest| rest.first_chunk())
        else {
            return false;
        };
        match next {
            HOP_BY_HOP | DESTINATION_OPTIONS => {}
            ROUTING if *segments_left == 0 => {}
            _ => return false,
        }
        next = *following;
        at += (usize::from(*length) + 1) * 8;
    }
    at == offset && next == protocol
}

/// Source and destination of an IP packet.
pub(crate) fn addresses(packet: &[u8], version: Version) -> Option<(IpAddr, IpAddr)> {
    let bytes = packet.get(version.addresses())?;
    match version {
        Version::V4 => {
            let (source, destination) = bytes.split_first_chunk::<4>()?;
            let destination = destination.first_chunk::<4>()?;
            Some((
                Ipv4Addr::from(*source).into(),
                Ipv4Addr::from(*destination).into(),
            ))
        }
        Version::V6 => {
            let (source, destination) = bytes.split_first_chunk::<16>()?;
            let destination = destination.first_chunk::<16>()?;
            Some((
                Ipv6Addr::from(*source).into(),
                Ipv6Addr::from(*destination).into(),
            ))
        }
    }
}

/// The sum of the pseudo-header of a packet's transport, which is `length` bytes with its
/// header.
#[inline]
pub(crate) fn pseudo_header(
    packet: &[u8],
    version: Version,
    transport: Transport,
    length: usize,
) -> Option<u64> {
    let addresses = packet.get(version.addresses())?;
    Some(checksum::pseudo_header(
        addresses,
        transport.protocol(),
        length,
    ))
}

/// Stores a number in network byte order; out of bounds it stores nothing.
#[inline]
pub(crate) fn put(bytes: &mut [u8], at: usize, number: u16) {
    store(bytes, at, number.to_be_bytes());
}

/// Stores two bytes; out of bounds it stores nothing.
#[inline]
pub(crate) fn store(bytes: &mut [u8], at: usize, value: [u8; 2]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value;
    }
}
