//! The tunnel in numbers, under the names that WireGuard exporters commonly use. How they are
//! exported is the caller's choice.

use std::time::SystemTime;

use crate::core::DropCounters;
use crate::stats::PeerStats;

/// One number with its name and labels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// The name of the metric. Names that end in `_total` are counters, the others gauges.
    pub name: &'static str,
    /// Names and values of the labels.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: u64,
}

/// The tunnel in numbers, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Name of the interface.
    pub interface: String,
    /// What is known of each peer.
    pub peers: Vec<PeerStats>,
    /// What was dropped, by reason.
    pub drops: DropCounters,
}

impl Metrics {
    /// All numbers:
    ///
    /// | name | labels | meaning |
    /// |---|---|---|
    /// | `wireguard_sent_bytes_total` | `interface`, `public_key` | bytes of WireGuard messages sent to the peer |
    /// | `wireguard_received_bytes_total` | `interface`, `public_key` | bytes of authentic WireGuard messages from the peer |
    /// | `wireguard_latest_handshake_seconds` | `interface`, `public_key` | Unix time of the last completed handshake, 0 for none |
    /// | `wireguard_peers` | `interface` | configured peers |
    /// | `wireguard_packets_dropped_total` | `interface`, `reason` | datagrams and packets dropped |
    pub fn samples(&self) -> Vec<Sample> {
        let interface = || ("interface", self.interface.clone());
        let mut samples = Vec::new();
        for peer in &self.peers {
            let handshake = peer.latest_handshake.map_or(0, |at| {
                at.duration_since(SystemTime::UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs())
            });
            for (name, value) in [
                ("wireguard_sent_bytes_total", peer.tx_bytes),
                ("wireguard_received_bytes_total", peer.rx_bytes),
                ("wireguard_latest_handshake_seconds", handshake),
            ] {
                let labels = vec![interface(), ("public_key", peer.public_key.to_string())];
                samples.push(Sample {
                    name,
                    labels,
                    value,
                });
            }
        }
        samples.push(Sample {
            name: "wireguard_peers",
            labels: vec![interface()],
            value: self.peers.len() as u64,
        });
        for (reason, value) in self.drops.iter() {
            samples.push(Sample {
                name: "wireguard_packets_dropped_total",
                labels: vec![interface(), ("reason", reason.as_str().to_owned())],
                value,
            });
        }
        samples
    }
}
