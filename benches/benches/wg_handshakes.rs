//! Handshakes between two cores in memory, each with the packet that waited for it, beside
//! boringtun's; and what a core spends on those that come to nothing.
#![allow(clippy::print_stdout, reason = "the ratios are its purpose")]

mod turns;
mod wg;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use swarm_wg::core::DropReason;
use turns::{Turn, in_turns, is_measuring, short};
use wg::ends::{Ends, packets};
use wg::rival::Rival;

const ROUNDS: usize = 60;
const IN_A_ROUND: u32 = 20;

/// An initiation for the second of two cores that have not met.
fn initiation(ends: &mut Ends) -> Vec<u8> {
    ends.seal(&packets(64, 1)).remove(0)
}

fn main() {
    let (ends, rival) = (RefCell::new(Ends::new()), RefCell::new(Rival::new()));
    let mut strangers = Ends::strangers();
    let genuine = initiation(&mut strangers);
    let mut forged = genuine.clone();
    forged[120] ^= 1;
    // Both have met since, so what was said before is a replay.
    let [replayed, refused] = [(); 2].map(|()| {
        let mut ends = Ends::new();
        ends.now += Duration::from_secs(1);
        RefCell::new(ends)
    });

    let mut turns = vec![
        Turn::new("cores, and a packet", || {
            let start = Instant::now();
            (0..IN_A_ROUND).for_each(|_| ends.borrow_mut().shake());
            start.elapsed() / IN_A_ROUND
        }),
        Turn::new("boringtun", || {
            let start = Instant::now();
            (0..IN_A_ROUND).for_each(|_| rival.borrow_mut().shake());
            start.elapsed() / IN_A_ROUND
        }),
        Turn::new("a replay refused", || {
            refuse(&mut replayed.borrow_mut(), &genuine)
        }),
        Turn::new("a forgery refused", || {
            refuse(&mut refused.borrow_mut(), &forged)
        }),
    ];
    let rounds = if is_measuring() { ROUNDS } else { 1 };
    let medians = in_turns(rounds, &mut turns);
    for (turn, median) in turns.iter().zip(&medians) {
        println!(
            "{:<20} {:>8.2} µs  {:>8.0}/s  {:.3} of boringtun's handshake",
            turn.name,
            median.as_secs_f64() * 1e6,
            1.0 / median.as_secs_f64(),
            median.as_secs_f64() / medians[1].as_secs_f64(),
        );
    }
    let mut criterion = short();
    let mut group = criterion.benchmark_group("wg_handshakes");
    for turn in &mut turns {
        group.bench_function(turn.name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| (turn.run)()).sum());
        });
    }
    group.finish();
    criterion.final_summary();
    for (ends, reason) in [
        (&replayed, DropReason::ReplayedHandshake),
        (&refused, DropReason::BadMac),
    ] {
        let drops = ends.borrow().b.drops();
        assert_eq!(drops.count(reason), drops.total());
    }
}

/// Has a core refuse a message.
fn refuse(ends: &mut Ends, message: &[u8]) -> Duration {
    let before = ends.b.drops().total();
    let start = Instant::now();
    for _ in 0..IN_A_ROUND {
        ends.b.handle_datagram(Ends::a_address(), message, ends.now);
    }
    let took = start.elapsed() / IN_A_ROUND;
    assert_eq!(ends.b.drops().total() - before, u64::from(IN_A_ROUND));
    took
}
