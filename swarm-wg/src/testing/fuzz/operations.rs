//! What may happen to a world, as a script says.

use std::time::Duration;

use super::laws::refused;
use super::script::Script;
use super::world::{Flight, HANDSHAKES_BEFORE_COOKIES, NODES, World, elsewhere, home, inner};
use crate::core::noise::{MacKeys, stamp_macs};
use crate::core::{DropReason, PacketBatch, TransmitBatch};
use crate::key::{PresharedKey, PrivateKey};

/// Steps of time, in milliseconds: those that timers go by, and hours.
const STEPS: [u64; 16] = [
    1, 20, 21, 333, 1000, 5000, 5334, 10_000, 15_334, 25_000, 90_000, 120_000, 165_000, 180_000,
    3_600_000, 7_200_000,
];
/// Steps of a wall clock, in seconds.
const WALL_STEPS: [i64; 8] = [0, 1, -1, 3, -3, 86_400, -86_400, 1 << 33];
/// Prefixes that a node may be given besides its own addresses.
const WIDE: [&str; 4] = ["10.0.0.0/24", "0.0.0.0/0", "fd00::/64", "10.0.0.2/31"];
/// The most that may wait to be fetched, in bytes: a bound, and what may come on top of it.
const MOST_PENDING: usize = (16 << 20) + (1 << 17);

/// Why a handshake message is dropped before anything is computed for it but a hash.
const CHEAP: [DropReason; 3] = [
    DropReason::BadMac,
    DropReason::CookieSent,
    DropReason::RateLimited,
];

/// Time and work that a script may use up.
pub(super) struct Limits {
    operations: u32,
    time: Duration,
    floods: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 400,
            time: Duration::from_secs(6 * 3600),
            floods: 1,
        }
    }
}

impl World {
    /// Does what a script says next. False: that was all.
    pub(super) fn step(&mut self, script: &mut Script<'_>, limits: &mut Limits) -> bool {
        if script.is_empty() || limits.operations == 0 {
            return false;
        }
        limits.operations -= 1;
        let (operation, pick) = (script.byte(), script.byte());
        let a = usize::from(pick) % NODES;
        let b = (a + 1 + usize::from(pick) / NODES % (NODES - 1)) % NODES;
        if (operation, pick) == (255, 255) && limits.floods > 0 {
            limits.floods -= 1;
            self.flood_unfetched();
            return true;
        }
        match operation % 22 {
            0 => self.hand(a, elsewhere(pick), script.bytes()),
            1 | 2 => {
                if let Some(flight) = self.take_flight(pick) {
                    self.arrive(&flight);
                }
            }
            3 => drop(self.take_flight(pick)),
            4 => self.replay(pick, script),
            5 => self.forge(pick, script, false),
            6 => self.forge(pick, script, true),
            7 => self.send_packet(a, b, usize::from(script.byte()) * 6, pick & 128 == 0),
            8 => {
                for _ in 0..script.byte() {
                    self.send_packet(a, b, 0, pick & 128 == 0);
                }
            }
            9 => {
                // From one node, by its own account from another.
                let source = usize::from(script.byte()) % NODES;
                let packet = self.packet(source, b, 20, pick & 128 == 0);
                self.send(a, &packet);
            }
            10 | 11 => self.settle(),
            12 | 13 => {
                let step = Duration::from_millis(STEPS[usize::from(pick & 15)]).min(limits.time);
                limits.time -= step;
                self.run_for(step, pick & 16 == 0);
            }
            14 => self.nodes[a].address = elsewhere(script.byte()),
            15 => {
                let key = self.nodes[b].core.public_key();
                let address = match pick & 128 {
                    0 => self.nodes[b].address,
                    _ => elsewhere(script.byte()),
                };
                let _ = self.call(a, |core, now| core.set_endpoint(&key, address, now));
            }
            16 => self.come_or_go(a, b),
            17 => self.reconfigure(a, b, script.byte()),
            18 => {
                let step = WALL_STEPS[usize::from(script.byte()) % WALL_STEPS.len()];
                self.set_wall(a, step);
            }
            19 => self.change_key(a, script.byte()),
            20 => self.flood(pick, script.byte()),
            _ => {
                let bytes = script.bytes();
                self.send(a, bytes);
            }
        }
        true
    }

    fn take_flight(&mut self, pick: u8) -> Option<Flight> {
        let at = usize::from(pick) % self.wire.len().max(1);
        self.wire.remove(at)
    }

    fn look_back(&self, pick: u8) -> Option<Flight> {
        let at = usize::from(pick) % self.seen.len().max(1);
        self.seen.get(at).cloned()
    }

    /// Whatever was on the wire, once more: from there or elsewhere, to its receiver or another.
    fn replay(&mut self, pick: u8, script: &mut Script<'_>) {
        let how = script.byte();
        let Some(mut flight) = self.look_back(pick) else {
            return;
        };
        if how & 1 != 0 {
            flight.from = elsewhere(how);
        }
        if how & 2 != 0 {
            flight.to = self.nodes[usize::from(how / 4) % NODES].address;
        }
        self.arrive(&flight);
    }

    /// Something from the wire, changed or cut; the first MAC of a handshake message, which
    /// anybody can make, may be made right again.
    fn forge(&mut self, pick: u8, script: &mut Script<'_>, stamped: bool) {
        let (at, bits) = (usize::from(script.byte()), script.byte());
        let Some(mut flight) = self.look_back(pick) else {
            return;
        };
        let length = flight.bytes.len();
        if stamped {
            let to = self.nodes.iter().find(|node| node.address == flight.to);
            if !matches!((flight.bytes[0], length), (1, 148) | (2, 92)) {
                return;
            }
            // Their sender's index is behind no other proof than this MAC.
            flight.bytes[8 + at % (length - 40)] ^= bits;
            if let Some(node) = to {
                let keys = MacKeys::new(node.core.public_key().as_bytes());
                stamp_macs(&mut flight.bytes, &keys, None);
            }
        } else if bits == 0 {
            flight.bytes.truncate(at % length);
        } else {
            flight.bytes[at % length] ^= bits;
        }
        self.arrive(&flight);
    }

    /// A peer is removed, or added.
    fn come_or_go(&mut self, at: usize, peer: usize) {
        let key = self.nodes[peer].core.public_key();
        if !self.forget(at, &key) {
            self.introduce(at, peer);
        }
    }

    fn reconfigure(&mut self, at: usize, peer: usize, how: u8) {
        let mut config = self.config_of(peer);
        config.persistent_keepalive = [None, Some(0), Some(5), Some(25)][usize::from(how & 3)];
        if how & 4 != 0 {
            config.preshared_key = Some(PresharedKey::from_bytes([how & 8; 32]));
        }
        if how & 16 != 0 {
            config.endpoint = None;
        }
        if how & 32 != 0 {
            let wide = WIDE[usize::from(how >> 6)];
            config.allowed_ips.push(wide.parse().expect("a prefix"));
        }
        let _ = self.call(at, |core, now| core.update_peer(&config, now));
        self.check_prefixes(at);
    }

    /// A node gets another key, or one that it had before, or none; others are told or not.
    fn change_key(&mut self, at: usize, how: u8) {
        let key = match how & 3 {
            0 => PrivateKey::none(),
            1 => self.nodes[at].first_key.clone(),
            _ => self.new_key(),
        };
        let former = self.nodes[at].core.public_key();
        self.call(at, |core, now| core.set_private_key(key, now));
        let public = self.nodes[at].core.public_key();
        self.nodes[at].keys.push(public);
        for other in 0..NODES {
            let told = how & (4 << other) != 0;
            if told && self.forget(other, &former) {
                self.introduce(other, at);
            }
        }
    }

    /// One message many times, from many addresses: past a few, a handshake message without a
    /// cookie costs no more than a hash.
    fn flood(&mut self, pick: u8, times: u8) {
        let Some(mut flight) = self.look_back(pick) else {
            return;
        };
        let to = self.nodes.iter().position(|node| node.address == flight.to);
        let Some(to) = to.filter(|_| matches!(flight.bytes[0], 1 | 2)) else {
            return;
        };
        let cheap = |world: &Self| -> u64 {
            let drops = world.nodes[to].core.drops();
            CHEAP.iter().map(|reason| drops.count(*reason)).sum()
        };
        let before = cheap(self);
        for n in 0..times % 32 {
            flight.from = elsewhere(n);
            self.arrive(&flight);
        }
        // One that has our cookie may come at once as often as this.
        let passed = u64::from(times % 32) - (cheap(self) - before);
        assert!(passed <= u64::from(HANDSHAKES_BEFORE_COOKIES) + 5);
    }

    /// More than a core keeps, and nobody fetches it: neither what is to be sent, nor what is
    /// to be delivered.
    fn flood_unfetched(&mut self) {
        const PACKETS: u64 = 264;
        let packet = self.packet(0, 1, 65_000, true);
        let (now, from) = (self.now, self.nodes[0].address);
        let drops = |world: &Self| world.nodes[0].core.drops().count(DropReason::Backlog);
        let before = drops(self);
        for _ in 0..PACKETS {
            self.note_sent(0, &packet);
            self.nodes[0].core.handle_inner(&packet, now);
        }
        self.nodes[0].handed += PACKETS - (drops(self) - before);
        let mut transmits = TransmitBatch::default();
        self.nodes[0].core.poll_transmit(&mut transmits);
        assert!(transmits.bytes() <= MOST_PENDING);

        let mut refusals = refused(&self.nodes[1].core);
        let mut controls = 0;
        for run in transmits.iter() {
            for datagram in run.datagrams() {
                self.note_made(0, datagram);
                controls += usize::from(datagram[0] != 4);
                self.nodes[1].core.handle_datagram(from, datagram, now);
            }
        }
        refusals = refused(&self.nodes[1].core) - refusals;
        let mut packets = PacketBatch::default();
        self.nodes[1].core.poll_inner(&mut packets);
        assert!(packets.bytes() <= MOST_PENDING);
        for packet in packets.iter() {
            self.check_delivered(1, packet);
        }
        let accounted = packets.len() + refusals as usize;
        assert!(accounted <= transmits.len() && transmits.len() <= accounted + controls);
        // What was said meanwhile goes on as ever.
        self.call(1, |_, _| ());
    }

    /// Has everybody know the first two as they are, and sees that a packet passes between
    /// them, whatever was before.
    pub(super) fn check_recovery(&mut self) {
        let pair = [0, 1];
        for id in pair {
            if self.nodes[id].core.private_key().is_none() {
                self.change_key(id, 2);
            }
        }
        for (at, peer) in [(0, 1), (1, 0)] {
            for key in self.nodes[peer].keys.clone() {
                self.forget(at, &key);
            }
        }
        self.wire.clear();
        for id in 0..NODES {
            self.nodes[id].address = home(id);
        }
        self.run_for(Duration::from_secs(200), true);
        self.introduce(0, 1);
        self.introduce(1, 0);
        for (from, to) in [(0, 1), (1, 0)] {
            let packet = self.packet(from, to, 10, true);
            self.send(from, &packet);
            self.run_for(Duration::from_secs(10), true);
            assert!(
                self.has_arrived(&packet),
                "{} is cut off",
                inner(from, true)
            );
        }
    }
}
