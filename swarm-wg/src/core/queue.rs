//! Packets that wait for a session: bounded for each peer and for all together.

use std::collections::VecDeque;

/// Packets that may wait for one peer.
const PER_PEER: usize = 128;
/// Bytes that may wait for all peers together.
const TOTAL_BYTES: usize = 4 << 20;

/// What the queues of all peers hold together.
#[derive(Debug, Default)]
pub(crate) struct WaitingTotal(usize);

/// The packets that wait for one peer.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    packets: VecDeque<Box<[u8]>>,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Adds a packet; the oldest make room. Returns how many packets were lost for it, itself
    /// among them where even that does not help.
    pub(crate) fn push(&mut self, packet: &[u8], total: &mut WaitingTotal) -> u64 {
        let mut lost = 0;
        while self.packets.len() >= PER_PEER || total.0 + packet.len() > TOTAL_BYTES {
            if self.pop(total).is_none() {
                return lost + 1;
            }
            lost += 1;
        }
        total.0 += packet.len();
        self.packets.push_back(packet.into());
        lost
    }

    pub(crate) fn pop(&mut self, total: &mut WaitingTotal) -> Option<Box<[u8]>> {
        let packet = self.packets.pop_front()?;
        total.0 -= packet.len();
        Some(packet)
    }

    /// Drops everything; returns how many packets that were.
    pub(crate) fn clear(&mut self, total: &mut WaitingTotal) -> u64 {
        let mut lost = 0;
        while self.pop(total).is_some() {
            lost += 1;
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_its_oldest_packet() {
        let mut total = WaitingTotal::default();
        let mut queue = Waiting::default();
        for n in 0..PER_PEER {
            assert_eq!(queue.push(&[n as u8], &mut total), 0);
        }
        assert_eq!(queue.push(&[200], &mut total), 1);
        assert_eq!(queue.pop(&mut total).as_deref(), Some(&[1u8][..]));
    }

    #[test]
    fn one_peer_cannot_push_out_the_packets_of_another() {
        let mut total = WaitingTotal::default();
        let (mut mine, mut theirs) = (Waiting::default(), Waiting::default());
        theirs.push(&[1], &mut total);
        for _ in 0..100 {
            mine.push(&vec![0; 65_000], &mut total);
        }
        assert!(total.0 <= TOTAL_BYTES);
        assert!(theirs.pop(&mut total).is_some());
        mine.clear(&mut total);
        assert_eq!(total.0, 0);
        let mut full = WaitingTotal(TOTAL_BYTES);
        assert_eq!(theirs.push(&[1], &mut full), 1);
    }
}
