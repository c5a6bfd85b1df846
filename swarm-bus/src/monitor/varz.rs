//! `/varz`: the server.

use super::{MonitorError, counter, gauge, parse};
use crate::{Metric, MetricKind};
use serde::Deserialize;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Varz {
    /// Its id, new at each start.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// Its version.
    pub version: String,
    /// Clients connected now.
    pub connections: u64,
    /// Clients that ever connected.
    pub total_connections: u64,
    /// Connections to servers of the cluster.
    pub routes: u64,
    /// Connections with leaf nodes.
    pub leafnodes: u64,
    /// Subscriptions held now.
    pub subscriptions: u64,
    /// Messages received.
    pub in_msgs: u64,
    /// Messages sent.
    pub out_msgs: u64,
    /// Bytes received.
    pub in_bytes: u64,
    /// Bytes sent.
    pub out_bytes: u64,
    /// Connections cut because they did not keep up.
    pub slow_consumers: u64,
    /// Resident memory in bytes.
    pub mem: u64,
    /// Processor use in percent of one core.
    pub cpu: f64,
    /// The most connections it takes.
    pub max_connections: u64,
    /// The largest message in bytes.
    pub max_payload: u64,
}

impl Varz {
    /// Parses the body of `/varz`.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub fn parse(json: &[u8]) -> Result<Self, MonitorError> {
        parse(json)
    }

    /// Returns the figures.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        vec![
            gauge(
                "nats_varz_connections",
                "Clients connected.",
                self.connections,
            ),
            counter(
                "nats_varz_total_connections",
                "Clients that ever connected.",
                self.total_connections,
            ),
            gauge(
                "nats_varz_routes",
                "Routes within the cluster.",
                self.routes,
            ),
            gauge(
                "nats_varz_leafnodes",
                "Leaf node connections.",
                self.leafnodes,
            ),
            gauge(
                "nats_varz_subscriptions",
                "Subscriptions held.",
                self.subscriptions,
            ),
            counter("nats_varz_in_msgs", "Messages received.", self.in_msgs),
            counter("nats_varz_out_msgs", "Messages sent.", self.out_msgs),
            counter("nats_varz_in_bytes", "Bytes received.", self.in_bytes),
            counter("nats_varz_out_bytes", "Bytes sent.", self.out_bytes),
            counter(
                "nats_varz_slow_consumers",
                "Connections cut because they did not keep up.",
                self.slow_consumers,
            ),
            gauge("nats_varz_mem", "Resident memory in bytes.", self.mem),
            Metric::new(
                MetricKind::Gauge,
                "nats_varz_cpu",
                "Processor use in percent of one core.",
                self.cpu,
            ),
            gauge(
                "nats_varz_max_connections",
                "The most connections taken.",
                self.max_connections,
            ),
            gauge(
                "nats_varz_max_payload",
                "The largest message in bytes.",
                self.max_payload,
            ),
            gauge("nats_varz_info", "Always 1; the labels say what runs.", 1)
                .label("server_id", &self.server_id)
                .label("server_name", &self.server_name)
                .label("version", &self.version),
        ]
    }
}
