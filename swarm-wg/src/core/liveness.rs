//! What a peer does because time passed: ticks, handshake attempts, keepalives.

use std::net::SocketAddr;

use super::context::Context;
use super::counters::DropReason;
use super::noise::{CONTROL_ROOM, Tick};
use super::peer::Peer;
use super::wire::TYPE_INITIATION;
use crate::event::Event;

impl Peer {
    /// Does what is due. To be called at the peer's deadline, early calls do no harm.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) {
        self.tick_unless_held(cx);
        if let Some(seconds) = self.keepalive
            && self.endpoint.is_some()
        {
            let interval = std::time::Duration::from_secs(seconds.into());
            if self.timers.keepalive_at(interval, cx.now) <= cx.now {
                self.keep_alive(cx);
            }
        }
        if self.timers.take_owed(cx.now) && self.session {
            self.send_keepalive(cx);
        }
        if self.timers.take_restart(cx.now) && self.is_wanted() {
            self.initiate(false, cx);
        }
        if self.timers.take_punch(cx.now) && !self.session {
            self.initiate(true, cx);
        }
    }

    /// Whether anybody waits for a session with this peer.
    fn is_wanted(&self) -> bool {
        self.keepalive.is_some() || !self.waiting.is_empty()
    }

    fn keep_alive(&mut self, cx: &mut Context<'_>) {
        if self.session {
            self.send_keepalive(cx);
            // The noise layer renews a session for data only, and would let one that
            // carries keepalives run out.
            if self.timers.rekey_due(cx.now) && !self.timers.is_initiating() {
                self.initiate(false, cx);
            }
        } else if !self.timers.is_initiating() && !self.timers.is_backing_off() {
            self.initiate(false, cx);
        }
    }

    /// Brings the noise layer's clock up to date where it lags, before it is used.
    pub(super) fn refresh(&mut self, cx: &mut Context<'_>) {
        if self.timers.is_stale(cx.now) {
            self.tick_unless_held(cx);
        }
    }

    fn tick_unless_held(&mut self, cx: &mut Context<'_>) {
        if self.timers.held_until(cx.now).is_none() {
            self.tick(cx);
        }
    }

    /// Brings the clock up to date for a handshake, which is dated by it.
    pub(super) fn tick_unless_jitter(&mut self, cx: &mut Context<'_>) {
        if !self.timers.in_jitter(cx.now) {
            self.tick(cx);
        }
    }

    fn tick(&mut self, cx: &mut Context<'_>) {
        self.timers.ticked(cx.now);
        let room = cx.out.transmits.room(CONTROL_ROOM);
        match self.noise.tick(room) {
            Tick::Idle => {}
            Tick::Send(length) => {
                if room[0] == TYPE_INITIATION {
                    self.transmit_initiation(length, cx);
                } else {
                    self.transmit_control(length, cx);
                }
            }
            // Said at every tick from then on; it is news while a handshake is under way.
            Tick::Expired if self.timers.is_initiating() => {
                let lost = self.waiting.clear(cx.waiting);
                cx.out.drops.add(DropReason::HandshakeTimeout, lost);
                let again = self.keepalive.is_some();
                self.timers.gave_up(again, cx.now, cx.random);
                cx.out.event(Event::HandshakeFailed {
                    peer: self.public_key,
                });
            }
            Tick::Expired => {}
        }
        if self.session && !self.noise.has_session() {
            self.session = false;
            cx.out.event(Event::PeerExpired {
                peer: self.public_key,
            });
        }
    }

    /// A packet waits for a session: begins a handshake, unless one is under way or the last
    /// was a moment ago.
    pub(super) fn want_session(&mut self, cx: &mut Context<'_>) {
        if !self.timers.is_initiating() && self.timers.may_initiate(cx.now) {
            self.initiate(false, cx);
        }
    }

    /// Sends an initiation; when one is under way, only if `again`.
    pub(super) fn initiate(&mut self, again: bool, cx: &mut Context<'_>) {
        if self.endpoint.is_none() {
            return;
        }
        // The noise layer dates the start of a handshake by its last tick.
        self.tick_unless_jitter(cx);
        let room = cx.out.transmits.room(CONTROL_ROOM);
        if let Some(length) = self.noise.initiate(again, room) {
            self.transmit_initiation(length, cx);
        }
    }

    /// Begins a handshake where somebody waits for one.
    pub(crate) fn resume(&mut self, cx: &mut Context<'_>) {
        if self.is_wanted() {
            self.initiate(false, cx);
        }
    }

    /// Takes a new endpoint from the configuration. Without a session a handshake begins at
    /// once, and is tried again a second later.
    pub(crate) fn set_endpoint(&mut self, endpoint: SocketAddr, cx: &mut Context<'_>) {
        self.endpoint = Some(endpoint);
        self.refresh(cx);
        if !self.session {
            self.timers.punch(cx.now, cx.random);
            self.initiate(true, cx);
        }
    }

    /// Takes a new interval for keepalives, and begins a handshake where there is now a
    /// reason for one.
    pub(crate) fn set_keepalive(&mut self, seconds: Option<u16>, cx: &mut Context<'_>) {
        let seconds = seconds.filter(|seconds| *seconds > 0);
        let wanted = self.keepalive.is_none() && seconds.is_some();
        self.keepalive = seconds;
        if wanted && self.endpoint.is_some() {
            self.refresh(cx);
            self.keep_alive(cx);
        }
    }
}
