//! A virtual network of cores: latency, reordering, loss, duplication, and addresses that move.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use crate::config::PeerConfig;
use crate::core::random::Random;
use crate::core::{Core, CoreConfig, PacketBatch, TransmitBatch};
use crate::event::Event;
use crate::key::PrivateKey;
use crate::stats::PeerStats;

/// The date at which every network begins, after 1970.
const FIRST_DAY: Duration = Duration::from_secs(1_800_000_000);

/// A core on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// What happens to datagrams on their way.
///
/// # Defaults
/// 1 ms of latency, and nothing else happens.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Link {
    /// Time that every datagram takes at least.
    pub latency: Duration,
    /// Up to this much more, drawn for each: datagrams overtake each other.
    pub jitter: Duration,
    /// Datagrams lost of a thousand.
    pub loss: u16,
    /// Datagrams that arrive twice of a thousand.
    pub duplicates: u16,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: 0,
            duplicates: 0,
        }
    }
}

struct Node {
    core: Core,
    address: SocketAddr,
    plugged: bool,
    received: Vec<Vec<u8>>,
    events: Vec<Event>,
}

struct Flight {
    source: SocketAddr,
    destination: SocketAddr,
    payload: Vec<u8>,
}

/// A virtual network of cores, on a clock of its own.
pub struct Network {
    start: Instant,
    now: Instant,
    random: Random,
    link: Link,
    nodes: Vec<Node>,
    flights: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
    wire: Vec<Vec<u8>>,
}

impl Network {
    /// An empty network. The seed decides what is lost, and the keys of its nodes.
    pub fn new(seed: u64) -> Self {
        #[allow(clippy::disallowed_methods, reason = "where a test's clock starts")]
        let start = Instant::now();
        Self {
            start,
            now: start,
            random: Random::new(seed),
            link: Link::default(),
            nodes: Vec::new(),
            flights: BTreeMap::new(),
            sent: 0,
            wire: Vec::new(),
        }
    }

    /// Adds a node without peers. Node `n` has the outer address `192.0.2.n+1:51820` and,
    /// by convention, the inner addresses of [`Self::inner`].
    pub fn add_node(&mut self) -> NodeId {
        self.add_node_with(|_| {})
    }

    /// Adds a node whose configuration differs from the default.
    pub fn add_node_with(&mut self, configure: impl FnOnce(&mut CoreConfig)) -> NodeId {
        let mut key = [0u8; 32];
        for chunk in key.chunks_mut(8) {
            chunk.copy_from_slice(&self.random.next().to_le_bytes());
        }
        let id = NodeId(self.nodes.len());
        let mut config = CoreConfig::new(PrivateKey::from_bytes(key));
        configure(&mut config);
        let mut seed = [0u8; 32];
        seed[..8].copy_from_slice(&self.random.next().to_le_bytes());
        let core = Core::new(config, seed, self.now(), self.wall_now());
        self.nodes.push(Node {
            core,
            address: SocketAddr::new(outer(id), 51_820),
            plugged: true,
            received: Vec::new(),
            events: Vec::new(),
        });
        id
    }

    /// The inner IPv4 address of a node.
    pub fn inner(id: NodeId) -> IpAddr {
        let [high, low] = (id.0 as u16 + 1).to_be_bytes();
        Ipv4Addr::new(10, 0, high, low).into()
    }

    /// The configuration by which other nodes know this one: its inner address, and its
    /// endpoint as it is now.
    pub fn peer_config(&self, id: NodeId) -> PeerConfig {
        let node = &self.nodes[id.0];
        let mut config = PeerConfig::new(node.core.public_key());
        config.allowed_ips = vec![Self::inner(id).into()];
        config.endpoint = Some(node.address);
        config
    }

    /// Makes two nodes peers of each other. Each knows the other's endpoint.
    pub fn connect(&mut self, a: NodeId, b: NodeId) {
        for (this, other) in [(a, b), (b, a)] {
            let config = self.peer_config(other);
            self.with(this, |core, now| core.add_peer(&config, now))
                .expect("a new peer");
        }
    }

    /// What happens to datagrams sent from now on.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// Moves a node to another outer address. What is under way to the old one is lost.
    pub fn set_address(&mut self, id: NodeId, address: SocketAddr) {
        self.nodes[id.0].address = address;
    }

    /// Pulls a node's plug, or puts it back: without it, nothing leaves or reaches the node.
    pub fn set_plugged(&mut self, id: NodeId, plugged: bool) {
        self.nodes[id.0].plugged = plugged;
    }

    /// The outer address of a node.
    pub fn address(&self, id: NodeId) -> SocketAddr {
        self.nodes[id.0].address
    }

    /// What a node knows of another at this moment.
    ///
    /// # Panics
    /// When they are no peers.
    pub fn peer(&self, at: NodeId, of: NodeId) -> PeerStats {
        let key = self.core(of).public_key();
        self.core(at).peer(&key, self.now).expect("a peer")
    }

    /// A node's core, to look at.
    pub fn core(&self, id: NodeId) -> &Core {
        &self.nodes[id.0].core
    }

    /// The moment it is.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The date it is.
    pub fn wall_now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + FIRST_DAY + (self.now - self.start)
    }

    /// Calls a node's core, and puts on the wire what it has to say to that.
    pub fn with<R>(&mut self, id: NodeId, call: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let now = self.now();
        let result = call(&mut self.nodes[id.0].core, now);
        self.collect(id);
        result
    }

    /// Has a node send an inner packet to another.
    pub fn send(&mut self, from: NodeId, to: NodeId, payload: &[u8]) {
        let packet = super::udp_packet(Self::inner(from), Self::inner(to), payload);
        self.with(from, |core, now| core.handle_inner(&packet, now));
    }

    /// The inner packets delivered to a node since the last call.
    pub fn received(&mut self, id: NodeId) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.nodes[id.0].received)
    }

    /// The events of a node since the last call.
    pub fn events(&mut self, id: NodeId) -> Vec<Event> {
        std::mem::take(&mut self.nodes[id.0].events)
    }

    /// The datagrams put on the wire since the last call, lost ones among them.
    pub fn wire(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.wire)
    }

    /// Delivers a datagram to a node at once, whoever sent it.
    pub fn inject(&mut self, to: NodeId, source: SocketAddr, datagram: &[u8]) {
        self.with(to, |core, now| core.handle_datagram(source, datagram, now));
    }

    /// Lets time pass, and everything that happens in it.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now() + duration;
        loop {
            let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
            let deadline = self
                .nodes
                .iter()
                .filter_map(|node| node.core.next_deadline())
                .min();
            let next = [flight, deadline]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.land_due();
            for id in 0..self.nodes.len() {
                self.with(NodeId(id), |core, now| core.handle_timeout(now));
            }
        }
        self.now = end;
    }

    fn land_due(&mut self) {
        let now = self.now();
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let flight = entry.remove();
            self.arrive(&flight);
        }
    }

    fn arrive(&mut self, flight: &Flight) {
        let node = self
            .nodes
            .iter()
            .position(|node| node.plugged && node.address == flight.destination);
        if let Some(node) = node {
            self.inject(NodeId(node), flight.source, &flight.payload);
        }
    }

    fn collect(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        let (mut transmits, mut packets) = (TransmitBatch::default(), PacketBatch::default());
        node.core.poll_transmit(&mut transmits);
        node.core.poll_inner(&mut packets);
        while let Some(event) = node.core.poll_event() {
            node.events.push(event);
        }
        node.received.extend(packets.iter().map(<[u8]>::to_vec));
        let (source, plugged) = (node.address, node.plugged);
        for transmit in transmits.iter() {
            for datagram in transmit.datagrams() {
                self.wire.push(datagram.to_vec());
                if plugged {
                    self.launch(source, transmit.destination, datagram);
                }
            }
        }
    }

    fn launch(&mut self, source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
        if self.random.below(1000) < self.link.loss.into() {
            return;
        }
        let twice = self.random.below(1000) < self.link.duplicates.into();
        for _ in 0..=u8::from(twice) {
            let jitter = u64::try_from(self.link.jitter.as_micros()).unwrap_or(u64::MAX - 1);
            let extra = Duration::from_micros(self.random.below(jitter + 1));
            self.sent += 1;
            self.flights.insert(
                (self.now() + self.link.latency + extra, self.sent),
                Flight {
                    source,
                    destination,
                    payload: payload.to_vec(),
                },
            );
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("nodes", &self.nodes.len())
            .field("in_flight", &self.flights.len())
            .finish_non_exhaustive()
    }
}

fn outer(id: NodeId) -> IpAddr {
    let [high, low] = (id.0 as u16 + 1).to_be_bytes();
    Ipv4Addr::new(192, 0, 2 + high, low).into()
}
