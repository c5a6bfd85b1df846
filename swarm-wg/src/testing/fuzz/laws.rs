//! What must hold whatever happens.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::world::{NODES, Output, World, canonical};
use crate::core::{Core, DropReason};
use crate::key::PublicKey;

/// Why a datagram is not taken: each that is handed over counts once at most.
const REFUSED: [DropReason; 17] = [
    DropReason::NotWireGuard,
    DropReason::BadMac,
    DropReason::CookieSent,
    DropReason::RateLimited,
    DropReason::UnknownPeer,
    DropReason::UnknownIndex,
    DropReason::BadHandshake,
    DropReason::ReplayedHandshake,
    DropReason::InitiationFlood,
    DropReason::BadCookie,
    DropReason::NoSession,
    DropReason::BadTag,
    DropReason::ReplayedData,
    DropReason::CounterLimit,
    DropReason::MalformedInner,
    DropReason::SpoofedSource,
    DropReason::Backlog,
];

/// Why a packet is not sent.
const NOT_SENT: [DropReason; 6] = [
    DropReason::MalformedOutgoing,
    DropReason::NoRoute,
    DropReason::NoEndpoint,
    DropReason::QueueFull,
    DropReason::HandshakeTimeout,
    DropReason::PeerRemoved,
];

/// The packets that may wait for one peer.
const MOST_WAITING: u64 = 128;

pub(super) fn refused(core: &Core) -> u64 {
    let drops = core.drops();
    REFUSED.iter().map(|reason| drops.count(*reason)).sum()
}

fn not_sent(core: &Core) -> u64 {
    let drops = core.drops();
    NOT_SENT.iter().map(|reason| drops.count(*reason)).sum()
}

/// A packet that went into a core.
struct Sent {
    from: usize,
    /// The key of the peer that its destination belonged to.
    to: PublicKey,
}

/// The packets that went into cores and have not come out.
#[derive(Default)]
pub(super) struct Ledger(HashMap<Vec<u8>, Vec<Sent>>);

/// What there is to see of a core.
pub(super) struct Glance {
    refused: u64,
    peers: Vec<Seen>,
}

struct Seen {
    key: PublicKey,
    endpoint: Option<SocketAddr>,
    received: u64,
}

impl Glance {
    pub(super) fn at(core: &Core, now: Instant) -> Self {
        let peers = core.peers(now).into_iter().map(|peer| Seen {
            key: peer.public_key,
            endpoint: peer.endpoint,
            received: peer.rx_bytes,
        });
        Self {
            refused: refused(core),
            peers: peers.collect(),
        }
    }
}

impl World {
    /// A packet goes into a core: it may come out where it is sent to.
    pub(super) fn note_sent(&mut self, from: usize, packet: &[u8]) {
        let Some((_, destination, length)) = read(packet) else {
            return;
        };
        if let Some(to) = owner(&self.nodes[from].core, destination, self.now) {
            let entry = self.ledger.0.entry(packet[..length].to_vec());
            entry.or_default().push(Sent { from, to });
        }
    }

    /// A core made a datagram.
    pub(super) fn note_made(&mut self, maker: usize, datagram: &[u8]) {
        if datagram.len() > 32 && datagram[0] == 4 {
            self.nodes[maker].sealed += 1;
        }
        self.makers.insert(essence(datagram), maker);
    }

    /// A packet came out of a core: once, as it went in, from the one that its source belongs
    /// to, at the one that its destination belongs to.
    pub(super) fn check_delivered(&mut self, at: usize, packet: &[u8]) {
        let (source, _, length) = read(packet).expect("what is delivered is an IP packet");
        assert_eq!(length, packet.len());
        let owner = owner(&self.nodes[at].core, source, self.now);
        let owner = owner.expect("the source belongs to somebody");
        let nodes = &self.nodes;
        let sent = self.ledger.0.get_mut(packet).expect("it was sent");
        let place = sent.iter().position(|sent| {
            nodes[sent.from].keys.contains(&owner) && nodes[at].keys.contains(&sent.to)
        });
        sent.remove(place.expect("it was sent from here to there, and has not come yet"));
    }

    /// Whether a packet like no other has come out.
    pub(super) fn has_arrived(&self, packet: &[u8]) -> bool {
        self.ledger.0.get(packet).is_some_and(Vec::is_empty)
    }

    /// A datagram went into a core: it was taken, for what it is, or counted as dropped, and
    /// nothing moved unless it was authentic.
    pub(super) fn check_datagram(
        &mut self,
        to: usize,
        source: SocketAddr,
        datagram: &[u8],
        before: &Glance,
        after: &Glance,
        output: &Output,
    ) {
        let refused = after.refused - before.refused;
        assert!(refused + output.delivered as u64 <= 1, "counted twice");
        let essence = essence(datagram);
        let maker = self.makers.get(&essence).copied();
        let mut heard = None;
        assert_eq!(before.peers.len(), after.peers.len());
        for (before, after) in before.peers.iter().zip(&after.peers) {
            let received = after.received - before.received;
            if received > 0 {
                assert_eq!(received, datagram.len() as u64);
                assert!(heard.replace(after.key).is_none(), "heard of two peers");
            }
            if before.endpoint != after.endpoint {
                assert!(received > 0, "an endpoint moved for nothing authentic");
                assert_eq!(after.endpoint, Some(canonical(source)));
            }
        }
        if let Some(key) = heard {
            let maker = maker.expect("what is authentic was made by a core");
            assert!(self.nodes[maker].keys.contains(&key), "taken for another's");
            assert!(self.accepted.insert((to, essence)), "taken twice");
            return;
        }
        assert_eq!(output.delivered, 0, "delivered without being authentic");
        assert!(output.bytes <= datagram.len(), "more goes out than came in");
        if refused == 0 {
            let cookie = datagram.len() == 64 && datagram[0] == 3;
            assert!(
                cookie && maker.is_some(),
                "neither taken nor counted: {datagram:02x?}"
            );
        }
    }

    /// Few packets wait for a session.
    pub(super) fn check_waiting(&self, id: usize) {
        let node = &self.nodes[id];
        let peers = node.core.peers(self.now).len() as u64;
        let waiting = node.handed - node.sealed - not_sent(&node.core);
        assert!(waiting <= peers * MOST_WAITING, "{waiting} packets wait");
    }

    /// A prefix belongs to one peer.
    pub(super) fn check_prefixes(&self, id: usize) {
        let mut seen = HashSet::new();
        for peer in self.nodes[id].core.peers(self.now) {
            assert!(
                peer.allowed_ips
                    .into_iter()
                    .all(|prefix| seen.insert(prefix))
            );
        }
    }

    /// Each packet that went into a core came out sealed or counts as dropped, once its peers
    /// are gone and none waits.
    pub(super) fn check_accounts(&mut self) {
        for id in 0..NODES {
            for peer in self.nodes[id].core.peers(self.now) {
                assert!(self.call(id, |core, now| core.remove_peer(&peer.public_key, now)));
            }
            let node = &self.nodes[id];
            let accounted = node.sealed + not_sent(&node.core);
            assert_eq!(node.handed, accounted, "node {id}: {:?}", node.core.drops());
            assert_eq!(
                node.core.next_deadline(),
                None,
                "nobody is left to wake up for"
            );
        }
    }
}

/// The addresses of an IP packet, and its length by its own account.
fn read(packet: &[u8]) -> Option<(IpAddr, IpAddr, usize)> {
    let v4 = |at| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
    let v6 = |at| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
    let number = |at| {
        Some(usize::from(u16::from_be_bytes(
            *packet.get(at..)?.first_chunk()?,
        )))
    };
    let (source, destination, length, header) = match packet.first()? >> 4 {
        4 => (v4(12)?, v4(16)?, number(2)?, 20),
        6 => (v6(8)?, v6(24)?, 40 + number(4)?, 40),
        _ => return None,
    };
    let whole = (header..=packet.len()).contains(&length);
    whole.then_some((source, destination, length))
}

/// The peer that an address belongs to, by its longest prefix.
fn owner(core: &Core, address: IpAddr, now: Instant) -> Option<PublicKey> {
    let peers = core.peers(now);
    let prefixes = peers.iter().flat_map(|peer| {
        let matching = peer.allowed_ips.iter().filter(|net| net.contains(&address));
        matching.map(|net| (net.prefix_len(), peer.public_key))
    });
    prefixes
        .max_by_key(|(length, _)| *length)
        .map(|(_, key)| key)
}

/// A datagram without the second MAC of a handshake message, which is looked at under load
/// alone and authenticates nothing.
fn essence(datagram: &[u8]) -> Vec<u8> {
    let mut essence = datagram.to_vec();
    if matches!(
        (datagram.first(), datagram.len()),
        (Some(1), 148) | (Some(2), 92)
    ) {
        essence[datagram.len() - 16..].fill(0);
    }
    essence
}
