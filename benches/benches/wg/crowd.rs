//! A core with many peers, each of them a core of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use swarm_wg::core::{Core, CoreConfig, PacketBatch, TransmitBatch};
use swarm_wg::testing::udp_packet;
use swarm_wg::{PeerConfig, PrivateKey, PublicKey};

const HUB: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A core with many peers, on a clock that only the bench moves.
pub(crate) struct Crowd {
    pub(crate) hub: Core,
    pub(crate) now: Instant,
    /// The cores of those peers that answer.
    pub(crate) peers: BTreeMap<usize, Core>,
    /// Time that the hub took, but for what peers did.
    pub(crate) took: Duration,
    /// Datagrams that the hub sent.
    pub(crate) sent: usize,
    transmits: TransmitBatch,
    inner: PacketBatch,
}

impl Crowd {
    /// A core without peers.
    pub(crate) fn empty() -> Self {
        let now = Instant::now();
        Self {
            hub: core(0, now),
            now,
            peers: BTreeMap::new(),
            took: Duration::ZERO,
            sent: 0,
            transmits: TransmitBatch::default(),
            inner: PacketBatch::default(),
        }
    }

    /// Has these peers answer, once they are added.
    pub(crate) fn wake(&mut self, range: Range<usize>) {
        let mut config = PeerConfig::new(self.hub.public_key());
        config.endpoint = Some(address(HUB));
        config.allowed_ips = vec![IpAddr::V4(HUB).into()];
        for n in range {
            let mut peer = core(n + 1, self.now);
            peer.add_peer(&config, self.now).expect("a new peer");
            self.peers.insert(n, peer);
        }
    }

    /// Has the hub keep time until then, and peers answer what it says.
    pub(crate) fn run_until(&mut self, end: Instant) {
        while let Some(at) = self.hub.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.timed(|hub, now| hub.handle_timeout(now));
            self.converse();
        }
        self.now = end;
    }

    /// Has each of the peers that answer send a packet, and the hub send one back.
    pub(crate) fn greet(&mut self) {
        for n in self.peers.keys().copied().collect::<Vec<_>>() {
            let own = inner(n);
            let packet = udp_packet(own.into(), HUB.into(), &[0; 20]);
            let now = self.now;
            self.peer(n).handle_inner(&packet, now);
            self.hear(n);
            let packet = udp_packet(HUB.into(), own.into(), &[0; 20]);
            self.timed(|hub, now| hub.handle_inner(&packet, now));
        }
        self.converse();
    }

    /// Carries what the hub has to say to its peers, and back, until nobody has more.
    pub(crate) fn converse(&mut self) {
        loop {
            let mut transmits = std::mem::take(&mut self.transmits);
            self.timed(|hub, _| hub.poll_transmit(&mut transmits));
            for run in transmits.iter() {
                let n = place(run.destination);
                for datagram in run.datagrams() {
                    self.sent += 1;
                    let now = self.now;
                    if let Some(peer) = self.peers.get_mut(&n) {
                        peer.handle_datagram(address(HUB), datagram, now);
                        self.hear(n);
                    }
                }
            }
            let quiet = transmits.is_empty();
            self.transmits = transmits;
            if quiet {
                break;
            }
        }
        self.hub.poll_inner(&mut self.inner);
        while self.hub.poll_event().is_some() {}
    }

    /// Carries what a peer has to say to the hub.
    fn hear(&mut self, n: usize) {
        let mut transmits = TransmitBatch::default();
        let peer = self.peer(n);
        peer.poll_transmit(&mut transmits);
        peer.poll_inner(&mut PacketBatch::default());
        while peer.poll_event().is_some() {}
        for run in transmits.iter() {
            for datagram in run.datagrams() {
                self.timed(|hub, now| hub.handle_datagram(address(inner(n)), datagram, now));
            }
        }
    }

    /// A peer that answers.
    fn peer(&mut self, n: usize) -> &mut Core {
        self.peers.get_mut(&n).expect("a peer that answers")
    }

    fn timed<R>(&mut self, call: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let start = Instant::now();
        let result = call(&mut self.hub, self.now);
        self.took += start.elapsed();
        result
    }
}

/// The configuration of a peer that answers.
pub(crate) fn config(crowd: &Crowd, n: usize, keepalive: Option<u16>) -> PeerConfig {
    configured(crowd.peers[&n].public_key(), n, keepalive)
}

/// The configuration of a peer that does not answer.
pub(crate) fn silent(n: usize, keepalive: Option<u16>) -> PeerConfig {
    configured(PublicKey::from_bytes(bytes(n + 1)), n, keepalive)
}

fn configured(public_key: PublicKey, n: usize, keepalive: Option<u16>) -> PeerConfig {
    let mut config = PeerConfig::new(public_key);
    config.endpoint = Some(address(inner(n)));
    config.allowed_ips = vec![IpAddr::V4(inner(n)).into()];
    config.persistent_keepalive = keepalive;
    config
}

fn bytes(n: usize) -> [u8; 32] {
    let mut bytes = [1; 32];
    bytes[1..9].copy_from_slice(&(n as u64).to_le_bytes());
    bytes
}

fn core(n: usize, now: Instant) -> Core {
    let mut config = CoreConfig::new(PrivateKey::from_bytes(bytes(n)));
    config.handshakes_before_cookies = u32::MAX;
    Core::new(config, bytes(n), now, SystemTime::now())
}

fn inner(n: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 1, 0, 0).to_bits() + n as u32)
}

/// The outer address has the numbers of the inner.
fn address(inner: Ipv4Addr) -> SocketAddr {
    SocketAddr::new(inner.into(), 51_820)
}

fn place(address: SocketAddr) -> usize {
    match address.ip() {
        IpAddr::V4(address) => (address.to_bits() - Ipv4Addr::new(10, 1, 0, 0).to_bits()) as usize,
        IpAddr::V6(_) => usize::MAX,
    }
}
