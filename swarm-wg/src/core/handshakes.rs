//! The handshakes of one peer: the initiation under way, what keeps old ones from being
//! replayed, and the cookie that the peer gave us.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::context::Context;
use super::counters::DropReason;
use super::noise::{Claim, CookieJar, Initiation, MacKeys, Session, Tai64n, stamp_macs};
use super::peer::Peer;
use super::wire::{INITIATION_LEN, RESPONSE_LEN};
use crate::key::PublicKey;

/// Accepted initiations of one peer are this far apart at least (50 a second, as in the
/// Linux kernel).
const INITIATION_GAP: Duration = Duration::from_millis(20);

/// What a peer's handshakes need from one message to the next.
pub(super) struct Handshakes {
    mac_keys: MacKeys,
    cookies: CookieJar,
    /// The secret of both static keys, once it was needed.
    shared: Option<zeroize::Zeroizing<[u8; 32]>>,
    initiation: Option<Initiation>,
    /// The date on our last initiation.
    dated: Option<SystemTime>,
    /// The latest date on an initiation of the peer.
    latest: Option<Tai64n>,
    accepted_at: Option<Instant>,
}

impl Handshakes {
    pub(super) fn new(peer: &PublicKey) -> Self {
        Self {
            mac_keys: MacKeys::new(peer.as_bytes()),
            cookies: CookieJar::default(),
            shared: None,
            initiation: None,
            dated: None,
            latest: None,
            accepted_at: None,
        }
    }

    /// Forgets the initiation under way: its answer is for nobody.
    pub(super) fn forget(&mut self, cx: &mut Context<'_>) {
        if let Some(initiation) = self.initiation.take() {
            cx.initiations.remove(&initiation.local);
        }
    }

    /// The peer is removed.
    pub(super) fn discard(&mut self, cx: &mut Context<'_>) {
        self.forget(cx);
        cx.dates.peer_was_forgotten(self.dated);
    }

    /// Begins anew after a change of keys. Initiations that were accepted stay known, since we
    /// may come back to a key under which they could be replayed.
    pub(super) fn reset(&mut self, same_identity: bool, cx: &mut Context<'_>) {
        self.forget(cx);
        self.cookies = CookieJar::default();
        if !same_identity {
            self.shared = None;
        }
    }

    fn shared(
        &mut self,
        peer: &PublicKey,
        cx: &Context<'_>,
    ) -> Option<&zeroize::Zeroizing<[u8; 32]>> {
        if self.shared.is_none() {
            self.shared = cx.identity.agree_with(peer);
        }
        self.shared.as_ref()
    }
}

impl Peer {
    /// Sends an initiation, in place of one that is under way. Without an endpoint, or a key
    /// of our own, none is.
    pub(super) fn initiate(&mut self, cx: &mut Context<'_>) {
        let Some(endpoint) = self.endpoint else {
            return;
        };
        let key = self.public_key;
        self.handshakes.forget(cx);
        let (local, ephemeral) = (cx.new_index(), cx.entropy.draw());
        let date = cx.date(self.handshakes.dated);
        let stamp = Tai64n::new(date);
        let mut message = [0u8; INITIATION_LEN];
        let initiation = self.handshakes.shared(&key, cx).and_then(|shared| {
            Initiation::write(
                cx.identity,
                &key,
                shared,
                stamp,
                local,
                ephemeral,
                &mut message,
            )
        });
        let Some(initiation) = initiation else {
            // Nor can one be a moment later.
            let again = self.keepalive.is_some();
            self.timers.gave_up(again, cx.now, cx.random);
            return cx.dropped(DropReason::NoKey);
        };
        cx.initiations.insert(local, self.slot);
        self.handshakes.dated = Some(date);
        self.handshakes.initiation = Some(initiation);
        self.transmit_handshake(&mut message, endpoint, cx);
        self.timers.initiation_sent(cx.now, cx.random);
        let earliest = self.timers.earliest_initiation(cx.now);
        self.marks.renew_not_before(cx.plane.base, earliest);
    }

    /// Stamps the MACs on a handshake message and sends it.
    fn transmit_handshake(
        &mut self,
        message: &mut [u8],
        endpoint: SocketAddr,
        cx: &mut Context<'_>,
    ) {
        let handshakes = &mut self.handshakes;
        let cookie = handshakes.cookies.cookie(cx.now);
        let mac1 = stamp_macs(message, &handshakes.mac_keys, cookie);
        handshakes.cookies.sent(mac1);
        cx.out
            .transmits
            .room(message.len())
            .copy_from_slice(message);
        cx.out.transmits.commit(endpoint, message.len());
        self.sent(message.len(), false, cx);
    }

    /// Takes an initiation that claims to be this peer's and came past the limiter.
    pub(crate) fn receive_initiation(
        &mut self,
        source: SocketAddr,
        mut claim: Claim,
        cx: &mut Context<'_>,
    ) {
        let gap = |at| cx.now.saturating_duration_since(at) < INITIATION_GAP;
        if self.handshakes.accepted_at.is_some_and(gap) {
            return cx.dropped(DropReason::InitiationFlood);
        }
        let key = self.public_key;
        let proved = self.handshakes.shared(&key, cx);
        let Some(stamp) = proved.and_then(|shared| claim.prove(shared)) else {
            return cx.dropped(DropReason::BadHandshake);
        };
        if self.handshakes.latest.is_some_and(|latest| stamp <= latest) {
            return cx.dropped(DropReason::ReplayedHandshake);
        }
        let (local, ephemeral) = (cx.new_index(), cx.entropy.draw());
        let mut message = [0u8; RESPONSE_LEN];
        let preshared = self.preshared_key.as_ref();
        let Some((keys, remote)) = claim.respond(preshared, local, &ephemeral, &mut message) else {
            return cx.dropped(DropReason::BadHandshake);
        };
        self.handshakes.latest = Some(stamp);
        self.handshakes.accepted_at = Some(cx.now);
        let session = Session::new(&keys, local, remote, false, cx.now);
        self.sessions.answered(Arc::new(session));
        self.sessions_changed();
        self.found_at(source, cx);
        self.received(INITIATION_LEN, cx);
        self.transmit_handshake(&mut message, source, cx);
    }

    /// Takes a response that came past the limiter.
    pub(crate) fn receive_response(
        &mut self,
        source: SocketAddr,
        response: &[u8],
        cx: &mut Context<'_>,
    ) {
        let initiation = self.handshakes.initiation.as_ref();
        let completed = initiation.and_then(|initiation| {
            let preshared = self.preshared_key.as_ref();
            let (keys, remote) = initiation.complete(cx.identity, preshared, response)?;
            Some(Session::new(&keys, initiation.local, remote, true, cx.now))
        });
        let Some(session) = completed else {
            return cx.dropped(DropReason::BadHandshake);
        };
        self.handshakes.forget(cx);
        self.sessions.begun(Arc::new(session));
        self.found_at(source, cx);
        self.received(RESPONSE_LEN, cx);
        if !self.established(cx) {
            // The peer may use the session only once it knows that we have it.
            self.send_keepalive(cx);
        }
    }

    /// Takes a cookie reply. It moves no endpoint.
    pub(crate) fn receive_cookie(&mut self, reply: &[u8], cx: &mut Context<'_>) {
        let handshakes = &mut self.handshakes;
        if !handshakes
            .cookies
            .receive(&handshakes.mac_keys, reply, cx.now)
        {
            cx.dropped(DropReason::BadCookie);
        }
    }
}
