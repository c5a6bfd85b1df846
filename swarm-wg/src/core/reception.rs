//! Handshake messages on their way to the peer that they are for: past the limiter, which costs
//! a hash, and only then to a curve operation.

use std::net::SocketAddr;
use std::time::Instant;

use super::context::cx;
use super::counters::DropReason;
use super::limiter::Verdict;
use super::peers::Slot;
use super::wire::Message;
use super::{Core, canonical};

impl Core {
    /// Takes a handshake message or a cookie reply.
    pub(crate) fn handle_handshake(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        let source = canonical(source);
        if self.is_full() {
            return self.plane.dropped(DropReason::Backlog);
        }
        let handled = match Message::parse(datagram) {
            Some(Message::Initiation) => self.handle_initiation(source, datagram, now),
            Some(Message::Response { receiver }) => {
                self.handle_response(source, receiver, datagram, now)
            }
            Some(Message::Cookie { receiver }) => self.handle_cookie(receiver, datagram, now),
            Some(Message::Data { .. }) | None => Err(DropReason::NotWireGuard),
        };
        match handled {
            Ok(slot) => self.settle(slot, now),
            Err(reason) => self.plane.dropped(reason),
        }
    }

    fn handle_initiation(
        &mut self,
        source: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Result<Slot, DropReason> {
        self.admit(source, datagram, now)?;
        let claim = self
            .identity
            .claim(datagram)
            .ok_or(DropReason::BadHandshake)?;
        let slot = self
            .peers
            .by_key(&claim.initiator)
            .ok_or(DropReason::UnknownPeer)?;
        if let Some(peer) = self.peers.peer_mut(slot) {
            peer.receive_initiation(source, claim, cx!(self, now));
        }
        Ok(slot)
    }

    fn handle_response(
        &mut self,
        source: SocketAddr,
        receiver: u32,
        datagram: &[u8],
        now: Instant,
    ) -> Result<Slot, DropReason> {
        self.admit(source, datagram, now)?;
        let slot = self.initiator(receiver)?;
        if let Some(peer) = self.peers.peer_mut(slot) {
            peer.receive_response(source, datagram, cx!(self, now));
        }
        Ok(slot)
    }

    fn handle_cookie(
        &mut self,
        receiver: u32,
        datagram: &[u8],
        now: Instant,
    ) -> Result<Slot, DropReason> {
        // It may answer a response of ours, which bears the index of a session.
        let answered = self.initiator(receiver);
        let slot = answered.or_else(|reason| {
            let tables = self.plane.read();
            tables
                .session(receiver)
                .map(|(slot, _)| *slot)
                .ok_or(reason)
        })?;
        if let Some(peer) = self.peers.peer_mut(slot) {
            peer.receive_cookie(datagram, cx!(self, now));
        }
        Ok(slot)
    }

    /// Whose initiation under way has this index.
    fn initiator(&self, index: u32) -> Result<Slot, DropReason> {
        let slot = self.initiations.get(&index);
        slot.copied().ok_or(DropReason::UnknownIndex)
    }

    /// Lets a handshake message past the limiter, or answers it with a cookie.
    fn admit(
        &mut self,
        source: SocketAddr,
        message: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let (keys, entropy) = (self.identity.mac_keys(), &mut self.entropy);
        match self.limiter.check(source, message, keys, entropy, now) {
            Verdict::Pass => Ok(()),
            Verdict::Cookie(reply) => {
                self.out.transmits.room(reply.len()).copy_from_slice(&reply);
                self.out.transmits.commit(source, reply.len());
                Err(DropReason::CookieSent)
            }
            Verdict::Drop(reason) => Err(reason),
        }
    }
}
