//! One peer: its session, its endpoint, its packets.
//!
//! An endpoint moves for an authentic packet and for nothing else. A cookie reply is not one:
//! anybody who saw the initiation can make it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;

use super::context::Context;
use super::counters::DropReason;
use super::noise::{CONTROL_ROOM, Noise, Opened, opened_room, sealed_room};
use super::packet::padded_len;
use super::queue::Waiting;
use super::timers::Timers;
use super::wire::{INITIATION_LEN, Message, u32_at};
use crate::config::PeerConfig;
use crate::event::Event;
use crate::key::{PresharedKey, PublicKey};
use crate::stats::PeerStats;

/// Accepted initiations of one peer are this far apart at least (50 a second, as in the
/// Linux kernel).
const INITIATION_GAP: Duration = Duration::from_millis(20);

/// The last initiation that a peer was granted. Fed to a renewed noise layer it keeps older
/// ones from being replayed to it.
struct Accepted {
    at: Instant,
    message: Box<[u8; INITIATION_LEN]>,
}

pub(crate) struct Peer {
    pub(crate) public_key: PublicKey,
    pub(crate) preshared_key: Option<PresharedKey>,
    pub(crate) allowed_ips: BTreeSet<IpNet>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) keepalive: Option<u16>,
    /// 24 bits; with 8 more it is the receiver index of the peer's messages.
    pub(crate) index: u32,
    /// When the schedule has this peer down.
    pub(crate) scheduled: Option<Instant>,
    /// The wall clock was set forward since the noise layer was made, and its handshakes
    /// are dated before that.
    pub(crate) outdated: bool,
    pub(super) noise: Noise,
    pub(super) timers: Timers,
    pub(super) waiting: Waiting,
    pub(super) session: bool,
    /// The index of a session the peer has not used yet: it is confirmed when it does.
    unconfirmed: Option<u32>,
    accepted: Option<Accepted>,
    /// The wall clock when the noise layer was made.
    made: (SystemTime, Instant),
    latest_handshake: Option<SystemTime>,
    rx_bytes: u64,
    tx_bytes: u64,
}

impl Peer {
    pub(crate) fn new(config: &PeerConfig, index: u32, cx: &mut Context<'_>) -> Self {
        let preshared_key = config.preshared_key.clone();
        let noise = Noise::new(
            cx.identity,
            &config.public_key,
            preshared_key.as_ref(),
            index,
        );
        Self {
            public_key: config.public_key,
            preshared_key,
            allowed_ips: BTreeSet::new(),
            endpoint: None,
            keepalive: None,
            index,
            scheduled: None,
            outdated: false,
            noise,
            timers: Timers::new(cx.now),
            waiting: Waiting::default(),
            session: false,
            unconfirmed: None,
            accepted: None,
            made: (cx.clocks.wall_at(cx.now), cx.now),
            latest_handshake: None,
            rx_bytes: 0,
            tx_bytes: 0,
        }
    }

    pub(crate) fn stats(&self) -> PeerStats {
        PeerStats {
            public_key: self.public_key,
            endpoint: self.endpoint,
            allowed_ips: self.allowed_ips.iter().copied().collect(),
            latest_handshake: self.latest_handshake,
            rx_bytes: self.rx_bytes,
            tx_bytes: self.tx_bytes,
            persistent_keepalive: self.keepalive,
            has_preshared_key: self.preshared_key.is_some(),
            session: self.session,
        }
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.timers
            .deadline(self.session, self.keepalive_interval(), now)
    }

    /// The keepalive that is due sometimes: none without an endpoint to send it to.
    fn keepalive_interval(&self) -> Option<Duration> {
        let seconds = self.keepalive.filter(|_| self.endpoint.is_some())?;
        Some(Duration::from_secs(seconds.into()))
    }

    // --- out ---

    /// Sends an inner packet, now or once there is a session.
    pub(crate) fn send(&mut self, packet: &[u8], cx: &mut Context<'_>) {
        if self.endpoint.is_none() {
            return cx.out.drop(DropReason::NoEndpoint);
        }
        self.refresh(cx);
        if self.session {
            self.seal(packet, cx);
        } else {
            let lost = self.waiting.push(packet, cx.waiting);
            cx.out.drops.add(DropReason::QueueFull, lost);
            self.want_session(cx);
        }
    }

    fn seal(&mut self, packet: &[u8], cx: &mut Context<'_>) {
        let padded = padded_len(packet.len(), cx.mtu);
        let out = &mut *cx.out;
        let plaintext = if padded == packet.len() {
            packet
        } else {
            out.scratch.clear();
            out.scratch.extend_from_slice(packet);
            out.scratch.resize(padded, 0);
            &out.scratch
        };
        let room = out.transmits.room(sealed_room(padded));
        if let Some(length) = self.noise.seal(plaintext, room) {
            if !packet.is_empty() {
                self.timers.data_sent(cx.now);
            }
            self.transmit(length, cx);
        }
    }

    /// Sends the message that was written to the room of the batch.
    fn transmit(&mut self, length: usize, cx: &mut Context<'_>) {
        let Some(endpoint) = self.endpoint else {
            return cx.out.drop(DropReason::NoEndpoint);
        };
        cx.out.transmits.commit(endpoint, length);
        self.tx_bytes += length as u64;
        self.timers.sent(cx.now);
    }

    /// Transmits an initiation that was written to the room of the batch.
    pub(super) fn transmit_initiation(&mut self, length: usize, cx: &mut Context<'_>) {
        self.timers.initiation_sent(cx.now, cx.random);
        let (wall, at) = self.made;
        let stamp = wall + cx.now.saturating_duration_since(at);
        *cx.latest_stamp = stamp.max(*cx.latest_stamp);
        self.transmit(length, cx);
    }

    pub(super) fn transmit_control(&mut self, length: usize, cx: &mut Context<'_>) {
        self.transmit(length, cx);
    }

    pub(super) fn send_keepalive(&mut self, cx: &mut Context<'_>) {
        self.seal(&[], cx);
    }

    /// Sends what waited for the session that there is now.
    fn flush(&mut self, cx: &mut Context<'_>) {
        while let Some(packet) = self.waiting.pop(cx.waiting) {
            self.seal(&packet, cx);
        }
        while let Some(length) = self.noise.flush(cx.out.transmits.room(CONTROL_ROOM)) {
            self.transmit(length, cx);
        }
    }

    // --- in ---

    /// Takes an initiation that claims to be this peer's and came past the limiter.
    pub(crate) fn receive_initiation(
        &mut self,
        source: SocketAddr,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) {
        if let Some(accepted) = &self.accepted
            && cx.now.saturating_duration_since(accepted.at) < INITIATION_GAP
        {
            return cx.out.drop(DropReason::InitiationFlood);
        }
        self.tick_unless_jitter(cx);
        let room = cx.out.transmits.room(opened_room(datagram.len()));
        match self.noise.open(Message::Initiation, datagram, room) {
            Ok(Opened::Reply(length)) => {
                self.unconfirmed = u32_at(room, 4);
                if let Some(message) = datagram.first_chunk() {
                    self.accepted = Some(Accepted {
                        at: cx.now,
                        message: Box::new(*message),
                    });
                }
                self.authenticated(source, datagram.len(), cx);
                self.timers.yielded(!self.waiting.is_empty(), cx.now);
                self.transmit(length, cx);
            }
            Ok(_) => cx.out.drop(DropReason::BadHandshake),
            Err(reason) => cx.out.drop(reason),
        }
    }

    /// Takes a response that came past the limiter.
    pub(crate) fn receive_response(
        &mut self,
        source: SocketAddr,
        message: Message,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) {
        self.tick_unless_jitter(cx);
        let room = cx.out.transmits.room(opened_room(datagram.len()));
        match self.noise.open(message, datagram, room) {
            Ok(Opened::Reply(length)) => {
                self.authenticated(source, datagram.len(), cx);
                self.transmit(length, cx);
                self.established(true, cx);
            }
            Ok(_) => cx.out.drop(DropReason::BadHandshake),
            Err(reason) => cx.out.drop(reason),
        }
    }

    /// Takes a cookie reply. It moves no endpoint.
    pub(crate) fn receive_cookie(
        &mut self,
        message: Message,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) {
        let room = cx.out.transmits.room(opened_room(datagram.len()));
        if let Err(reason) = self.noise.open(message, datagram, room) {
            cx.out.drop(reason);
        }
    }

    /// Takes a data message. The inner packet, if there is one, lies in the room of the
    /// batch of packets, not committed yet: this is its length.
    pub(crate) fn receive_data(
        &mut self,
        source: SocketAddr,
        receiver: u32,
        message: Message,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) -> Option<usize> {
        self.refresh(cx);
        let room = cx.out.packets.room(opened_room(datagram.len()));
        let opened = match self.noise.open(message, datagram, room) {
            Ok(opened) => opened,
            Err(reason) => {
                cx.out.drop(reason);
                return None;
            }
        };
        self.authenticated(source, datagram.len(), cx);
        if self.unconfirmed == Some(receiver) {
            self.unconfirmed = None;
            self.established(false, cx);
        } else if !self.session {
            self.session = self.noise.has_session();
        }
        if matches!(opened, Opened::Packet(_) | Opened::Malformed) {
            self.timers.data_received(cx.now);
        }
        match opened {
            Opened::Packet(length) => Some(length),
            Opened::Malformed => {
                cx.out.drop(DropReason::MalformedInner);
                None
            }
            Opened::Nothing | Opened::Reply(_) => None,
        }
    }

    /// An authentic message came: the peer is where it came from.
    fn authenticated(&mut self, source: SocketAddr, length: usize, cx: &mut Context<'_>) {
        self.rx_bytes += length as u64;
        self.timers.received(cx.now);
        if self.endpoint != Some(source) {
            let from = self.endpoint.replace(source);
            cx.out.event(Event::EndpointMoved {
                peer: self.public_key,
                from,
                to: source,
            });
        }
    }

    fn established(&mut self, as_initiator: bool, cx: &mut Context<'_>) {
        self.session = self.noise.has_session();
        self.timers.established(as_initiator, cx.now);
        self.latest_handshake = Some(cx.clocks.wall_at(cx.now));
        cx.out.event(Event::HandshakeCompleted {
            peer: self.public_key,
        });
        self.flush(cx);
    }

    // --- the noise layer made anew ---

    /// Makes the noise layer anew, for a changed key or clock. `keep_replays` says whether
    /// initiations accepted so far were made for the same key of ours.
    pub(crate) fn renew(&mut self, index: u32, keep_replays: bool, cx: &mut Context<'_>) {
        self.index = index;
        self.noise = Noise::new(
            cx.identity,
            &self.public_key,
            self.preshared_key.as_ref(),
            index,
        );
        self.made = (cx.clocks.wall_at(cx.now), cx.now);
        self.outdated = false;
        self.unconfirmed = None;
        self.timers.renewed();
        if std::mem::take(&mut self.session) {
            cx.out.event(Event::PeerExpired {
                peer: self.public_key,
            });
        }
        if !keep_replays {
            self.accepted = None;
        } else if let Some(accepted) = &self.accepted {
            // The answer is thrown away; what stays is the date.
            let mut room = [0u8; CONTROL_ROOM];
            let _ = self
                .noise
                .open(Message::Initiation, &accepted.message[..], &mut room);
        }
    }

    /// Drops what waits: the peer goes.
    pub(crate) fn discard(&mut self, cx: &mut Context<'_>) {
        let lost = self.waiting.clear(cx.waiting);
        cx.out.drops.add(DropReason::PeerRemoved, lost);
    }
}
