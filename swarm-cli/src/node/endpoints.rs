//! Where other nodes were last seen: hints, for WireGuard itself proves who is there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use swarm_pki::NodeId;

use crate::file;

/// The book of endpoints, kept on disk for a start with nobody to ask.
#[derive(Debug)]
pub(crate) struct Endpoints {
    path: PathBuf,
    known: Mutex<BTreeMap<NodeId, SocketAddr>>,
}

impl Endpoints {
    /// Opens the book; one that cannot be read is begun anew, for it holds only hints.
    pub(crate) fn open(path: PathBuf) -> Self {
        let known = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "the endpoints are unreadable; beginning anew");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self {
            path,
            known: Mutex::new(known),
        }
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<SocketAddr> {
        self.lock().get(node).copied()
    }

    /// Notes where a node is; tells whether that is news.
    pub(crate) fn learn(&self, node: &NodeId, endpoint: SocketAddr) -> bool {
        let mut known = self.lock();
        if known.insert(node.clone(), endpoint) == Some(endpoint) {
            return false;
        }
        self.save(&known);
        true
    }

    /// Forgets every node that `keep` refuses.
    pub(crate) fn retain(&self, keep: impl Fn(&NodeId) -> bool) {
        let mut known = self.lock();
        let before = known.len();
        known.retain(|node, _| keep(node));
        if known.len() != before {
            self.save(&known);
        }
    }

    fn save(&self, known: &BTreeMap<NodeId, SocketAddr>) {
        let text = serde_json::to_vec_pretty(known).expect("addresses are plain values");
        if let Err(error) = file::replace(&self.path, &text, 0o600) {
            tracing::warn!(path = %self.path.display(), %error, "cannot keep the endpoints");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, SocketAddr>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
