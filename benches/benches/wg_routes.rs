//! The peer that an address belongs to, by the longest of 10, 1,000 and 100,000 prefixes: a
//! core's table beside `ip_network_table`, which boringtun uses, and beside what one writes
//! with the standard library alone, one map for each length of prefix.
#![allow(clippy::print_stdout, reason = "the ratios are its purpose")]

mod turns;
mod wg;

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use criterion::Throughput;
use ip_network_table::IpNetworkTable;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use swarm_wg::testing::RoutingTable;
use turns::{Turn, in_turns, is_measuring, short};

const SIZES: [usize; 3] = [10, 1_000, 100_000];
const ASKED: usize = 4096;
const ROUNDS: usize = 60;

/// A map for each length of prefix.
#[derive(Default)]
struct Maps(BTreeMap<u8, HashMap<IpNet, u32>>);

impl Maps {
    fn insert(&mut self, prefix: IpNet, owner: u32) {
        let length = prefix.prefix_len();
        self.0.entry(length).or_default().insert(prefix, owner);
    }

    fn lookup(&self, address: IpAddr) -> Option<u32> {
        self.0.iter().rev().find_map(|(length, map)| {
            let prefix = IpNet::new(address, *length).ok()?;
            map.get(&prefix.trunc()).copied()
        })
    }
}

/// Numbers without a pattern, the same at each run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Prefixes of four lengths inside one network, most of them addresses, as peers have them.
fn prefix(numbers: &mut Numbers, v4: bool) -> IpNet {
    let bits = numbers.next();
    let short = (bits >> 61) as usize % 4 * usize::from(bits >> 63 == 0);
    if v4 {
        let address = 10 << 24 | bits as u32 >> 8;
        let length = [32, 28, 24, 20][short];
        Ipv4Net::new(address.into(), length).map(|net| net.trunc().into())
    } else {
        let address = 0xfd << 120 | u128::from(bits) << 32;
        let length = [128, 80, 64, 56][short];
        Ipv6Net::new(address.into(), length).map(|net| net.trunc().into())
    }
    .expect("a length that fits")
}

/// The three tables with the same prefixes, and addresses half of which lie in one of them.
struct Tables {
    ours: RoutingTable,
    rival: IpNetworkTable<u32>,
    maps: Maps,
    asked: Vec<IpAddr>,
}

impl Tables {
    fn new(size: usize, v4: bool) -> Self {
        let mut numbers = Numbers(size as u64);
        let mut tables = Self {
            ours: RoutingTable::default(),
            rival: IpNetworkTable::new(),
            maps: Maps::default(),
            asked: Vec::new(),
        };
        let prefixes: Vec<_> = (0..size).map(|_| prefix(&mut numbers, v4)).collect();
        for (prefix, owner) in prefixes.iter().zip(0..) {
            tables.ours.insert(*prefix, owner);
            tables.maps.insert(*prefix, owner);
            let same = ip_network::IpNetwork::new(prefix.addr(), prefix.prefix_len());
            tables.rival.insert(same.expect("a prefix"), owner);
        }
        for _ in 0..ASKED / 2 {
            let inside = prefixes[numbers.next() as usize % size].addr();
            let anywhere = prefix(&mut numbers, v4).addr();
            tables.asked.extend([inside, anywhere]);
        }
        for address in &tables.asked {
            let found = tables.ours.lookup(*address);
            assert_eq!(found, tables.maps.lookup(*address));
            assert_eq!(found, rival_lookup(&tables.rival, *address));
        }
        tables
    }

    fn turns(&self) -> [Turn<'_>; 3] {
        [
            Turn::new("core", || {
                timed(&self.asked, |asked| self.ours.lookup(asked))
            }),
            Turn::new("ip_network_table", || {
                timed(&self.asked, |asked| rival_lookup(&self.rival, asked))
            }),
            Turn::new("a map a length", || {
                timed(&self.asked, |asked| self.maps.lookup(asked))
            }),
        ]
    }
}

fn rival_lookup(table: &IpNetworkTable<u32>, address: IpAddr) -> Option<u32> {
    table.longest_match(address).map(|(_, owner)| *owner)
}

fn timed(asked: &[IpAddr], lookup: impl Fn(IpAddr) -> Option<u32>) -> std::time::Duration {
    let start = Instant::now();
    for address in asked {
        black_box(lookup(black_box(*address)));
    }
    start.elapsed()
}

fn main() {
    let rounds = if is_measuring() { ROUNDS } else { 1 };
    let mut criterion = short();
    for v4 in [true, false] {
        for size in SIZES {
            let tables = Tables::new(size, v4);
            let mut turns = tables.turns();
            let medians = in_turns(rounds, &mut turns);
            let family = if v4 { "IPv4" } else { "IPv6" };
            for (turn, median) in turns.iter().zip(&medians) {
                println!(
                    "{size:>6} {family} prefixes  {:<17} {:>6.1} ns  {:.2} of ip_network_table",
                    turn.name,
                    median.as_secs_f64() * 1e9 / ASKED as f64,
                    median.as_secs_f64() / medians[1].as_secs_f64()
                );
            }
            let mut group = criterion.benchmark_group(format!("wg_routes/{family}/{size}"));
            group.throughput(Throughput::Elements(ASKED as u64));
            for turn in &mut turns {
                group.bench_function(turn.name, |bencher| {
                    bencher.iter_custom(|times| (0..times).map(|_| (turn.run)()).sum());
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
}
