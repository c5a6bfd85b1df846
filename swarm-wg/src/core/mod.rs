//! The tunnel without its surroundings: datagrams, packets and the time in; datagrams, packets
//! and events out. No sockets, no threads, no clock.
//!
//! # Order of calls
//! 1. Hand over what happened: [`Core::handle_datagram`], [`Core::handle_inner`],
//!    [`Core::handle_timeout`], or a change of configuration. As many as there are at hand.
//! 2. Fetch [`Core::poll_transmit`], then [`Core::poll_inner`]: each swaps a whole batch out.
//!    Then [`Core::poll_event`] until it is `None`.
//! 3. Ask [`Core::next_deadline`], and call [`Core::handle_timeout`] then at the latest.
//!
//! Any call of the first kind may put something into any of the three outputs. What is not
//! fetched is kept to a bound, and past it dropped and counted. Two threads may share a core
//! under a lock: whoever makes calls fetches the outputs before unlocking, and sends after.
//!
//! # Invariants
//! - A packet is delivered only if the table of allowed IPs names its sender's key as the
//!   owner of its source address, and sent only to the owner of its destination address.
//! - An endpoint moves only for an authentic message.
//! - A handshake message costs a hash before it costs a curve operation.
//! - Nothing that a peer or a stranger sends makes memory grow past a bound.

mod batch;
mod configure;
mod context;
mod counters;
mod dates;
mod handshakes;
mod limiter;
mod liveness;
pub(crate) mod noise;
mod packet;
mod peer;
pub(crate) mod peers;
pub(crate) mod plane;
mod queue;
pub(crate) mod random;
mod reception;
pub(crate) mod routes;
mod timers;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

#[cfg(feature = "tun")]
pub(crate) use batch::{MAX_RUN, MAX_RUN_BYTES};
pub use batch::{PacketBatch, Transmit, TransmitBatch};
pub use counters::{DropCounters, DropReason};
#[cfg(any(test, feature = "testing"))]
pub(crate) use noise::{Cipher, compare_ciphers};
#[cfg(feature = "tun")]
pub(crate) use wire::DATA_OVERHEAD;

use context::{Clocks, MAX_PENDING, Outbox, cx};
use dates::Dates;
use limiter::Limiter;
use noise::{Entropy, Identity};
use peers::{Peers, Slot};
use plane::{Datagrams, Packet, Plane, Poke};
use queue::WaitingTotal;
use random::Random;

use crate::event::Event;
use crate::key::{PrivateKey, PublicKey};
use crate::stats::PeerStats;

/// What a core is made of.
///
/// # Defaults
/// `mtu` 1420, no `handshake_floor`, `handshakes_before_cookies` 256.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CoreConfig {
    /// The tunnel's private key. A key of zeros is none: no handshake is made with it.
    pub private_key: PrivateKey,
    /// Largest inner packet, in bytes: padding stops there.
    pub mtu: u16,
    /// What [`Core::handshake_floor`] said in an earlier life.
    pub handshake_floor: Option<SystemTime>,
    /// Handshake messages a second past which their senders must prove their address by a
    /// cookie. One initiation costs about 0.15 ms of a processor.
    pub handshakes_before_cookies: u32,
}

impl CoreConfig {
    /// A core with this key.
    pub fn new(private_key: PrivateKey) -> Self {
        Self {
            private_key,
            mtu: 1420,
            handshake_floor: None,
            handshakes_before_cookies: 256,
        }
    }
}

/// A WireGuard tunnel with many peers, sans I/O.
pub struct Core {
    private_key: PrivateKey,
    identity: Identity,
    limiter: Limiter,
    before_cookies: u32,
    peers: Peers,
    plane: Arc<Plane>,
    /// Whose the initiations under way are, by our index.
    initiations: HashMap<u32, Slot>,
    out: Outbox,
    waiting: WaitingTotal,
    random: Random,
    entropy: Entropy,
    clocks: Clocks,
    dates: Dates,
    pokes: Vec<Poke>,
    opened: Vec<std::ops::Range<usize>>,
}

impl Core {
    /// Makes a core without peers. All secrets that it makes follow from `seed`, which must be
    /// secret and drawn anew for every core; `wall` is the date at `now`.
    pub fn new(config: CoreConfig, seed: [u8; 32], now: Instant, wall: SystemTime) -> Self {
        let mut entropy = Entropy::new(seed);
        let spread = u64::from(entropy.draw_u32());
        let mut core = Self {
            identity: Identity::new(&config.private_key),
            private_key: config.private_key,
            limiter: Limiter::new(config.handshakes_before_cookies),
            before_cookies: config.handshakes_before_cookies,
            peers: Peers::default(),
            plane: Arc::new(Plane::new(config.mtu, now)),
            initiations: HashMap::new(),
            out: Outbox::default(),
            waiting: WaitingTotal::default(),
            random: Random::new(spread),
            entropy,
            clocks: Clocks { wall, at: now },
            dates: Dates::new(config.handshake_floor),
            pokes: Vec::new(),
            opened: Vec::new(),
        };
        core.report_clock();
        core
    }

    /// What packets touch, for threads to share.
    #[cfg(feature = "tun")]
    pub(crate) fn plane(&self) -> &Arc<Plane> {
        &self.plane
    }

    /// Takes a datagram that came from the network.
    pub fn handle_datagram(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        if self.is_full() {
            return self.plane.dropped(DropReason::Backlog);
        }
        let Self {
            plane,
            out,
            opened,
            pokes,
            ..
        } = self;
        let room = out.packets.room(datagram.len());
        room.copy_from_slice(datagram);
        let mut datagrams = Datagrams::new(canonical(source), 0..datagram.len(), 0);
        let control = plane.open(&plane.read(), room, &mut datagrams, now, opened, pokes);
        for packet in opened.drain(..) {
            out.packets.commit(datagram.len(), packet);
        }
        self.settle_pokes(now);
        if control.is_some() {
            self.handle_handshake(source, datagram, now);
        }
    }

    fn settle_pokes(&mut self, now: Instant) {
        if !self.pokes.is_empty() {
            let mut pokes = std::mem::take(&mut self.pokes);
            self.handle_pokes(&mut pokes, now);
            self.pokes = pokes;
        }
    }

    /// Settles what packets met on their way.
    pub(crate) fn handle_pokes(&mut self, pokes: &mut Vec<Poke>, now: Instant) {
        for poke in pokes.drain(..) {
            let slot = match poke {
                Poke::Confirm { index } | Poke::Roam { index, .. } => {
                    self.plane.read().session(index).map(|(slot, _)| *slot)
                }
                Poke::Renew { slot } | Poke::Watch { slot } => Some(slot),
            };
            let Some((slot, peer)) = slot.and_then(|slot| Some((slot, self.peers.peer_mut(slot)?)))
            else {
                continue;
            };
            let cx = cx!(self, now);
            match poke {
                Poke::Confirm { index } => peer.confirm(index, cx),
                Poke::Roam { source, .. } => peer.found_at(source, cx),
                Poke::Renew { .. } => peer.begin_handshake(cx),
                Poke::Watch { .. } => peer.watch(cx),
            }
            self.settle(slot, now);
        }
    }

    /// Takes an inner packet that is to be sent to the peer that owns its destination.
    pub fn handle_inner(&mut self, packet: &[u8], now: Instant) {
        let Some(segments) = Packet::parse(packet) else {
            return self.plane.dropped(DropReason::MalformedOutgoing);
        };
        if self.is_full() {
            return self.plane.dropped(DropReason::Backlog);
        }
        let (plane, batch) = (&self.plane, &mut self.out.transmits);
        let sealed = plane.seal(&plane.read(), &segments, now, batch, &mut self.pokes);
        self.settle_pokes(now);
        if sealed.is_err() {
            self.hold(packet, now);
        }
    }

    /// Takes an inner packet for which there was no session a moment ago.
    pub(crate) fn hold(&mut self, packet: &[u8], now: Instant) {
        let Some(inner) = packet::Inner::parse(packet) else {
            return self.plane.dropped(DropReason::MalformedOutgoing);
        };
        let slot = self.plane.read().routes.lookup(inner.destination);
        let Some((slot, peer)) = slot.and_then(|slot| Some((slot, self.peers.peer_mut(slot)?)))
        else {
            return self.plane.dropped(DropReason::NoRoute);
        };
        peer.send(packet, cx!(self, now));
        self.settle(slot, now);
    }

    /// Whether as much waits to be fetched as may.
    fn is_full(&self) -> bool {
        self.out.transmits.bytes() >= MAX_PENDING || self.out.packets.bytes() >= MAX_PENDING
    }

    /// Has packets and the schedule follow a change of a peer.
    fn settle(&mut self, slot: Slot, now: Instant) {
        if let Some(peer) = self.peers.peer_mut(slot) {
            peer.publish(&self.plane);
        }
        self.peers.schedule(slot, now);
    }

    /// Does what is due at this moment. Early and repeated calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(slot) = self.peers.pop_due(now) {
            if let Some(peer) = self.peers.peer_mut(slot) {
                peer.advance(cx!(self, now));
            }
            self.settle(slot, now);
        }
    }

    /// When [`Self::handle_timeout`] must be called at the latest; `None`: no need to.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.peers.next_deadline()
    }

    /// Takes the date, to be told about once a second: handshakes are dated by it.
    ///
    /// Peers refuse handshakes dated before the last one they saw. While the clock is behind
    /// [`Self::handshake_floor`], handshakes are dated from there on, and the clock is reported
    /// as [`Event::ClockBehind`] whenever it was set back.
    pub fn handle_wall_clock(&mut self, wall: SystemTime, now: Instant) {
        let expected = self.clocks.wall_at(now);
        self.clocks = Clocks { wall, at: now };
        let tolerance = std::time::Duration::from_secs(2);
        if expected
            .duration_since(wall)
            .is_ok_and(|step| step > tolerance)
        {
            self.dates.clock_was_set_back();
            self.report_clock();
        }
    }

    fn report_clock(&mut self) {
        if let Ok(behind) = self.dates.latest().duration_since(self.clocks.wall)
            && !behind.is_zero()
        {
            let now = self.clocks.at;
            cx!(self, now).event(Event::ClockBehind { behind });
        }
    }

    /// The latest date on a handshake sent so far. Persist it and hand it to the next life
    /// as [`CoreConfig::handshake_floor`]: handshakes are dated later than that, and a clock
    /// found behind it is named as such.
    pub fn handshake_floor(&self) -> SystemTime {
        self.dates.latest()
    }

    /// Swaps the datagrams to send into `batch`, whose memory is used again. Returns whether
    /// there are any.
    pub fn poll_transmit(&mut self, batch: &mut TransmitBatch) -> bool {
        batch.clear();
        std::mem::swap(batch, &mut self.out.transmits);
        !batch.is_empty()
    }

    /// Swaps the inner packets to deliver into `batch`, whose memory is used again. Returns
    /// whether there are any.
    pub fn poll_inner(&mut self, batch: &mut PacketBatch) -> bool {
        batch.clear();
        std::mem::swap(batch, &mut self.out.packets);
        !batch.is_empty()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// The tunnel's own public key.
    pub fn public_key(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// The tunnel's private key.
    pub fn private_key(&self) -> &PrivateKey {
        &self.private_key
    }

    /// What is known of each peer at this moment, sorted by public key.
    pub fn peers(&self, now: Instant) -> Vec<PeerStats> {
        let mut peers: Vec<_> = self.peers.iter().map(|peer| peer.stats(now)).collect();
        peers.sort_unstable_by_key(|peer| peer.public_key);
        peers
    }

    /// What is known of one peer at this moment.
    pub fn peer(&self, public_key: &PublicKey, now: Instant) -> Option<PeerStats> {
        let slot = self.peers.by_key(public_key)?;
        self.peers.peer(slot).map(|peer| peer.stats(now))
    }

    /// What was dropped so far, by reason.
    pub fn drops(&self) -> DropCounters {
        self.plane.drops().counters()
    }

    /// Counts drops that the shell made, so that all are found in one place.
    pub fn count_drops(&self, reason: DropReason, times: u64) {
        self.plane.drops().add(reason, times);
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("public_key", &self.public_key())
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}

/// An IPv4 address in IPv6 clothes is an IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests;
