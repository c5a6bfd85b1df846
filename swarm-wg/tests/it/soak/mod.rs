//! Eleven minutes with each other implementation, begun by it and begun by us: pings, datagrams
//! and streams both ways over several renewals, without a gap.

mod ways;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use swarm_wg::{Event, PresharedKey, Tunnel};

use crate::foreign::{Foreign, Program};
use crate::interop::{Begins, Terms, assert_understood, with_each};
use crate::lab::{Family, Lab, Side};
use ways::{Way, count_pings, pace, start_pings};

/// How often it is looked whether both ways still live: no longer than the silences that were
/// reported of others.
const WINDOW: Duration = Duration::from_secs(15);
const WINDOWS: u32 = 43;
/// Pings and datagrams that may be lost of thousands.
const HANDFUL: u64 = 5;
/// How long nothing may arrive of what is sent all the time.
const SILENCE: Duration = Duration::from_secs(2);
/// Bytes of each stream of a window.
const STREAM: usize = 256 << 10;
const SIDES: [Side; 2] = [Side::A, Side::B];

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

struct Report {
    program: Program,
    begins: Begins,
    lasted: Duration,
    handshakes: usize,
    /// By the side that sent them.
    pings: [Way; 2],
    datagrams: [Way; 2],
    drops: BTreeMap<&'static str, u64>,
    faults: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [there, back] = &self.datagrams;
        let lost = |[a, b]: &[Way; 2]| {
            let lost = |way: &Way| format!("{} of {}", way.lost(), way.sent);
            format!("{} there and {} back", lost(a), lost(b))
        };
        write!(
            f,
            "{}, {:?} begins: {} s, {} handshakes, pings lost {}, datagrams lost {}, longest \
             silence {:.2?} and {:.2?}, longest pause of the sender {:.2?} and {:.2?}, dropped {:?}",
            self.program.name(),
            self.begins,
            self.lasted.as_secs(),
            self.handshakes,
            lost(&self.pings),
            lost(&self.datagrams),
            there.longest_silence,
            back.longest_silence,
            there.longest_pause,
            back.longest_pause,
            self.drops,
        )?;
        let mut faults = self.faults.iter();
        faults.try_for_each(|fault| write!(f, "\n  {fault}"))
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

    let mut faults = Vec::new();
    let (stop, sent) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 2]);
    let (pings, datagrams) = std::thread::scope(|scope| {
        let pings = SIDES.map(|side| start_pings(lab, side, WINDOW * WINDOWS));
        let datagrams = [0, 1].map(|n| {
            let (sent, stop) = (&sent[n], &stop);
            scope.spawn(move || pace(lab, SIDES[n], sent, stop))
        });
        for window in 1..=WINDOWS {
            let before = Passed::now(lab, &ours, &theirs, &sent);
            for side in SIDES {
                lab.transfer(side, side.other().inner(), STREAM);
                lab.transfer(side, side.other().inner_v6(), STREAM);
            }
            let end = start + WINDOW * window;
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            if let Some(fault) = Passed::now(lab, &ours, &theirs, &sent).stalled_since(&before) {
                faults.push(format!("until {} s: {fault}", (WINDOW * window).as_secs()));
            }
        }
        stop.store(true, Ordering::SeqCst);
        let pings = pings.map(count_pings);
        (pings, datagrams.map(|thread| thread.join().unwrap()))
    });
    assert_understood(&ours, program);
    for way in pings.iter().chain(&datagrams) {
        let silent = way.longest_silence > way.longest_pause + SILENCE;
        if way.lost() > HANDFUL || way.misplaced > 0 || silent {
            faults.push(format!("{way:?}"));
        }
    }
    let happened: Vec<_> = std::iter::from_fn(|| events.try_recv()).collect();
    let count = |wanted: Event| happened.iter().filter(|event| **event == wanted).count();
    let handshakes = count(Event::HandshakeCompleted { peer: theirs.key });
    let expired = count(Event::PeerExpired { peer: theirs.key });
    if handshakes < 4 || expired > 0 {
        faults.push(format!("{handshakes} handshakes, {expired} times expired"));
    }
    let drops = ours.metrics().drops;
    let drops = drops.iter().filter(|(_, count)| *count > 0);
    Report {
        program,
        begins,
        lasted: start.elapsed(),
        handshakes,
        pings,
        datagrams,
        drops: drops
            .map(|(reason, count)| (reason.as_str(), count))
            .collect(),
        faults,
    }
}

/// What has passed until a moment.
struct Passed {
    /// Datagrams, by the side that sent them.
    sent: [u64; 2],
    bytes_sent: u64,
    bytes_received: u64,
    /// Packets, by the side that they were delivered at.
    delivered: [u64; 2],
}

impl Passed {
    fn now(lab: &Lab, ours: &Tunnel, theirs: &Foreign<'_>, sent: &[AtomicU64; 2]) -> Self {
        let stats = ours.peer(&theirs.key).unwrap();
        Self {
            sent: [&sent[0], &sent[1]].map(|sent| sent.load(Ordering::SeqCst)),
            bytes_sent: stats.tx_bytes,
            bytes_received: stats.rx_bytes,
            delivered: SIDES.map(|side| lab.delivered(side)),
        }
    }

    /// What has not grown by most of what was sent meanwhile.
    fn stalled_since(&self, before: &Self) -> Option<String> {
        let sent = [0, 1].map(|n| (self.sent[n] - before.sent[n]) * 3 / 4);
        let grown = [
            (
                "packets delivered there",
                self.delivered[1] - before.delivered[1],
                sent[0],
            ),
            (
                "packets delivered here",
                self.delivered[0] - before.delivered[0],
                sent[1],
            ),
            (
                "bytes sent",
                self.bytes_sent - before.bytes_sent,
                sent[0] * 100,
            ),
            (
                "bytes received",
                self.bytes_received - before.bytes_received,
                sent[1] * 100,
            ),
        ];
        let stalled = grown.into_iter().find(|(_, grown, least)| grown < least)?;
        let (what, grown, least) = stalled;
        Some(format!("{what} grew by {grown}, not by {least}"))
    }
}
