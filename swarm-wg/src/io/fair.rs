//! Packets that were read from the interface and wait to be sealed, a queue for each flow: so
//! that one which fills the tunnel does not starve the others (as in RFC 8290, without its
//! control of delay).
//!
//! The kernel's own queue is one for all. It is read ahead of what can be sent, which costs
//! little, and what is sent next is chosen here: first a flow that had nothing waiting, then
//! the others in turn. A flow's packets keep their order. When too much waits, the longest
//! queue gives way, unless it is TCP's: that waits for its acknowledgements by itself, and a
//! while longer in the kernel does it no harm.

use std::collections::VecDeque;
use std::ops::Range;

use crate::offload::{HEADER_LEN, VirtioHeader};

/// The most that one read hands over.
pub(super) const MAX_READ: usize = HEADER_LEN + 65_536;
/// Bytes of a block that reads are put into, one after another.
const BLOCK: usize = 4 * MAX_READ;
/// Blocks there may be. More would only make queues longer.
const MAX_BLOCKS: usize = 8;
/// Packets that may wait: a few milliseconds of small ones.
const MAX_WAITING: usize = 2048;
/// The protocol number of TCP.
const TCP: u8 = 6;
/// Queues; flows that fall into the same share one.
const QUEUES: usize = 64;
/// Bytes a flow may send before it is the next one's turn.
const QUANTUM: usize = 8 << 10;
/// Packets of one batch …
const MAX_BATCH: usize = 64;
/// … or bytes, if they come first: about what one send takes.
const ENOUGH: usize = 50_000;

/// A packet that waits, and where it lies.
#[derive(Debug, Clone)]
struct Waiting {
    header: VirtioHeader,
    block: usize,
    range: Range<usize>,
}

#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    used: usize,
    /// Packets in it that wait or are being sent.
    waiting: usize,
}

#[derive(Default)]
struct Queue {
    packets: VecDeque<Waiting>,
    bytes: usize,
    /// What the flow may still send in this turn.
    credit: usize,
    listed: bool,
}

/// The queues of all flows.
pub(super) struct Fair {
    blocks: Vec<Block>,
    current: usize,
    queues: Vec<Queue>,
    /// Queues that had nothing waiting a moment ago, and all others that have.
    fresh: VecDeque<usize>,
    others: VecDeque<usize>,
    waiting: usize,
    batch: Vec<Waiting>,
}

impl Fair {
    pub(super) fn new() -> Self {
        Self {
            blocks: vec![Block::default()],
            current: 0,
            queues: (0..QUEUES).map(|_| Queue::default()).collect(),
            fresh: VecDeque::new(),
            others: VecDeque::new(),
            waiting: 0,
            batch: Vec::with_capacity(MAX_BATCH),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Room for one read. `None`: too much waits.
    pub(super) fn room(&mut self) -> Option<&mut [u8]> {
        if self.waiting >= MAX_WAITING {
            return None;
        }
        if self.blocks[self.current].waiting == 0 {
            self.blocks[self.current].used = 0;
        }
        if BLOCK - self.blocks[self.current].used < MAX_READ {
            let free = self.blocks.iter().position(|block| block.waiting == 0);
            self.current = match free {
                Some(free) => free,
                None if self.blocks.len() < MAX_BLOCKS => {
                    self.blocks.push(Block::default());
                    self.blocks.len() - 1
                }
                None => return None,
            };
            self.blocks[self.current].used = 0;
        }
        let block = &mut self.blocks[self.current];
        if block.bytes.is_empty() {
            block.bytes.resize(BLOCK, 0);
        }
        block.bytes.get_mut(block.used..block.used + MAX_READ)
    }

    /// Takes what was read into the room, with a header before it or without.
    pub(super) fn take(&mut self, length: usize, has_header: bool) {
        let block = &mut self.blocks[self.current];
        let mut range = block.used..block.used + length;
        block.used = range.end;
        let mut header = VirtioHeader::default();
        if has_header {
            let Some(bytes) = block.bytes[range.clone()].first_chunk::<HEADER_LEN>() else {
                return;
            };
            header = VirtioHeader::parse(bytes);
            range.start += HEADER_LEN;
        }
        block.waiting += 1;
        self.waiting += 1;
        let which = queue_of(&block.bytes[range.clone()]);
        let queue = &mut self.queues[which];
        queue.bytes += range.len();
        queue.packets.push_back(Waiting {
            header,
            block: self.current,
            range,
        });
        if !queue.listed {
            queue.listed = true;
            queue.credit = QUANTUM;
            self.fresh.push_back(which);
        }
    }

    /// Drops half of the longest queue; returns how many reads that were. `None`: it is best
    /// left as it is, and the rest in the kernel.
    pub(super) fn make_room(&mut self) -> Option<u64> {
        let queue = self.queues.iter_mut().max_by_key(|queue| queue.bytes)?;
        if queue.packets.front().is_some_and(|packet| {
            let bytes = &self.blocks[packet.block].bytes[packet.range.clone()];
            protocol_of(bytes) == TCP
        }) {
            return None;
        }
        let gone = queue.packets.len().div_ceil(2);
        for packet in queue.packets.drain(..gone) {
            queue.bytes -= packet.range.len();
            self.blocks[packet.block].waiting -= 1;
        }
        self.waiting -= gone;
        Some(gone as u64)
    }

    /// Chooses what is sent next, in place of what was chosen before.
    pub(super) fn choose(&mut self) {
        for sent in self.batch.drain(..) {
            self.blocks[sent.block].waiting -= 1;
        }
        let mut bytes = 0;
        while self.batch.len() < MAX_BATCH && bytes < ENOUGH {
            let Some(packet) = self.next() else { break };
            bytes += packet.range.len();
            self.batch.push(packet);
        }
    }

    fn next(&mut self) -> Option<Waiting> {
        loop {
            let (which, is_fresh) = match self.fresh.front() {
                Some(which) => (*which, true),
                None => (*self.others.front()?, false),
            };
            let list = if is_fresh {
                &mut self.fresh
            } else {
                &mut self.others
            };
            let queue = &mut self.queues[which];
            if queue.credit == 0 {
                queue.credit = QUANTUM;
                list.pop_front();
                self.others.push_back(which);
                continue;
            }
            let Some(packet) = queue.packets.pop_front() else {
                list.pop_front();
                // A flow that ran dry waits one turn, or it would always be among the first.
                match is_fresh {
                    true => self.others.push_back(which),
                    false => queue.listed = false,
                }
                continue;
            };
            queue.credit = queue.credit.saturating_sub(packet.range.len());
            queue.bytes -= packet.range.len();
            self.waiting -= 1;
            return Some(packet);
        }
    }

    /// What was chosen: packets, each one that may have to be cut.
    pub(super) fn chosen(&self) -> impl Iterator<Item = (VirtioHeader, &[u8])> {
        (0..self.batch.len()).filter_map(|n| self.entry(n))
    }

    pub(super) fn entry(&self, n: usize) -> Option<(VirtioHeader, &[u8])> {
        let packet = self.batch.get(n)?;
        let bytes = &self.blocks[packet.block].bytes[packet.range.clone()];
        Some((packet.header, bytes))
    }
}

/// The queue of a packet's flow. Ports count for TCP alone: other packets may be fragments,
/// which have none, and must not overtake those of their flow that are whole.
fn queue_of(packet: &[u8]) -> usize {
    let word = |at: usize| {
        let bytes = packet.get(at..).and_then(<[u8]>::first_chunk::<4>);
        u64::from(bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes)))
    };
    let (addresses, transport) = match packet.first().map(|byte| byte >> 4) {
        Some(4) => (12..20, usize::from(packet[0] & 15) * 4),
        Some(6) => (8..40, 40),
        _ => return 0,
    };
    let protocol = protocol_of(packet);
    let mut hash = u64::from(protocol);
    let mut mix = |value: u64| {
        hash = (hash ^ value)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    };
    addresses.step_by(4).for_each(|at| mix(word(at)));
    if protocol == TCP {
        mix(word(transport));
    }
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % QUEUES
}

/// The protocol number in the first header of a packet.
fn protocol_of(packet: &[u8]) -> u8 {
    let at = match packet.first().map(|byte| byte >> 4) {
        Some(4) => 9,
        _ => 6,
    };
    packet.get(at).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::udp_packet;
    use std::net::IpAddr;

    fn put(fair: &mut Fair, flow: u8, payload: usize) -> bool {
        let (from, to): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, flow].into());
        let packet = udp_packet(from, to, &vec![flow; payload]);
        let Some(room) = fair.room() else {
            return false;
        };
        room[..packet.len()].copy_from_slice(&packet);
        fair.take(packet.len(), false);
        true
    }

    /// The flows of what is chosen next.
    fn chosen(fair: &mut Fair) -> Vec<u8> {
        fair.choose();
        fair.chosen().map(|(_, packet)| packet[19]).collect()
    }

    /// Flows with a queue of their own each.
    fn flows(count: usize) -> Vec<u8> {
        let mut seen = std::collections::HashSet::new();
        let queue = |flow: u8| {
            queue_of(&udp_packet(
                [10, 0, 0, 1].into(),
                [10, 0, 0, flow].into(),
                b"",
            ))
        };
        (1..=255)
            .filter(|flow| seen.insert(queue(*flow)))
            .take(count)
            .collect()
    }

    #[test]
    fn a_small_flow_does_not_wait_behind_one_that_fills_the_tunnel() {
        let [bulk, ping] = flows(2)[..] else { panic!() };
        let mut fair = Fair::new();
        for _ in 0..20 {
            assert!(put(&mut fair, bulk, 60_000));
        }
        assert_eq!(chosen(&mut fair), [bulk]);
        assert!(put(&mut fair, ping, 56));
        assert_eq!(chosen(&mut fair)[0], ping);
        let mut rest = Vec::new();
        while !fair.is_empty() {
            rest.extend(chosen(&mut fair));
        }
        assert_eq!(rest.len(), 18);
    }

    #[test]
    fn flows_that_all_have_much_to_send_share_alike() {
        let flows = flows(4);
        let mut fair = Fair::new();
        for flow in &flows {
            for _ in 0..100 {
                assert!(put(&mut fair, *flow, 1000));
            }
        }
        let mut counts = std::collections::HashMap::new();
        for _ in 0..4 {
            for flow in chosen(&mut fair) {
                *counts.entry(flow).or_insert(0u32) += 1;
            }
        }
        assert_eq!(counts.len(), 4);
        let (least, most) = (
            counts.values().min().unwrap(),
            counts.values().max().unwrap(),
        );
        assert!(most - least <= 9, "{counts:?}");
    }

    #[test]
    fn packets_of_a_flow_keep_their_order() {
        let flows = flows(3);
        let mut fair = Fair::new();
        let mut next = [0u8; 3];
        let mut seen = vec![Vec::new(); 3];
        for round in 0..40usize {
            for _ in 0..5 {
                let which = (round * 7 + next[0] as usize) % 3;
                let payload = [next[which]; 700];
                next[which] += 1;
                let packet = udp_packet(
                    [10, 0, 0, 1].into(),
                    [10, 0, 0, flows[which]].into(),
                    &payload,
                );
                fair.room().unwrap()[..packet.len()].copy_from_slice(&packet);
                fair.take(packet.len(), false);
            }
            if round % 3 == 0 {
                fair.choose();
                for (_, packet) in fair.chosen() {
                    let which = flows.iter().position(|flow| *flow == packet[19]).unwrap();
                    seen[which].push(packet[40]);
                }
            }
        }
        for order in seen {
            assert!(order.len() > 10 && order.is_sorted(), "{order:?}");
        }
    }

    #[test]
    fn the_longest_queue_gives_way_when_too_much_waits() {
        let [bulk, ping] = flows(2)[..] else { panic!() };
        let mut fair = Fair::new();
        assert!(put(&mut fair, ping, 56));
        let mut taken = 0;
        while put(&mut fair, bulk, 60_000) {
            taken += 1;
        }
        assert!(taken >= MAX_BLOCKS * 3, "{taken}");
        let gone = fair.make_room();
        assert_eq!(gone, Some(u64::div_ceil(taken as u64, 2)));
        assert!(put(&mut fair, bulk, 60_000));
        assert_eq!(chosen(&mut fair)[0], ping);
        while put(&mut fair, ping, 0) {}
        assert_eq!(fair.waiting, MAX_WAITING);
    }

    #[test]
    fn tcp_is_left_to_wait() {
        let mut fair = Fair::new();
        let mut packet = udp_packet([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), &[0; 60_000]);
        packet[9] = TCP;
        while let Some(room) = fair.room() {
            room[..packet.len()].copy_from_slice(&packet);
            fair.take(packet.len(), false);
        }
        let waiting = fair.waiting;
        assert_eq!(fair.make_room(), None);
        assert_eq!(fair.waiting, waiting);
    }

    #[test]
    fn room_is_used_again_and_again() {
        let [flow] = flows(1)[..] else { panic!() };
        let mut fair = Fair::new();
        for _ in 0..10_000 {
            assert!(put(&mut fair, flow, 1400));
            assert_eq!(chosen(&mut fair), [flow]);
        }
        assert!(fair.blocks.len() <= 2);
        assert!(fair.is_empty());
    }
}
