//! Requests carried out on a tunnel.

use super::parse::{Errno, PeerSet, Request, Set};
use super::render::Snapshot;
use crate::config::PeerConfig;
use crate::error::Error;
use crate::io::Shared;
use crate::key::PrivateKey;

/// Carries out a request; the text comes before the outcome.
pub(crate) fn apply(
    shared: &Shared,
    request: Request,
) -> Result<Option<zeroize::Zeroizing<String>>, Errno> {
    match request {
        Request::Get => Ok(Some(snapshot(shared).render())),
        Request::Set(set) => set.apply(shared).map(|()| None),
    }
}

fn snapshot(shared: &Shared) -> Snapshot {
    let peers = shared.peers();
    shared.read(|core| Snapshot {
        private_key: core.private_key().clone(),
        listen_port: shared.port(),
        fwmark: shared.fwmark(),
        peers: peers
            .into_iter()
            .filter_map(|stats| Some((core.peer_config(&stats.public_key)?, stats)))
            .collect(),
    })
}

impl Set {
    fn apply(self, shared: &Shared) -> Result<(), Errno> {
        if let Some(key) = self.private_key {
            let key = key.unwrap_or(PrivateKey::none());
            if shared.read(|core| core.private_key().as_bytes() != key.as_bytes()) {
                shared.set_private_key(key);
            }
        }
        if let Some(port) = self.listen_port {
            shared.set_listen_port(port).map_err(errno)?;
        }
        if let Some(fwmark) = self.fwmark {
            shared.set_fwmark(fwmark).map_err(errno)?;
        }
        if self.replace_peers {
            for peer in shared.peers() {
                shared.remove_peer(&peer.public_key);
            }
        }
        self.peers
            .into_iter()
            .try_for_each(|peer| peer.apply(shared))
    }
}

impl PeerSet {
    fn apply(self, shared: &Shared) -> Result<(), Errno> {
        let peer = self.public_key;
        if self.remove {
            shared.remove_peer(&peer);
            return Ok(());
        }
        let (own, known) = shared.read(|core| (core.public_key(), core.peer_config(&peer)));
        if peer == own {
            // As other implementations do: a configuration may be shared by all its peers.
            return Ok(());
        }
        match known {
            Some(mut config) => {
                // A handshake is begun only for an endpoint that was named.
                config.endpoint = None;
                self.change(&mut config);
                shared.update_peer(&config).map_err(errno)
            }
            None if self.update_only => Ok(()),
            None => {
                let mut config = PeerConfig::new(peer);
                self.change(&mut config);
                shared.add_peer(&config).map_err(errno)
            }
        }
    }

    fn change(self, config: &mut PeerConfig) {
        if let Some(key) = self.preshared_key {
            config.preshared_key = key;
        }
        if let Some(endpoint) = self.endpoint {
            config.endpoint = Some(endpoint);
        }
        if let Some(seconds) = self.persistent_keepalive {
            config.persistent_keepalive = (seconds > 0).then_some(seconds);
        }
        if self.replace_allowed_ips {
            config.allowed_ips.clear();
        }
        for (prefix, add) in self.allowed_ips {
            if add {
                config.allowed_ips.push(prefix);
            } else {
                config
                    .allowed_ips
                    .retain(|had| had.trunc() != prefix.trunc());
            }
        }
    }
}

fn errno(error: Error) -> Errno {
    tracing::warn!(%error, "configuration refused");
    match &error {
        Error::Bind { source, .. } | Error::Network { source, .. } => match source.kind() {
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::AlreadyExists => {
                Errno::AddressInUse
            }
            _ => Errno::Io,
        },
        _ => Errno::Invalid,
    }
}
