//! Batches: what the core has to say, in one allocation that is used again.
//!
//! A batch is swapped out of the core in one step, so a shell holds the core's lock for the
//! cryptography alone and makes its system calls after.

use std::net::SocketAddr;
use std::ops::Range;

/// A buffer that grows to its high-water mark and is never cleared byte by byte.
#[derive(Debug, Default)]
struct Arena {
    bytes: Vec<u8>,
    used: usize,
}

impl Arena {
    fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.used + length;
        if self.bytes.len() < end {
            self.bytes.resize(end.next_power_of_two(), 0);
        }
        &mut self.bytes[self.used..end]
    }

    fn commit(&mut self, length: usize) -> Range<usize> {
        let start = self.used;
        self.used += length;
        start..self.used
    }
}

/// The most datagrams of one run: what Linux takes as one send (`UDP_MAX_SEGMENTS`).
pub(crate) const MAX_RUN: usize = 64;
/// The most bytes of one run: what one UDP datagram over IPv4 can hold.
pub(crate) const MAX_RUN_BYTES: usize = 65_507;

/// Datagrams to one destination that lie one after another: all of one length but the last,
/// which may be shorter. A system with segmentation offload sends them with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to.
    pub destination: SocketAddr,
    /// The payloads of the UDP datagrams, one after another.
    pub payload: &'a [u8],
    /// The length of each datagram but the last, in bytes.
    pub segment_len: usize,
}

impl<'a> Transmit<'a> {
    /// The payloads, one by one.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.payload.chunks(self.segment_len)
    }
}

#[derive(Debug)]
struct Run {
    destination: SocketAddr,
    range: Range<usize>,
    segment_len: usize,
    datagrams: usize,
}

impl Run {
    /// Whether a datagram of this length that lies behind the run belongs to it.
    fn takes(&self, destination: SocketAddr, length: usize) -> bool {
        self.destination == destination
            && length <= self.segment_len
            && self.datagrams < MAX_RUN
            && self.range.len() == self.datagrams * self.segment_len
            && self.range.len() + length <= MAX_RUN_BYTES
    }
}

/// Datagrams to send, in order, gathered into runs.
#[derive(Debug, Default)]
pub struct TransmitBatch {
    arena: Arena,
    runs: Vec<Run>,
}

impl TransmitBatch {
    /// The runs of datagrams, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Transmit<'_>> {
        self.runs.iter().map(|run| Transmit {
            destination: run.destination,
            payload: &self.arena.bytes[run.range.clone()],
            segment_len: run.segment_len,
        })
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.runs.iter().map(|run| run.datagrams).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes of all datagrams together.
    pub fn bytes(&self) -> usize {
        self.arena.used
    }

    /// Forgets the datagrams and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.used = 0;
        self.runs.clear();
    }

    pub(super) fn room(&mut self, length: usize) -> &mut [u8] {
        self.arena.room(length)
    }

    /// Bytes of datagrams that were taken.
    #[cfg(feature = "tun")]
    pub(super) fn taken(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.arena.bytes[range]
    }

    /// Takes the first `length` bytes of the room last given.
    pub(super) fn commit(&mut self, destination: SocketAddr, length: usize) {
        let range = self.arena.commit(length);
        match self.runs.last_mut() {
            Some(run) if run.takes(destination, length) => {
                run.range.end = range.end;
                run.datagrams += 1;
            }
            _ => self.runs.push(Run {
                destination,
                range,
                segment_len: length,
                datagrams: 1,
            }),
        }
    }
}

/// Inner packets to deliver, in order.
#[derive(Debug, Default)]
pub struct PacketBatch {
    arena: Arena,
    entries: Vec<Range<usize>>,
}

impl PacketBatch {
    /// The packets, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.entries
            .iter()
            .map(|range| &self.arena.bytes[range.clone()])
    }

    /// Number of packets.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that the packets take up.
    pub fn bytes(&self) -> usize {
        self.arena.used
    }

    /// Forgets the packets and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.used = 0;
        self.entries.clear();
    }

    pub(super) fn room(&mut self, length: usize) -> &mut [u8] {
        self.arena.room(length)
    }

    /// Takes the first `length` bytes of the room last given, in which this packet lies.
    pub(super) fn commit(&mut self, length: usize, packet: Range<usize>) {
        let range = self.arena.commit(length);
        self.entries
            .push(range.start + packet.start..range.start + packet.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_one_length_to_one_place_are_one_run_that_a_shorter_one_ends() {
        let (here, there) = (
            "192.0.2.1:1".parse().unwrap(),
            "192.0.2.2:1".parse().unwrap(),
        );
        let mut batch = TransmitBatch::default();
        for (destination, length) in [
            (here, 100),
            (here, 100),
            (here, 60),
            (here, 60),
            (there, 60),
            (there, 80),
        ] {
            batch.room(256)[..length].fill(length as u8);
            batch.commit(destination, length);
        }
        let runs: Vec<Vec<usize>> = batch
            .iter()
            .map(|run| run.datagrams().map(<[u8]>::len).collect())
            .collect();
        assert_eq!(runs, [vec![100, 100, 60], vec![60], vec![60], vec![80]]);
        assert_eq!((batch.len(), batch.bytes()), (6, 460));
        let intact = |run: Transmit<'_>| {
            run.datagrams()
                .all(|datagram| datagram.iter().all(|b| usize::from(*b) == datagram.len()))
        };
        assert!(batch.iter().all(intact));
    }

    #[test]
    fn a_run_is_no_longer_than_one_call_can_send() {
        let to = "192.0.2.1:1".parse().unwrap();
        let mut batch = TransmitBatch::default();
        for _ in 0..47 {
            batch.room(1452);
            batch.commit(to, 1452);
        }
        let counts: Vec<_> = batch.iter().map(|run| run.datagrams().len()).collect();
        assert_eq!(counts, [45, 2]);
        batch.clear();
        for _ in 0..100 {
            batch.room(32);
            batch.commit(to, 32);
        }
        let counts: Vec<_> = batch.iter().map(|run| run.datagrams().len()).collect();
        assert_eq!(counts, [64, 36]);
    }
}
