//! Changes of configuration while the tunnel runs.

use std::net::SocketAddr;
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
        let index = self.peers.free_index(&mut self.random);
        let mut peer = Peer::new(config, index, cx!(self, now));
        peer.endpoint = config.endpoint.map(canonical);
        peer.set_keepalive(config.persistent_keepalive, cx!(self, now));
        let slot = self.peers.insert(peer);
        for prefix in &config.allowed_ips {
            self.peers.allow(slot, *prefix);
        }
        self.peers.schedule(slot, now);
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
        self.peers.schedule(slot, now);
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
        self.peers.schedule(slot, now);
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
        peer.discard(cx!(self, now));
        true
    }

    /// Takes another private key. All sessions end; a peer with the new public key, and so
    /// with our own name, is removed.
    pub fn set_private_key(&mut self, private_key: PrivateKey, now: Instant) {
        self.identity = Identity::new(&private_key);
        self.limiter = Limiter::new(&self.identity, self.before_cookies);
        self.private_key = private_key;
        let own = self.public_key();
        self.remove_peer(&own, now);
        for slot in self.peers.slots() {
            self.renew(slot, false, now);
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
        self.peers.routes().contains(prefix)
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
            self.peers.disallow(slot, prefix);
        }
        for prefix in wanted {
            self.peers.allow(slot, prefix);
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
            self.renew(slot, true, now);
        }
    }

    /// Makes the noise layer of a peer anew under a new index: messages for the old one are
    /// for nobody. A handshake begins where one is wanted.
    fn renew(&mut self, slot: Slot, keep_replays: bool, now: Instant) {
        let index = self.peers.free_index(&mut self.random);
        let Some(peer) = self.peers.peer_mut(slot) else {
            return;
        };
        let old = peer.index;
        peer.renew(index, keep_replays, cx!(self, now));
        peer.resume(cx!(self, now));
        self.peers.reindex(slot, old, index);
        self.peers.schedule(slot, now);
    }

    /// Renews a peer whose handshakes would bear a date from before the clock was set, as
    /// soon as it has no session to lose.
    pub(super) fn renew_if_outdated(&mut self, slot: Slot, now: Instant) {
        if self
            .peers
            .peer(slot)
            .is_some_and(|peer| peer.outdated && !peer.session)
        {
            self.renew(slot, true, now);
        }
    }
}
