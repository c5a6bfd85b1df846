//! Splitting: one read of a TUN device, written out as packets that are whole.

mod segments;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use super::checksum;
use super::ip::{self, Ip, MAX_LENGTH, Transport, Version};
use super::virtio::{self, VirtioHeader};
use segments::Segments;

/// Why a read is not split. Only the local kernel makes these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// No IP packet.
    Ip,
    /// The lengths of the packet, its headers and its bytes disagree.
    Length,
    /// The checksum to finish is not where one can be.
    Checksum,
    /// A kind of segmentation that is unknown, or was not offered.
    Kind { gso_type: u8 },
    /// No header that can be segmented where there has to be one.
    Transport,
    /// Segments of no bytes, of too few, or of more than a packet holds.
    SegmentSize { gso_size: u16 },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => write!(f, "no IP packet"),
            Self::Length => write!(f, "the lengths of a packet disagree"),
            Self::Checksum => write!(f, "the checksum to finish is out of place"),
            Self::Kind { gso_type } => write!(f, "unknown kind of segmentation {gso_type:#04x}"),
            Self::Transport => write!(f, "no TCP or UDP header to segment"),
            Self::SegmentSize { gso_size } => write!(f, "cannot make segments of {gso_size} bytes"),
        }
    }
}

impl Error for Malformed {}

/// One read of a TUN device: a packet, or several in one.
#[derive(Debug)]
pub(crate) struct Split<'a> {
    /// Trimmed to its length.
    packet: &'a [u8],
    destination: IpAddr,
    work: Work,
}

/// What the kernel left to be done.
#[derive(Debug)]
enum Work {
    Nothing,
    /// One checksum: where the bytes it covers start, and where it is stored.
    Checksum {
        start: usize,
        at: usize,
    },
    Segments(Segments),
}

impl<'a> Split<'a> {
    /// Checks a header and the packet behind it. Bytes past the packet's end are left out.
    ///
    /// # Errors
    /// [`Malformed`], for what cannot be sent as it should be.
    pub(crate) fn parse(header: VirtioHeader, packet: &'a [u8]) -> Result<Self, Malformed> {
        let ip = Ip::parse(packet).ok_or(Malformed::Ip)?;
        let packet = trim(packet, &ip, header.gso_type != virtio::GSO_NONE)?;
        let (_, destination) = ip::addresses(packet, ip.version).ok_or(Malformed::Ip)?;
        let work = match kind(header.gso_type, ip.version)? {
            Some(transport) => Work::Segments(Segments::parse(&header, transport, &ip, packet)?),
            None if header.flags & virtio::NEEDS_CSUM != 0 => {
                let start = usize::from(header.csum_start);
                let at = start + usize::from(header.csum_offset);
                if start < ip.header_len || at + size_of::<u16>() > packet.len() {
                    return Err(Malformed::Checksum);
                }
                Work::Checksum { start, at }
            }
            None => Work::Nothing,
        };
        Ok(Self {
            packet,
            destination,
            work,
        })
    }

    /// Number of packets, at least one.
    pub(crate) fn count(&self) -> usize {
        match &self.work {
            Work::Segments(segments) => segments.count(),
            _ => 1,
        }
    }

    /// Length of packet `n`, in bytes, from the IP header on. All but the last are equal.
    pub(crate) fn segment_len(&self, n: usize) -> usize {
        match &self.work {
            Work::Segments(segments) => segments.len(n),
            _ if n == 0 => self.packet.len(),
            _ => 0,
        }
    }

    /// Writes packet `n` to `out`, which is as long as [`segment_len`](Self::segment_len)
    /// says. An `out` of another length is zeroed: it is about to be sent, and what lies in it
    /// may have been for somebody else.
    #[inline]
    pub(crate) fn write(&self, n: usize, out: &mut [u8]) {
        let fits = n < self.count() && out.len() == self.segment_len(n);
        if !fits || self.try_write(n, out).is_none() {
            out.fill(0);
        }
    }

    /// `None` where a bound did not hold, which [`parse`](Self::parse) rules out.
    fn try_write(&self, n: usize, out: &mut [u8]) -> Option<()> {
        match &self.work {
            Work::Segments(segments) => return segments.write(self.packet, n, out),
            Work::Nothing => out.copy_from_slice(self.packet),
            Work::Checksum { start, at } => {
                let (headers, covered) = self.packet.split_at_checked(*start)?;
                let (out_headers, out_covered) = out.split_at_mut_checked(*start)?;
                out_headers.copy_from_slice(headers);
                // The field holds the sum of the pseudo-header, so it is part of the sum.
                let sum = checksum::copy_and_sum(covered, out_covered);
                // Never zero, as in the kernel (`skb_checksum_help`): for UDP it must not be,
                // and for all others both zeros are one.
                let finished = checksum::non_zero(!checksum::fold(sum));
                ip::store(out, *at, finished.to_ne_bytes());
            }
        }
        Some(())
    }

    /// Where the packets go to.
    pub(crate) fn destination(&self) -> IpAddr {
        self.destination
    }
}

/// What is to be segmented, if anything.
fn kind(gso_type: u8, version: Version) -> Result<Option<Transport>, Malformed> {
    const TCPV4_ECN: u8 = virtio::GSO_TCPV4 | virtio::GSO_ECN;
    const TCPV6_ECN: u8 = virtio::GSO_TCPV6 | virtio::GSO_ECN;
    match (gso_type, version) {
        (virtio::GSO_NONE, _) => Ok(None),
        (virtio::GSO_TCPV4 | TCPV4_ECN, Version::V4)
        | (virtio::GSO_TCPV6 | TCPV6_ECN, Version::V6) => Ok(Some(Transport::Tcp)),
        (virtio::GSO_UDP_L4, _) => Ok(Some(Transport::Udp)),
        // Fragments, which the receiver would have to collect. It is never offered.
        (virtio::GSO_UDP, _) => Err(Malformed::Kind { gso_type }),
        _ => Err(Malformed::Kind { gso_type }),
    }
}

/// Cuts a packet to the length it gives itself.
fn trim<'a>(packet: &'a [u8], ip: &Ip, segmented: bool) -> Result<&'a [u8], Malformed> {
    let counted = match ip.version {
        Version::V4 => packet.len(),
        Version::V6 => packet.len().saturating_sub(ip.header_len),
    };
    if segmented && counted > MAX_LENGTH {
        // Too long for its own length field (BIG TCP), which says zero then, or anything.
        return Ok(packet);
    }
    if ip.length < ip.header_len {
        return Err(Malformed::Length);
    }
    packet.get(..ip.length).ok_or(Malformed::Length)
}
