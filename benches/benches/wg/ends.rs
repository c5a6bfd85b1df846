//! Two cores that are each other's peers.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use swarm_wg::core::{Core, CoreConfig, PacketBatch, TransmitBatch};
use swarm_wg::testing::udp_packet;
use swarm_wg::{PeerConfig, PrivateKey};

const A_INNER: [u8; 4] = [10, 0, 0, 1];
const B_INNER: [u8; 4] = [10, 0, 0, 2];

/// Two cores on a clock that only the bench moves.
pub(crate) struct Ends {
    pub(crate) a: Core,
    pub(crate) b: Core,
    pub(crate) now: Instant,
    pub(crate) transmits: TransmitBatch,
    pub(crate) inner: PacketBatch,
}

impl Ends {
    /// Two cores that have not met.
    pub(crate) fn strangers() -> Self {
        let now = Instant::now();
        let core = |n: u8| {
            let mut config = CoreConfig::new(PrivateKey::from_bytes([n; 32]));
            config.handshakes_before_cookies = u32::MAX;
            Core::new(config, [n; 32], now, SystemTime::now())
        };
        let (mut a, mut b) = (core(1), core(2));
        for (this, other, address, inner) in [
            (&mut a, &b.public_key(), Self::b_address(), B_INNER),
            (&mut b, &a_key(), Self::a_address(), A_INNER),
        ] {
            let mut peer = PeerConfig::new(*other);
            peer.endpoint = Some(address);
            peer.allowed_ips = vec![IpAddr::from(inner).into()];
            this.add_peer(&peer, now).expect("a new peer");
        }
        Self {
            a,
            b,
            now,
            transmits: TransmitBatch::default(),
            inner: PacketBatch::default(),
        }
    }

    /// Two cores with a session that both have used.
    pub(crate) fn new() -> Self {
        let mut ends = Self::strangers();
        ends.shake();
        ends
    }

    pub(crate) fn a_address() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 51_820))
    }

    pub(crate) fn b_address() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 2], 51_820))
    }

    /// A packet that waits, the handshake that it waits for, and its delivery: all that is said
    /// until nobody has anything to say.
    pub(crate) fn shake(&mut self) {
        // By now a session from before has ended.
        self.now += Duration::from_secs(200);
        let now = self.now;
        self.a.handle_inner(&packets(64, 1)[0], now);
        let mut delivered = 0;
        while self.carry() {
            self.b.poll_inner(&mut self.inner);
            delivered += self.inner.len();
        }
        assert_eq!(delivered, 1);
    }

    /// Carries what each has to say to the other. Returns whether there was anything.
    pub(crate) fn carry(&mut self) -> bool {
        let (transmits, now) = (&mut self.transmits, self.now);
        let there = tell(&mut self.a, &mut self.b, Self::a_address(), transmits, now);
        let back = tell(&mut self.b, &mut self.a, Self::b_address(), transmits, now);
        there || back
    }

    /// Seals each packet at one end: the datagrams for the other.
    pub(crate) fn seal(&mut self, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
        for packet in packets {
            self.a.handle_inner(packet, self.now);
        }
        self.a.poll_transmit(&mut self.transmits);
        let mut datagrams = Vec::with_capacity(packets.len());
        for run in self.transmits.iter() {
            datagrams.extend(run.datagrams().map(<[u8]>::to_vec));
        }
        datagrams
    }
}

fn tell(
    from: &mut Core,
    to: &mut Core,
    source: SocketAddr,
    transmits: &mut TransmitBatch,
    now: Instant,
) -> bool {
    let any = from.poll_transmit(transmits);
    for run in transmits.iter() {
        for datagram in run.datagrams() {
            to.handle_datagram(source, datagram, now);
        }
    }
    while from.poll_event().is_some() {}
    any
}

fn a_key() -> swarm_wg::PublicKey {
    PrivateKey::from_bytes([1; 32]).public_key()
}

/// Inner packets from one end to the other, of this many bytes each.
pub(crate) fn packets(length: usize, count: usize) -> Vec<Vec<u8>> {
    let packet = |n: usize| {
        let payload = vec![n as u8; length - 28];
        udp_packet(A_INNER.into(), B_INNER.into(), &payload)
    };
    (0..count).map(packet).collect()
}
