//! WireGuard messages as they lie on the wire (white paper, section 5.4): the little that
//! has to be known of one before it is handed to the cryptography.

/// Length of a handshake initiation, in bytes.
pub(crate) const INITIATION_LEN: usize = 148;
/// Length of a handshake response, in bytes.
pub(crate) const RESPONSE_LEN: usize = 92;
/// Length of a cookie reply, in bytes.
pub(crate) const COOKIE_LEN: usize = 64;
/// Length of a data message's header, in bytes; the sealed packet and its tag follow.
pub(crate) const DATA_HEADER: usize = 16;
/// What a data message adds to its plaintext, in bytes.
pub(crate) const DATA_OVERHEAD: usize = 32;

/// The first four bytes of a handshake initiation: the type, and three reserved bytes.
pub(crate) const TYPE_INITIATION: [u8; 4] = [1, 0, 0, 0];
/// The first four bytes of a handshake response.
pub(crate) const TYPE_RESPONSE: [u8; 4] = [2, 0, 0, 0];
/// The first four bytes of a cookie reply.
pub(crate) const TYPE_COOKIE: [u8; 4] = [3, 0, 0, 0];
/// The first four bytes of a data message.
pub(crate) const TYPE_DATA: [u8; 4] = [4, 0, 0, 0];

/// Data counters from here on are refused: the protocol ends a session before
/// (`REJECT_AFTER_MESSAGES`, 2^64 − 2^13 − 1), and arithmetic on them would overflow.
pub(crate) const COUNTER_LIMIT: u64 = u64::MAX - (1 << 13);

/// One message, classified by its type and length. Indices are the receiver's: ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    Initiation,
    Response { receiver: u32 },
    Cookie { receiver: u32 },
    Data { receiver: u32, counter: u64 },
}

impl Message {
    /// Classifies a datagram; `None` for what is no WireGuard message.
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let kind = u32::from_le_bytes(*datagram.first_chunk::<4>()?);
        match (kind, datagram.len()) {
            (1, INITIATION_LEN) => Some(Self::Initiation),
            (2, RESPONSE_LEN) => Some(Self::Response {
                receiver: u32_at(datagram, 8)?,
            }),
            (3, COOKIE_LEN) => Some(Self::Cookie {
                receiver: u32_at(datagram, 4)?,
            }),
            (4, DATA_OVERHEAD..) => Some(Self::Data {
                receiver: u32_at(datagram, 4)?,
                counter: u64::from_le_bytes(*datagram.get(8..)?.first_chunk::<8>()?),
            }),
            _ => None,
        }
    }
}

/// The little-endian number at an offset.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        *bytes.get(offset..)?.first_chunk::<4>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_told_by_type_and_length() {
        let mut data = vec![0u8; 32];
        data[0] = 4;
        data[4..8].copy_from_slice(&7u32.to_le_bytes());
        data[8..16].copy_from_slice(&9u64.to_le_bytes());
        assert_eq!(
            Message::parse(&data),
            Some(Message::Data {
                receiver: 7,
                counter: 9
            })
        );
        assert_eq!(Message::parse(&data[..31]), None);
        // The three reserved bytes must be zero.
        data[1] = 1;
        assert_eq!(Message::parse(&data), None);
        assert_eq!(Message::parse(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_classified_without_a_panic(bytes: Vec<u8>) {
            let _ = Message::parse(&bytes);
        }
    }
}
