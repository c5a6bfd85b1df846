//! The header before each packet that is read from or written to a TUN device with
//! `IFF_VNET_HDR` (virtio 1.3, section 5.1.6; `linux/virtio_net.h`).

/// Length of the header, in bytes.
pub(crate) const HEADER_LEN: usize = 10;

/// Flag: the checksum field holds the sum of the pseudo-header alone.
pub(crate) const NEEDS_CSUM: u8 = 1;

/// Kind of segmentation: none.
pub(crate) const GSO_NONE: u8 = 0;
/// Kind of segmentation: TCP over IPv4.
pub(crate) const GSO_TCPV4: u8 = 1;
/// Kind of segmentation: UDP by IP fragmentation.
pub(crate) const GSO_UDP: u8 = 3;
/// Kind of segmentation: TCP over IPv6.
pub(crate) const GSO_TCPV6: u8 = 4;
/// Kind of segmentation: UDP into datagrams.
pub(crate) const GSO_UDP_L4: u8 = 5;
/// Flag on a TCP kind of segmentation: the first segment bears CWR.
pub(crate) const GSO_ECN: u8 = 0x80;

/// The header, its numbers in the machine's byte order: a TUN device is a legacy device
/// unless told otherwise.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VirtioHeader {
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    /// Length of all headers, in bytes. A hint: what the kernel says here may be wrong.
    pub(crate) hdr_len: u16,
    /// Payload of each segment but the last, in bytes.
    pub(crate) gso_size: u16,
    /// Where the checksum begins, in bytes from the start of the packet.
    pub(crate) csum_start: u16,
    /// Where the checksum is stored, in bytes from `csum_start`.
    pub(crate) csum_offset: u16,
}

impl VirtioHeader {
    /// Reads a header; all bytes are one.
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let [flags, gso_type, a, b, c, d, e, f, g, h] = *bytes;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([a, b]),
            gso_size: u16::from_ne_bytes([c, d]),
            csum_start: u16::from_ne_bytes([e, f]),
            csum_offset: u16::from_ne_bytes([g, h]),
        }
    }

    /// The header as it lies before the packet.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let [a, b] = self.hdr_len.to_ne_bytes();
        let [c, d] = self.gso_size.to_ne_bytes();
        let [e, f] = self.csum_start.to_ne_bytes();
        let [g, h] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_header_of_a_plain_packet_is_zero() {
        assert_eq!(VirtioHeader::default().encode(), [0; HEADER_LEN]);
    }

    #[test]
    fn numbers_are_in_the_byte_order_of_the_machine() {
        let header = VirtioHeader {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV6,
            hdr_len: 0x0102,
            gso_size: 0x0304,
            csum_start: 0x0506,
            csum_offset: 0x0708,
        };
        let little = [1, 4, 2, 1, 4, 3, 6, 5, 8, 7];
        let big = [1, 4, 1, 2, 3, 4, 5, 6, 7, 8];
        let expected = if cfg!(target_endian = "little") {
            little
        } else {
            big
        };
        assert_eq!(header.encode(), expected);
    }

    proptest! {
        #[test]
        fn any_header_is_read_and_written_back(bytes: [u8; HEADER_LEN]) {
            prop_assert_eq!(VirtioHeader::parse(&bytes).encode(), bytes);
        }
    }
}
