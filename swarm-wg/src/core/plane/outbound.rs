//! Packets out: routed, padded, and sealed in the batch of what is to be sent, at once or later.

use std::net::IpAddr;
use std::time::Instant;

use super::sink::Sink;
use super::{Plane, Poke, Tables};
use crate::core::counters::DropReason;
use crate::core::packet::{Inner, padded_len};
use crate::core::wire::{DATA_HEADER, DATA_OVERHEAD};

/// One or more packets to one destination, each written where it will be sealed.
pub(crate) trait Segments {
    /// The inner address that they go to.
    fn destination(&self) -> IpAddr;
    /// How many they are.
    fn count(&self) -> usize;
    /// The length of one, in bytes.
    fn len_of(&self, n: usize) -> usize;
    /// Writes one to a buffer of its length.
    fn write(&self, n: usize, out: &mut [u8]);
}

/// A packet that lies somewhere whole.
pub(crate) struct Packet<'a> {
    bytes: &'a [u8],
    destination: IpAddr,
}

impl<'a> Packet<'a> {
    /// `None` for what is no IP packet.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        Inner::parse(bytes).map(|inner| Self {
            bytes,
            destination: inner.destination,
        })
    }
}

impl Segments for Packet<'_> {
    fn destination(&self) -> IpAddr {
        self.destination
    }

    fn count(&self) -> usize {
        1
    }

    fn len_of(&self, _: usize) -> usize {
        self.bytes.len()
    }

    fn write(&self, _: usize, out: &mut [u8]) {
        out.copy_from_slice(self.bytes);
    }
}

#[cfg(feature = "tun")]
impl Segments for crate::offload::Split<'_> {
    fn destination(&self) -> IpAddr {
        self.destination()
    }

    fn count(&self) -> usize {
        self.count()
    }

    fn len_of(&self, n: usize) -> usize {
        self.segment_len(n)
    }

    fn write(&self, n: usize, out: &mut [u8]) {
        self.write(n, out);
    }
}

/// There is no session to seal packets with: the core keeps them until there is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoSession;

impl Plane {
    /// Writes packets as messages of the session that they take, which the sink seals. Those
    /// that have nowhere to go are dropped and counted.
    pub(crate) fn seal(
        &self,
        tables: &Tables,
        packets: &impl Segments,
        now: Instant,
        sink: &mut impl Sink,
        pokes: &mut Vec<Poke>,
    ) -> Result<(), NoSession> {
        let count = packets.count() as u64;
        let Some(slot) = tables.routes.lookup(packets.destination()) else {
            self.drops.add(DropReason::NoRoute, count);
            return Ok(());
        };
        let Some(lane) = tables.lane(slot) else {
            self.drops.add(DropReason::NoRoute, count);
            return Ok(());
        };
        let Some(endpoint) = lane.endpoint else {
            self.drops.add(DropReason::NoEndpoint, count);
            return Ok(());
        };
        let session = lane
            .sending
            .as_ref()
            .filter(|session| session.is_alive(now));
        let session = session.ok_or(NoSession)?;
        let first = session.reserve(count).ok_or(NoSession)?;
        let mtu = self.mtu();
        let mut bytes = 0;
        for n in 0..packets.count() {
            let length = packets.len_of(n);
            let padded = padded_len(length, mtu);
            let message = sink.room(padded + DATA_OVERHEAD);
            let (packet, padding) = message[DATA_HEADER..DATA_HEADER + padded].split_at_mut(length);
            packets.write(n, packet);
            padding.fill(0);
            sink.commit(endpoint, padded + DATA_OVERHEAD, session, first + n as u64);
            bytes += padded + DATA_OVERHEAD;
        }
        if lane.marks.sent(bytes, true, self.base, now) {
            pokes.push(Poke::Watch { slot });
        }
        if session.is_worn_by_sending(now) && lane.marks.may_renew(self.base, now) {
            pokes.push(Poke::Renew { slot });
        }
        Ok(())
    }
}
