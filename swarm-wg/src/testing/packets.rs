//! Inner packets for tests.

use std::net::IpAddr;

/// An IP packet with a UDP datagram in it; checksums are left zero, since no core looks at
/// them. Both addresses must be of one family.
///
/// # Panics
/// With addresses of two families, or a payload that does not fit a packet.
pub fn udp_packet(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(8 + payload.len()).expect("payload fits a datagram");
    let mut packet = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = udp_len.checked_add(20).expect("payload fits a packet");
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&total.to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&udp_len.to_be_bytes());
            packet.extend_from_slice(&[17, 64]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
        }
        _ => panic!("a packet has addresses of one family"),
    }
    packet.extend_from_slice(&9u16.to_be_bytes());
    packet.extend_from_slice(&9u16.to_be_bytes());
    packet.extend_from_slice(&udp_len.to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(payload);
    packet
}
