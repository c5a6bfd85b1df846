//! What a peer does because time passed: handshake attempts, answers, keepalives.

use super::context::Context;
use super::counters::DropReason;
use super::peer::Peer;
use super::timers::Overdue;
use crate::event::Event;

impl Peer {
    /// Does what is due. To be called at the peer's deadline, early calls do no harm.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) {
        self.expire_sessions(cx);
        match self.timers.overdue(cx.now) {
            Some(Overdue::Repeat) => self.initiate(cx),
            Some(Overdue::GiveUp) => self.give_up(cx),
            None => {}
        }
        if self.timers.take_restart(cx.now) && (self.is_wanted() || self.sessions.current.is_some())
        {
            self.begin_handshake(cx);
        }
        if self.timers.take_punch(cx.now) && !self.has_session(cx.now) {
            self.initiate(cx);
        }
        if self.timers.lacks_answer(&self.marks, cx.now) {
            self.marks.forget_unanswered();
            self.begin_handshake(cx);
        }
        if self.timers.owes_answer(&self.marks, cx.now) {
            self.marks.forget_owed();
            self.send_keepalive(cx);
        }
        if let Some(interval) = self.keepalive_interval()
            && self.timers.keepalive_at(&self.marks, interval, cx.now) <= cx.now
        {
            self.keep_alive(cx);
        }
        self.timers.look(&self.marks, cx.now);
    }

    /// Whether anybody waits for a session with this peer.
    pub(super) fn is_wanted(&self) -> bool {
        self.keepalive.is_some() || !self.waiting.is_empty()
    }

    fn give_up(&mut self, cx: &mut Context<'_>) {
        self.handshakes.forget(cx);
        let lost = self.waiting.clear(cx.waiting);
        cx.plane.drops().add(DropReason::HandshakeTimeout, lost);
        let again = self.keepalive.is_some();
        self.timers.gave_up(again, cx.now, cx.random);
        cx.event(Event::HandshakeFailed {
            peer: self.public_key,
        });
    }

    fn keep_alive(&mut self, cx: &mut Context<'_>) {
        if self.send_keepalive(cx) {
            // A session that carries nothing but keepalives is renewed, too.
            if self
                .sessions
                .current
                .as_ref()
                .is_some_and(|session| session.is_worn_by_sending(cx.now))
            {
                self.begin_handshake(cx);
            }
        } else if !self.timers.is_backing_off() {
            self.begin_handshake(cx);
        }
    }

    /// Begins a handshake, unless one is under way; at once, or as soon as one may begin.
    pub(crate) fn begin_handshake(&mut self, cx: &mut Context<'_>) {
        if self.timers.is_initiating() {
            return;
        }
        if self.timers.may_initiate(cx.now) {
            self.initiate(cx);
        } else {
            self.timers.restart(self.timers.earliest_initiation(cx.now));
        }
    }

    /// Packets pass: their time-outs have to be watched.
    pub(crate) fn watch(&mut self, cx: &Context<'_>) {
        self.timers.watch(&self.marks, cx.now);
    }

    /// Takes a new interval for keepalives, and begins a handshake where there is now a
    /// reason for one.
    pub(crate) fn set_keepalive(&mut self, seconds: Option<u16>, cx: &mut Context<'_>) {
        let seconds = seconds.filter(|seconds| *seconds > 0);
        let wanted = self.keepalive.is_none() && seconds.is_some();
        self.keepalive = seconds;
        if wanted && self.endpoint.is_some() {
            self.keep_alive(cx);
        }
    }
}
