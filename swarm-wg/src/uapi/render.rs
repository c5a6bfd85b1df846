//! Answers, from meaning to text.

use std::fmt::Write as _;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::parse::Errno;
use crate::config::PeerConfig;
use crate::key::PrivateKey;
use crate::stats::PeerStats;

/// The tunnel, as `get` shows it.
pub(crate) struct Snapshot {
    pub(crate) private_key: PrivateKey,
    pub(crate) listen_port: u16,
    pub(crate) fwmark: u32,
    pub(crate) peers: Vec<(PeerConfig, PeerStats)>,
}

impl Snapshot {
    /// The lines of a `get`, keys among them, without the last one.
    pub(crate) fn render(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(256 + self.peers.len() * 512));
        if !self.private_key.is_none() {
            let private_key = Zeroizing::new(hex::encode(self.private_key.as_bytes()));
            line(&mut text, "private_key", private_key.as_str());
        }
        line(&mut text, "listen_port", self.listen_port);
        if self.fwmark != 0 {
            line(&mut text, "fwmark", self.fwmark);
        }
        for (config, stats) in &self.peers {
            render_peer(&mut text, config, stats);
        }
        text
    }
}

fn render_peer(text: &mut String, config: &PeerConfig, stats: &PeerStats) {
    line(text, "public_key", hex::encode(stats.public_key.as_bytes()));
    let preshared_key = Zeroizing::new(match &config.preshared_key {
        Some(key) => hex::encode(key.as_bytes()),
        None => "0".repeat(64),
    });
    line(text, "preshared_key", preshared_key.as_str());
    line(text, "protocol_version", 1);
    if let Some(endpoint) = stats.endpoint {
        line(text, "endpoint", endpoint);
    }
    let handshake = stats
        .latest_handshake
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or_default();
    line(text, "last_handshake_time_sec", handshake.as_secs());
    line(text, "last_handshake_time_nsec", handshake.subsec_nanos());
    line(text, "tx_bytes", stats.tx_bytes);
    line(text, "rx_bytes", stats.rx_bytes);
    line(
        text,
        "persistent_keepalive_interval",
        stats.persistent_keepalive.unwrap_or(0),
    );
    for prefix in &stats.allowed_ips {
        line(text, "allowed_ip", prefix);
    }
}

fn line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key}={value}");
}

/// The last line of every answer, and the blank one after it.
pub(crate) fn outcome(result: Result<(), Errno>) -> String {
    let code = match result {
        Ok(()) => 0,
        Err(errno) => errno.code(),
    };
    format!("errno={code}\n\n")
}
