//! Datagrams in: opened where they lie, checked, and told where their packets are.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::{Plane, Poke, Tables};
use crate::core::counters::DropReason;
use crate::core::noise::Session;
use crate::core::packet::Inner;
use crate::core::peers::Slot;
use crate::core::wire::{COUNTER_LIMIT, DATA_HEADER, Message};

/// Datagrams of one source that lie in a buffer one after another, all of one length but the
/// last, which may be shorter.
#[derive(Debug, Clone)]
pub(crate) struct Datagrams {
    pub(crate) source: SocketAddr,
    /// Where the next one begins; an empty datagram is one, too.
    at: Option<usize>,
    end: usize,
    stride: usize,
}

impl Datagrams {
    /// The datagrams in a part of a buffer. A stride of 0 means that it is one.
    pub(crate) fn new(source: SocketAddr, part: Range<usize>, stride: usize) -> Self {
        Self {
            source,
            at: Some(part.start),
            end: part.end,
            stride: if stride == 0 { usize::MAX } else { stride },
        }
    }

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at?;
        let end = start.saturating_add(self.stride).min(self.end);
        self.at = (end < self.end).then_some(end);
        Some(start..end)
    }
}

/// Data messages of one session that came one after another.
struct Run<'a> {
    slot: Slot,
    session: &'a Arc<Session>,
    bytes: usize,
    data: bool,
    /// An inner source address that is the peer's.
    sender: Option<IpAddr>,
}

impl Plane {
    /// Opens data messages in place until there are no more, or one comes that is none: it is
    /// returned, for the core to handle before the call is made again. `packets` gets where
    /// the inner packets lie, in order.
    pub(crate) fn open(
        &self,
        tables: &Tables,
        buffer: &mut [u8],
        datagrams: &mut Datagrams,
        now: Instant,
        packets: &mut Vec<Range<usize>>,
        pokes: &mut Vec<Poke>,
    ) -> Option<Range<usize>> {
        let mut run: Option<Run<'_>> = None;
        let mut control = None;
        while let Some(range) = datagrams.next() {
            let (receiver, counter) = match Message::parse(&buffer[range.clone()]) {
                Some(Message::Data { receiver, counter }) => (receiver, counter),
                Some(_) => {
                    control = Some(range);
                    break;
                }
                None => {
                    self.dropped(DropReason::NotWireGuard);
                    continue;
                }
            };
            if run.as_ref().is_none_or(|run| run.session.local != receiver) {
                let Some((slot, session)) = tables.session(receiver) else {
                    self.dropped(DropReason::UnknownIndex);
                    continue;
                };
                let next = Run {
                    slot: *slot,
                    session,
                    bytes: 0,
                    data: false,
                    sender: None,
                };
                if let Some(done) = run.replace(next) {
                    self.finish(tables, &done, datagrams.source, now, pokes);
                }
            }
            let Some(run) = run.as_mut() else { continue };
            match self.open_one(tables, run, counter, buffer, &range, now) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => {}
                Err(reason) => self.dropped(reason),
            }
        }
        if let Some(done) = run {
            self.finish(tables, &done, datagrams.source, now, pokes);
        }
        control
    }

    /// Opens one message; where its packet lies, if it has one.
    fn open_one(
        &self,
        tables: &Tables,
        run: &mut Run<'_>,
        counter: u64,
        buffer: &mut [u8],
        range: &Range<usize>,
        now: Instant,
    ) -> Result<Option<Range<usize>>, DropReason> {
        if counter >= COUNTER_LIMIT {
            return Err(DropReason::CounterLimit);
        }
        if !run.session.is_alive(now) {
            return Err(DropReason::NoSession);
        }
        let start = range.start + DATA_HEADER;
        let body = &mut buffer[start..range.end];
        let length = run.session.open(counter, body).ok_or(DropReason::BadTag)?;
        if !run.session.accept(counter) {
            return Err(DropReason::ReplayedData);
        }
        run.bytes += range.len();
        if length == 0 {
            return Ok(None);
        }
        run.data = true;
        let inner = Inner::parse(&body[..length]).ok_or(DropReason::MalformedInner)?;
        if run.sender != Some(inner.source) {
            if tables.routes.lookup(inner.source) != Some(run.slot) {
                return Err(DropReason::SpoofedSource);
            }
            run.sender = Some(inner.source);
        }
        Ok(Some(start..start + inner.length))
    }

    /// Notes what came of a run of messages.
    fn finish(
        &self,
        tables: &Tables,
        run: &Run<'_>,
        source: SocketAddr,
        now: Instant,
        pokes: &mut Vec<Poke>,
    ) {
        // Nothing of it was authentic, so it says nothing about the peer.
        if run.bytes == 0 {
            return;
        }
        let Some(lane) = tables.lane(run.slot) else {
            return;
        };
        let index = run.session.local;
        if !run.session.is_confirmed() {
            pokes.push(Poke::Confirm { index });
        }
        if lane.endpoint != Some(source) {
            pokes.push(Poke::Roam { index, source });
        }
        if lane.marks.received(run.bytes, run.data, self.base, now) {
            pokes.push(Poke::Watch { slot: run.slot });
        }
        if run.session.is_worn_by_receiving(now) && lane.marks.may_renew(self.base, now) {
            pokes.push(Poke::Renew { slot: run.slot });
        }
    }
}
