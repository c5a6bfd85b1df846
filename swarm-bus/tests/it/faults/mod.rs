//! What returned "stored" is neither lost nor doubled: messages are published through faults of
//! every kind, and each of them is accounted for.
//!
//! ```text
//!   0 one by one     ─┐                                      ┌─ LAB   ─▶ a durable consumer for each
//!   1 many at a time ─┤ proxy: silent, half open,   server,  │            publisher ─▶ Taken, ledger
//!   2 spool, strict  ─┤ cut, slow                 or three ──┤
//!   3 spool          ─┤                                      └─ TRUNK ─▶ …
//!   4 spool, process ─┘
//! ```
//!
//! [`plan`] says which faults come; its seed is printed, and taken from `PROPTEST_RNG_SEED`
//! where that is set (what the machine does between is not repeated by it). Messages are handed out
//! in equal parts, one for each fault, so that each fault comes in the middle of publishing. At the
//! end [`ledger`] holds what each publisher was told against what the application worked on.
//!
//! - Publishers of their own: some messages are given up after an error without doubt, and must be
//!   nowhere; some after one that leaves it open; the others are sent again by their id.
//! - Spools: what was put is there once, in order of each subject; what was refused is nowhere. The
//!   stream knows ids for [`WINDOW`] only, and each spool is without a line for longer, with messages
//!   of which it does not know whether they are stored: after that, and by a clock that jumps, the
//!   stream is asked what it has.
//! - Consumers die in the middle, give messages back, and forget to acknowledge; what they took is
//!   remembered by [`Taken`](swarm_bus::stream::Taken), as an application would with its results.
//!
//! nats-server 2.9.10 writes a message before it acknowledges it and asks the disk to confirm it
//! every two minutes: `kill -9` loses nothing that was acknowledged, a loss of power may.

mod consume;
mod disk;
mod inject;
mod ledger;
mod plan;
mod process;
mod proxy;
mod publish;
mod scenario;
mod world;

use plan::{Kind, Plan};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;
use swarm_bus::{Token, Topic};

/// Where the seed is taken from, to see the same faults again: the same variable as proptest's.
const SEED: &str = "PROPTEST_RNG_SEED";
/// For how long the stream of the spools knows ids again: longer than a machine under load holds a
/// message up, shorter than all outages together.
const WINDOW: Duration = Duration::from_secs(20);
/// For how long a spool has no line, so that ids it used before are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(26);

const LAB: Token = Token::from_static("LAB");
const TRUNK: Token = Token::from_static("TRUNK");

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Reading {
    number: u32,
    text: String,
}

fn reading(number: u32) -> Reading {
    let text = "x".repeat(60 + number as usize % 40);
    Reading { number, text }
}

/// Published by a program that sees to it itself.
#[derive(Debug, Topic)]
#[topic("lab.{node}.{kind}", payload = Reading, delivery = stored)]
struct Sample {
    node: Token,
    kind: u32,
}

/// Published through a spool.
#[derive(Debug, Topic)]
#[topic("trunk.{node}.{kind}", payload = Reading, delivery = stored, offline = spool)]
struct Spooled {
    node: Token,
    kind: u32,
}

/// Which publisher it is.
fn node(number: u8) -> Token {
    Token::parse(&format!("p{number}")).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "tests read their environment")]
fn seed() -> u64 {
    let given = std::env::var(SEED).ok();
    given.map_or_else(
        || RandomState::new().hash_one(0) >> 32,
        |seed| seed.parse().expect("a seed is a number"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_every_fault_of_one_server_each_message_is_accounted_for() {
    let counts = [
        (Kind::KillServer, 9),
        (Kind::FullServer, 3),
        (Kind::FullSpool, 4),
        (Kind::Freeze, 9),
        (Kind::HalfOpen, 6),
        (Kind::Cut, 6),
        (Kind::Outage, 2),
        (Kind::LongOutage, 3),
        (Kind::Slow, 3),
        (Kind::KillPublisher, 6),
        (Kind::KillConsumer, 5),
        (Kind::JumpClock, 5),
    ];
    let plan = Plan::new(seed(), &counts, scenario::LINKS, scenario::SPOOLS);
    let Some(world) = world::World::one("faults::one") else {
        return;
    };
    let report = scenario::run(world, plan, [8_000, 43_000, 5_000, 40_000, 5_000]).await;
    assert!(report.faults >= 50 && report.messages >= 100_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_every_fault_of_three_servers_each_message_is_accounted_for() {
    let counts = [
        (Kind::KillServer, 1),
        (Kind::KillLeader, 3),
        (Kind::FullServer, 1),
        (Kind::FullSpool, 1),
        (Kind::Freeze, 2),
        (Kind::HalfOpen, 2),
        (Kind::Cut, 2),
        (Kind::Outage, 1),
        (Kind::LongOutage, 1),
        (Kind::KillPublisher, 2),
        (Kind::KillConsumer, 1),
        (Kind::JumpClock, 2),
    ];
    let plan = Plan::new(seed(), &counts, scenario::LINKS, scenario::SPOOLS);
    let Some(world) = world::World::three("faults::three") else {
        return;
    };
    scenario::run(world, plan, [2_000, 8_000, 2_000, 6_000, 2_000]).await;
}
