//! Which messages wait, by their numbers: pure.

use std::collections::VecDeque;

/// A time is kept for each so many records.
const TIMES_EVERY: u64 = 64;

/// The records of one segment that are safely on disk.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    /// The number after the last.
    pub(crate) end: u64,
    /// How long the file is, in bytes.
    pub(crate) bytes: u64,
    /// When the newest was put, milliseconds since 1970.
    pub(crate) newest: u64,
    times: Vec<u64>,
    done: Vec<u64>,
    waiting: u64,
}

impl Extent {
    pub(crate) fn new(first: u64, bytes: u64) -> Self {
        Self {
            first,
            end: first,
            bytes,
            newest: 0,
            times: Vec::new(),
            done: Vec::new(),
            waiting: 0,
        }
    }

    /// Adds the next record; numbers before it that are missing are done with.
    pub(crate) fn add(&mut self, number: u64, time: u64) {
        debug_assert!(number >= self.end);
        for missing in self.end..number {
            self.grow(time);
            self.set(missing);
        }
        self.grow(time);
        self.newest = self.newest.max(time);
        self.waiting += 1;
    }

    fn grow(&mut self, time: u64) {
        let index = self.end - self.first;
        if index.is_multiple_of(TIMES_EVERY) {
            self.times.push(time);
            self.done.push(0);
        }
        self.end += 1;
    }

    fn place(&self, number: u64) -> (usize, u64) {
        let index = number - self.first;
        ((index / TIMES_EVERY) as usize, 1 << (index % TIMES_EVERY))
    }

    fn set(&mut self, number: u64) {
        let (word, bit) = self.place(number);
        self.done[word] |= bit;
    }

    pub(crate) fn is_done(&self, number: u64) -> bool {
        let (word, bit) = self.place(number);
        self.done[word] & bit != 0
    }

    /// Marks a record; says whether it waited.
    pub(crate) fn finish(&mut self, number: u64) -> bool {
        let waited = !self.is_done(number);
        if waited {
            self.set(number);
            self.waiting -= 1;
        }
        waited
    }

    /// Returns how many of its messages wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    fn first_waiting(&self) -> Option<u64> {
        self.waiting_from(self.first)
    }

    /// Returns the first number from `from` on that waits.
    fn waiting_from(&self, from: u64) -> Option<u64> {
        if self.waiting == 0 || from >= self.end {
            return None;
        }
        let (start, bit) = self.place(from.max(self.first));
        // What lies before `from` counts as done.
        let mut before = bit - 1;
        for (word, done) in self.done.iter().enumerate().skip(start) {
            let done = done | std::mem::take(&mut before);
            if done != u64::MAX {
                let number =
                    self.first + word as u64 * TIMES_EVERY + u64::from(done.trailing_ones());
                return (number < self.end).then_some(number);
            }
        }
        None
    }
}

/// What waits in a spool.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    extents: VecDeque<Extent>,
    waiting: u64,
    bytes: u64,
}

impl Ledger {
    /// Adds a segment behind the others.
    pub(crate) fn push(&mut self, extent: Extent) {
        debug_assert!(self.extents.back().is_none_or(|e| e.end <= extent.first));
        self.waiting += extent.waiting;
        self.bytes += extent.bytes;
        self.extents.push_back(extent);
    }

    /// Adds records to the last segment.
    pub(crate) fn extend(&mut self, first: u64, times: &[u64], bytes: u64) {
        if let Some(extent) = self.extents.back_mut() {
            for (number, time) in (first..).zip(times) {
                extent.add(number, *time);
            }
            extent.bytes += bytes;
            self.waiting += times.len() as u64;
            self.bytes += bytes;
        }
    }

    /// Marks a message that need not be sent any more; says whether it waited.
    pub(crate) fn finish(&mut self, number: u64) -> bool {
        let waited = match self.position(number) {
            Some(at) if number >= self.extents[at].first => self.extents[at].finish(number),
            _ => false,
        };
        self.waiting -= u64::from(waited);
        waited
    }

    /// Says whether a message is on disk and need not be sent any more.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_done(&self, number: u64) -> bool {
        self.position(number)
            .is_none_or(|at| number < self.extents[at].first || self.extents[at].is_done(number))
    }

    /// Finds the extent with the number, or else the next one.
    fn position(&self, number: u64) -> Option<usize> {
        let at = self.extents.partition_point(|extent| extent.end <= number);
        (at < self.extents.len()).then_some(at)
    }

    /// Returns the segment that has the number, or else the next one.
    #[cfg(test)]
    pub(crate) fn extent_at(&self, number: u64) -> Option<&Extent> {
        self.position(number).map(|at| &self.extents[at])
    }

    /// Returns the first message from `from` on that waits, and its segment.
    pub(crate) fn waiting_from(&self, from: u64) -> Option<(u64, &Extent)> {
        let at = self.position(from)?;
        self.extents
            .range(at..)
            .find_map(|extent| Some((extent.waiting_from(from)?, extent)))
    }

    /// Returns the oldest segment.
    pub(crate) fn front(&self) -> Option<&Extent> {
        self.extents.front()
    }

    /// Forgets the oldest segment.
    pub(crate) fn pop_front(&mut self) -> Option<Extent> {
        let extent = self.extents.pop_front()?;
        self.waiting -= extent.waiting;
        self.bytes -= extent.bytes;
        Some(extent)
    }

    /// Returns how many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.extents.len()
    }

    /// Returns how many messages wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Returns how many bytes the segments take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of the oldest message that waits, or else the number after the last.
    pub(crate) fn first_waiting(&self) -> Option<u64> {
        let waiting = self.extents.iter().find_map(Extent::first_waiting);
        waiting.or_else(|| self.extents.back().map(|extent| extent.end))
    }

    /// Returns about when the oldest message that waits was put: of 64 messages, the first one's.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let (extent, number) = self
            .extents
            .iter()
            .find_map(|extent| Some((extent, extent.first_waiting()?)))?;
        extent.times.get(extent.place(number).0).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_ledger_agrees_with_a_set(
            lengths in prop::collection::vec((0..200_u64, 0..9_u64), 1..6),
            finished in prop::collection::vec(0..1000_u64, 0..300),
        ) {
            let (mut ledger, mut model, mut next) = (Ledger::default(), BTreeSet::new(), 3);
            for (length, gap) in lengths {
                next += gap;
                ledger.push(Extent::new(next, 10));
                let times: Vec<u64> = (next..next + length).collect();
                ledger.extend(next, &times, length);
                model.extend(times);
                next += length;
            }
            for number in finished {
                prop_assert_eq!(ledger.finish(number), model.remove(&number));
            }
            prop_assert_eq!(ledger.waiting(), model.len() as u64);
            for number in 0..next {
                prop_assert_eq!(ledger.is_done(number), !model.contains(&number));
            }
            let first = model.first().copied();
            prop_assert_eq!(ledger.first_waiting().filter(|n| !ledger.is_done(*n)), first);
            for from in 0..next {
                let found = ledger.waiting_from(from).map(|(number, _)| number);
                prop_assert_eq!(found, model.range(from..).next().copied());
            }
            let oldest = ledger.oldest();
            prop_assert_eq!(oldest.is_some(), first.is_some());
            if let (Some(oldest), Some(first)) = (oldest, first) {
                prop_assert!((first.saturating_sub(TIMES_EVERY)..=first).contains(&oldest));
            }
            while let Some(extent) = ledger.pop_front() {
                model.retain(|number| !(extent.first..extent.end).contains(number));
                prop_assert_eq!(ledger.waiting(), model.len() as u64);
            }
            prop_assert_eq!((ledger.waiting(), ledger.bytes()), (0, 0));
        }
    }
}
