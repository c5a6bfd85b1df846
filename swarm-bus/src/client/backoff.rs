//! How long to wait before the next attempt: pure.

use std::time::Duration;

/// Returns the pause after `failures` failures in a row: `min`, doubled with each up to `max`, then
/// shortened by up to half, as `random` says, so that a crowd does not come back as one.
pub(crate) fn pause(min: Duration, max: Duration, failures: u32, random: u32) -> Duration {
    let doubled = min.saturating_mul(1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX));
    let whole = doubled.min(max.max(min));
    let share = f64::from(random) / f64::from(u32::MAX);
    whole.mul_f64(1.0 - share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_lies_between_half_the_shortest_and_the_longest(failures: u32, random: u32) {
            let (min, max) = (Duration::from_millis(100), Duration::from_secs(10));
            let pause = pause(min, max, failures, random);
            prop_assert!(pause >= min / 2 && pause <= max);
            if failures > 7 {
                prop_assert!(pause >= max / 2);
            }
        }
    }
}
