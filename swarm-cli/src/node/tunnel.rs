//! The tunnel of a node: its peers are the roster, nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use swarm_pki::{NodeCertificate, NodeId};
use swarm_wg::{Event, PeerConfig, PublicKey, Tunnel, TunnelConfig};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::file;
use crate::member::Member;
use crate::wire;

use super::Shared;

/// How often the handshake floor is kept.
const KEEP_FLOOR: Duration = Duration::from_secs(30);

/// A node's tunnel and what ties it to certificates.
#[derive(Debug, Clone)]
pub(crate) struct MeshTunnel {
    tunnel: Arc<Tunnel>,
    own: NodeId,
    keepalive: Option<u16>,
}

impl MeshTunnel {
    /// Makes the interface with the addresses of the node's certificate; it has no peers yet.
    pub(crate) fn start(member: &Member) -> Result<Self, Error> {
        let plan = member.plan();
        let mut config = TunnelConfig::new(member.wireguard_key()?);
        config.interface = member.interface();
        config.listen_port = plan.wireguard().port;
        config.mtu = plan.wireguard().mtu;
        config.addresses = wire::interface_addresses(member.certificate().identity(), plan);
        let keepalive = plan
            .wireguard()
            .keepalive
            .map(|span| span.duration().as_secs());
        config.handshake_floor = read_floor(member);
        let tunnel = Tunnel::start(config)?;
        Ok(Self {
            tunnel: Arc::new(tunnel),
            own: member.id().clone(),
            keepalive: keepalive.map(|seconds| seconds.try_into().unwrap_or(u16::MAX)),
        })
    }

    pub(crate) fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// Makes the peers those of the roster: adds, changes and removes; a removed one is cut off when this
    /// returns.
    pub(crate) fn follow<'a>(
        &self,
        roster: impl Iterator<Item = &'a NodeCertificate>,
        hint: impl Fn(&NodeId) -> Option<SocketAddr>,
    ) -> Result<(), Error> {
        let wanted: BTreeMap<PublicKey, PeerConfig> = roster
            .filter(|node| *node.id() != self.own)
            .map(|node| {
                let mut peer =
                    PeerConfig::new(PublicKey::from_bytes(node.identity().wireguard_public_key));
                peer.allowed_ips = wire::host_routes(&node.identity().addresses);
                peer.persistent_keepalive = self.keepalive;
                peer.endpoint = hint(node.id());
                (peer.public_key, peer)
            })
            .collect();
        let known: BTreeMap<_, _> = self
            .tunnel
            .peers()
            .into_iter()
            .map(|peer| (peer.public_key, peer))
            .collect();
        // first those that are trusted no more: their addresses may belong to somebody else now
        for key in known.keys().filter(|key| !wanted.contains_key(key)) {
            self.tunnel.remove_peer(key);
        }
        for (key, mut peer) in wanted {
            match known.get(&key) {
                None => self.tunnel.add_peer(peer)?,
                Some(known) if !same_routes(&known.allowed_ips, &peer.allowed_ips) => {
                    // the tunnel knows better where the peer is
                    peer.endpoint = None;
                    self.tunnel.update_peer(peer)?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Tries `endpoint` for a peer without a live session.
    pub(crate) fn suggest(&self, key: &PublicKey, endpoint: SocketAddr) {
        let idle = self
            .tunnel
            .peer(key)
            .is_some_and(|peer| !peer.session && peer.endpoint != Some(endpoint));
        // the peer may have been removed meanwhile
        if idle && let Err(error) = self.tunnel.set_endpoint(key, endpoint) {
            tracing::debug!(%error, "an endpoint came too late");
        }
    }

    /// What happens in the tunnel, for tasks; ends with the tunnel.
    pub(crate) fn events(&self) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(64);
        let events = self.tunnel.events();
        std::thread::Builder::new()
            .name("swarm-wg-events".to_owned())
            .spawn(move || {
                while let Ok(event) = events.recv() {
                    if sender.blocking_send(event).is_err() {
                        return;
                    }
                }
            })
            .expect("a thread can be started");
        receiver
    }
}

fn same_routes(one: &[ipnet::IpNet], other: &[ipnet::IpNet]) -> bool {
    let sorted = |routes: &[ipnet::IpNet]| {
        let mut routes = routes.to_vec();
        routes.sort_unstable();
        routes
    };
    sorted(one) == sorted(other)
}

impl Shared {
    /// Tries an endpoint at which somebody saw a node, unless the tunnel knows better.
    pub(crate) fn suggest(&self, node: &NodeId, endpoint: SocketAddr) {
        let trust = self.member.tls().trust();
        if node == self.member.id() {
            return;
        }
        if let Some(certificate) = trust.node(node) {
            self.endpoints.learn(node, endpoint);
            self.tunnel
                .suggest(&wire::tunnel_key(certificate.identity()), endpoint);
        }
    }
}

/// Notes where peers are seen, of which a hub tells everybody else, and keeps the handshake floor.
pub(super) async fn follow_events(shared: Arc<Shared>) {
    let mut events = shared.tunnel.events();
    let mut keep = tokio::time::interval(KEEP_FLOOR);
    loop {
        tokio::select! {
            _ = keep.tick() => keep_floor(&shared),
            event = events.recv() => match event {
                Some(Event::HandshakeCompleted { peer } | Event::EndpointMoved { peer, .. }) => note_peer(&shared, &peer).await,
                Some(Event::ClockBehind { behind }) => tracing::warn!(
                    seconds = behind.as_secs(),
                    "this machine's clock is behind its last handshake: peers will refuse to be called until it is set"
                ),
                Some(_) => {}
                None => return,
            },
        }
    }
}

async fn note_peer(shared: &Shared, peer: &PublicKey) {
    let trust = shared.member.tls().trust();
    let node = trust
        .node_by_wireguard_key(peer.as_bytes())
        .map(|node| node.id().clone());
    let endpoint = shared
        .tunnel
        .tunnel()
        .peer(peer)
        .and_then(|peer| peer.endpoint);
    if let (Some(node), Some(endpoint)) = (node, endpoint) {
        let news = shared.endpoints.learn(&node, endpoint);
        if news && shared.hub.is_some() {
            super::bus::publish_endpoint(shared, &node, endpoint).await;
        }
    }
}

/// Reads the handshake floor of the last run; without one there is nothing to hold the clock against.
fn read_floor(member: &Member) -> Option<SystemTime> {
    let text = std::fs::read_to_string(member.node_layout().handshake_floor()).ok()?;
    humantime::parse_rfc3339(text.trim()).ok()
}

fn keep_floor(shared: &Shared) {
    let path = shared.member.node_layout().handshake_floor();
    let floor =
        humantime::format_rfc3339_seconds(shared.tunnel.tunnel().handshake_floor()).to_string();
    if let Err(error) = file::replace(&path, floor.as_bytes(), 0o600) {
        tracing::warn!(path = %path.display(), %error, "cannot keep the handshake floor");
    }
}
