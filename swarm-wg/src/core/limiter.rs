//! Handshake rate limiting, in the order that makes garbage cheap: MAC and cookie first (a
//! hash), then the rate of the source, and only then a curve operation.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::counters::DropReason;
use super::noise::{CookieSecret, Entropy, MacKeys, has_cookie, has_mac};
use super::wire::COOKIE_LEN;

/// Under load, handshake messages from one source: this many at once …
const BURST: u32 = 5;
/// … and one more each time this has passed (20 a second, as in the Linux kernel).
const REFILL: Duration = Duration::from_millis(50);
/// Sources remembered at a time.
const MAX_SOURCES: usize = 4096;
/// Cookie replies a second. More would have a flood of forged messages answered by a flood of
/// ours; a message that gets none is repeated by its sender.
const MAX_COOKIES: u32 = 4096;

/// What to do with a handshake message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// Send this reply, and drop the message.
    Cookie([u8; COOKIE_LEN]),
    Drop(DropReason),
}

struct Bucket {
    tokens: u32,
    filled: Instant,
}

pub(crate) struct Limiter {
    secret: CookieSecret,
    window: Option<Instant>,
    /// Handshake messages of this second, and cookies sent in it.
    count: u32,
    cookies: u32,
    before_cookies: u32,
    sources: HashMap<IpAddr, Bucket>,
    swept: Option<Instant>,
}

impl Limiter {
    /// A limiter that asks for cookies past so many handshake messages a second.
    pub(crate) fn new(before_cookies: u32) -> Self {
        Self {
            secret: CookieSecret::new(),
            before_cookies,
            swept: None,
            window: None,
            count: 0,
            cookies: 0,
            sources: HashMap::new(),
        }
    }

    pub(crate) fn check(
        &mut self,
        source: SocketAddr,
        message: &[u8],
        keys: &MacKeys,
        entropy: &mut Entropy,
        now: Instant,
    ) -> Verdict {
        if !has_mac(keys, message) {
            return Verdict::Drop(DropReason::BadMac);
        }
        if self
            .window
            .is_none_or(|start| now.saturating_duration_since(start).as_secs() >= 1)
        {
            self.window = Some(now);
            self.count = 0;
            self.cookies = 0;
        }
        self.count = self.count.saturating_add(1);
        if self.count <= self.before_cookies {
            // The address may be forged, so it must not be held against anyone.
            return Verdict::Pass;
        }
        let cookie = self.secret.cookie(source, entropy, now);
        if has_cookie(&cookie, message) {
            return match self.allow(network(source.ip()), now) {
                true => Verdict::Pass,
                false => Verdict::Drop(DropReason::RateLimited),
            };
        }
        if self.cookies >= MAX_COOKIES {
            return Verdict::Drop(DropReason::RateLimited);
        }
        self.cookies += 1;
        let mut reply = [0u8; COOKIE_LEN];
        match CookieSecret::reply(&cookie, keys, message, entropy, &mut reply) {
            Some(()) => Verdict::Cookie(reply),
            None => Verdict::Drop(DropReason::BadMac),
        }
    }

    /// Forgets sources whose buckets are full again; not more often than that can change
    /// anything, since it looks at all of them.
    fn sweep(&mut self, now: Instant) {
        let full = REFILL * BURST;
        if self
            .swept
            .is_none_or(|at| now.saturating_duration_since(at) >= full)
        {
            self.swept = Some(now);
            self.sources
                .retain(|_, bucket| now.saturating_duration_since(bucket.filled) < full);
        }
    }

    fn allow(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&source) {
            self.sweep(now);
            if self.sources.len() >= MAX_SOURCES {
                return false;
            }
        }
        let bucket = self.sources.entry(source).or_insert(Bucket {
            tokens: BURST,
            filled: now,
        });
        let elapsed = now.saturating_duration_since(bucket.filled);
        let earned = u32::try_from(elapsed.as_millis() / REFILL.as_millis()).unwrap_or(u32::MAX);
        if earned > 0 {
            bucket.tokens = bucket.tokens.saturating_add(earned).min(BURST);
            bucket.filled = now;
        }
        match bucket.tokens.checked_sub(1) {
            Some(left) => {
                bucket.tokens = left;
                true
            }
            None => false,
        }
    }
}

/// The part of an address that one party may be assumed to hold: all of an IPv4 address, the
/// /64 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "the starting point of a clock the test moves"
)]
mod tests {
    use super::*;

    #[test]
    fn a_source_under_load_gets_its_burst_and_then_twenty_a_second() {
        let mut limiter = Limiter::new(256);
        let start = Instant::now();
        let source = network("2001:db8::1".parse().unwrap());
        let neighbour = network("2001:db8::2".parse().unwrap());
        assert_eq!(source, neighbour);
        let passed = (0..100).filter(|_| limiter.allow(source, start)).count();
        assert_eq!(passed, 5);
        let mut later = 0;
        for step in 1..=1000u64 {
            if limiter.allow(source, start + Duration::from_millis(step)) {
                later += 1;
            }
        }
        assert!((19..=20).contains(&later), "{later}");
        assert!(limiter.allow("192.0.2.1".parse().unwrap(), start));
    }

    #[test]
    fn the_table_of_sources_is_bounded() {
        let mut limiter = Limiter::new(256);
        let start = Instant::now();
        for n in 0..10_000u32 {
            limiter.allow(IpAddr::V4(n.into()), start);
        }
        assert_eq!(limiter.sources.len(), MAX_SOURCES);
        assert!(limiter.allow(IpAddr::V4(20_000.into()), start + Duration::from_secs(1)));
    }
    #[test]
    fn past_the_limit_a_message_without_a_cookie_gets_one_and_no_more_than_can_be_sent() {
        let mut limiter = Limiter::new(2);
        let mut entropy = Entropy::new([1; 32]);
        let keys = MacKeys::new(&[5; 32]);
        let mut message = [1u8; 148];
        crate::core::noise::stamp_macs(&mut message, &keys, None);
        let now = Instant::now();
        let mut check = |message: &[u8], at: Instant| {
            let source = "192.0.2.1:51820".parse().unwrap();
            limiter.check(source, message, &keys, &mut entropy, at)
        };
        assert_eq!(check(&[1; 148], now), Verdict::Drop(DropReason::BadMac));
        assert_eq!(check(&message, now), Verdict::Pass);
        assert_eq!(check(&message, now), Verdict::Pass);
        for _ in 0..MAX_COOKIES {
            assert!(matches!(check(&message, now), Verdict::Cookie(_)));
        }
        assert_eq!(check(&message, now), Verdict::Drop(DropReason::RateLimited));
        assert_eq!(check(&message, now + Duration::from_secs(1)), Verdict::Pass);
    }
}
