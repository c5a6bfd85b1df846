//! The dates on handshakes. A peer refuses one that is dated no later than the last it saw, so
//! they grow for each peer, whatever the wall clock does.

use std::time::SystemTime;

use super::noise::Tai64n;

/// What is known of the dates on handshakes so far.
pub(crate) struct Dates {
    /// No handshake is dated before this: peers that are not known to have seen one may have,
    /// in an earlier life or before the clock was set back.
    floor: SystemTime,
    latest: SystemTime,
}

impl Dates {
    /// Dates later than those of an earlier life.
    pub(crate) fn new(earlier: Option<SystemTime>) -> Self {
        let floor = earlier.unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            floor,
            latest: floor,
        }
    }

    /// The next date for a peer, whose last one was `before`.
    pub(crate) fn next(&mut self, wall: SystemTime, before: Option<SystemTime>) -> SystemTime {
        let earliest = before.unwrap_or(self.floor).max(self.floor) + Tai64n::grain();
        let date = wall.max(earliest);
        self.latest = self.latest.max(date);
        date
    }

    /// The clock was set back: peers may have seen any date so far.
    pub(crate) fn clock_was_set_back(&mut self) {
        self.floor = self.latest;
    }

    /// A peer is forgotten that may have seen the date `before`, and may come back.
    pub(crate) fn peer_was_forgotten(&mut self, before: Option<SystemTime>) {
        self.floor = self.floor.max(before.unwrap_or(self.floor));
    }

    /// The latest date on a handshake, in this life or an earlier one.
    pub(crate) fn latest(&self) -> SystemTime {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn many_peers_at_one_moment_do_not_push_dates_ahead_of_the_clock() {
        let mut dates = Dates::new(None);
        for _ in 0..10_000 {
            assert_eq!(dates.next(at(100), None), at(100));
        }
        assert_eq!(dates.latest(), at(100));
    }

    #[test]
    fn the_dates_of_one_peer_grow_even_where_the_clock_stands_or_goes_back() {
        let mut dates = Dates::new(None);
        let first = dates.next(at(100), None);
        let second = dates.next(at(100), Some(first));
        assert!(Tai64n::new(second) > Tai64n::new(first));
        dates.clock_was_set_back();
        let third = dates.next(at(50), Some(second));
        assert!(Tai64n::new(third) > Tai64n::new(second));
        // A peer that was forgotten may have seen one, too.
        assert!(dates.next(at(50), None) > second);
    }

    #[test]
    fn a_peer_that_was_forgotten_is_not_shown_the_same_date_again() {
        let mut dates = Dates::new(None);
        let first = dates.next(at(100), None);
        dates.peer_was_forgotten(Some(first));
        dates.peer_was_forgotten(None);
        assert!(Tai64n::new(dates.next(at(100), None)) > Tai64n::new(first));
    }

    #[test]
    fn an_earlier_life_is_never_dated_after() {
        let mut dates = Dates::new(Some(at(1000)));
        assert!(Tai64n::new(dates.next(at(5), None)) > Tai64n::new(at(1000)));
        assert_eq!(dates.next(at(2000), None), at(2000));
    }
}
