//! Packets to try things on. They are built and checked by the letter of the RFCs, with none
//! of the code that is tried.

use super::ip::Transport::{self, Tcp, Udp};
use super::ip::Version::{self, V4, V6};
#[cfg(test)]
use super::virtio::{GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VirtioHeader};

/// What goes into a packet.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) version: Version,
    pub(crate) transport: Transport,
    /// IPv4 options, or IPv6 extension headers; a multiple of 4 or of 8 bytes.
    pub(crate) extension: Vec<u8>,
    /// DSCP and ECN, or the traffic class.
    pub(crate) class: u8,
    pub(crate) flow_label: u16,
    pub(crate) hops: u8,
    pub(crate) identification: u16,
    /// The IPv4 fragment field.
    pub(crate) fragment: u16,
    /// The last byte of the source address.
    pub(crate) host: u8,
    pub(crate) ports: [u16; 2],
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    /// The four bits behind the data offset of TCP.
    pub(crate) reserved: u8,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    /// TCP options; a multiple of 4 bytes.
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Recipe {
    /// A packet of data like most: with DF, and for TCP with ACK and a timestamp.
    pub(crate) fn new(version: Version, transport: Transport, payload: &[u8]) -> Self {
        Self {
            version,
            transport,
            extension: Vec::new(),
            class: 0,
            flow_label: 0,
            hops: 64,
            identification: 0,
            fragment: 0x4000,
            host: 1,
            ports: [40_000, 443],
            sequence: 0,
            acknowledgement: 7,
            reserved: 0,
            flags: 0x10,
            window: 501,
            urgent: 0,
            options: vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
            payload: payload.to_vec(),
        }
    }

    /// Packets of one TCP flow that follow one upon the other, each with a payload of this
    /// length.
    #[cfg(test)]
    pub(crate) fn flow(count: u32, payload: usize) -> Vec<Self> {
        let packet = |n: u32| Self {
            sequence: n * payload as u32,
            identification: n as u16,
            ..Self::new(V4, Tcp, &vec![n as u8; payload])
        };
        (0..count).map(packet).collect()
    }

    /// Where the transport's header starts.
    pub(crate) fn transport_at(&self) -> usize {
        let fixed = match self.version {
            V4 => 20,
            V6 => 40,
        };
        fixed + self.extension.len()
    }

    /// The packet, whole.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut transport = self.transport_header();
        transport.extend(&self.payload);
        let mut packet = self.ip_header(transport.len());
        let pseudo_header = pseudo_header(&packet, self.version, self.transport, transport.len());
        let checksum = match (
            self.transport,
            !folded(&[&pseudo_header[..], &transport].concat()),
        ) {
            (Udp, 0) => 0xffff,
            (_, checksum) => checksum,
        };
        let at = usize::from(self.transport.checksum_offset());
        transport[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        packet.extend(transport);
        packet
    }

    /// The packet as the kernel hands it over, to be cut into segments of `size` bytes.
    #[cfg(test)]
    pub(crate) fn build_long(&self, size: u16) -> (VirtioHeader, Vec<u8>) {
        let mut packet = self.build();
        let at = self.transport_at();
        let length = packet.len() - at;
        let partial = folded(&pseudo_header(
            &packet,
            self.version,
            self.transport,
            length,
        ));
        let csum_offset = self.transport.checksum_offset();
        let checksum_at = at + usize::from(csum_offset);
        packet[checksum_at..checksum_at + 2].copy_from_slice(&partial.to_be_bytes());
        let header = VirtioHeader {
            flags: NEEDS_CSUM,
            gso_type: match (self.transport, self.version) {
                (Tcp, V4) => GSO_TCPV4,
                (Tcp, V6) => GSO_TCPV6,
                (Udp, _) => GSO_UDP_L4,
            },
            hdr_len: (packet.len() - self.payload.len()) as u16,
            gso_size: size,
            csum_start: at as u16,
            csum_offset,
        };
        (header, packet)
    }

    fn transport_header(&self) -> Vec<u8> {
        let mut header = self.ports.map(u16::to_be_bytes).concat();
        match self.transport {
            Tcp => {
                header.extend(self.sequence.to_be_bytes());
                header.extend(self.acknowledgement.to_be_bytes());
                header.push((((20 + self.options.len()) / 4) << 4) as u8 | self.reserved);
                header.push(self.flags);
                header.extend(self.window.to_be_bytes());
                header.extend([0; 2]);
                header.extend(self.urgent.to_be_bytes());
                header.extend(&self.options);
            }
            Udp => {
                header.extend(((8 + self.payload.len()) as u16).to_be_bytes());
                header.extend([0; 2]);
            }
        }
        header
    }

    fn ip_header(&self, transport_len: usize) -> Vec<u8> {
        let protocol = self.transport.protocol();
        match self.version {
            V4 => {
                let length = self.transport_at() + transport_len;
                let mut header = vec![0x40 | (self.transport_at() / 4) as u8, self.class];
                header.extend((length as u16).to_be_bytes());
                header.extend(self.identification.to_be_bytes());
                header.extend(self.fragment.to_be_bytes());
                header.extend([self.hops, protocol, 0, 0]);
                header.extend([10, 0, 0, self.host, 10, 0, 0, 250]);
                header.extend(&self.extension);
                let checksum = !folded(&header);
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
                header
            }
            V6 => {
                let class = u32::from(self.class) << 20;
                let mut header = (0x6000_0000 | class | u32::from(self.flow_label))
                    .to_be_bytes()
                    .to_vec();
                header.extend(((self.extension.len() + transport_len) as u16).to_be_bytes());
                header.extend([protocol, self.hops, 0xfd]);
                header.extend([0; 14]);
                header.extend([self.host, 0xfd]);
                header.extend([0; 14]);
                header.push(250);
                if !self.extension.is_empty() {
                    header[6] = 60;
                }
                header.extend(&self.extension);
                header
            }
        }
    }
}

/// A destination options header of 16 bytes (RFC 8200, section 4.6), then the transport.
pub(crate) fn destination_options(transport: Transport) -> Vec<u8> {
    let mut header = vec![transport.protocol(), 1, 1, 12];
    header.resize(16, 0);
    header
}

/// The sum of big-endian 16-bit words, folded.
pub(crate) fn folded(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8;
        sum += pair.get(1).copied().map_or(0, u32::from);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn pseudo_header(packet: &[u8], version: Version, transport: Transport, length: usize) -> Vec<u8> {
    let mut header = match version {
        V4 => packet[12..20].to_vec(),
        V6 => packet[8..40].to_vec(),
    };
    header.extend((length as u32).to_be_bytes());
    header.extend([0, 0, 0, transport.protocol()]);
    header
}

/// Whether the lengths and checksums of a packet are all right, given where its transport
/// starts.
pub(crate) fn is_whole(packet: &[u8], transport: Transport, transport_at: usize) -> bool {
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let payload_len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let (version, ip_holds) = match packet[0] >> 4 {
        4 => {
            let holds = folded(&packet[..transport_at]) == 0xffff;
            (V4, holds && length == packet.len())
        }
        _ => (V6, 40 + payload_len == packet.len()),
    };
    let bytes = &packet[transport_at..];
    let transport_holds = match transport {
        Tcp => true,
        Udp => {
            let length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
            length == bytes.len() && bytes[6..8] != [0, 0]
        }
    };
    let pseudo_header = pseudo_header(packet, version, transport, bytes.len());
    ip_holds && transport_holds && folded(&[&pseudo_header[..], bytes].concat()) == 0xffff
}
