//! Segmentation: one packet with the payload of many, cut.
//!
//! All that the packets have in common is summed once, so that each costs the copy of its
//! headers, one pass over its payload, and a few additions.

use super::super::checksum;
use super::super::ip::{
    self, IPV4_HEADER, IPV6_HEADER, Ip, MAX_LENGTH, TCP_HEADER, Transport, UDP_HEADER, Version, tcp,
};
use super::super::virtio::{self, VirtioHeader};
use super::Malformed;

/// Segments that one packet may make. The smallest that Linux makes of TCP have 8 bytes of
/// payload (`TCP_MIN_GSO_SIZE`), so a packet of 64 KiB never makes more; UDP makes far fewer
/// (udp(7), `UDP_SEGMENT`).
const MAX_SEGMENTS: usize = 8192;

/// How a packet is cut.
#[derive(Debug)]
pub(super) struct Segments {
    version: Version,
    /// Where the transport's header starts, in bytes.
    transport_at: usize,
    /// Where the payload starts, in bytes.
    header_len: usize,
    /// Payload in all, in bytes.
    payload: usize,
    /// Payload of each segment but the last, in bytes.
    size: usize,
    count: usize,
    /// Sum of the IPv4 header without its length, identification and checksum.
    ip_sum: u64,
    /// Sum of the pseudo-header without its length, and of the transport's header without
    /// what is another in each segment.
    transport_sum: u64,
    /// IPv4 identification of the first.
    identification: u16,
    fields: Fields,
}

/// What is another in the transport's header of each segment.
#[derive(Debug)]
enum Fields {
    Tcp {
        sequence: u32,
        /// The byte before the flags, which makes a word with them.
        offset: u8,
        flags: u8,
    },
    Udp,
}

impl Segments {
    /// Checks the headers of a packet that was trimmed to its length.
    pub(super) fn parse(
        header: &VirtioHeader,
        transport: Transport,
        ip: &Ip,
        packet: &[u8],
    ) -> Result<Self, Malformed> {
        let transport_at = transport_at(header, transport, ip, packet)?;
        let rest = packet.get(transport_at..).ok_or(Malformed::Transport)?;
        let pseudo_header =
            ip::pseudo_header(packet, ip.version, transport, 0).ok_or(Malformed::Ip)?;
        let (transport_len, transport_sum, fields) = match transport {
            Transport::Tcp => read_tcp(rest).ok_or(Malformed::Transport)?,
            Transport::Udp => read_udp(rest)?,
        };
        let header_len = transport_at + transport_len;
        let payload = packet.len().saturating_sub(header_len);
        let size = usize::from(header.gso_size);
        let count = match size {
            0 => 0,
            _ => payload.div_ceil(size).max(1),
        };
        let longest = match ip.version {
            Version::V4 => header_len + size.min(payload),
            Version::V6 => header_len + size.min(payload) - ip.header_len,
        };
        if count == 0 || count > MAX_SEGMENTS || longest > MAX_LENGTH {
            return Err(Malformed::SegmentSize {
                gso_size: header.gso_size,
            });
        }
        let ip_sum = match ip.version {
            Version::V4 => sum_v4(packet.get(..ip.header_len).unwrap_or_default()),
            Version::V6 => 0,
        };
        Ok(Self {
            version: ip.version,
            transport_at,
            header_len,
            payload,
            size,
            count,
            ip_sum,
            transport_sum: pseudo_header + transport_sum,
            identification: ip.identification,
            fields,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Length of segment `n` with its headers, in bytes.
    #[inline]
    pub(super) fn len(&self, n: usize) -> usize {
        if n < self.count {
            self.header_len + self.size.min(self.payload - n * self.size)
        } else {
            0
        }
    }

    /// Writes segment `n` of the packet that was parsed; `None` where a length is not as it
    /// was then.
    #[inline]
    pub(super) fn write(&self, packet: &[u8], n: usize, out: &mut [u8]) -> Option<()> {
        let length = out.len();
        let (headers, payload) = packet.split_at_checked(self.header_len)?;
        let (out_headers, out_payload) = out.split_at_mut_checked(self.header_len)?;
        let start = n * self.size;
        let payload = payload.get(start..start + out_payload.len())?;
        out_headers.copy_from_slice(headers);
        let sum = checksum::copy_and_sum(payload, out_payload);
        let (ip, transport) = out_headers.split_at_mut_checked(self.transport_at)?;
        self.write_ip(ip, n, length)?;
        self.write_transport(transport, n, length - self.transport_at, sum)
    }

    #[inline]
    fn write_ip(&self, header: &mut [u8], n: usize, length: usize) -> Option<()> {
        match self.version {
            Version::V4 => {
                let header = header.first_chunk_mut::<IPV4_HEADER>()?;
                let length = length as u16;
                let identification = self.identification.wrapping_add(n as u16);
                let sum = self.ip_sum + word(length) + word(identification);
                ip::put(header, 2, length);
                ip::put(header, 4, identification);
                ip::store(header, 10, (!checksum::fold(sum)).to_ne_bytes());
            }
            Version::V6 => {
                let header = header.first_chunk_mut::<IPV6_HEADER>()?;
                ip::put(header, 4, (length - IPV6_HEADER) as u16);
            }
        }
        Some(())
    }

    #[inline]
    fn write_transport(
        &self,
        header: &mut [u8],
        n: usize,
        length: usize,
        payload_sum: u64,
    ) -> Option<()> {
        let length = length as u16;
        let sum = self.transport_sum + payload_sum + word(length);
        match self.fields {
            Fields::Tcp {
                sequence,
                offset,
                flags,
            } => {
                let header = header.first_chunk_mut::<TCP_HEADER>()?;
                let sequence = sequence.wrapping_add((n * self.size) as u32).to_be_bytes();
                let flags = self.flags(flags, n);
                let sum = sum
                    + u64::from(u32::from_ne_bytes(sequence))
                    + u64::from(u16::from_ne_bytes([offset, flags]));
                header[4..8].copy_from_slice(&sequence);
                header[13] = flags;
                header[16..18].copy_from_slice(&(!checksum::fold(sum)).to_ne_bytes());
            }
            Fields::Udp => {
                let header = header.first_chunk_mut::<UDP_HEADER>()?;
                // The length is in the pseudo-header and in the header.
                let checksum = checksum::non_zero(!checksum::fold(sum + word(length)));
                ip::put(header, 4, length);
                ip::store(header, 6, checksum.to_ne_bytes());
            }
        }
        Some(())
    }

    /// The flags of segment `n`: what ends the data is said once, at its end, and what tells
    /// of congestion once, at its start (RFC 3168, section 6.1.2).
    fn flags(&self, flags: u8, n: usize) -> u8 {
        let mut kept = flags;
        if n + 1 < self.count {
            kept &= !(tcp::FIN | tcp::PSH);
        }
        if n > 0 {
            kept &= !tcp::CWR;
        }
        kept
    }
}

/// Where the transport's header starts. The kernel says so with the checksum, and it is
/// checked against the packet; its `hdr_len` may be wrong for packets it forwards.
fn transport_at(
    header: &VirtioHeader,
    transport: Transport,
    ip: &Ip,
    packet: &[u8],
) -> Result<usize, Malformed> {
    let mut at = ip.header_len;
    if header.flags & virtio::NEEDS_CSUM != 0 {
        at = usize::from(header.csum_start);
        if header.csum_offset != transport.checksum_offset() {
            return Err(Malformed::Checksum);
        }
    }
    let found = match ip.version {
        Version::V4 => at == ip.header_len && ip.protocol == transport.protocol() && !ip.fragment,
        Version::V6 => ip::leads_to(packet, transport.protocol(), at),
    };
    // A packet longer than its length field can say has a jumbo payload option in an
    // extension header (RFC 2675), which is wrong on each segment.
    let jumbo = at != ip.header_len && packet.len() != ip.length;
    if found && !jumbo {
        Ok(at)
    } else {
        Err(Malformed::Transport)
    }
}

/// The sum of an IPv4 header without what is another in each segment.
fn sum_v4(header: &[u8]) -> u64 {
    [0..2, 6..10, 12..header.len()]
        .into_iter()
        .filter_map(|piece| header.get(piece))
        .fold(0, |sum, piece| checksum::sum(piece, sum))
}

/// The length of a TCP header, its sum without what is another in each segment, and that.
fn read_tcp(bytes: &[u8]) -> Option<(usize, u64, Fields)> {
    let header = bytes.first_chunk::<TCP_HEADER>()?;
    let length = usize::from(header[12] >> 4) * 4;
    if length < TCP_HEADER {
        return None;
    }
    let after_checksum = bytes.get(18..length)?;
    let mut sum = checksum::sum(after_checksum, 0);
    for piece in [&header[0..4], &header[8..12], &header[14..16]] {
        sum = checksum::sum(piece, sum);
    }
    let fields = Fields::Tcp {
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        offset: header[12],
        flags: header[13],
    };
    Some((length, sum, fields))
}

/// The length of a UDP header, its sum without what is another in each segment, and that.
fn read_udp(bytes: &[u8]) -> Result<(usize, u64, Fields), Malformed> {
    let header = bytes
        .first_chunk::<UDP_HEADER>()
        .ok_or(Malformed::Transport)?;
    if usize::from(u16::from_be_bytes([header[4], header[5]])) != bytes.len() {
        return Err(Malformed::Length);
    }
    Ok((UDP_HEADER, checksum::sum(&header[0..4], 0), Fields::Udp))
}

/// A number as a word of a sum.
fn word(number: u16) -> u64 {
    u64::from(number.to_be())
}
