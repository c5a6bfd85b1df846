//! The order of packets: which must not overtake which.

/// What a packet is to others.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kin {
    /// Of one flow.
    Flow {
        addresses: Vec<u8>,
        protocol: u8,
        ports: Vec<u8>,
    },
    /// Of any flow of a protocol, if it is known, between two addresses.
    Between {
        addresses: Vec<u8>,
        protocol: Option<u8>,
    },
    /// Of none that is joined.
    Other,
}

impl Kin {
    pub(super) fn of(packet: &[u8]) -> Self {
        match packet.first().map(|byte| byte >> 4) {
            Some(4) if packet.len() >= 20 => Self::of_v4(packet),
            Some(6) if packet.len() >= 40 => Self::of_v6(packet),
            _ => Self::Other,
        }
    }

    fn of_v4(packet: &[u8]) -> Self {
        let addresses = packet[12..20].to_vec();
        let protocol = packet[9];
        let at = usize::from(packet[0] & 0xf) * 4;
        let fragment = packet[6] & 0x3f != 0 || packet[7] != 0;
        match packet.get(at..at + 4) {
            _ if at < 20 || at > packet.len() || ![6, 17].contains(&protocol) => Self::Other,
            Some(ports) if !fragment => Self::Flow {
                addresses,
                protocol,
                ports: ports.to_vec(),
            },
            _ => Self::Between {
                addresses,
                protocol: Some(protocol),
            },
        }
    }

    fn of_v6(packet: &[u8]) -> Self {
        let addresses = packet[8..40].to_vec();
        match (packet[6], packet.get(40..44)) {
            (protocol @ (6 | 17), Some(ports)) => Self::Flow {
                addresses,
                protocol,
                ports: ports.to_vec(),
            },
            (protocol @ (6 | 17), None) => Self::Between {
                addresses,
                protocol: Some(protocol),
            },
            (0 | 43 | 44 | 51 | 60 | 135 | 139 | 140, _) => Self::Between {
                addresses,
                protocol: None,
            },
            _ => Self::Other,
        }
    }

    fn ends(&self) -> Option<(&[u8], Option<u8>)> {
        match self {
            Self::Flow {
                addresses,
                protocol,
                ..
            } => Some((addresses, Some(*protocol))),
            Self::Between {
                addresses,
                protocol,
            } => Some((addresses, *protocol)),
            Self::Other => None,
        }
    }

    /// Whether one of two packets must not overtake the other.
    pub(super) fn is_ordered(&self, other: &Self) -> bool {
        if matches!((self, other), (Self::Flow { .. }, Self::Flow { .. })) {
            return self == other;
        }
        match (self.ends(), other.ends()) {
            (Some((a, a_protocol)), Some((b, b_protocol))) => {
                a == b && (a_protocol.is_none() || b_protocol.is_none() || a_protocol == b_protocol)
            }
            _ => false,
        }
    }
}
