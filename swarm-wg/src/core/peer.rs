//! One peer: its sessions, its endpoint, its packets that wait.
//!
//! An endpoint moves for an authentic message and for nothing else. A cookie reply is not one:
//! anybody who saw the initiation can make it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;

use super::context::Context;
use super::counters::DropReason;
use super::handshakes::Handshakes;
use super::noise::Session;
use super::packet::padded_len;
use super::peers::Slot;
use super::plane::{MAX_SESSIONS, Marks, Plane};
use super::queue::Waiting;
use super::timers::Timers;
use super::wire::{DATA_HEADER, DATA_OVERHEAD};
use crate::config::PeerConfig;
use crate::event::Event;
use crate::key::{PresharedKey, PublicKey};
use crate::stats::PeerStats;

/// Sessions that are kept past their use.
const PAST: usize = MAX_SESSIONS - 2;

/// The sessions with a peer, each opened until it ends.
#[derive(Default)]
pub(super) struct Sessions {
    /// The one that packets are sealed with.
    pub(super) current: Option<Arc<Session>>,
    /// One that the peer began and has not used yet.
    pub(super) next: Option<Arc<Session>>,
    /// Those before, the latest first; messages under them may still be on their way. When
    /// both sides renew at the same moment, each has two that the other may be using.
    past: [Option<Arc<Session>>; PAST],
}

impl Sessions {
    /// Takes a session that we began: the peer has its keys, since it answered.
    pub(super) fn begun(&mut self, session: Arc<Session>) {
        let before = [self.current.replace(session), self.next.take()];
        before
            .into_iter()
            .flatten()
            .for_each(|session| self.retire(session));
    }

    /// Takes a session that the peer began. It is used once the peer has used it.
    pub(super) fn answered(&mut self, session: Arc<Session>) {
        self.next = Some(session);
    }

    /// The peer used a session: whether that was the first time.
    pub(super) fn confirm(&mut self, index: u32) -> bool {
        if self.next.as_ref().is_none_or(|next| next.local != index) {
            return false;
        }
        let before = std::mem::replace(&mut self.current, self.next.take());
        before.into_iter().for_each(|session| self.retire(session));
        if let Some(session) = &self.current {
            session.confirm();
        }
        true
    }

    fn retire(&mut self, session: Arc<Session>) {
        self.past.rotate_right(1);
        self.past[0] = Some(session);
    }

    /// All of them, the current one first.
    fn all(&self) -> [Option<&Arc<Session>>; MAX_SESSIONS] {
        let [first, second, third] = self.past.each_ref().map(Option::as_ref);
        [
            self.current.as_ref(),
            self.next.as_ref(),
            first,
            second,
            third,
        ]
    }

    /// Forgets the sessions that have ended. Returns whether there were any.
    fn expire(&mut self, now: Instant) -> bool {
        let mut any = false;
        let now_and_next = [&mut self.current, &mut self.next];
        for session in now_and_next.into_iter().chain(&mut self.past) {
            any |= session.take_if(|session| !session.is_alive(now)).is_some();
        }
        any
    }
}

pub(crate) struct Peer {
    pub(crate) public_key: PublicKey,
    pub(crate) preshared_key: Option<PresharedKey>,
    pub(crate) allowed_ips: BTreeSet<IpNet>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) keepalive: Option<u16>,
    pub(crate) slot: Slot,
    /// When the schedule has this peer down.
    pub(crate) scheduled: Option<Instant>,
    /// Whether packets have to be told of other sessions or another endpoint.
    changed: bool,
    pub(super) marks: Arc<Marks>,
    pub(super) sessions: Sessions,
    pub(super) handshakes: Handshakes,
    pub(super) timers: Timers,
    pub(super) waiting: Waiting,
    latest_handshake: Option<SystemTime>,
}

impl Peer {
    pub(crate) fn new(config: &PeerConfig, slot: Slot, cx: &mut Context<'_>) -> Self {
        Self {
            public_key: config.public_key,
            preshared_key: config.preshared_key.clone(),
            allowed_ips: BTreeSet::new(),
            endpoint: None,
            keepalive: None,
            slot,
            scheduled: None,
            changed: false,
            marks: Arc::default(),
            sessions: Sessions::default(),
            handshakes: Handshakes::new(&config.public_key),
            timers: Timers::new(cx.plane.base, cx.random),
            waiting: Waiting::default(),
            latest_handshake: None,
        }
    }

    pub(crate) fn stats(&self, now: Instant) -> PeerStats {
        let (tx_bytes, rx_bytes) = self.marks.bytes();
        PeerStats {
            public_key: self.public_key,
            endpoint: self.endpoint,
            allowed_ips: self.allowed_ips.iter().copied().collect(),
            latest_handshake: self.latest_handshake,
            rx_bytes,
            tx_bytes,
            persistent_keepalive: self.keepalive,
            has_preshared_key: self.preshared_key.is_some(),
            session: self.has_session(now),
        }
    }

    /// Whether packets can be sealed now.
    pub(super) fn has_session(&self, now: Instant) -> bool {
        let current = self.sessions.current.as_ref();
        current.is_some_and(|session| session.is_alive(now))
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let ends = self.sessions.all().into_iter().flatten();
        let timers = self
            .timers
            .deadline(&self.marks, self.keepalive_interval(), now);
        ends.map(|session| session.end()).chain(timers).min()
    }

    /// The keepalive that is due sometimes: none without an endpoint to send it to.
    pub(super) fn keepalive_interval(&self) -> Option<Duration> {
        let seconds = self.keepalive.filter(|_| self.endpoint.is_some())?;
        Some(Duration::from_secs(seconds.into()))
    }

    /// Tells packets of the sessions and the endpoint, where they have changed.
    pub(crate) fn publish(&mut self, plane: &Plane) {
        if std::mem::take(&mut self.changed) {
            let mut tables = plane.write();
            tables.set_lane(self.slot, self.endpoint, self.sessions.all());
        }
    }

    // --- out ---

    /// Sends an inner packet that found no session, now or once there is one.
    pub(crate) fn send(&mut self, packet: &[u8], cx: &mut Context<'_>) {
        if self.endpoint.is_none() {
            return cx.dropped(DropReason::NoEndpoint);
        }
        if self.waiting.is_empty() && self.seal(packet, cx) {
            return;
        }
        let lost = self.waiting.push(packet, cx.waiting);
        cx.plane.drops().add(DropReason::QueueFull, lost);
        self.begin_handshake(cx);
    }

    /// Seals a packet, or nothing as a keepalive, into what is to be sent. False: there is no
    /// session for it.
    fn seal(&mut self, packet: &[u8], cx: &mut Context<'_>) -> bool {
        let (Some(session), Some(endpoint)) = (&self.sessions.current, self.endpoint) else {
            return false;
        };
        if !session.is_alive(cx.now) {
            return false;
        }
        let Some(counter) = session.reserve(1) else {
            return false;
        };
        let padded = padded_len(packet.len(), cx.plane.mtu());
        let message = cx.out.transmits.room(padded + DATA_OVERHEAD);
        let body = &mut message[DATA_HEADER..DATA_HEADER + padded];
        body[..packet.len()].copy_from_slice(packet);
        body[packet.len()..].fill(0);
        session.seal(counter, message);
        cx.out.transmits.commit(endpoint, padded + DATA_OVERHEAD);
        self.sent(padded + DATA_OVERHEAD, !packet.is_empty(), cx);
        true
    }

    /// Notes that a message was sent.
    pub(super) fn sent(&mut self, bytes: usize, data: bool, cx: &Context<'_>) {
        self.marks.sent(bytes, data, cx.plane.base, cx.now);
        self.timers.watch(&self.marks, cx.now);
    }

    pub(super) fn send_keepalive(&mut self, cx: &mut Context<'_>) -> bool {
        self.seal(&[], cx)
    }

    /// Sends what waited for the session that there is now.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(packet) = self.waiting.pop(cx.waiting) {
            any |= self.seal(&packet, cx);
        }
        any
    }

    // --- what authentic messages say ---

    /// An authentic message came from here: this is where the peer is.
    pub(crate) fn found_at(&mut self, source: SocketAddr, cx: &mut Context<'_>) {
        if self.endpoint != Some(source) {
            let from = self.endpoint.replace(source);
            self.changed = true;
            cx.event(Event::EndpointMoved {
                peer: self.public_key,
                from,
                to: source,
            });
        }
    }

    /// Notes that an authentic handshake message was received.
    pub(super) fn received(&mut self, bytes: usize, cx: &Context<'_>) {
        self.marks.received(bytes, false, cx.plane.base, cx.now);
        self.timers.watch(&self.marks, cx.now);
    }

    /// The peer used a session: if it is one that it began, it is ours to use from now on.
    pub(crate) fn confirm(&mut self, index: u32, cx: &mut Context<'_>) {
        if self.sessions.confirm(index) {
            self.established(cx);
        }
    }

    /// There is a new session to send with. Returns whether anything was sent.
    pub(super) fn established(&mut self, cx: &mut Context<'_>) -> bool {
        self.changed = true;
        self.timers.established();
        self.latest_handshake = Some(cx.clocks.wall_at(cx.now));
        cx.event(Event::HandshakeCompleted {
            peer: self.public_key,
        });
        self.flush(cx)
    }

    pub(super) fn sessions_changed(&mut self) {
        self.changed = true;
    }

    // --- the end of sessions ---

    /// Forgets sessions that have ended.
    pub(super) fn expire_sessions(&mut self, cx: &mut Context<'_>) {
        let had = self.sessions.current.is_some();
        if self.sessions.expire(cx.now) {
            self.changed = true;
        }
        if had && self.sessions.current.is_none() {
            cx.event(Event::PeerExpired {
                peer: self.public_key,
            });
        }
    }

    /// Ends all sessions, for a changed key; a handshake begins where one is wanted.
    /// `same_identity` says whether our own key is still the same.
    pub(crate) fn reset(&mut self, same_identity: bool, cx: &mut Context<'_>) {
        let had = self.has_session(cx.now);
        self.sessions = Sessions::default();
        self.changed = true;
        self.timers.reset();
        self.handshakes.reset(same_identity, cx);
        if had {
            cx.event(Event::PeerExpired {
                peer: self.public_key,
            });
        }
        self.marks.forget_owed();
        self.marks.forget_unanswered();
        if self.is_wanted() {
            self.initiate(cx);
        }
    }

    /// Takes a new endpoint from the configuration. Without a session a handshake begins at
    /// once, and is tried again a second later.
    pub(crate) fn set_endpoint(&mut self, endpoint: SocketAddr, cx: &mut Context<'_>) {
        self.endpoint = Some(endpoint);
        self.changed = true;
        if !self.has_session(cx.now) {
            self.timers.punch(cx.now, cx.random);
            self.initiate(cx);
        }
    }

    /// Takes the endpoint to begin with.
    pub(crate) fn place(&mut self, endpoint: Option<SocketAddr>) {
        self.endpoint = endpoint;
        self.changed = true;
    }

    /// Drops what waits: the peer goes.
    pub(crate) fn discard(&mut self, cx: &mut Context<'_>) {
        let lost = self.waiting.clear(cx.waiting);
        cx.plane.drops().add(DropReason::PeerRemoved, lost);
        self.handshakes.discard(cx);
    }
}
