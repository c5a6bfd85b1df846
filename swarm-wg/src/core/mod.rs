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
mod limiter;
mod liveness;
mod noise;
mod packet;
mod peer;
mod peers;
mod queue;
pub(crate) mod random;
mod routes;
mod timers;
mod wire;

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

pub use batch::{PacketBatch, Transmit, TransmitBatch};
pub use counters::{DropCounters, DropReason};

use context::{Clocks, Context, MAX_PENDING, Outbox, cx};
use limiter::{Limiter, Verdict};
use noise::{CONTROL_ROOM, Identity};
use packet::Addresses;
use peers::{Peers, Slot};
use queue::WaitingTotal;
use random::Random;
use wire::{COUNTER_LIMIT, Message};

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
    /// The tunnel's private key.
    pub private_key: PrivateKey,
    /// Largest inner packet, in bytes: padding stops there.
    pub mtu: u16,
    /// What [`Core::handshake_floor`] said in an earlier life.
    pub handshake_floor: Option<SystemTime>,
    /// Handshake messages a second past which their senders must prove their address by a
    /// cookie. One initiation costs about 0.2 ms of a core.
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
    out: Outbox,
    waiting: WaitingTotal,
    random: Random,
    clocks: Clocks,
    mtu: usize,
    latest_stamp: SystemTime,
}

impl Core {
    /// Makes a core without peers. `seed` spreads indices and jitter and need not be secret;
    /// `wall` is the date at `now`.
    pub fn new(config: CoreConfig, seed: u64, now: Instant, wall: SystemTime) -> Self {
        let identity = Identity::new(&config.private_key);
        let mut core = Self {
            private_key: config.private_key,
            limiter: Limiter::new(&identity, config.handshakes_before_cookies),
            before_cookies: config.handshakes_before_cookies,
            identity,
            peers: Peers::default(),
            out: Outbox::default(),
            waiting: WaitingTotal::default(),
            random: Random::new(seed),
            clocks: Clocks { wall, at: now },
            mtu: config.mtu.into(),
            latest_stamp: config.handshake_floor.unwrap_or(SystemTime::UNIX_EPOCH),
        };
        core.report_clock();
        core
    }

    /// Takes a datagram that came from the network.
    pub fn handle_datagram(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        let source = canonical(source);
        let Some(message) = Message::parse(datagram) else {
            return self.out.drop(DropReason::NotWireGuard);
        };
        if self.out.transmits.len() >= MAX_PENDING || self.out.packets.len() >= MAX_PENDING {
            return self.out.drop(DropReason::Backlog);
        }
        let slot = match message {
            Message::Initiation => self.admit(source, datagram, now).and_then(|()| {
                let key = self.identity.claimed_initiator(datagram);
                let slot = key.and_then(|key| self.peers.by_key(&key));
                self.known(slot, DropReason::UnknownPeer)
            }),
            Message::Response { receiver } => self.admit(source, datagram, now).and_then(|()| {
                self.known(self.peers.by_receiver(receiver), DropReason::UnknownIndex)
            }),
            Message::Data { counter, .. } if counter >= COUNTER_LIMIT => {
                Err(DropReason::CounterLimit)
            }
            Message::Cookie { receiver } | Message::Data { receiver, .. } => {
                self.known(self.peers.by_receiver(receiver), DropReason::UnknownIndex)
            }
        };
        match slot {
            Ok(slot) => self.receive(slot, source, message, datagram, now),
            Err(reason) => self.out.drop(reason),
        }
    }

    fn known(&self, slot: Option<Slot>, otherwise: DropReason) -> Result<Slot, DropReason> {
        slot.ok_or(otherwise)
    }

    /// Lets a handshake message past the limiter, or answers it with a cookie.
    fn admit(
        &mut self,
        source: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let reply = self.out.transmits.room(CONTROL_ROOM);
        match self.limiter.check(source.ip(), datagram, now, reply) {
            Verdict::Pass => Ok(()),
            Verdict::Cookie(length) => {
                self.out.transmits.commit(source, length);
                Err(DropReason::CookieSent)
            }
            Verdict::Drop(reason) => Err(reason),
        }
    }

    fn receive(
        &mut self,
        slot: Slot,
        source: SocketAddr,
        message: Message,
        datagram: &[u8],
        now: Instant,
    ) {
        let Some(peer) = self.peers.peer_mut(slot) else {
            return;
        };
        let cx: &mut Context<'_> = cx!(self, now);
        match message {
            Message::Initiation => peer.receive_initiation(source, datagram, cx),
            Message::Response { .. } => peer.receive_response(source, message, datagram, cx),
            Message::Cookie { .. } => peer.receive_cookie(message, datagram, cx),
            Message::Data { receiver, .. } => {
                if let Some(length) = peer.receive_data(source, receiver, message, datagram, cx) {
                    self.deliver(slot, length);
                }
            }
        }
        self.peers.schedule(slot, now);
    }

    /// Delivers the packet in the room of the batch, if its source is its sender's.
    fn deliver(&mut self, slot: Slot, length: usize) {
        let packet = self.out.packets.room(length);
        match Addresses::parse(packet) {
            None => self.out.drop(DropReason::MalformedInner),
            Some(addresses) if self.peers.routes().lookup(addresses.source) != Some(slot) => {
                self.out.drop(DropReason::SpoofedSource);
            }
            Some(_) => self.out.packets.commit(length),
        }
    }

    /// Takes an inner packet that is to be sent to the peer that owns its destination.
    pub fn handle_inner(&mut self, packet: &[u8], now: Instant) {
        let Some(addresses) = Addresses::parse(packet) else {
            return self.out.drop(DropReason::MalformedOutgoing);
        };
        let Some(slot) = self.peers.routes().lookup(addresses.destination) else {
            return self.out.drop(DropReason::NoRoute);
        };
        if self.out.transmits.len() >= MAX_PENDING {
            return self.out.drop(DropReason::Backlog);
        }
        let Some(peer) = self.peers.peer_mut(slot) else {
            return;
        };
        peer.send(packet, cx!(self, now));
        self.peers.schedule(slot, now);
    }

    /// Does what is due at this moment. Early and repeated calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(slot) = self.peers.pop_due(now) {
            self.renew_if_outdated(slot, now);
            if let Some(peer) = self.peers.peer_mut(slot) {
                peer.advance(cx!(self, now));
            }
            self.peers.schedule(slot, now);
        }
    }

    /// When [`Self::handle_timeout`] must be called at the latest; `None`: no need to.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.peers.next_deadline()
    }

    /// Takes the date, to be told about once a second: it dates handshakes for statistics,
    /// and a step of the clock is dealt with.
    ///
    /// Peers refuse handshakes dated before the last one they saw. After a step forward
    /// (a machine without a clock battery heard the time), handshakes are dated anew; a
    /// clock behind [`Self::handshake_floor`] is reported as [`Event::ClockBehind`].
    pub fn handle_wall_clock(&mut self, wall: SystemTime, now: Instant) {
        let expected = self.clocks.wall_at(now);
        self.clocks = Clocks { wall, at: now };
        let tolerance = std::time::Duration::from_secs(2);
        if wall
            .duration_since(expected)
            .is_ok_and(|step| step > tolerance)
        {
            for slot in self.peers.slots() {
                if let Some(peer) = self.peers.peer_mut(slot) {
                    peer.outdated = true;
                }
                self.renew_if_outdated(slot, now);
                self.peers.schedule(slot, now);
            }
        } else if expected
            .duration_since(wall)
            .is_ok_and(|step| step > tolerance)
        {
            self.report_clock();
        }
    }

    fn report_clock(&mut self) {
        if let Ok(behind) = self.latest_stamp.duration_since(self.clocks.wall)
            && !behind.is_zero()
        {
            self.out.event(Event::ClockBehind { behind });
        }
    }

    /// The latest date on a handshake sent so far. Persist it and hand it to the next life
    /// as [`CoreConfig::handshake_floor`]: a clock found behind it is then named as such.
    pub fn handshake_floor(&self) -> SystemTime {
        self.latest_stamp
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

    /// What is known of each peer, sorted by public key.
    pub fn peers(&self) -> Vec<PeerStats> {
        let mut peers: Vec<_> = self.peers.iter().map(|peer| peer.stats()).collect();
        peers.sort_unstable_by_key(|peer| peer.public_key);
        peers
    }

    /// What is known of one peer.
    pub fn peer(&self, public_key: &PublicKey) -> Option<PeerStats> {
        let slot = self.peers.by_key(public_key)?;
        self.peers.peer(slot).map(|peer| peer.stats())
    }

    /// What was dropped so far, by reason.
    pub fn drops(&self) -> &DropCounters {
        &self.out.drops
    }

    /// Counts drops that the shell made, so that all are found in one place.
    pub fn count_drops(&mut self, reason: DropReason, times: u64) {
        self.out.drops.add(reason, times);
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
