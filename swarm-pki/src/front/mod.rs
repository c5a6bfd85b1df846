//! A mutual-TLS front for a plain local service.
//!
//! The service listens on the loopback interface or on a unix socket and speaks no TLS. The front
//! listens for the mesh, lets verified members through, and tells the service who is calling.
//!
//! ```text
//!             mutual TLS                            plain HTTP or TCP
//!   member ───────────────▶ Front ────────────────────────────────────▶ service
//!                             │ certificate, CRL: `tls::MeshTls`        (127.0.0.1, unix socket)
//!                             │ who may come in:  `Access`
//!                             │ which paths:      `Rules`, `PathPrefix`
//!                             └ how much:         `Limits`
//! ```
//!
//! # Invariants
//! - No byte reaches the service before the peer's certificate is verified, and none after it is
//!   revoked or has expired: a live connection is cut at once, an upgraded one too.
//! - The service sees the identity headers of the front and no others. A path that servers could
//!   read in two ways is never forwarded.
//! - Bodies stream in both directions with back-pressure; nothing is held but one buffer each way.
//! - Every refusal and every cut is counted in [`Counters`].
//!
//! # Example
//! ```no_run
//! use swarm_pki::{front::{Access, Front, Rules, Upstream}, tls::MeshTls};
//! use tokio::net::TcpListener;
//!
//! # async fn example(tls: MeshTls, shutdown: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//! let service = Upstream::Tcp("127.0.0.1:8008".parse()?);
//! let rules = Rules::new(Access::AnyMember).close("/_synapse/admin".parse()?);
//! let front = Front::http(tls, service, rules);
//! let listener = TcpListener::bind("10.44.0.1:8448").await?;
//! front.serve(listener, shutdown).await;
//! println!("{} requests forwarded", front.counters().forwarded);
//! # Ok(())
//! # }
//! ```

mod counters;
mod headers;
mod idle;
mod path;
mod proxy;
mod rules;
mod serve;
mod upstream;

use std::sync::Arc;

pub use counters::Counters;
pub use path::{PathError, PathPrefix};
pub use rules::{Access, Limits, Rules};
pub use upstream::Upstream;

use crate::tls::{ClientAuth, MeshTls};

/// A mutual-TLS front; clones share the counters.
#[derive(Debug, Clone)]
pub struct Front {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tls: MeshTls,
    config: Arc<rustls::ServerConfig>,
    upstream: Upstream,
    mode: Mode,
    limits: Limits,
    live: counters::Live,
}

#[derive(Debug, Clone)]
enum Mode {
    Http(Rules),
    Raw(Access),
}

impl Front {
    /// Makes a front that forwards HTTP/1.1, with websockets and other upgrades, with the default
    /// [`Limits`].
    ///
    /// A member whom the rules do not let in is answered 403, a closed path 403, an ambiguous one
    /// 400; a service that is down 502, one that does not answer in time 504.
    pub fn http(tls: MeshTls, upstream: Upstream, rules: Rules) -> Self {
        Self::new(
            tls,
            upstream,
            Mode::Http(rules),
            &[b"http/1.1"],
            Limits::default(),
        )
    }

    /// Makes a front that forwards bytes, with the default [`Limits`]. A member without access is
    /// hung up on.
    pub fn raw(tls: MeshTls, upstream: Upstream, access: Access) -> Self {
        Self::new(tls, upstream, Mode::Raw(access), &[], Limits::default())
    }

    /// Makes the same front anew with other limits and counters at zero.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        let shared = &*self.shared;
        Self {
            shared: Arc::new(Shared {
                tls: shared.tls.clone(),
                config: Arc::clone(&shared.config),
                upstream: shared.upstream.clone(),
                mode: shared.mode.clone(),
                limits,
                live: counters::Live::default(),
            }),
        }
    }

    /// Reads the counters.
    pub fn counters(&self) -> Counters {
        self.shared.live.snapshot()
    }

    fn new(tls: MeshTls, upstream: Upstream, mode: Mode, alpn: &[&[u8]], limits: Limits) -> Self {
        let config = tls.server_config(ClientAuth::Required, alpn);
        let live = counters::Live::default();
        Self {
            shared: Arc::new(Shared {
                tls,
                config,
                upstream,
                mode,
                limits,
                live,
            }),
        }
    }
}
