//! What the fuzz targets call: any bytes, read as sequences of operations on live cores, held
//! against what must always be true.

use std::net::SocketAddr;
use std::time::Duration;

use super::network::{Network, NodeId};
use crate::core::random::Random;

/// Bytes read as operations.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte().unwrap_or(0)) * 8;
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

const ME: NodeId = NodeId(0);

/// Three peers, one of which has a session with the first node already.
fn network(seed: u64) -> Network {
    let mut network = Network::new(seed);
    for _ in 0..3 {
        network.add_node();
    }
    network.connect(ME, NodeId(1));
    network.connect(ME, NodeId(2));
    network.send(ME, NodeId(1), b"hello");
    settle(&mut network);
    network
}

/// Delivers everything under way.
fn settle(network: &mut Network) {
    network.run_for(Duration::from_millis(10));
}

/// Sequences of operations on a core with live peers: genuine datagrams, changed, repeated,
/// out of order and from elsewhere, foreign bytes, packets, changes of configuration, time.
///
/// # Panics
/// When a core delivers a packet that was not sent as it is, moves an endpoint for a datagram
/// that is not authentic, or breaks a bound.
pub fn fuzz_datagrams(data: &[u8]) {
    let mut script = Script(data);
    let mut network = network(script.byte().unwrap_or(0).into());
    let mut random = Random::new(1);
    let mut seen = network.wire();
    let stranger: SocketAddr = "198.51.100.66:6666".parse().expect("an address");
    while let Some(operation) = script.byte() {
        let pick = usize::from(script.byte().unwrap_or(0));
        let peer = NodeId(1 + pick % 2);
        match operation % 10 {
            0 => network.inject(ME, stranger, &script.bytes()),
            1 => {
                // A replay of whatever was on the wire, from where it came or elsewhere.
                let source = if pick % 3 == 0 {
                    stranger
                } else {
                    network.address(peer)
                };
                if let Some(datagram) = seen.get(pick % seen.len().max(1)) {
                    network.inject(ME, source, &datagram.clone());
                }
            }
            2 => {
                if let Some(datagram) = seen.get(pick % seen.len().max(1)) {
                    let forged = forge(datagram, &mut script);
                    if forged != *datagram {
                        forged_changes_nothing(&mut network, stranger, &forged);
                    }
                }
            }
            3 => network.send(ME, peer, &script.bytes()),
            4 => network.send(peer, ME, &script.bytes()),
            5 => settle(&mut network),
            6 => {
                let key = network.core(peer).public_key();
                let address = SocketAddr::new(stranger.ip(), 1000 + pick as u16);
                if pick % 2 == 0 {
                    network.set_address(peer, address);
                } else {
                    let _ = network.with(ME, |core, now| core.set_endpoint(&key, address, now));
                }
            }
            7 => {
                let config = network.peer_config(peer);
                network.with(ME, |core, now| {
                    if !core.remove_peer(&config.public_key, now) {
                        core.add_peer(&config, now)
                            .expect("a peer that was removed");
                    }
                });
            }
            8 => {
                let mut config = network.peer_config(peer);
                config.persistent_keepalive = Some(pick as u16);
                if pick % 2 == 0 {
                    config.preshared_key =
                        Some(crate::key::PresharedKey::from_bytes([pick as u8; 32]));
                }
                let _ = network.with(ME, |core, now| core.update_peer(&config, now));
            }
            _ => {
                network.run_for(Duration::from_secs(random.below(100)));
            }
        }
        seen.extend(network.wire());
        let excess = seen.len().saturating_sub(64);
        seen.drain(..excess);
        check_delivered(&mut network);
    }
}

/// Changes a few bytes of a datagram, or cuts it.
fn forge(datagram: &[u8], script: &mut Script<'_>) -> Vec<u8> {
    let mut forged = datagram.to_vec();
    let (at, bits) = (script.byte().unwrap_or(0), script.byte().unwrap_or(0));
    let length = forged.len();
    if bits == 0 {
        forged.truncate(usize::from(at) % length.max(1));
    } else if let Some(byte) = forged.get_mut(usize::from(at) % length.max(1)) {
        *byte ^= bits;
    }
    forged
}

/// A datagram that nobody with a key has made must not move an endpoint or be delivered.
fn forged_changes_nothing(network: &mut Network, source: SocketAddr, datagram: &[u8]) {
    let endpoints = |network: &Network| -> Vec<_> {
        network
            .core(ME)
            .peers(network.now())
            .iter()
            .map(|peer| (peer.endpoint, peer.rx_bytes))
            .collect()
    };
    let before = endpoints(network);
    check_delivered(network);
    network.inject(ME, source, datagram);
    // The second MAC of a handshake message is not checked unless under load, so a change
    // there leaves the message authentic.
    let mac2 = matches!(datagram.first(), Some(1 | 2)) && matches!(datagram.len(), 148 | 92);
    if !mac2 {
        assert_eq!(
            endpoints(network),
            before,
            "a forged datagram moved something"
        );
        assert_eq!(
            network.received(ME).len(),
            0,
            "a forged datagram was delivered"
        );
    }
}

/// Whatever is delivered came from the owner of its source address.
fn check_delivered(network: &mut Network) {
    for packet in network.received(ME) {
        let source = &packet[12..16];
        let owners = [NodeId(1), NodeId(2)];
        let owned = owners
            .iter()
            .any(|id| Network::inner(*id).to_string() == dotted(source));
        assert!(owned, "delivered from {}", dotted(source));
    }
}

fn dotted(octets: &[u8]) -> String {
    octets
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>()
        .join(".")
}

/// Packets from the interface, and from a peer inside its session, of any bytes.
///
/// # Panics
/// When a packet is delivered that is no IP packet or whose source is not its sender's.
pub fn fuzz_inner(data: &[u8]) {
    let mut script = Script(data);
    let mut network = network(1);
    while !script.0.is_empty() {
        let inner = script.bytes();
        network.with(ME, |core, now| core.handle_inner(&inner, now));
        // A peer that means harm sends us what it likes, from whom it likes.
        let mut harmful = inner;
        if let (Some(destination), std::net::IpAddr::V4(me)) =
            (harmful.get_mut(16..20), Network::inner(ME))
        {
            destination.copy_from_slice(&me.octets());
        }
        network.with(NodeId(1), |core, now| core.handle_inner(&harmful, now));
        settle(&mut network);
        check_delivered(&mut network);
    }
}

/// Requests of the configuration protocol, of any bytes and cut anywhere.
#[cfg(feature = "uapi")]
pub fn fuzz_uapi(data: &[u8]) {
    use crate::uapi::{Framing, frame, parse};

    let mut rest = data;
    // However a request arrives, its end is found in the same place.
    let whole = frame(rest, 0);
    if let Framing::Complete(length) = whole {
        assert_eq!(
            frame(&rest[..length], length - 1),
            Framing::Complete(length)
        );
        assert_eq!(frame(&rest[..length - 1], 0), Framing::Partial);
    }
    while let Framing::Complete(length) = frame(rest, 0) {
        let _ = parse(&rest[..length]);
        rest = &rest[length..];
    }
    let _ = parse(rest);
}

/// Super-packets of a TUN device, of any bytes, cut.
///
/// # Panics
/// When what was cut is not as it has to be.
#[cfg(feature = "tun")]
pub fn fuzz_split(data: &[u8]) {
    crate::offload::fuzz_split(data);
}

/// Packets of several flows, some of them damaged, joined and cut again.
///
/// # Panics
/// When what comes out is not what went in, or packets of a flow overtake each other.
#[cfg(feature = "tun")]
pub fn fuzz_join(data: &[u8]) {
    crate::offload::fuzz_join(data);
}
