//! Drops, counted by reason: nothing is lost silently.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Why a datagram or packet was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[$doc])* $name,)*
        }

        impl DropReason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as a word for metrics, in snake case.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// A datagram that is no WireGuard message.
    NotWireGuard => "not_wireguard",
    /// A handshake message whose first MAC is wrong: not meant for this key.
    BadMac => "bad_mac",
    /// A handshake message without a valid cookie while under load; it got a cookie reply.
    CookieSent => "cookie_sent",
    /// A handshake message past the rate of its source address while under load, or past the
    /// rate of cookie replies.
    RateLimited => "rate_limited",
    /// A handshake initiation from a key that is no peer.
    UnknownPeer => "unknown_peer",
    /// A message for a session index that is not in use.
    UnknownIndex => "unknown_index",
    /// A handshake message that does not authenticate, or answers nothing.
    BadHandshake => "bad_handshake",
    /// A handshake initiation dated no later than one accepted before.
    ReplayedHandshake => "replayed_handshake",
    /// A handshake initiation within 20 ms of the last one accepted from the same peer.
    InitiationFlood => "initiation_flood",
    /// A cookie reply that does not authenticate or was not asked for.
    BadCookie => "bad_cookie",
    /// A data message for a session that has ended.
    NoSession => "no_session",
    /// A data message that does not authenticate.
    BadTag => "bad_tag",
    /// A data message seen before, or too far behind the newest.
    ReplayedData => "replayed_data",
    /// A data message with a counter past the end of a session.
    CounterLimit => "counter_limit",
    /// A decrypted packet that is no IP packet.
    MalformedInner => "malformed_inner",
    /// A decrypted packet whose source address does not belong to the peer that sent it.
    SpoofedSource => "spoofed_source",
    /// A packet to send that is no IP packet.
    MalformedOutgoing => "malformed_outgoing",
    /// A packet to send to an address that belongs to no peer.
    NoRoute => "no_route",
    /// Something to send to a peer whose endpoint is not known.
    NoEndpoint => "no_endpoint",
    /// A handshake that could not be begun: the tunnel has no private key, or the peer's key
    /// is one that nobody can hold.
    NoKey => "no_key",
    /// A packet that waited for a session and made room for newer ones.
    QueueFull => "queue_full",
    /// A packet that waited for a session until the handshake was given up.
    HandshakeTimeout => "handshake_timeout",
    /// A packet that waited for a session when its peer was removed or renewed.
    PeerRemoved => "peer_removed",
    /// A packet, or a super-packet of many, of the flow that had most waiting when too much was
    /// read from the interface.
    Overload => "overload",
    /// Something the core had to say that was not fetched in time.
    Backlog => "backlog",
    /// An event that was not fetched in time.
    EventLost => "event_lost",
    /// A datagram that the operating system would not send.
    SendFailed => "send_failed",
    /// A packet that the interface would not take.
    DeliverFailed => "deliver_failed",
}

/// How often each reason was met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl DropCounters {
    /// How often this reason was met.
    pub fn count(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// All reasons and how often each was met.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|reason| (*reason, self.count(*reason)))
    }

    /// Drops of every kind together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// The counters, for many threads to count with.
#[derive(Debug, Default)]
pub(crate) struct Drops([AtomicU64; DropReason::ALL.len()]);

impl Drops {
    pub(crate) fn add(&self, reason: DropReason, times: u64) {
        if times > 0 {
            self.0[reason as usize].fetch_add(times, Ordering::Relaxed);
        }
    }

    /// The counts at this moment.
    pub(crate) fn counters(&self) -> DropCounters {
        let mut counters = DropCounters::default();
        for (count, counter) in self.0.iter().zip(&mut counters.0) {
            *counter = count.load(Ordering::Relaxed);
        }
        counters
    }
}
