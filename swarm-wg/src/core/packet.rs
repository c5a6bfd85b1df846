//! Inner packets: the addresses and the length of an IPv4 or IPv6 packet, and padding.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Plaintexts are padded to a multiple of this (white paper, section 5.4.6).
const PADDING: usize = 16;

/// What has to be known of an inner packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inner {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Its length by its own account, without padding, in bytes.
    pub(crate) length: usize,
}

impl Inner {
    /// Reads the header of an IP packet; `None` for what is no IP packet, or is longer by
    /// its own account than it is.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => {
                let header = packet.first_chunk::<IPV4_HEADER>()?;
                let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
                if length < IPV4_HEADER || length > packet.len() {
                    return None;
                }
                let address = |at: usize| {
                    IpAddr::V4(Ipv4Addr::new(
                        header[at],
                        header[at + 1],
                        header[at + 2],
                        header[at + 3],
                    ))
                };
                Some(Self {
                    source: address(12),
                    destination: address(16),
                    length,
                })
            }
            6 => {
                let header = packet.first_chunk::<IPV6_HEADER>()?;
                let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
                let length = payload + IPV6_HEADER;
                if length > packet.len() {
                    return None;
                }
                let address = |at: usize| {
                    let mut octets = [0u8; 16];
                    octets.copy_from_slice(&header[at..at + 16]);
                    IpAddr::V6(Ipv6Addr::from(octets))
                };
                Some(Self {
                    source: address(8),
                    destination: address(24),
                    length,
                })
            }
            _ => None,
        }
    }
}

/// The padded length of a plaintext: the next multiple of 16, but never past the MTU unless
/// the packet is longer than that already.
pub(crate) fn padded_len(length: usize, mtu: usize) -> usize {
    let aligned = length.next_multiple_of(PADDING);
    if length <= mtu {
        aligned.min(mtu)
    } else {
        aligned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_packet_longer_than_its_bytes_is_refused() {
        let mut packet = vec![0u8; 20];
        packet[0] = 0x45;
        packet[3] = 20;
        assert!(Inner::parse(&packet).is_some());
        packet[3] = 21;
        assert!(Inner::parse(&packet).is_none());
        packet[3] = 19;
        assert!(Inner::parse(&packet).is_none());
    }

    #[test]
    fn padding_stops_at_the_mtu() {
        assert_eq!(padded_len(0, 1420), 0);
        assert_eq!(padded_len(1, 1420), 16);
        assert_eq!(padded_len(1408, 1420), 1408);
        assert_eq!(padded_len(1409, 1420), 1420);
        assert_eq!(padded_len(1420, 1420), 1420);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Inner::parse(&bytes);
        }

        #[test]
        fn padding_never_shortens_and_never_passes_the_mtu(length in 0usize..9000, mtu in 576usize..9000) {
            let padded = padded_len(length, mtu);
            prop_assert!(padded >= length && padded < length + PADDING);
            prop_assert!(padded <= mtu.max(length.next_multiple_of(PADDING)));
            if length <= mtu {
                prop_assert!(padded <= mtu);
            }
        }
    }
}
