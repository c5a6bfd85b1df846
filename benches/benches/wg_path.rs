//! Packets through a whole tunnel in memory: into one core, as datagrams to the other, and out
//! of it, 64 at a time. Beside it the same through boringtun, one by one.
#![allow(clippy::print_stdout, reason = "the figures are its purpose")]

mod turns;
mod wg;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use boringtun::noise::TunnResult;
use criterion::Throughput;
use turns::{Turn, in_turns, is_measuring, short};
use wg::ends::{Ends, packets};
use wg::rival::Rival;

const LENGTHS: [usize; 2] = [64, 1420];
const PACKETS: usize = 64;
const ROUNDS: usize = 600;

fn through_cores(ends: &mut Ends, packets: &[Vec<u8>]) -> Duration {
    let start = Instant::now();
    for packet in packets {
        ends.a.handle_inner(packet, ends.now);
    }
    ends.a.poll_transmit(&mut ends.transmits);
    for run in ends.transmits.iter() {
        for datagram in run.datagrams() {
            ends.b
                .handle_datagram(Ends::a_address(), datagram, ends.now);
        }
    }
    ends.b.poll_inner(&mut ends.inner);
    assert_eq!(ends.inner.len(), packets.len());
    start.elapsed()
}

fn through_rival(rival: &mut Rival, packets: &[Vec<u8>]) -> Duration {
    let (mut wire, mut out) = ([0u8; 2048], [0u8; 2048]);
    let start = Instant::now();
    for packet in packets {
        let TunnResult::WriteToNetwork(datagram) = rival.a.encapsulate(packet, &mut wire) else {
            panic!("not sealed");
        };
        let opened = rival.b.decapsulate(None, datagram, &mut out);
        assert!(matches!(opened, TunnResult::WriteToTunnelV4(..)));
    }
    start.elapsed()
}

fn main() {
    let (ends, rival) = (RefCell::new(Ends::new()), RefCell::new(Rival::new()));
    let mut criterion = short();
    for length in LENGTHS {
        let packets = packets(length, PACKETS);
        let mut turns = [
            Turn::new("cores", || through_cores(&mut ends.borrow_mut(), &packets)),
            Turn::new("boringtun", || {
                through_rival(&mut rival.borrow_mut(), &packets)
            }),
        ];
        let rounds = if is_measuring() { ROUNDS } else { 1 };
        let medians = in_turns(rounds, &mut turns);
        for (turn, median) in turns.iter().zip(medians) {
            let rate = PACKETS as f64 / median.as_secs_f64();
            println!(
                "{length:>4} bytes  {:<10} {:>6.0} thousand packets/s  {:>6.2} Gbit/s",
                turn.name,
                rate / 1e3,
                rate * length as f64 * 8.0 / 1e9
            );
        }
        let mut group = criterion.benchmark_group(format!("wg_path/{length}"));
        group.throughput(Throughput::Bytes((length * PACKETS) as u64));
        for turn in &mut turns {
            group.bench_function(turn.name, |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| (turn.run)()).sum());
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
