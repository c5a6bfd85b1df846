//! What nats-server's monitoring says, as figures.
//!
//! `/varz`, `/connz?auth=1` and `/jsz?streams=1` in, typed values and [`Metric`]s out. Fetching them
//! is the caller's business: the endpoint asks for no client certificate and lists identities, so it
//! belongs on a loopback address.
//!
//! ```
//! let varz = swarm_bus::monitor::Varz::parse(br#"{"version":"2.9.10","connections":3}"#)?;
//! let connections = &varz.metrics()[0];
//! assert_eq!((connections.name, connections.value), ("nats_varz_connections", 3.0));
//! # Ok::<(), swarm_bus::monitor::MonitorError>(())
//! ```

mod connz;
mod jsz;
mod varz;

pub use connz::{Connection, Connz};
pub use jsz::{Jsz, StreamState};
pub use varz::Varz;

use crate::{Metric, MetricKind};
use serde::de::DeserializeOwned;

/// How many bytes of monitoring JSON are read: about 10,000 connections.
pub const MAX_LENGTH: usize = 16 << 20;

/// Monitoring JSON that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// It is larger than [`MAX_LENGTH`].
    #[error("{length} bytes of monitoring JSON are more than {MAX_LENGTH}")]
    TooLong {
        /// How large it is, in bytes.
        length: usize,
    },
    /// It is no such JSON.
    #[error("not the expected monitoring JSON")]
    Json(#[source] serde_json::Error),
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, MonitorError> {
    if json.len() > MAX_LENGTH {
        return Err(MonitorError::TooLong { length: json.len() });
    }
    serde_json::from_slice(json).map_err(MonitorError::Json)
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Metric {
    Metric::new(MetricKind::Counter, name, help, value)
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Metric {
    Metric::new(MetricKind::Gauge, name, help, value)
}
