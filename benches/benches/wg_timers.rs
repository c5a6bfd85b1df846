//! What 10,000 peers cost a core in time: adding them, looking after those that are idle and
//! those that are not, and a persistent keepalive of 25 seconds with each.
//!
//! The clock is virtual, and only what the core itself does counts; its peers answer beside it.
#![allow(clippy::print_stdout, reason = "its figures are its purpose")]

mod turns;
mod wg;

use std::time::{Duration, Instant};

use turns::is_measuring;
use wg::crowd::{Crowd, config, silent};

/// A peer with traffic is looked at this often.
const LOOK: Duration = Duration::from_secs(5);
const KEEPALIVE: u16 = 25;

fn main() {
    // `cargo test` runs benches once, to see that they work.
    let (count, seconds) = if is_measuring() {
        (10_000, 240)
    } else {
        (20, 130)
    };
    adding(count);
    for active in [0, 10, count] {
        looking(count, active);
    }
    keepalives(count, seconds);
}

fn adding(count: usize) {
    for (what, keepalive) in [("", None), (" and calling each", Some(KEEPALIVE))] {
        let mut crowd = Crowd::empty();
        let peers: Vec<_> = (0..count).map(|n| silent(n, keepalive)).collect();
        let start = Instant::now();
        for peer in &peers {
            crowd.hub.add_peer(peer, crowd.now).expect("a new peer");
        }
        let took = start.elapsed();
        println!("adding {count} peers{what}: {:.3} s", took.as_secs_f64());
    }
}

/// What time costs with so many peers, of which some have had traffic in the last seconds.
fn looking(count: usize, active: usize) {
    let mut crowd = Crowd::empty();
    crowd.wake(0..active);
    for n in 0..count {
        let peer = match n < active {
            true => config(&crowd, n, None),
            false => silent(n, None),
        };
        crowd.hub.add_peer(&peer, crowd.now).expect("a new peer");
    }
    crowd.greet();
    let mut due = Vec::new();
    for _ in 0..20 {
        crowd.greet();
        crowd.now += LOOK;
        let start = Instant::now();
        crowd.hub.handle_timeout(crowd.now);
        due.push(start.elapsed());
        crowd.converse();
    }
    due.sort_unstable();
    let due = due[due.len() / 2];
    let early = each(|| crowd.hub.handle_timeout(crowd.now));
    let deadline = each(|| {
        std::hint::black_box(crowd.hub.next_deadline());
    });
    println!(
        "{count} peers, {active} of them active: {:.1} µs for a look at all that are, every {} s; \
         {early:.1} ns for one when nothing is due; {deadline:.1} ns for the next deadline",
        due.as_secs_f64() * 1e6,
        LOOK.as_secs()
    );
}

/// Nanoseconds that a call takes.
fn each(mut call: impl FnMut()) -> f64 {
    const TIMES: u32 = 100_000;
    let start = Instant::now();
    (0..TIMES).for_each(|_| call());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}

/// The share of a processor that idle peers take, all of them kept alive.
fn keepalives(count: usize, seconds: u64) {
    let mut crowd = Crowd::empty();
    crowd.wake(0..count);
    let begin = crowd.now;
    let interval = Duration::from_secs(KEEPALIVE.into());
    for n in 0..count {
        // They come one after another, as peers do.
        crowd.run_until(begin + interval * n as u32 / count as u32);
        let peer = config(&crowd, n, Some(KEEPALIVE));
        crowd.hub.add_peer(&peer, crowd.now).expect("a new peer");
        crowd.converse();
    }
    crowd.run_until(begin + interval);
    crowd.took = Duration::ZERO;
    crowd.sent = 0;
    crowd.run_until(crowd.now + Duration::from_secs(seconds));
    let alive = crowd.hub.peers(crowd.now);
    assert!(alive.iter().all(|peer| peer.session));
    println!(
        "{count} idle peers with a keepalive of {KEEPALIVE} s: {:.0} µs of work a second, {:.2} % \
         of a processor, for {:.0} datagrams",
        crowd.took.as_secs_f64() * 1e6 / seconds as f64,
        crowd.took.as_secs_f64() * 100.0 / seconds as f64,
        crowd.sent as f64 / seconds as f64,
    );
}
