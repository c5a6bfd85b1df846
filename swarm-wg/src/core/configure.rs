//! Changes of configuration while the tunnel runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;

use super::context::cx;
use super::limiter::Limiter;
use super::noise::Identity;
use super::peer::Peer;
use super::peers::{MAX_PEERS, Slot};
use super::{Core, canonical};
use crate::config::PeerConfig;
use crate::error::Error;
use crate::key::{PresharedKey, PrivateKey, PublicKey};

impl Core {
    /// Adds a peer. With an endpoint and a persistent keepalive a handshake begins at once.
    ///
    /// # Errors
    /// [`Error::PeerExists`], [`Error::PeerIsSelf`], [`Error::TooManyPeers`].
    pub fn add_peer(&mut self, config: &PeerConfig, now: Instant) -> Result<(), Error> {
        let peer = config.public_key;
        if peer == self.public_key() {
            return Err(Error::PeerIsSelf);
        }
        if self.peers.by_key(&peer).is_some() {
            return Err(Error::PeerExists { peer });
        }
        if self.peers.len() >= MAX_PEERS {
            return Err(Error::TooManyPeers { limit: MAX_PEERS });
        }
        let slot = self.peers.next_slot();
        let mut peer = Peer::new(config, slot, cx!(self, now));
        self.plane.write().open_lane(slot, Arc::clone(&peer.marks));
        peer.place(config.endpoint.map(canonical));
        peer.set_keepalive(config.persistent_keepalive, cx!(self, now));
        self.peers.insert(peer);
        for prefix in &config.allowed_ips {
            self.allow(slot, *prefix);
        }
        self.settle(slot, now);
        Ok(())
    }

    /// Makes a known peer equal to this configuration. An endpoint of `None` leaves the peer
    /// where it is. A changed pre-shared key ends the session.
    ///
    /// # Errors
    /// [`Error::UnknownPeer`].
    pub fn update_peer(&mut self, config: &PeerConfig, now: Instant) -> Result<(), Error> {
        let slot = self.slot(&config.public_key)?;
        self.replace_allowed_ips(slot, &config.allowed_ips);
        self.change_preshared_key(slot, config.preshared_key.clone(), now);
        if let Some(peer) = self.peers.peer_mut(slot) {
            peer.set_keepalive(config.persistent_keepalive, cx!(self, now));
            if let Some(endpoint) = config.endpoint.map(canonical)
                && peer.endpoint != Some(endpoint)
            {
                peer.set_endpoint(endpoint, cx!(self, now));
            }
        }
        self.settle(slot, now);
        Ok(())
    }

    /// Tells where a peer is. Without a live session a handshake begins at once and is
    /// repeated after a second, so that two peers told of each other at about the same time
    /// open their NATs to each other. With one, its packets go there from now on, until an
    /// authentic packet comes from elsewhere.
    ///
    /// # Errors
    /// [`Error::UnknownPeer`].
    pub fn set_endpoint(
        &mut self,
        peer: &PublicKey,
        endpoint: SocketAddr,
        now: Instant,
    ) -> Result<(), Error> {
        let slot = self.slot(peer)?;
        if let Some(peer) = self.peers.peer_mut(slot) {
            peer.set_endpoint(canonical(endpoint), cx!(self, now));
        }
        self.settle(slot, now);
        Ok(())
    }

    /// Removes a peer: nothing of it is sent or delivered from here on. Returns whether it
    /// was there.
    pub fn remove_peer(&mut self, peer: &PublicKey, now: Instant) -> bool {
        let Some(mut peer) = self
            .peers
            .by_key(peer)
            .and_then(|slot| self.peers.remove(slot))
        else {
            return false;
        };
        {
            let mut tables = self.plane.write();
            tables.close_lane(peer.slot);
            for prefix in &peer.allowed_ips {
                tables.routes.remove(*prefix, peer.slot);
            }
        }
        peer.discard(cx!(self, now));
        true
    }

    /// Takes another private key. All sessions end; a peer with the new public key, and so
    /// with our own name, is removed. A key of zeros is none: no handshake is made with it.
    pub fn set_private_key(&mut self, private_key: PrivateKey, now: Instant) {
        self.identity = Identity::new(&private_key);
        self.limiter = Limiter::new(self.before_cookies);
        self.private_key = private_key;
        let own = self.public_key();
        self.remove_peer(&own, now);
        for slot in self.peers.slots() {
            self.reset(slot, false, now);
        }
    }

    /// The configuration of a peer as it stands, its endpoint the current one.
    pub fn peer_config(&self, peer: &PublicKey) -> Option<PeerConfig> {
        let peer = self.peers.peer(self.peers.by_key(peer)?)?;
        let mut config = PeerConfig::new(peer.public_key);
        config.preshared_key = peer.preshared_key.clone();
        config.endpoint = peer.endpoint;
        config.allowed_ips = peer.allowed_ips.iter().copied().collect();
        config.persistent_keepalive = peer.keepalive;
        Some(config)
    }

    /// Whether exactly this prefix belongs to a peer.
    pub fn is_allowed(&self, prefix: IpNet) -> bool {
        self.plane.read().routes.contains(prefix)
    }

    fn slot(&self, peer: &PublicKey) -> Result<Slot, Error> {
        self.peers
            .by_key(peer)
            .ok_or(Error::UnknownPeer { peer: *peer })
    }

    fn replace_allowed_ips(&mut self, slot: Slot, prefixes: &[IpNet]) {
        let Some(peer) = self.peers.peer(slot) else {
            return;
        };
        let wanted: std::collections::BTreeSet<_> = prefixes.iter().map(IpNet::trunc).collect();
        let gone: Vec<_> = peer.allowed_ips.difference(&wanted).copied().collect();
        for prefix in gone {
            self.disallow(slot, prefix);
        }
        for prefix in wanted {
            self.allow(slot, prefix);
        }
    }

    /// Gives a prefix to a peer, and takes it from the one that had it.
    fn allow(&mut self, slot: Slot, prefix: IpNet) {
        let prefix = prefix.trunc();
        let former = self.plane.write().routes.insert(prefix, slot);
        if let Some(former) = former.filter(|former| *former != slot)
            && let Some(former) = self.peers.peer_mut(former)
        {
            former.allowed_ips.remove(&prefix);
        }
        if let Some(peer) = self.peers.peer_mut(slot) {
            peer.allowed_ips.insert(prefix);
        }
    }

    /// Takes a prefix from a peer.
    fn disallow(&mut self, slot: Slot, prefix: IpNet) {
        let prefix = prefix.trunc();
        self.plane.write().routes.remove(prefix, slot);
        if let Some(peer) = self.peers.peer_mut(slot) {
            peer.allowed_ips.remove(&prefix);
        }
    }

    fn change_preshared_key(&mut self, slot: Slot, key: Option<PresharedKey>, now: Instant) {
        let Some(peer) = self.peers.peer_mut(slot) else {
            return;
        };
        let same = match (&peer.preshared_key, &key) {
            (Some(old), Some(new)) => old.same(new),
            (None, None) => true,
            _ => false,
        };
        if !same {
            peer.preshared_key = key;
            self.reset(slot, true, now);
        }
    }

    /// Ends the sessions of a peer, for a changed key.
    fn reset(&mut self, slot: Slot, same_identity: bool, now: Instant) {
        if let Some(peer) = self.peers.peer_mut(slot) {
            peer.reset(same_identity, cx!(self, now));
        }
        self.settle(slot, now);
    }
}
