//! The core against other cores, and against another implementation.

mod clock;
mod configuration;
mod endpoints;
mod handshakes;
mod interleavings;
mod interop;
mod packets;

use std::net::SocketAddr;
use std::time::Duration;

use super::DropReason;
use crate::testing::{Network, NodeId};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);

fn pair() -> Network {
    let mut network = Network::new(1);
    network.add_node();
    network.add_node();
    network.connect(A, B);
    network
}

/// A pair with a session, nothing left on the wire.
fn session() -> Network {
    let mut network = pair();
    network.send(A, B, b"first");
    network.run_for(Duration::from_millis(20));
    assert_eq!(network.received(B).len(), 1);
    network.wire();
    network
}

fn elsewhere() -> SocketAddr {
    "203.0.113.9:4000".parse().unwrap()
}

fn drops(network: &Network, id: NodeId, reason: DropReason) -> u64 {
    network.core(id).drops().count(reason)
}

fn endpoint(network: &Network, of: NodeId, at: NodeId) -> Option<SocketAddr> {
    network.peer(at, of).endpoint
}

fn of_type(wire: &[Vec<u8>], kind: u8) -> Vec<&Vec<u8>> {
    wire.iter().filter(|datagram| datagram[0] == kind).collect()
}
