//! The MACs at the ends of handshake messages, and the cookies that prove a sender's address
//! (white paper, sections 5.3 and 5.4.7).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chacha20poly1305::aead::AeadInPlace as _;
use chacha20poly1305::{KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::entropy::Entropy;
use super::primitives::{Secret, hash, mac};
use crate::core::wire::{COOKIE_LEN, TYPE_COOKIE};

const LABEL_MAC1: &[u8] = b"mac1----";
const LABEL_COOKIE: &[u8] = b"cookie--";
const MAC_LEN: usize = 16;
/// How long a cookie, and the secret it is made with, is good for.
const COOKIE_LIFETIME: Duration = Duration::from_secs(120);
/// A cookie that was received is used a little shorter than it is good for.
const COOKIE_LATENCY: Duration = Duration::from_secs(5);

type Cookie = [u8; MAC_LEN];

/// The keys that follow from a public key: of the first MAC on messages to its owner, and of
/// the cookies from its owner.
pub(crate) struct MacKeys {
    mac1: [u8; 32],
    cookie: [u8; 32],
}

impl MacKeys {
    pub(crate) fn new(receiver: &[u8; 32]) -> Self {
        Self {
            mac1: hash(&[LABEL_MAC1, receiver]),
            cookie: hash(&[LABEL_COOKIE, receiver]),
        }
    }
}

/// A handshake message: what its first MAC covers, that MAC, and the second one.
fn parts(message: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (body, macs) = message.split_at_checked(message.len().checked_sub(2 * MAC_LEN)?)?;
    let (first, second) = macs.split_at(MAC_LEN);
    Some((body, first, second))
}

/// Whether the first MAC of a handshake message is right: its sender knows our public key.
pub(crate) fn has_mac(keys: &MacKeys, message: &[u8]) -> bool {
    parts(message).is_some_and(|(body, first, _)| mac(&keys.mac1, body).ct_eq(first).into())
}

/// Whether the second MAC proves that the sender got our cookie at its address.
pub(crate) fn has_cookie(cookie: &Cookie, message: &[u8]) -> bool {
    let covered = message.len().saturating_sub(MAC_LEN);
    parts(message)
        .is_some_and(|(_, _, second)| mac(cookie, &message[..covered]).ct_eq(second).into())
}

/// Writes both MACs to the end of a handshake message, for the owner of `keys`. Returns the
/// first, which a cookie will be bound to.
pub(crate) fn stamp_macs(
    message: &mut [u8],
    keys: &MacKeys,
    cookie: Option<&Cookie>,
) -> [u8; MAC_LEN] {
    let at = message.len() - 2 * MAC_LEN;
    let first = mac(&keys.mac1, &message[..at]);
    message[at..at + MAC_LEN].copy_from_slice(&first);
    let second = cookie.map_or([0; MAC_LEN], |cookie| mac(cookie, &message[..at + MAC_LEN]));
    message[at + MAC_LEN..].copy_from_slice(&second);
    first
}

/// The secret that our cookies are made with; it changes every two minutes.
pub(crate) struct CookieSecret {
    current: Option<(Secret, Instant)>,
}

impl CookieSecret {
    pub(crate) const fn new() -> Self {
        Self { current: None }
    }

    /// The cookie of an address.
    pub(crate) fn cookie(
        &mut self,
        address: SocketAddr,
        entropy: &mut Entropy,
        now: Instant,
    ) -> Cookie {
        let fresh = self
            .current
            .take()
            .filter(|(_, made)| now.saturating_duration_since(*made) < COOKIE_LIFETIME);
        let (secret, _) = self
            .current
            .insert(fresh.unwrap_or_else(|| (entropy.draw(), now)));
        let port = address.port().to_be_bytes();
        match address {
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets();
                mac(&secret[..], &[a, b, c, d, port[0], port[1]])
            }
            SocketAddr::V6(v6) => {
                let mut bytes = [0u8; 18];
                bytes[..16].copy_from_slice(&v6.ip().octets());
                bytes[16..].copy_from_slice(&port);
                mac(&secret[..], &bytes)
            }
        }
    }

    /// Writes the reply that tells the sender of a handshake message its cookie.
    pub(crate) fn reply(
        cookie: &Cookie,
        keys: &MacKeys,
        message: &[u8],
        entropy: &mut Entropy,
        out: &mut [u8; COOKIE_LEN],
    ) -> Option<()> {
        let (_, mac1, _) = parts(message)?;
        let nonce = XNonce::clone_from_slice(entropy.draw().get(..24)?);
        out[..4].copy_from_slice(&TYPE_COOKIE);
        out[4..8].copy_from_slice(message.get(4..8)?);
        out[8..32].copy_from_slice(&nonce);
        out[32..48].copy_from_slice(cookie);
        let tag = XChaCha20Poly1305::new((&keys.cookie).into())
            .encrypt_in_place_detached(&nonce, mac1, &mut out[32..48])
            .ok()?;
        out[48..].copy_from_slice(&tag);
        Some(())
    }
}

/// What a peer told us of our own address, and the message that it answered.
#[derive(Default)]
pub(crate) struct CookieJar {
    cookie: Option<(Zeroizing<Cookie>, Instant)>,
    sent: Option<[u8; MAC_LEN]>,
}

impl CookieJar {
    /// The cookie to use, while it is good.
    pub(crate) fn cookie(&self, now: Instant) -> Option<&Cookie> {
        let (cookie, got) = self.cookie.as_ref()?;
        (now.saturating_duration_since(*got) < COOKIE_LIFETIME - COOKIE_LATENCY)
            .then_some(&**cookie)
    }

    /// A handshake message went out with this first MAC.
    pub(crate) fn sent(&mut self, mac1: [u8; MAC_LEN]) {
        self.sent = Some(mac1);
    }

    /// Takes a cookie reply; false: it does not authenticate, or answers nothing.
    pub(crate) fn receive(&mut self, keys: &MacKeys, reply: &[u8], now: Instant) -> bool {
        let (Some(mac1), Ok(reply)) = (self.sent, <&[u8; COOKIE_LEN]>::try_from(reply)) else {
            return false;
        };
        let mut cookie = Zeroizing::new([0u8; MAC_LEN]);
        cookie.copy_from_slice(&reply[32..48]);
        let opened = XChaCha20Poly1305::new((&keys.cookie).into()).decrypt_in_place_detached(
            XNonce::from_slice(&reply[8..32]),
            &mac1,
            &mut cookie[..],
            Tag::from_slice(&reply[48..]),
        );
        if opened.is_err() {
            return false;
        }
        self.cookie = Some((cookie, now));
        self.sent = None;
        true
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a moment to begin with")]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_reply_answers_one_message_and_proves_one_address_for_two_minutes() {
        let now = Instant::now();
        let mut entropy = Entropy::new([1; 32]);
        let keys = MacKeys::new(&[5; 32]);
        let mut secret = CookieSecret::new();
        let mut jar = CookieJar::default();
        let mut message = [7u8; 148];
        jar.sent(stamp_macs(&mut message, &keys, None));
        assert!(has_mac(&keys, &message) && !has_mac(&MacKeys::new(&[6; 32]), &message));

        let address = "192.0.2.1:51820".parse().unwrap();
        let cookie = secret.cookie(address, &mut entropy, now);
        assert!(!has_cookie(&cookie, &message));
        let mut reply = [0u8; COOKIE_LEN];
        CookieSecret::reply(&cookie, &keys, &message, &mut entropy, &mut reply).unwrap();
        let mut forged = reply;
        forged[40] ^= 1;
        assert!(!jar.receive(&keys, &forged, now));
        assert!(jar.receive(&keys, &reply, now));
        assert!(!jar.receive(&keys, &reply, now), "it was answered already");

        let again = jar.cookie(now).copied();
        stamp_macs(&mut message, &keys, again.as_ref());
        assert!(has_cookie(&cookie, &message));
        let elsewhere = secret.cookie("192.0.2.1:51821".parse().unwrap(), &mut entropy, now);
        assert!(!has_cookie(&elsewhere, &message));
        let late = now + COOKIE_LIFETIME;
        assert!(jar.cookie(late).is_none());
        let renewed = secret.cookie(address, &mut entropy, late);
        assert!(!has_cookie(&renewed, &message));
    }

    #[test]
    fn messages_too_short_for_their_macs_have_none() {
        let keys = MacKeys::new(&[5; 32]);
        for length in 0..32 {
            assert!(!has_mac(&keys, &vec![0; length]));
            assert!(!has_cookie(&[0; 16], &vec![0; length]));
        }
    }
}
