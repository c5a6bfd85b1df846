//! Cores, what is on the wire between them, and a clock, all of which a script moves as it
//! likes. Whatever goes into a core goes through here, so that [`super::laws`] sees it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use super::laws::{Glance, Ledger};
use crate::config::PeerConfig;
use crate::core::random::Random;
use crate::core::{Core, CoreConfig, PacketBatch, TransmitBatch};
use crate::key::{PrivateKey, PublicKey};
use crate::testing::udp_packet;

/// The first is a peer of all others but the last, which knows the first and is known by none;
/// the second and the third are peers of each other, too.
pub(super) const NODES: usize = 5;
const LINKS: [(usize, usize); 4] = [(0, 1), (0, 2), (0, 3), (1, 2)];
/// Few, so that floods are short.
pub(super) const HANDSHAKES_BEFORE_COOKIES: u32 = 4;
/// Datagrams that may be under way, and that are remembered for replays.
const MAX_FLIGHTS: usize = 256;
const MAX_SEEN: usize = 64;
/// The most that cores may have to say to each other without time passing.
const LONGEST_CONVERSATION: usize = 5000;

pub(super) struct Node {
    pub(super) core: Core,
    pub(super) address: SocketAddr,
    pub(super) first_key: PrivateKey,
    /// Every key that the node has had, the present one last.
    pub(super) keys: Vec<PublicKey>,
    /// How far the node's wall clock is from the date.
    pub(super) wall_step: i64,
    /// Inner packets that the core was handed, and data messages that came out.
    pub(super) handed: u64,
    pub(super) sealed: u64,
}

/// A datagram.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What a core said to a call.
#[derive(Default)]
pub(super) struct Output {
    pub(super) bytes: usize,
    pub(super) delivered: usize,
}

pub(super) struct World {
    start: Instant,
    pub(super) now: Instant,
    pub(super) random: Random,
    pub(super) nodes: Vec<Node>,
    pub(super) wire: VecDeque<Flight>,
    pub(super) seen: VecDeque<Flight>,
    /// Whose the datagrams are that cores have made.
    pub(super) makers: HashMap<Vec<u8>, usize>,
    /// Datagrams that a core has found authentic.
    pub(super) accepted: HashSet<(usize, Vec<u8>)>,
    pub(super) ledger: Ledger,
    serial: u32,
}

impl World {
    /// Five nodes, of which the first two have a session.
    pub(super) fn new(seed: u64) -> Self {
        #[allow(clippy::disallowed_methods, reason = "where a test's clock starts")]
        let start = Instant::now();
        let mut world = Self {
            start,
            now: start,
            random: Random::new(seed),
            nodes: Vec::new(),
            wire: VecDeque::new(),
            seen: VecDeque::new(),
            makers: HashMap::new(),
            accepted: HashSet::new(),
            ledger: Ledger::default(),
            serial: 0,
        };
        for id in 0..NODES {
            world.add_node(id);
        }
        for (a, b) in LINKS {
            world.introduce(a, b);
            world.introduce(b, a);
        }
        world.introduce(NODES - 1, 0);
        world.send_packet(0, 1, 0, true);
        world.settle();
        world
    }

    fn add_node(&mut self, id: usize) {
        let mut config = CoreConfig::new(self.new_key());
        config.handshakes_before_cookies = HANDSHAKES_BEFORE_COOKIES;
        let seed = *self.new_key().as_bytes();
        let core = Core::new(config, seed, self.now, self.wall(0));
        self.nodes.push(Node {
            first_key: core.private_key().clone(),
            keys: vec![core.public_key()],
            core,
            address: home(id),
            wall_step: 0,
            handed: 0,
            sealed: 0,
        });
    }

    pub(super) fn new_key(&mut self) -> PrivateKey {
        let mut bytes = [0u8; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.random.next().to_le_bytes());
        }
        PrivateKey::from_bytes(bytes)
    }

    /// The configuration by which others know a node.
    pub(super) fn config_of(&self, id: usize) -> PeerConfig {
        let node = &self.nodes[id];
        let mut config = PeerConfig::new(node.core.public_key());
        config.endpoint = Some(node.address);
        config.allowed_ips = vec![inner(id, true).into(), inner(id, false).into()];
        config
    }

    /// Has a node know another, if it does not.
    pub(super) fn introduce(&mut self, at: usize, peer: usize) {
        let config = self.config_of(peer);
        let _ = self.call(at, |core, now| core.add_peer(&config, now));
        self.check_prefixes(at);
    }

    /// Has a node know another no more. Returns whether it did.
    pub(super) fn forget(&mut self, at: usize, peer: &PublicKey) -> bool {
        // What a peer said before may be said again to whoever forgot it.
        self.accepted.retain(|(node, _)| *node != at);
        self.call(at, |core, now| core.remove_peer(peer, now))
    }

    fn wall(&self, step: i64) -> SystemTime {
        let date = 1_800_000_000 + (self.now - self.start).as_secs();
        SystemTime::UNIX_EPOCH + Duration::from_secs(date.saturating_add_signed(step))
    }

    /// Sets a node's wall clock, so many seconds from the date.
    pub(super) fn set_wall(&mut self, id: usize, step: i64) {
        self.nodes[id].wall_step = step;
        let wall = self.wall(step);
        self.call(id, |core, now| core.handle_wall_clock(wall, now));
    }

    // --- calls ---

    /// Calls a core, and takes what it has to say to that.
    pub(super) fn call<R>(&mut self, id: usize, call: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let floor = self.nodes[id].core.handshake_floor();
        let result = call(&mut self.nodes[id].core, self.now);
        let output = self.collect(id);
        assert_eq!(output.delivered, 0, "delivered without a datagram");
        assert!(self.nodes[id].core.handshake_floor() >= floor);
        result
    }

    /// Hands a core a datagram.
    pub(super) fn hand(&mut self, to: usize, source: SocketAddr, bytes: &[u8]) {
        let before = Glance::at(&self.nodes[to].core, self.now);
        let core = &mut self.nodes[to].core;
        core.handle_datagram(source, bytes, self.now);
        let output = self.collect(to);
        let after = Glance::at(&self.nodes[to].core, self.now);
        self.check_datagram(to, source, bytes, &before, &after, &output);
    }

    /// Hands a core an inner packet, or what is none.
    pub(super) fn send(&mut self, from: usize, packet: &[u8]) {
        self.note_sent(from, packet);
        self.nodes[from].handed += 1;
        self.call(from, |core, now| core.handle_inner(packet, now));
        self.check_waiting(from);
    }

    /// Hands a core a packet like no other.
    pub(super) fn send_packet(&mut self, from: usize, to: usize, length: usize, v4: bool) {
        let packet = self.packet(from, to, length, v4);
        self.send(from, &packet);
    }

    /// A packet like no other, by its own account from a node to another.
    pub(super) fn packet(&mut self, from: usize, to: usize, length: usize, v4: bool) -> Vec<u8> {
        self.serial += 1;
        let mut payload = vec![0; length + 4];
        payload[..4].copy_from_slice(&self.serial.to_le_bytes());
        udp_packet(inner(from, v4), inner(to, v4), &payload)
    }

    fn collect(&mut self, id: usize) -> Output {
        let node = &mut self.nodes[id];
        let (mut transmits, mut packets) = (TransmitBatch::default(), PacketBatch::default());
        node.core.poll_transmit(&mut transmits);
        node.core.poll_inner(&mut packets);
        while node.core.poll_event().is_some() {}
        let from = node.address;
        for transmit in transmits.iter() {
            for bytes in transmit.datagrams() {
                let to = transmit.destination;
                self.launch(
                    id,
                    Flight {
                        from,
                        to,
                        bytes: bytes.to_vec(),
                    },
                );
            }
        }
        for packet in packets.iter() {
            self.check_delivered(id, packet);
        }
        Output {
            bytes: transmits.bytes(),
            delivered: packets.len(),
        }
    }

    fn launch(&mut self, maker: usize, flight: Flight) {
        self.note_made(maker, &flight.bytes);
        self.seen.push_back(flight.clone());
        self.wire.push_back(flight);
        self.seen.drain(..self.seen.len().saturating_sub(MAX_SEEN));
        self.wire
            .drain(..self.wire.len().saturating_sub(MAX_FLIGHTS));
    }

    // --- the wire and the clock ---

    /// Lets a datagram arrive, if anybody is where it goes.
    pub(super) fn arrive(&mut self, flight: &Flight) {
        let to = canonical(flight.to);
        let to = self
            .nodes
            .iter()
            .position(|node| canonical(node.address) == to);
        if let Some(to) = to {
            self.hand(to, flight.from, &flight.bytes);
        }
    }

    /// Lets everything arrive that is under way, and what is said to that.
    pub(super) fn settle(&mut self) {
        for _ in 0..LONGEST_CONVERSATION {
            let Some(flight) = self.wire.pop_front() else {
                return;
            };
            self.arrive(&flight);
        }
        panic!("a conversation without end");
    }

    /// Lets time pass. What is said meanwhile arrives at once, or stays under way.
    pub(super) fn run_for(&mut self, duration: Duration, arriving: bool) {
        if arriving {
            self.settle();
        }
        let end = self.now + duration;
        // However idle or troubled they are, nodes are not looked at all the time.
        let mut looks = 1000 + duration.as_secs() * 20;
        loop {
            let deadlines = self.nodes.iter().map(|node| node.core.next_deadline());
            let Some(next) = deadlines.flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            for id in 0..NODES {
                let due = self.nodes[id].core.next_deadline();
                if due.is_some_and(|at| at <= self.now) {
                    looks = looks.checked_sub(1).expect("a core to be left alone");
                    self.call(id, |core, now| core.handle_timeout(now));
                    let next = self.nodes[id].core.next_deadline();
                    assert!(next.is_none_or(|at| at > self.now), "a deadline that stays");
                }
            }
            if arriving {
                self.settle();
            }
        }
        self.now = end;
    }
}

/// The outer address of a node, until it moves.
pub(super) fn home(id: usize) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(192, 0, 2, id as u8 + 1).into(), 51_820)
}

/// An IPv4 address in IPv6 clothes is an IPv4 address.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The inner addresses of a node.
pub(super) fn inner(id: usize, v4: bool) -> IpAddr {
    let n = id as u8 + 1;
    match v4 {
        true => Ipv4Addr::new(10, 0, 0, n).into(),
        false => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into(),
    }
}

/// Addresses at which nobody is, unless a node moves there.
pub(super) fn elsewhere(n: u8) -> SocketAddr {
    let v4 = Ipv4Addr::new(198, 51, 100, n / 4);
    let address = match n % 4 {
        0 => Ipv6Addr::new(0x2001, 0xdb8, 0, n.into(), 0, 0, 0, 1).into(),
        1 => v4.to_ipv6_mapped().into(),
        _ => IpAddr::from(v4),
    };
    SocketAddr::new(address, 1000)
}
