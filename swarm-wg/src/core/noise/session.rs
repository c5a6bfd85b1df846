//! A session: the keys that a handshake made, and the messages under them. Sealing and opening
//! take no lock, so any number of threads may do both at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::cipher::Cipher;
use super::handshake::Keys;
use super::primitives::TAG_LEN;
use super::replay::Window;
use crate::core::wire::{COUNTER_LIMIT, DATA_HEADER, TYPE_DATA};

/// The age at which a session can be used no more (`Reject-After-Time`).
pub(crate) const REJECT_AFTER: Duration = Duration::from_secs(180);
/// The age at which its initiator renews a session that sends (`Rekey-After-Time`).
const REKEY_AFTER: Duration = Duration::from_secs(120);
/// The age at which its initiator renews a session that receives, so that one which only
/// receives does not run out: `Reject-After-Time` less the two time-outs of an answer.
const REKEY_AFTER_RECEIVING: Duration = Duration::from_secs(180 - 10 - 5);
/// The messages after which a session is renewed (`Rekey-After-Messages`).
const REKEY_AFTER_MESSAGES: u64 = 1 << 60;

/// A session with a peer.
pub(crate) struct Session {
    /// The index by which the peer addresses this session.
    pub(crate) local: u32,
    remote: u32,
    pub(crate) born: Instant,
    pub(crate) initiator: bool,
    /// Whether the peer is known to have the keys, too.
    confirmed: AtomicBool,
    sealing: Cipher,
    opening: Cipher,
    counter: AtomicU64,
    window: Mutex<Window>,
}

impl Session {
    pub(crate) fn new(
        keys: &Keys,
        local: u32,
        remote: u32,
        initiator: bool,
        born: Instant,
    ) -> Self {
        Self {
            local,
            remote,
            born,
            initiator,
            confirmed: AtomicBool::new(initiator),
            sealing: Cipher::new(&keys.sending),
            opening: Cipher::new(&keys.receiving),
            counter: AtomicU64::new(0),
            window: Mutex::new(Window::new()),
        }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    /// Whether messages may still be sealed and opened.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        self.age(now) < REJECT_AFTER
    }

    /// When the session ends.
    pub(crate) fn end(&self) -> Instant {
        self.born + REJECT_AFTER
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed)
    }

    pub(crate) fn confirm(&self) {
        self.confirmed.store(true, Ordering::Relaxed);
    }

    /// Whether a message sent now is a reason to renew the session.
    pub(crate) fn is_worn_by_sending(&self, now: Instant) -> bool {
        self.counter.load(Ordering::Relaxed) >= REKEY_AFTER_MESSAGES
            || (self.initiator && self.age(now) >= REKEY_AFTER)
    }

    /// Whether a message received now is a reason to renew the session.
    pub(crate) fn is_worn_by_receiving(&self, now: Instant) -> bool {
        self.initiator && self.age(now) >= REKEY_AFTER_RECEIVING
    }

    /// Reserves counters for so many messages: the first of them. `None`: the session has used
    /// up its counters.
    pub(crate) fn reserve(&self, messages: u64) -> Option<u64> {
        let first = self.counter.fetch_add(messages, Ordering::Relaxed);
        if first >= COUNTER_LIMIT - messages {
            // Put back, so that however often this is tried, it does not wrap around.
            self.counter.fetch_sub(messages, Ordering::Relaxed);
            return None;
        }
        Some(first)
    }

    /// Seals a data message in place: `message` is the room for the header, the padded
    /// plaintext, and the room for the tag.
    pub(crate) fn seal(&self, counter: u64, message: &mut [u8]) {
        let (header, body) = message.split_at_mut(DATA_HEADER);
        header[..4].copy_from_slice(&TYPE_DATA);
        header[4..8].copy_from_slice(&self.remote.to_le_bytes());
        header[8..].copy_from_slice(&counter.to_le_bytes());
        let (plain, tag) = body.split_at_mut(body.len() - TAG_LEN);
        tag.copy_from_slice(&self.sealing.seal(counter, plain));
    }

    /// Opens the body of a data message in place: the length of its plaintext, at the start of
    /// `body`; `None` when it is not authentic. Whether it was seen before is for
    /// [`Self::accept`] to say.
    pub(crate) fn open(&self, counter: u64, body: &mut [u8]) -> Option<usize> {
        self.opening.open(counter, body)
    }

    /// Takes the counter of an authentic message; false: it was seen before, or is too far
    /// behind the newest.
    pub(crate) fn accept(&self, counter: u64) -> bool {
        self.window
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .accept(counter)
    }
}

#[cfg(test)]
impl Session {
    /// A session with made-up keys; the peer's has them the other way around, and the smaller
    /// first is the initiator's.
    pub(crate) fn made_up(sending: u8, receiving: u8, born: Instant) -> Self {
        let key = |byte: u8| zeroize::Zeroizing::new([byte; 32]);
        let keys = Keys {
            sending: key(sending),
            receiving: key(receiving),
        };
        let initiator = sending < receiving;
        Self::new(&keys, sending.into(), receiving.into(), initiator, born)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a moment to begin with")]
mod tests {
    use super::*;

    fn pair() -> (Session, Session) {
        let now = Instant::now();
        (Session::made_up(1, 2, now), Session::made_up(2, 1, now))
    }

    #[test]
    fn a_message_is_opened_by_the_other_side_and_not_when_changed() {
        let (a, b) = pair();
        let mut message = vec![0u8; 32 + 64];
        message[16..80].fill(5);
        let counter = a.reserve(1).unwrap();
        a.seal(counter, &mut message);
        assert_eq!(message[..4], TYPE_DATA);
        assert_eq!(message[4..8], 2u32.to_le_bytes());
        let mut body = message[16..].to_vec();
        assert_eq!(b.open(counter, &mut body), Some(64));
        assert_eq!(body[..64], [5; 64]);
        assert!(b.accept(counter) && !b.accept(counter));
        let mut changed = message[16..].to_vec();
        changed[3] ^= 1;
        assert_eq!(b.open(counter, &mut changed), None);
        assert_eq!(b.open(counter + 1, &mut message[16..].to_vec()), None);
    }

    #[test]
    fn a_session_ends_before_its_counters_do() {
        let (a, _) = pair();
        a.counter.store(COUNTER_LIMIT - 10, Ordering::Relaxed);
        assert!(a.reserve(9).is_some());
        for _ in 0..1000 {
            assert!(a.reserve(9).is_none());
        }
        assert!(a.counter.load(Ordering::Relaxed) < COUNTER_LIMIT);
        assert!(a.is_worn_by_sending(a.born));
    }

    #[test]
    fn only_the_initiator_renews_a_session_for_its_age() {
        let (a, b) = pair();
        let at = |seconds| a.born + Duration::from_secs(seconds);
        assert!(!a.is_worn_by_sending(at(119)) && a.is_worn_by_sending(at(120)));
        assert!(!a.is_worn_by_receiving(at(164)) && a.is_worn_by_receiving(at(165)));
        assert!(!b.is_worn_by_sending(at(179)) && !b.is_worn_by_receiving(at(179)));
        assert!(b.is_alive(at(179)) && !b.is_alive(at(180)));
    }
}
