//! Which messages of a stream an application took, so that none is taken twice: pure.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a delivered message is to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// It comes for the first time.
    First,
    /// It was taken before: its acknowledgement did not arrive, or the server forgot it. To be
    /// acknowledged again, and nothing else.
    Again,
    /// It lies so far back that it is not remembered whether it was taken.
    Forgotten,
}

/// The memory of an application that works on each message of a stream once.
///
/// A consumer delivers *at least* once: an acknowledgement may be lost with the connection, and a
/// server that is killed forgets the last ones it confirmed, also those by
/// [`Delivered::ack_confirmed`](super::Delivered::ack_confirmed). Together with the result of the
/// work, in one transaction, this is saved (it serializes); then a message is acknowledged. So the
/// work is done once, whoever dies when.
///
/// It goes by the number in the stream, so it is of one stream; a stream that was deleted and made
/// anew begins with a new memory. What is in the stream twice, because its publisher sent it again
/// later than the [duplicate window](super::StreamConfig::duplicate_window), are two messages.
///
/// Numbers that follow each other take no room, others 16 bytes or so each. When there is no more,
/// the lowest are forgotten; what of them was not taken is [`Taking::Forgotten`] then. As many as a
/// consumer's [`max_ack_pending`](super::ConsumerConfig::max_ack_pending) is too few where some
/// messages wait for long, and 65,536 usually enough.
///
/// ```
/// use swarm_bus::stream::{Taken, Taking};
///
/// let mut taken = Taken::new(65_536);
/// assert_eq!(taken.take(7), Taking::First);
/// let saved = serde_json::to_string(&taken)?; // with the result of the work
/// let mut taken: Taken = serde_json::from_str(&saved)?;
/// assert_eq!(taken.take(7), Taking::Again);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// How many runs may be remembered.
    capacity: usize,
    /// Below this, and in no run, it is not known any more.
    forgotten: u64,
    /// Numbers that were taken, as runs: the first of each, and the last.
    runs: BTreeMap<u64, u64>,
}

impl Taken {
    /// Makes an empty memory of at most so many runs of numbers that follow each other; one at
    /// least.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            forgotten: 0,
            runs: BTreeMap::new(),
        }
    }

    /// Notes that a message is taken, by its [number](super::Delivered::sequence); says whether it
    /// was before.
    pub fn take(&mut self, sequence: u64) -> Taking {
        let before = self.runs.range(..=sequence).next_back();
        let before = before.map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| sequence <= last) {
            return Taking::Again;
        }
        if sequence < self.forgotten {
            return Taking::Forgotten;
        }
        let first = match before {
            Some((first, last)) if last + 1 == sequence => first,
            _ => sequence,
        };
        let next = sequence.checked_add(1);
        let last = next.and_then(|next| self.runs.remove(&next));
        self.runs.insert(first, last.unwrap_or(sequence));
        while self.runs.len() > self.capacity.max(1) {
            if let Some((_, last)) = self.runs.pop_first() {
                self.forgotten = self.forgotten.max(last.saturating_add(1));
            }
        }
        Taking::First
    }

    /// Says whether a message was taken, as far as that is remembered.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        let before = self.runs.range(..=sequence).next_back();
        before.is_some_and(|(_, last)| sequence <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_follows_takes_no_room() {
        let mut taken = Taken::new(1);
        for sequence in 1..=1000 {
            assert_eq!(taken.take(sequence), Taking::First);
        }
        for sequence in 1..=1000 {
            assert_eq!(taken.take(sequence), Taking::Again);
        }
        assert_eq!(taken.runs, BTreeMap::from([(1, 1000)]));
    }

    #[test]
    fn what_does_not_fit_is_forgotten_and_said_so() {
        let mut taken = Taken::new(2);
        for sequence in [10, 20, 30] {
            assert_eq!(taken.take(sequence), Taking::First);
        }
        assert_eq!(taken.take(5), Taking::Forgotten);
        assert_eq!(taken.take(10), Taking::Forgotten);
        assert_eq!(taken.take(11), Taking::First, "beyond what was forgotten");
        assert_eq!(taken.take(30), Taking::Again);
        assert_eq!(taken.take(u64::MAX), Taking::First);
    }

    proptest! {
        #[test]
        fn none_is_taken_twice_and_none_is_refused_that_was_not(
            sequences in prop::collection::vec(0..200_u64, 0..400),
            capacity in 1..300_usize,
        ) {
            let mut taken = Taken::new(capacity);
            let mut known = BTreeSet::new();
            for sequence in sequences {
                match taken.take(sequence) {
                    Taking::First => prop_assert!(known.insert(sequence)),
                    Taking::Again => prop_assert!(known.contains(&sequence)),
                    Taking::Forgotten => prop_assert!(capacity < 200),
                }
                prop_assert!(taken.runs.len() <= capacity);
                let saved = serde_json::to_string(&taken).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Taken>(&saved).unwrap(), &taken);
            }
        }
    }
}
