//! Two tunnels of boringtun that are each other's peers.

use std::sync::Arc;

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

/// Two tunnels of boringtun.
pub(crate) struct Rival {
    pub(crate) a: Tunn,
    pub(crate) b: Tunn,
}

impl Rival {
    /// Two tunnels that have not met.
    pub(crate) fn strangers() -> Self {
        let [a, b] = [1u8, 2].map(|n| StaticSecret::from([n; 32]));
        let [of_a, of_b] = [&a, &b].map(PublicKey::from);
        let tunnel = |own: StaticSecret, of_own: PublicKey, other: PublicKey, index| {
            let limiter = Arc::new(RateLimiter::new(&of_own, u64::MAX));
            Tunn::new(own, other, None, None, index, Some(limiter))
        };
        Self {
            a: tunnel(a, of_a, of_b, 1),
            b: tunnel(b, of_b, of_a, 2),
        }
    }

    /// Two tunnels with a session that both have used.
    pub(crate) fn new() -> Self {
        let mut rival = Self::strangers();
        rival.shake();
        rival
    }

    /// A handshake, and the empty packet that confirms it.
    pub(crate) fn shake(&mut self) {
        let (mut one, mut two) = ([0u8; 256], [0u8; 256]);
        let first = sent(self.a.format_handshake_initiation(&mut one, true));
        let response = sent(self.b.decapsulate(None, first, &mut two));
        let keepalive = sent(self.a.decapsulate(None, response, &mut one));
        let last = self.b.decapsulate(None, keepalive, &mut two);
        assert!(matches!(last, TunnResult::Done));
    }
}

fn sent(result: TunnResult<'_>) -> &[u8] {
    match result {
        TunnResult::WriteToNetwork(message) => message,
        other => panic!("{other:?}"),
    }
}
