//! What a core with 10,000 peers keeps in memory: idle ones, and ones with a session, counted by
//! the allocator; and what the process grew by, since the cipher's keys are allocated elsewhere.
#![allow(clippy::print_stdout, reason = "its figures are its purpose")]

mod allocations;
mod turns;
mod wg;

use turns::is_measuring;
use wg::crowd::{Crowd, config, silent};

const AT_A_TIME: usize = 100;

/// Memory of the process that is in use, in bytes, where the system tells.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    kilobytes.map_or(0, |text| text.parse::<usize>().unwrap_or(0) * 1024)
}

/// Prints what was added since, for each of so many peers and together.
fn print_growth(what: &str, count: usize, live: usize, before: usize) {
    let counted = allocations::live() - live;
    println!(
        "{count} peers, {what}: {:.1} MB counted, {} bytes each; the process grew by {:.1} MB",
        counted as f64 / 1e6,
        counted / count,
        resident().saturating_sub(before) as f64 / 1e6
    );
}

fn main() {
    let count = if is_measuring() { 10_000 } else { 20 };
    idle(count);
    with_sessions(count);
}

fn idle(count: usize) {
    let mut crowd = Crowd::empty();
    let peers: Vec<_> = (0..count).map(|n| silent(n, None)).collect();
    let (live, before) = (allocations::live(), resident());
    for peer in &peers {
        crowd.hub.add_peer(peer, crowd.now).expect("a new peer");
    }
    print_growth("idle", count, live, before);
}

fn with_sessions(count: usize) {
    let mut crowd = Crowd::empty();
    let (live, before) = (allocations::live(), resident());
    // A few at a time, since what answers takes memory, too.
    for first in (0..count).step_by(AT_A_TIME) {
        crowd.wake(first..count.min(first + AT_A_TIME));
        for n in crowd.peers.keys().copied().collect::<Vec<_>>() {
            let peer = config(&crowd, n, None);
            crowd.hub.add_peer(&peer, crowd.now).expect("a new peer");
        }
        crowd.greet();
        crowd.peers.clear();
    }
    let peers = crowd.hub.peers(crowd.now);
    assert!(peers.iter().all(|peer| peer.session));
    drop(peers);
    print_growth("each with a session", count, live, before);
}
