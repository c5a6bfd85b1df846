//! Measuring several things in turns, which a busy machine disturbs alike.
#![allow(dead_code, reason = "each bench uses its part")]

use std::time::Duration;

use criterion::Criterion;

/// One of the things that are measured in turns.
pub(crate) struct Turn<'a> {
    pub(crate) name: &'static str,
    /// Does it once; returns how long the part took that counts.
    pub(crate) run: Box<dyn FnMut() -> Duration + 'a>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(name: &'static str, run: impl FnMut() -> Duration + 'a) -> Self {
        Self {
            name,
            run: Box::new(run),
        }
    }
}

/// The median time of each.
pub(crate) fn in_turns(rounds: usize, turns: &mut [Turn<'_>]) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); turns.len()];
    for round in 0..rounds {
        for at in 0..turns.len() {
            // Another one first in each round.
            let at = (at + round) % turns.len();
            times[at].push((turns[at].run)());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[rounds / 2]
    };
    times.iter_mut().map(median).collect()
}

/// Whether figures are wanted: `cargo test` runs benches once, to see that they work.
pub(crate) fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Criterion with little time for each figure: there are many of them, and ratios come from
/// measuring in turns.
pub(crate) fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(20)
        .configure_from_args()
}
