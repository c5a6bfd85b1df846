//! A network, and what is known of every packet on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::NODES;
use super::steps::{Pair, Step};
use crate::config::PeerConfig;
use crate::key::PresharedKey;
use crate::testing::{Link, Network, NodeId, udp_packet};

/// Datagrams kept for a replay.
const MEMORY: usize = 256;
/// The header of a packet, before its payload: the number of the packet in its flow.
const HEADER: usize = 28;

/// The packets from one node to another.
#[derive(Default)]
struct Flow {
    sent: Vec<Vec<u8>>,
    arrived: BTreeSet<usize>,
}

pub(super) struct Model {
    network: Network,
    link: Link,
    orderly: bool,
    flows: BTreeMap<Pair, Flow>,
    seen: Vec<Vec<u8>>,
}

impl Model {
    /// A network in which everybody knows everybody; `orderly` says whether it is to keep the
    /// order of what it does not lose.
    pub(super) fn new(seed: u64, link: Link, orderly: bool) -> Self {
        let mut network = Network::new(seed);
        for _ in 0..NODES {
            network.add_node();
        }
        network.set_link(link);
        let mut model = Self {
            network,
            link,
            orderly,
            flows: BTreeMap::new(),
            seen: Vec::new(),
        };
        for (a, b) in pairs() {
            model.flows.insert((a, b), Flow::default());
            if a < b {
                model.network.connect(a, b);
            }
        }
        model
    }

    /// What happens to datagrams from now on, save how many are lost.
    pub(super) fn set_link(&mut self, link: Link) {
        let loss = self.link.loss;
        self.link = Link { loss, ..link };
        self.network.set_link(self.link);
    }

    pub(super) fn take(&mut self, step: &Step) {
        match *step {
            Step::Send {
                pair,
                count,
                length,
            } => {
                (0..count).for_each(|_| self.send(pair, length));
            }
            Step::Talk { pair, seconds } => {
                for _ in 0..seconds {
                    self.send(pair, 64);
                    self.send((pair.1, pair.0), 64);
                    self.wait(Duration::from_secs(1));
                }
            }
            Step::Spoof { pair: (from, to) } => self.spoof(from, to),
            Step::Replay { at, pick } => self.replay(at, pick.into()),
            Step::Wait(duration) => self.wait(duration),
            Step::Lose(loss) => {
                self.link.loss = loss;
                self.network.set_link(self.link);
            }
            Step::Move { node, port } => {
                let ip = self.network.address(node).ip();
                self.network.set_address(node, SocketAddr::new(ip, port));
            }
            Step::Plug { node, plugged } => self.network.set_plugged(node, plugged),
            Step::Remove { pair: (at, of) } => {
                let key = self.network.core(of).public_key();
                self.network
                    .with(at, |core, now| core.remove_peer(&key, now));
            }
            Step::Add { pair: (at, of) } => {
                let config = self.network.peer_config(of);
                // A peer that is there already stays as it is.
                let _ = self
                    .network
                    .with(at, |core, now| core.add_peer(&config, now));
            }
            Step::Tell { pair: (at, of) } => {
                let (key, address) = (self.network.core(of).public_key(), self.network.address(of));
                let _ = self
                    .network
                    .with(at, |core, now| core.set_endpoint(&key, address, now));
            }
            Step::Preshare { pair, key, both } => {
                let key = key.map(|key| PresharedKey::from_bytes([key; 32]));
                let set = |config: &mut PeerConfig| config.preshared_key = key.clone();
                self.change(pair, set);
                if both {
                    self.change((pair.1, pair.0), set);
                }
            }
            Step::KeepAlive { pair, seconds } => {
                self.change(pair, |config| config.persistent_keepalive = Some(seconds));
            }
        }
        self.check(self.orderly);
    }

    fn change(&mut self, (at, of): Pair, change: impl FnOnce(&mut PeerConfig)) {
        let key = self.network.core(of).public_key();
        if let Some(mut config) = self.network.core(at).peer_config(&key) {
            change(&mut config);
            self.network
                .with(at, |core, now| core.update_peer(&config, now))
                .unwrap();
        }
    }

    fn send(&mut self, (from, to): Pair, length: usize) {
        let flow = self.flows.get_mut(&(from, to)).unwrap();
        let number = flow.sent.len() as u32;
        let mut payload: Vec<u8> = (0..length).map(|n| (n as u32 * 7 + number) as u8).collect();
        payload[..4].copy_from_slice(&number.to_be_bytes());
        let packet = udp_packet(Network::inner(from), Network::inner(to), &payload);
        flow.sent.push(packet.clone());
        self.network
            .with(from, |core, now| core.handle_inner(&packet, now));
    }

    fn spoof(&mut self, from: NodeId, to: NodeId) {
        let third = NodeId(NODES - from.0 - to.0);
        // No packet of the third has this number.
        let number = u32::MAX.to_be_bytes();
        let packet = udp_packet(Network::inner(third), Network::inner(to), &number);
        self.network
            .with(from, |core, now| core.handle_inner(&packet, now));
    }

    fn wait(&mut self, duration: Duration) {
        self.network.run_for(duration);
        self.seen.extend(self.network.wire());
        let excess = self.seen.len().saturating_sub(MEMORY);
        self.seen.drain(..excess);
        self.check(self.orderly);
    }

    /// Delivers a datagram of the past. One that was lost the first time may arrive by that, and
    /// is late.
    fn replay(&mut self, at: NodeId, pick: usize) {
        let Some(datagram) = self.seen.get(pick % self.seen.len().max(1)).cloned() else {
            return;
        };
        self.wait(self.link.latency);
        let stranger: SocketAddr = "198.51.100.66:6666".parse().unwrap();
        self.network.inject(at, stranger, &datagram);
        self.check(false);
    }

    /// Looks at what was delivered.
    fn check(&mut self, in_order: bool) {
        for to in (0..NODES).map(NodeId) {
            for packet in self.network.received(to) {
                let octets = *packet[12..].first_chunk::<4>().unwrap();
                let from = (0..NODES)
                    .map(NodeId)
                    .find(|id| Network::inner(*id) == IpAddr::from(octets));
                let pair = (from.expect("a source that is somebody's"), to);
                let number = *packet[HEADER..].first_chunk::<4>().unwrap();
                let number = u32::from_be_bytes(number) as usize;
                let flow = self.flows.get_mut(&pair).unwrap();
                assert_eq!(flow.sent.get(number), Some(&packet), "{pair:?}: not sent");
                let last = flow.arrived.last().copied();
                assert!(flow.arrived.insert(number), "{pair:?}: {number} twice");
                if in_order {
                    assert!(last < Some(number), "{pair:?}: {number} after {last:?}");
                }
            }
        }
    }

    /// Puts all in order, and expects that after a while everything arrives.
    pub(super) fn heal(&mut self) {
        self.link.jitter = Duration::ZERO;
        (self.link.loss, self.link.duplicates) = (0, 0);
        self.network.set_link(self.link);
        for node in (0..NODES).map(NodeId) {
            self.network.set_plugged(node, true);
        }
        for (at, of) in pairs() {
            let config = self.network.peer_config(of);
            self.network
                .with(at, |core, now| match core.add_peer(&config, now) {
                    Err(crate::Error::PeerExists { .. }) => core.update_peer(&config, now),
                    other => other,
                })
                .unwrap();
        }
        self.talk_for(60);
        let before: Vec<_> = self.flows.values().map(|flow| flow.sent.len()).collect();
        self.talk_for(300);
        for ((pair, flow), before) in self.flows.iter().zip(before) {
            let missing: Vec<_> = (before..flow.sent.len())
                .filter(|number| !flow.arrived.contains(number))
                .collect();
            assert!(missing.is_empty(), "{pair:?}: {missing:?} of {before}..");
        }
    }

    fn talk_for(&mut self, seconds: usize) {
        for _ in 0..seconds {
            pairs().for_each(|pair| self.send(pair, 64));
            self.wait(Duration::from_secs(1));
        }
    }
}

/// Every node and every other.
fn pairs() -> impl Iterator<Item = Pair> {
    (0..NODES)
        .flat_map(|a| (0..NODES).map(move |b| (NodeId(a), NodeId(b))))
        .filter(|(a, b)| a != b)
}
