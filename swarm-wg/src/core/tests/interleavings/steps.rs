//! What may happen to a network.

use std::time::Duration;

use proptest::prelude::*;

use super::NODES;
use crate::testing::{Link, NodeId};

/// A node, and another one.
pub(super) type Pair = (NodeId, NodeId);

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Packets at once, from the first to the second.
    Send {
        pair: Pair,
        count: u8,
        length: usize,
    },
    /// A packet each way every second: sessions are renewed on the way.
    Talk {
        pair: Pair,
        seconds: u16,
    },
    /// A packet of the first to the second, in the name of the third.
    Spoof {
        pair: Pair,
    },
    /// A datagram of the past, to this node, from elsewhere.
    Replay {
        at: NodeId,
        pick: u16,
    },
    Wait(Duration),
    /// Datagrams lost of a thousand from now on.
    Lose(u16),
    /// The node goes to another address. What is under way to it is lost.
    Move {
        node: NodeId,
        port: u16,
    },
    Plug {
        node: NodeId,
        plugged: bool,
    },
    /// The first forgets the second.
    Remove {
        pair: Pair,
    },
    /// The first learns of the second, or learns it anew.
    Add {
        pair: Pair,
    },
    /// The first is told where the second is.
    Tell {
        pair: Pair,
    },
    /// The first changes the key it shares with the second; perhaps the second does, too.
    Preshare {
        pair: Pair,
        key: Option<u8>,
        both: bool,
    },
    KeepAlive {
        pair: Pair,
        seconds: u16,
    },
}

fn node() -> impl Strategy<Value = NodeId> {
    (0..NODES).prop_map(NodeId)
}

fn pair() -> impl Strategy<Value = Pair> {
    (0..NODES, 1..NODES).prop_map(|(a, step)| (NodeId(a), NodeId((a + step) % NODES)))
}

fn wait() -> impl Strategy<Value = Duration> {
    prop_oneof![
        3 => (0u64..50).prop_map(Duration::from_millis),
        3 => (0u64..30_000).prop_map(Duration::from_millis),
        2 => (30u64..400).prop_map(Duration::from_secs),
        1 => (400u64..8_000).prop_map(Duration::from_secs),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let send = (pair(), 1u8..40, 4usize..=1392).prop_map(|(pair, count, length)| Step::Send {
        pair,
        count,
        length,
    });
    let talk = (pair(), 1u16..400).prop_map(|(pair, seconds)| Step::Talk { pair, seconds });
    let preshare = (
        pair(),
        proptest::option::of(0u8..3),
        proptest::bool::weighted(0.7),
    )
        .prop_map(|(pair, key, both)| Step::Preshare { pair, key, both });
    let keep_alive = (pair(), prop_oneof![Just(0u16), 5u16..200])
        .prop_map(|(pair, seconds)| Step::KeepAlive { pair, seconds });
    prop_oneof![
        6 => send,
        4 => talk,
        5 => wait().prop_map(Step::Wait),
        1 => pair().prop_map(|pair| Step::Spoof { pair }),
        2 => (node(), any::<u16>()).prop_map(|(at, pick)| Step::Replay { at, pick }),
        1 => prop_oneof![Just(0u16), 1u16..600, Just(1000u16)].prop_map(Step::Lose),
        1 => (node(), 1u16..8).prop_map(|(node, port)| Step::Move { node, port }),
        1 => (node(), any::<bool>()).prop_map(|(node, plugged)| Step::Plug { node, plugged }),
        1 => pair().prop_map(|pair| Step::Remove { pair }),
        2 => pair().prop_map(|pair| Step::Add { pair }),
        2 => pair().prop_map(|pair| Step::Tell { pair }),
        1 => preshare,
        1 => keep_alive,
    ]
}

/// A link that reorders and repeats.
pub(super) fn link() -> impl Strategy<Value = Link> {
    (0u64..400, 0u64..3_000, 0u16..300).prop_map(|(latency, jitter, duplicates)| Link {
        latency: Duration::from_millis(latency),
        jitter: Duration::from_millis(jitter),
        duplicates,
        loss: 0,
    })
}
