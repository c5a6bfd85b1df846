//! Eleven minutes with each other implementation, begun by it and begun by us: pings, datagrams
//! and streams both ways over several renewals, without a gap.

use std::collections::BTreeMap;
use std::fmt;
use std::net::UdpSocket;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use swarm_wg::{Event, Events, PresharedKey, Tunnel};

use crate::foreign::{Foreign, Program};
use crate::interop::{Begins, Terms, assert_understood, with_each};
use crate::lab::{Family, Lab, Side};
use crate::programs::wait;

/// How often it is looked whether both ways still live: no longer than the silences that were
/// reported of others.
const WINDOW: Duration = Duration::from_secs(15);
const WINDOWS: u32 = 43;
/// Pings and datagrams that may be lost of thousands.
const HANDFUL: u64 = 5;
const PING_EVERY: Duration = Duration::from_millis(200);
const DATAGRAM_EVERY: Duration = Duration::from_millis(20);
/// Bytes of the streams of each window.
const STREAM: usize = 256 << 10;

#[test]
#[ignore = "takes eleven minutes: make soak"]
fn soak_with_others_goes_on_both_ways_over_many_renewals() {
    let test = "soak_with_others_goes_on_both_ways_over_many_renewals";
    with_each(test, |lab, program| {
        let Some(other) = Lab::new(test) else { return };
        let reports = std::thread::scope(|scope| {
            let ours = scope.spawn(|| soak(lab, program, Begins::Ours));
            let theirs = scope.spawn(|| soak(&other, program, Begins::Theirs));
            [ours, theirs].map(|thread| thread.join().unwrap())
        });
        for report in &reports {
            eprintln!("{report}");
        }
        for report in reports {
            assert!(report.faults.is_empty(), "{report}");
        }
    });
}

/// What came of the packets one way.
#[derive(Debug, Default)]
struct Way {
    sent: u64,
    received: u64,
    /// Datagrams that came after a later one, or twice.
    misplaced: u64,
    longest_silence: Duration,
}

impl Way {
    fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

struct Report {
    program: Program,
    begins: Begins,
    lasted: Duration,
    handshakes: usize,
    expired: usize,
    /// By the side that sent them.
    pings: [Way; 2],
    datagrams: [Way; 2],
    drops: BTreeMap<&'static str, u64>,
    faults: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = |[a, b]: &[Way; 2]| {
            let lost = |way: &Way| format!("{} of {}", way.lost(), way.sent);
            format!("{} and {}", lost(a), lost(b))
        };
        write!(
            f,
            "{} ({:?} begins): {} s, {} handshakes, {} expired, pings lost {}, datagrams lost {}, \
             longest silence {:?} and {:?}, dropped {:?}, faults {:?}",
            self.program.name(),
            self.begins,
            self.lasted.as_secs(),
            self.handshakes,
            self.expired,
            lost(&self.pings),
            lost(&self.datagrams),
            self.datagrams[0].longest_silence,
            self.datagrams[1].longest_silence,
            self.drops,
            self.faults,
        )
    }
}

#[allow(clippy::disallowed_methods, reason = "this test runs in real time")]
fn soak(lab: &Lab, program: Program, begins: Begins) -> Report {
    let (preshared, outer) = match begins {
        Begins::Ours => (Some(PresharedKey::generate().unwrap()), Family::V4),
        Begins::Theirs => (None, Family::V6),
    };
    let terms = Terms {
        outer,
        preshared,
        ..Terms::new(begins)
    };
    let (ours, theirs) = terms.meet(lab, program);
    let (events, start) = (ours.events(), Instant::now());
    let first = begins.side();
    assert!(lab.ping(first, first.other().inner()), "{program:?}");

    let stop = AtomicBool::new(false);
    let mut faults = Vec::new();
    let (pings, datagrams) = std::thread::scope(|scope| {
        let pings = [Side::A, Side::B].map(|side| start_pings(lab, side));
        let datagrams = [Side::A, Side::B].map(|side| {
            let stop = &stop;
            scope.spawn(move || pace(lab, side, stop))
        });
        for window in 1..=WINDOWS {
            let before = passed(lab, &ours, &theirs);
            let end = start + WINDOW * window;
            for side in [Side::A, Side::B] {
                lab.transfer(side, side.other().inner(), STREAM);
                lab.transfer(side, side.other().inner_v6(), STREAM);
            }
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            let after = passed(lab, &ours, &theirs);
            if let Some(fault) = stalled(&before, &after) {
                faults.push(format!("until {} s: {fault}", (WINDOW * window).as_secs()));
            }
        }
        stop.store(true, Ordering::SeqCst);
        let pings = pings.map(count_pings);
        (pings, datagrams.map(|thread| thread.join().unwrap()))
    });
    let (handshakes, expired) = count(&events, &theirs);
    assert_understood(&ours, program);
    for (what, ways) in [("pings", &pings), ("datagrams", &datagrams)] {
        for way in ways {
            if way.lost() > HANDFUL || way.misplaced > 0 {
                faults.push(format!("{what}: {way:?}"));
            }
        }
    }
    if handshakes < 4 || expired > 0 {
        faults.push(format!("{handshakes} handshakes, {expired} expired"));
    }
    let drops = ours.metrics().drops;
    let drops = drops.iter().filter(|(_, count)| *count > 0);
    Report {
        program,
        begins,
        lasted: start.elapsed(),
        handshakes,
        expired,
        pings,
        datagrams,
        drops: drops
            .map(|(reason, count)| (reason.as_str(), count))
            .collect(),
        faults,
    }
}

/// What passed so far: bytes sent and received by our own account, packets delivered at our
/// side and at theirs.
fn passed(lab: &Lab, ours: &Tunnel, theirs: &Foreign<'_>) -> [(&'static str, u64); 4] {
    let stats = ours.peer(&theirs.key).unwrap();
    [
        ("bytes sent", stats.tx_bytes),
        ("bytes received", stats.rx_bytes),
        ("packets delivered here", lab.delivered(Side::A)),
        ("packets delivered there", lab.delivered(Side::B)),
    ]
}

/// What has not grown by at least half of what the pings and the datagrams make.
fn stalled(before: &[(&'static str, u64); 4], after: &[(&'static str, u64); 4]) -> Option<String> {
    let least = (WINDOW.as_millis() / DATAGRAM_EVERY.as_millis()) as u64 / 2;
    let grown = |(before, after): (&(_, u64), &(&'static str, u64))| {
        let (bytes, grown) = (after.0.starts_with("bytes"), after.1 - before.1);
        let needed = if bytes { least * 100 } else { least };
        (grown < needed).then(|| format!("{} grew by {grown}", after.0))
    };
    before.iter().zip(after).find_map(grown)
}

fn start_pings(lab: &Lab, from: Side) -> Child {
    let to = from.other().inner().to_string();
    let count = ((WINDOW * WINDOWS).as_millis() / PING_EVERY.as_millis()).to_string();
    let interval = PING_EVERY.as_secs_f32().to_string();
    let arguments = ["-q", "-n", "-i", &interval, "-c", &count, "-W", "2", &to];
    lab.spawn(from, "ping", &arguments)
}

fn count_pings(child: Child) -> Way {
    let output = wait(child, WINDOW * 2);
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |what: &str| -> u64 {
        let found = text
            .split([',', '\n'])
            .find_map(|part| part.trim().strip_suffix(what));
        found.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    Way {
        sent: number(" packets transmitted"),
        received: number(" received"),
        ..Way::default()
    }
}

/// Sends a datagram from a side every now and then until it is told to stop, and receives it.
#[allow(clippy::disallowed_methods, reason = "this test runs in real time")]
fn pace(lab: &Lab, from: Side, stop: &AtomicBool) -> Way {
    let bind = |side: Side| lab.inside(side, || UdpSocket::bind((side.inner(), 0)).unwrap());
    let (sender, receiver) = (bind(from), bind(from.other()));
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&receiver, stop));
        let (start, mut sent) = (Instant::now(), 0u64);
        while !stop.load(Ordering::SeqCst) {
            let mut datagram = sent.to_be_bytes().to_vec();
            datagram.resize(100 + (sent % 13) as usize * 100, 1);
            // What cannot be sent shows as lost.
            let _ = sender.send(&datagram);
            sent += 1;
            let next = start + DATAGRAM_EVERY * sent as u32;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Way {
            sent,
            ..receiving.join().unwrap()
        }
    })
}

/// Receives datagrams until it is told to stop and no more come.
#[allow(clippy::disallowed_methods, reason = "this test runs in real time")]
fn receive(socket: &UdpSocket, stop: &AtomicBool) -> Way {
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut way = Way::default();
    let (mut expected, mut last) = (0, Instant::now());
    let mut buffer = [0; 2048];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let number = u64::from_be_bytes(*buffer[..length].first_chunk().unwrap());
                way.received += 1;
                way.misplaced += u64::from(number < expected);
                expected = expected.max(number + 1);
                way.longest_silence = way.longest_silence.max(last.elapsed());
                last = Instant::now();
            }
            Err(_) if stop.load(Ordering::SeqCst) => return way,
            Err(_) => {}
        }
    }
}

/// The handshakes and the ends of sessions among the events.
fn count(events: &Events, theirs: &Foreign<'_>) -> (usize, usize) {
    let (mut handshakes, mut expired) = (0, 0);
    while let Some(event) = events.try_recv() {
        handshakes += usize::from(event == Event::HandshakeCompleted { peer: theirs.key });
        expired += usize::from(event == Event::PeerExpired { peer: theirs.key });
    }
    (handshakes, expired)
}
