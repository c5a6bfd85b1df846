//! A rate of messages: pure.

use std::time::Duration;

/// How much of a second's messages may go at once.
const BURST: Duration = Duration::from_millis(20);

/// Lets so many messages a second through, evenly.
#[derive(Debug)]
pub(super) struct Rate {
    each: Duration,
    /// When the next one is due; earlier by a burst is fine.
    due: Duration,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            each: Duration::from_secs(1) / per_second.max(1),
            due: Duration::ZERO,
        }
    }

    /// Says whether a message may go now, or else when.
    pub(super) fn check(&self, now: Duration) -> Result<(), Duration> {
        match self.due.saturating_sub(BURST.max(self.each)) {
            early if early > now => Err(early),
            _ => Ok(()),
        }
    }

    /// Takes note that one went.
    pub(super) fn take(&mut self, now: Duration) {
        self.due = self.due.max(now) + self.each;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_more_go_than_the_rate_and_a_burst(
            per_second in 1..100_000_u32,
            steps in prop::collection::vec(0..50_u64, 1..50),
        ) {
            let mut rate = Rate::new(per_second);
            let (mut now, mut gone) = (Duration::ZERO, 0_u32);
            for step in steps {
                now += Duration::from_millis(step);
                while rate.check(now).is_ok() {
                    rate.take(now);
                    gone += 1;
                }
                let most = (now + BURST).as_secs_f64() * f64::from(per_second) + 2.0;
                prop_assert!(f64::from(gone) <= most, "{gone} in {now:?}");
                prop_assert!(rate.check(now + Duration::from_secs(1)).is_ok());
            }
        }
    }
}
