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

/// One datagram to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to.
    pub destination: SocketAddr,
    /// The payload of the UDP datagram.
    pub payload: &'a [u8],
}

/// Datagrams to send, in order.
#[derive(Debug, Default)]
pub struct TransmitBatch {
    arena: Arena,
    entries: Vec<(SocketAddr, Range<usize>)>,
}

impl TransmitBatch {
    /// The datagrams, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Transmit<'_>> {
        self.entries.iter().map(|(destination, range)| Transmit {
            destination: *destination,
            payload: &self.arena.bytes[range.clone()],
        })
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets the datagrams and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.used = 0;
        self.entries.clear();
    }

    pub(super) fn room(&mut self, length: usize) -> &mut [u8] {
        self.arena.room(length)
    }

    /// Takes the first `length` bytes of the room last given.
    pub(super) fn commit(&mut self, destination: SocketAddr, length: usize) {
        let range = self.arena.commit(length);
        self.entries.push((destination, range));
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

    /// Forgets the packets and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.used = 0;
        self.entries.clear();
    }

    pub(super) fn room(&mut self, length: usize) -> &mut [u8] {
        self.arena.room(length)
    }

    /// Takes the first `length` bytes of the room last given.
    pub(super) fn commit(&mut self, length: usize) {
        let range = self.arena.commit(length);
        self.entries.push(range);
    }
}
