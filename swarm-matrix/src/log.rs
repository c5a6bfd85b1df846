//! A room's recent messages, each with its place, so that a reader knows what it missed.
//!
//! Readers hold a place and ask for what follows; none has a queue of its own that could overflow
//! unseen, and none can hold the others up.

use std::collections::{BTreeSet, VecDeque};

use crate::id::EventId;

/// The last entries of a room, bounded.
#[derive(Debug)]
pub struct Log<T> {
    entries: VecDeque<T>,
    /// The place of the oldest entry that is kept.
    first: u64,
    capacity: usize,
    seen: BTreeSet<EventId>,
    seen_order: VecDeque<EventId>,
}

/// What follows a place in a [`Log`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next<T> {
    /// The entry at the place, and the place after it.
    Entry(T, u64),
    /// So many were dropped before they were read; read on from the place given.
    Missed {
        /// How many.
        count: u64,
        /// Where to go on.
        resume: u64,
    },
    /// Nothing yet.
    Pending,
}

impl<T: Clone> Log<T> {
    /// A log that keeps the last `capacity` entries, at least one.
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            capacity: capacity.max(1),
            seen: BTreeSet::new(),
            seen_order: VecDeque::new(),
        }
    }

    /// Adds an entry that stands for an event; one whose event is known already is passed over
    /// and gives `false`.
    pub fn push(&mut self, event: &EventId, entry: T) -> bool {
        if !self.seen.insert(event.clone()) {
            return false;
        }
        self.seen_order.push_back(event.clone());
        if self.seen_order.len() > 2 * self.capacity
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.append(entry);
        true
    }

    /// Adds an entry unasked.
    pub fn append(&mut self, entry: T) {
        self.entries.push_back(entry);
        if self.entries.len() > self.capacity {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// The place of the oldest entry that is kept.
    pub fn begin(&self) -> u64 {
        self.first
    }

    /// The place after the newest entry.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// What follows `place`.
    pub fn next(&self, place: u64) -> Next<T> {
        if place < self.first {
            return Next::Missed {
                count: self.first - place,
                resume: self.first,
            };
        }
        match usize::try_from(place - self.first)
            .ok()
            .and_then(|index| self.entries.get(index))
        {
            Some(entry) => Next::Entry(entry.clone(), place + 1),
            None => Next::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> EventId {
        EventId::parse(format!("${n}")).unwrap()
    }

    #[test]
    fn a_reader_that_keeps_up_misses_nothing() {
        let mut log = Log::new(2);
        let mut place = log.begin();
        for n in 0..10 {
            log.push(&id(n), n);
            let Next::Entry(entry, after) = log.next(place) else {
                panic!("nothing")
            };
            assert_eq!(entry, n);
            place = after;
        }
        assert_eq!(log.next(place), Next::Pending);
    }

    #[test]
    fn a_reader_that_falls_behind_is_told_by_how_much() {
        let mut log = Log::new(2);
        for n in 0..5 {
            log.push(&id(n), n);
        }
        assert_eq!(
            log.next(0),
            Next::Missed {
                count: 3,
                resume: 3
            }
        );
        assert_eq!(log.next(3), Next::Entry(3, 4));
    }

    #[test]
    fn an_event_that_comes_twice_is_kept_once() {
        let mut log = Log::new(4);
        assert!(log.push(&id(1), 1));
        assert!(!log.push(&id(1), 1));
        assert_eq!(log.end(), 1);
    }
}
