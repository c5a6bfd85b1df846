//! The core against boringtun's `Tunn`, in one process: cryptography and messages of two
//! implementations that have nothing in common but the white paper.

mod cookies;
mod data;
mod handshakes;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;

use crate::config::PeerConfig;
use crate::core::{Core, CoreConfig, DropReason, PacketBatch, TransmitBatch};
use crate::event::Event;
use crate::key::{PresharedKey, PrivateKey, PublicKey};
use crate::testing::udp_packet;

/// Which of the two begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Ours => Self::Theirs,
            Self::Theirs => Self::Ours,
        }
    }

    fn outer(self) -> SocketAddr {
        SocketAddr::new([192, 0, 2, self as u8 + 1].into(), 51_820)
    }

    fn inner(self) -> IpAddr {
        [10, 0, 0, self as u8 + 1].into()
    }

    fn inner_v6(self) -> IpAddr {
        [0xfd00, 0, 0, 0, 0, 0, 0, self as u16 + 1].into()
    }

    /// A packet from this side to the other.
    fn packet(self, payload: &[u8]) -> Vec<u8> {
        udp_packet(self.inner(), self.other().inner(), payload)
    }
}

/// What differs from one pair to the next.
#[derive(Default)]
struct Setup {
    ours_preshared: Option<[u8; 32]>,
    theirs_preshared: Option<[u8; 32]>,
    /// Every handshake message has to carry a cookie of ours.
    ours_under_load: bool,
    /// Every handshake message has to carry a cookie of theirs.
    theirs_under_load: bool,
}

/// Our core and a `Tunn`, joined by a cable that loses nothing.
struct Pair {
    ours: Core,
    theirs: Tunn,
    /// Our clock, which may run ahead; theirs is the machine's.
    now: Instant,
    ours_received: Vec<Vec<u8>>,
    theirs_received: Vec<Vec<u8>>,
    /// Every datagram, and who sent it.
    wire: Vec<(Side, Vec<u8>)>,
}

impl Pair {
    #[allow(
        clippy::disallowed_methods,
        reason = "theirs reads the machine's clock"
    )]
    fn new(setup: Setup) -> Self {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let (ours, theirs) = ([1; 32], x25519::StaticSecret::from([2; 32]));
        let (ours_public, theirs_public) = (
            PrivateKey::from_bytes(ours).public_key(),
            x25519::PublicKey::from(&theirs),
        );

        let mut config = CoreConfig::new(PrivateKey::from_bytes(ours));
        if setup.ours_under_load {
            config.handshakes_before_cookies = 0;
        }
        let mut core = Core::new(config, [7; 32], now, wall);
        let mut peer = PeerConfig::new(PublicKey::from_bytes(theirs_public.to_bytes()));
        peer.preshared_key = setup.ours_preshared.map(PresharedKey::from_bytes);
        peer.endpoint = Some(Side::Theirs.outer());
        peer.allowed_ips = vec![Side::Theirs.inner().into(), Side::Theirs.inner_v6().into()];
        core.add_peer(&peer, now).unwrap();

        let limit = if setup.theirs_under_load { 0 } else { u64::MAX };
        let limiter = Arc::new(RateLimiter::new(&theirs_public, limit));
        let mut tunn = Tunn::new(
            theirs,
            x25519::PublicKey::from(*ours_public.as_bytes()),
            setup.theirs_preshared,
            None,
            5,
            Some(limiter),
        );
        // Its clock stands at its beginning until it is told to look.
        let mut room = [0; 148];
        assert!(matches!(tunn.update_timers(&mut room), TunnResult::Done));
        Self {
            ours: core,
            theirs: tunn,
            now,
            ours_received: Vec::new(),
            theirs_received: Vec::new(),
            wire: Vec::new(),
        }
    }

    /// Has a side send a packet, and settles all that follows from it.
    fn send(&mut self, from: Side, packet: &[u8]) {
        match from {
            Side::Ours => self.ours.handle_inner(packet, self.now),
            Side::Theirs => {
                let mut room = vec![0; (packet.len() + 32).max(148)];
                match self.theirs.encapsulate(packet, &mut room) {
                    TunnResult::WriteToNetwork(datagram) => {
                        let datagram = datagram.to_vec();
                        self.arrive_at_ours(&datagram);
                    }
                    TunnResult::Done => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        self.settle();
    }

    /// Has them begin a handshake, another one if need be.
    fn theirs_initiates(&mut self) {
        let mut room = [0; 148];
        let made = self.theirs.format_handshake_initiation(&mut room, true);
        let TunnResult::WriteToNetwork(datagram) = made else {
            panic!("{made:?}")
        };
        let datagram = datagram.to_vec();
        self.arrive_at_ours(&datagram);
        self.settle();
    }

    /// Lets our time pass until we have something to send, and settles what follows.
    fn ours_waits(&mut self) {
        let before = self.wire.len();
        while self.wire.len() == before {
            self.now = self.ours.next_deadline().expect("something to wait for");
            self.ours.handle_timeout(self.now);
            self.settle();
        }
    }

    /// Carries datagrams to and fro until there are no more.
    fn settle(&mut self) {
        let (mut transmits, mut packets) = (TransmitBatch::default(), PacketBatch::default());
        loop {
            self.ours.poll_inner(&mut packets);
            self.ours_received
                .extend(packets.iter().map(<[u8]>::to_vec));
            if !self.ours.poll_transmit(&mut transmits) {
                return;
            }
            for run in transmits.iter() {
                assert_eq!(run.destination, Side::Theirs.outer());
                for datagram in run.datagrams() {
                    self.arrive_at_theirs(datagram);
                }
            }
        }
    }

    fn arrive_at_ours(&mut self, datagram: &[u8]) {
        self.wire.push((Side::Theirs, datagram.to_vec()));
        self.ours
            .handle_datagram(Side::Theirs.outer(), datagram, self.now);
    }

    fn arrive_at_theirs(&mut self, datagram: &[u8]) {
        self.wire.push((Side::Ours, datagram.to_vec()));
        let mut room = vec![0; 2048];
        let mut answers = Vec::new();
        let source = Some(Side::Ours.outer().ip());
        let mut result = self.theirs.decapsulate(source, datagram, &mut room);
        // What goes out may be followed by packets that waited.
        while let TunnResult::WriteToNetwork(answer) = result {
            answers.push(answer.to_vec());
            result = self.theirs.decapsulate(None, &[], &mut room);
        }
        if let TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) =
            result
        {
            self.theirs_received.push(packet.to_vec());
        }
        for answer in answers {
            self.arrive_at_ours(&answer);
        }
    }

    /// The datagrams of one type that a side sent so far.
    fn sent(&self, by: Side, kind: u8) -> Vec<&[u8]> {
        self.wire
            .iter()
            .filter(|(side, datagram)| *side == by && datagram[0] == kind)
            .map(|(_, datagram)| &datagram[..])
            .collect()
    }

    fn received(&mut self, at: Side) -> Vec<Vec<u8>> {
        std::mem::take(match at {
            Side::Ours => &mut self.ours_received,
            Side::Theirs => &mut self.theirs_received,
        })
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.ours.drops().count(reason)
    }

    /// How many handshakes our side has completed since the last call.
    fn completed(&mut self) -> usize {
        std::iter::from_fn(|| self.ours.poll_event())
            .filter(|event| matches!(event, Event::HandshakeCompleted { .. }))
            .count()
    }

    /// One packet each way.
    fn assert_passes(&mut self, first: Side) {
        for from in [first, first.other()] {
            let packet = from.packet(b"to and fro");
            self.send(from, &packet);
            assert_eq!(self.received(from.other()), [packet], "from {from:?}");
        }
    }
}

/// Both begin, in turn.
const SIDES: [Side; 2] = [Side::Ours, Side::Theirs];

/// The length of our clock's step after which a session is renewed.
const REKEY: Duration = Duration::from_secs(121);
