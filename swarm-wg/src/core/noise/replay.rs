//! Which message counters were seen: a sliding window of bits (RFC 6479).

const WORDS: usize = 128;
const BITS: u64 = (WORDS * 64) as u64;

/// How far behind the newest message another one may arrive: one word of the ring is always
/// in the making. As in the Linux kernel; paths over several uplinks reorder a lot.
pub(crate) const WINDOW: u64 = BITS - 64;

/// The counters seen in one session.
pub(crate) struct Window {
    /// One more than the greatest counter seen.
    next: u64,
    ring: [u64; WORDS],
}

impl Window {
    pub(crate) const fn new() -> Self {
        Self {
            next: 0,
            ring: [0; WORDS],
        }
    }

    /// Takes an authentic message's counter; false: it was seen before, or is too far behind.
    pub(crate) fn accept(&mut self, counter: u64) -> bool {
        let Some(after) = counter.checked_add(1) else {
            return false;
        };
        if counter + WINDOW < self.next {
            return false;
        }
        let word = counter / 64;
        if after > self.next {
            // Words between the old front and the new one are of the past, and used again.
            let front = if self.next == 0 {
                None
            } else {
                Some((self.next - 1) / 64)
            };
            let stale = match front {
                Some(front) => (word - front).min(WORDS as u64),
                None => 0,
            };
            for n in 0..stale {
                self.ring[((word - n) % WORDS as u64) as usize] = 0;
            }
            self.next = after;
        }
        let slot = &mut self.ring[(word % WORDS as u64) as usize];
        let bit = 1 << (counter % 64);
        let fresh = *slot & bit == 0;
        *slot |= bit;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_message_may_be_late_by_the_window_and_no_more() {
        let mut window = Window::new();
        assert!(window.accept(20_000));
        assert!(window.accept(20_001 - WINDOW));
        assert!(!window.accept(20_000 - WINDOW));
        assert!(!window.accept(20_000));
        assert!(!window.accept(u64::MAX));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set_of_all_counters(
            steps in vec((0u64..300, 0u64..9000), 1..400),
        ) {
            let mut window = Window::new();
            let (mut seen, mut greatest) = (HashSet::new(), 0u64);
            let mut at = 0u64;
            for (forward, back) in steps {
                at += forward;
                let counter = at.saturating_sub(if back % 3 == 0 { back } else { back % 5 });
                let old = counter + WINDOW < greatest + 1 && !seen.is_empty();
                let expected = !old && seen.insert(counter);
                greatest = greatest.max(counter);
                prop_assert_eq!(window.accept(counter), expected, "{}", counter);
            }
        }
    }
}
