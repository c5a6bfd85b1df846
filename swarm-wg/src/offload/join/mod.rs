//! Joining: packets that lie in one buffer, written to a TUN device in few writes.

mod flow;
mod group;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::ip::Transport;
use super::virtio::HEADER_LEN;
use flow::{Class, Flow, Segment};
use group::{Group, Outcome};

/// Groups that can be continued at a time. One for each of the flows that take turns in a
/// batch; the search is linear, and a batch is too short for more flows to gain from it.
const MAX_OPEN: usize = 8;

/// What the device takes in one write of many segments.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    /// TCP, over IPv4 and IPv6.
    pub(crate) tcp: bool,
    /// UDP, over IPv4 and IPv6.
    pub(crate) udp: bool,
}

impl Offer {
    fn takes(self, transport: Transport) -> bool {
        match transport {
            Transport::Tcp => self.tcp,
            Transport::Udp => self.udp,
        }
    }
}

/// One write to the device.
#[derive(Debug)]
struct Write {
    header: [u8; HEADER_LEN],
    /// Where its pieces start among those of all writes.
    start: usize,
    pieces: usize,
}

/// A piece of the buffer, and the write it belongs to.
#[derive(Debug)]
struct Piece {
    write: usize,
    place: Range<usize>,
}

/// Joins packets. Holds the writes of one batch, and its memory from batch to batch.
#[derive(Debug)]
pub(crate) struct Joiner {
    offer: Offer,
    writes: Vec<Write>,
    /// In order of arrival.
    arrived: Vec<Piece>,
    /// In order of the writes.
    pieces: Vec<Range<usize>>,
    /// The group that was continued last is the last.
    open: Vec<Group>,
}

impl Joiner {
    /// A joiner for a device that takes what `offer` says.
    pub(crate) fn new(offer: Offer) -> Self {
        Self {
            offer,
            writes: Vec::new(),
            arrived: Vec::new(),
            pieces: Vec::new(),
            open: Vec::with_capacity(MAX_OPEN),
        }
    }

    /// Changes what the device takes, from the next batch on.
    pub(crate) fn set_offer(&mut self, offer: Offer) {
        self.offer = offer;
    }

    /// Joins the packets of a batch, which lie in `buffer`, in order of arrival, each of them
    /// one IP packet that was trimmed to its length. The headers of those that others are
    /// joined to are changed in place. What lies out of bounds is left out.
    pub(crate) fn join(&mut self, buffer: &mut [u8], packets: &[Range<usize>]) {
        self.writes.clear();
        self.arrived.clear();
        for place in packets {
            self.handle(buffer, place);
        }
        self.close_where(buffer, |_| true);
        self.sort_pieces();
    }

    /// The writes, in order: a virtio header, and the pieces of the buffer that follow it.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&[u8; HEADER_LEN], &[Range<usize>])> {
        self.writes.iter().map(|write| {
            let pieces = self.pieces.get(write.start..write.start + write.pieces);
            (&write.header, pieces.unwrap_or_default())
        })
    }

    fn handle(&mut self, buffer: &mut [u8], place: &Range<usize>) {
        let Some(packet) = buffer.get(place.clone()) else {
            return;
        };
        match Class::of(packet, self.offer) {
            Class::Segment(flow, segment) => {
                if self.continue_group(buffer, place, &flow, &segment) {
                    return;
                }
                let write = self.start_write(place);
                if !segment.pushed {
                    self.open_group(buffer, Group::new(write, flow, segment, place.clone()));
                }
                return;
            }
            Class::Alone(flow) => self.close_where(buffer, |group| group.flow == flow),
            Class::Hidden(pair) => self.close_where(buffer, |group| group.flow.is_between(&pair)),
            Class::Free => {}
        }
        self.start_write(place);
    }

    /// Adds a packet to the open group of its flow, or closes that group: what comes later
    /// must not overtake this packet. Returns whether the packet has its place.
    #[inline]
    fn continue_group(
        &mut self,
        buffer: &mut [u8],
        place: &Range<usize>,
        flow: &Flow,
        segment: &Segment,
    ) -> bool {
        let Some(index) = self.open.iter().rposition(|group| group.flow == *flow) else {
            return false;
        };
        let (Some(group), Some(packet)) = (self.open.get_mut(index), buffer.get(place.clone()))
        else {
            return false;
        };
        let outcome = group.offer(buffer, packet, segment);
        let write = group.write;
        let payload = place.start + segment.header_len..place.end;
        match outcome {
            Outcome::Joined => {
                self.add_piece(write, payload);
                self.renew(index);
            }
            Outcome::Completed => {
                self.add_piece(write, payload);
                self.close(buffer, index);
            }
            Outcome::Refused => {
                self.close(buffer, index);
                return false;
            }
            Outcome::Corrupt => {
                self.close(buffer, index);
                self.start_write(place);
            }
        }
        true
    }

    /// Makes a group the one continued last.
    #[inline]
    fn renew(&mut self, index: usize) {
        if let Some(later @ [_, _, ..]) = self.open.get_mut(index..) {
            later.rotate_left(1);
        }
    }

    fn open_group(&mut self, buffer: &mut [u8], group: Group) {
        if self.open.len() >= MAX_OPEN {
            self.close(buffer, 0);
        }
        self.open.push(group);
    }

    /// Starts a write with a whole packet, and returns which it is.
    #[inline]
    fn start_write(&mut self, place: &Range<usize>) -> usize {
        let write = self.writes.len();
        self.writes.push(Write {
            header: [0; HEADER_LEN],
            start: 0,
            pieces: 0,
        });
        self.add_piece(write, place.clone());
        write
    }

    #[inline]
    fn add_piece(&mut self, write: usize, place: Range<usize>) {
        if let Some(to) = self.writes.get_mut(write) {
            to.pieces += 1;
            self.arrived.push(Piece { write, place });
        }
    }

    fn close_where(&mut self, buffer: &mut [u8], applies: impl Fn(&Group) -> bool) {
        while let Some(index) = self.open.iter().position(&applies) {
            self.close(buffer, index);
        }
    }

    fn close(&mut self, buffer: &mut [u8], index: usize) {
        let group = self.open.remove(index);
        if let Some(write) = self.writes.get_mut(group.write) {
            write.header = group.finish(buffer);
        }
    }

    /// Puts the pieces of each write side by side.
    fn sort_pieces(&mut self) {
        let mut start = 0;
        for write in &mut self.writes {
            write.start = start;
            start += write.pieces;
            write.pieces = 0;
        }
        self.pieces.resize(start, 0..0);
        for piece in &self.arrived {
            if let Some(write) = self.writes.get_mut(piece.write)
                && let Some(place) = self.pieces.get_mut(write.start + write.pieces)
            {
                *place = piece.place.clone();
                write.pieces += 1;
            }
        }
    }
}
