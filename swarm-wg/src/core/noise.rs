//! The cryptography: boringtun's noise layer behind calls of our own.
//!
//! No other file names boringtun. What it does badly by itself is made good around it, here
//! or in the files that call this one; the buffers it panics without are asserted here.
//! It reads the monotonic clock and the operating system's randomness itself, and the wall
//! clock when a [`Noise`] is made: what follows from that is said where it matters.

use std::net::IpAddr;
use std::sync::Arc;

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use boringtun::x25519;

use super::counters::DropReason;
use super::wire::{COOKIE_LEN, DATA_OVERHEAD, INITIATION_LEN, Message};
use crate::key::{PresharedKey, PrivateKey, PublicKey};

/// Room that every message but data fits in, in bytes.
pub(crate) const CONTROL_ROOM: usize = 256;

/// Room that sealing a plaintext needs, in bytes.
pub(crate) fn sealed_room(plaintext: usize) -> usize {
    (plaintext + DATA_OVERHEAD).max(CONTROL_ROOM)
}

/// Room that opening a datagram needs, in bytes.
pub(crate) fn opened_room(datagram: usize) -> usize {
    datagram.max(CONTROL_ROOM)
}

/// Our own key pair, and what all sessions under it share.
pub(crate) struct Identity {
    secret: x25519::StaticSecret,
    public: x25519::PublicKey,
    /// Without a limit: the limit is enforced once, by the [`Gate`] in front.
    no_limit: Arc<RateLimiter>,
}

impl Identity {
    pub(crate) fn new(private_key: &PrivateKey) -> Self {
        let secret = x25519::StaticSecret::from(*private_key.as_bytes());
        let public = x25519::PublicKey::from(&secret);
        let no_limit = Arc::new(RateLimiter::new(&public, u64::MAX));
        Self {
            secret,
            public,
            no_limit,
        }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.public.to_bytes())
    }

    /// The key that an initiation claims to come from. Whoever knows our public key can
    /// claim any: it proves nothing yet.
    pub(crate) fn claimed_initiator(&self, datagram: &[u8]) -> Option<PublicKey> {
        let Ok(Packet::HandshakeInit(initiation)) = Tunn::parse_incoming_packet(datagram) else {
            return None;
        };
        let half = parse_handshake_anon(&self.secret, &self.public, &initiation).ok()?;
        Some(PublicKey::from_bytes(half.peer_static_public))
    }
}

/// What the gate says of a handshake message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Its MAC is right, and its cookie where one was due.
    Admitted,
    /// Its MAC is right but it lacks a cookie: the reply of this length tells the sender one.
    CookieReply(usize),
    /// Its MAC is wrong.
    BadMac,
}

/// Checks of handshake messages that cost a hash and no curve operation.
pub(crate) struct Gate(RateLimiter);

impl Gate {
    /// A gate that asks for cookies past `limit` handshake messages a second.
    pub(crate) fn new(identity: &Identity, limit: u64) -> Self {
        Self(RateLimiter::new(&identity.public, limit))
    }

    pub(crate) fn check(&self, source: IpAddr, datagram: &[u8], reply: &mut [u8]) -> Admission {
        debug_assert!(reply.len() >= COOKIE_LEN);
        self.0.reset_count();
        match self.0.verify_packet(Some(source), datagram, reply) {
            Ok(_) => Admission::Admitted,
            Err(TunnResult::WriteToNetwork(cookie)) => Admission::CookieReply(cookie.len()),
            Err(_) => Admission::BadMac,
        }
    }
}

/// What came of opening a message. Lengths are of what was written to the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It was authentic, and there is nothing to pass on.
    Nothing,
    /// It was authentic, and this message answers it.
    Reply(usize),
    /// It was authentic, and this is the inner packet.
    Packet(usize),
    /// It was authentic, and what it held is no IP packet.
    Malformed,
}

/// What came of a look at the clock. Lengths are of what was written to the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    Idle,
    Send(usize),
    /// All sessions are gone and no handshake is under way.
    Expired,
}

/// The handshake and the sessions with one peer.
pub(crate) struct Noise(Tunn);

impl Noise {
    /// Makes the state for a peer. Handshakes are dated from the wall clock as it stands
    /// at this call.
    pub(crate) fn new(
        identity: &Identity,
        peer: &PublicKey,
        preshared_key: Option<&PresharedKey>,
        index: u32,
    ) -> Self {
        debug_assert!(
            index < 1 << 24,
            "an index has 24 bits; 8 more count sessions"
        );
        Self(Tunn::new(
            identity.secret.clone(),
            x25519::PublicKey::from(*peer.as_bytes()),
            preshared_key.map(|key| *key.as_bytes()),
            // Keepalives are the caller's: boringtun's cannot be changed later.
            None,
            index,
            Some(Arc::clone(&identity.no_limit)),
        ))
    }

    /// Whether data can be sealed now.
    pub(crate) fn has_session(&self) -> bool {
        self.0.time_since_last_handshake().is_some()
    }

    /// Seals a padded plaintext. To be called with a session only: without one boringtun
    /// would keep a copy of the packet in a queue of its own.
    pub(crate) fn seal(&mut self, plaintext: &[u8], out: &mut [u8]) -> Option<usize> {
        assert!(out.len() >= sealed_room(plaintext.len()));
        match self.0.encapsulate(plaintext, out) {
            TunnResult::WriteToNetwork(message) => Some(message.len()),
            _ => None,
        }
    }

    /// Opens a message for this peer.
    pub(crate) fn open(
        &mut self,
        message: Message,
        datagram: &[u8],
        out: &mut [u8],
    ) -> Result<Opened, DropReason> {
        assert!(out.len() >= opened_room(datagram.len()));
        match self.0.decapsulate(None, datagram, out) {
            TunnResult::Done => Ok(Opened::Nothing),
            TunnResult::WriteToNetwork(reply) => Ok(Opened::Reply(reply.len())),
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Ok(Opened::Packet(packet.len()))
            }
            // The message was classified before, so this speaks of what it held.
            TunnResult::Err(WireGuardError::InvalidPacket)
                if matches!(message, Message::Data { .. }) =>
            {
                Ok(Opened::Malformed)
            }
            TunnResult::Err(error) => Err(reason(message, &error)),
        }
    }

    /// Seals what boringtun queued by itself (a keepalive that met no session), one at a time.
    pub(crate) fn flush(&mut self, out: &mut [u8]) -> Option<usize> {
        assert!(out.len() >= CONTROL_ROOM);
        match self.0.decapsulate(None, &[], out) {
            TunnResult::WriteToNetwork(message) => Some(message.len()),
            _ => None,
        }
    }

    /// Writes a handshake initiation; `None` when one is under way and `again` is not asked.
    pub(crate) fn initiate(&mut self, again: bool, out: &mut [u8]) -> Option<usize> {
        assert!(out.len() >= INITIATION_LEN);
        match self.0.format_handshake_initiation(out, again) {
            TunnResult::WriteToNetwork(message) => Some(message.len()),
            _ => None,
        }
    }

    /// Lets time pass: sessions end, handshakes are repeated, passive keepalives are due.
    pub(crate) fn tick(&mut self, out: &mut [u8]) -> Tick {
        assert!(out.len() >= CONTROL_ROOM);
        match self.0.update_timers(out) {
            TunnResult::WriteToNetwork(message) => Tick::Send(message.len()),
            TunnResult::Err(WireGuardError::ConnectionExpired) => Tick::Expired,
            _ => Tick::Idle,
        }
    }
}

fn reason(message: Message, error: &WireGuardError) -> DropReason {
    match message {
        Message::Initiation => match error {
            WireGuardError::WrongTai64nTimestamp => DropReason::ReplayedHandshake,
            _ => DropReason::BadHandshake,
        },
        Message::Response { .. } => DropReason::BadHandshake,
        Message::Cookie { .. } => DropReason::BadCookie,
        Message::Data { .. } => match error {
            WireGuardError::NoCurrentSession | WireGuardError::WrongIndex => DropReason::NoSession,
            WireGuardError::InvalidCounter | WireGuardError::DuplicateCounter => {
                DropReason::ReplayedData
            }
            _ => DropReason::BadTag,
        },
    }
}
