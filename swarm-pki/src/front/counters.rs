//! What a front has done, as numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the live counters and their snapshot together, so that none is forgotten.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A snapshot of what a [`Front`](super::Front) has done since it was made.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Counters {
            /// Lists every counter by its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }
        }

        #[derive(Debug, Default)]
        pub(super) struct Live {
            $(pub(super) $name: Count,)+
        }

        impl Live {
            pub(super) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Connections accepted from the listener.
    accepted,
    /// Connections turned away at once because [`max_connections`](super::Limits::max_connections)
    /// were open, or [`max_from_one_address`](super::Limits::max_from_one_address) from there.
    refused_full,
    /// Connections whose TLS handshake failed: no certificate, a foreign, expired or revoked one,
    /// or none in time.
    refused_handshake,
    /// Connections of members that the [`Access`](super::Access) does not name.
    refused_access,
    /// Requests for a path under a closed prefix, or one that is not for this member (403).
    refused_path,
    /// Requests that are malformed or ambiguous (400).
    refused_request,
    /// Requests forwarded.
    forwarded,
    /// Requests or raw connections that the service could not be reached for (502).
    upstream_down,
    /// Requests that the service did not answer in time (504).
    upstream_slow,
    /// Connections cut because the peer's certificate stopped being trusted.
    cut_untrusted,
    /// Connections cut because nothing moved for [`idle`](super::Limits::idle).
    cut_idle,
    /// Connections that were still open when the drain time was over.
    cut_at_shutdown,
    /// Connections closed, for whatever reason.
    closed,
}

/// One counter.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }
}
