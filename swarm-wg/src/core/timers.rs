//! When a peer has to be looked at next. What packets mark ([`Marks`]) is read here, and
//! handshake attempts, their jitter, the restart after they were given up, and persistent
//! keepalives are kept here.
//!
//! Packets do not move deadlines: a peer with traffic is looked at every five seconds, which is
//! sooner than any time-out that traffic can start, and one without is not looked at.

use std::time::{Duration, Instant};

use super::plane::Marks;
use super::random::Random;

/// How often a peer with traffic is looked at; sooner than [`ANSWER_AFTER`].
const LOOK: Duration = Duration::from_secs(5);
/// A handshake initiation is repeated after this (`Rekey-Timeout`) …
pub(super) const RETRY: Duration = Duration::from_secs(5);
/// … and up to this much more, drawn anew each time.
const JITTER_MILLIS: u64 = 334;
/// A handshake that got no answer for this long is given up (`Rekey-Attempt-Time`).
const ATTEMPT_TIME: Duration = Duration::from_secs(90);
/// An initiation sent because an endpoint was told is repeated once, this much later: the
/// first may have met a NAT that the peer had not opened from its side yet.
const PUNCH_RETRY: Duration = Duration::from_secs(1);
/// Pause after the first handshake that was given up; it doubles up to …
const RESTART_FIRST: Duration = Duration::from_secs(5);
/// … this.
const RESTART_MAX: Duration = Duration::from_secs(60);
/// Data is answered with an empty packet when nothing else was sent for this long
/// (`Keepalive-Timeout`).
const ANSWER_AFTER: Duration = Duration::from_secs(10);
/// A handshake is begun when data went unanswered for this long (`Keepalive-Timeout` and
/// `Rekey-Timeout` together).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

fn jitter(random: &mut Random) -> Duration {
    Duration::from_millis(random.below(JITTER_MILLIS))
}

/// The clockwork of one peer.
#[derive(Debug, Clone)]
pub(crate) struct Timers {
    /// The moment that marks count from.
    base: Instant,
    last_initiation: Option<Instant>,
    /// When the initiation under way is repeated, and until when.
    retry: Option<(Instant, Instant)>,
    punch_at: Option<Instant>,
    restart_at: Option<Instant>,
    failures: u32,
    look_at: Option<Instant>,
    /// What is added to the time that an answer may take, so that two peers do not begin a
    /// handshake at the same moment.
    patience: Duration,
}

impl Timers {
    pub(crate) fn new(base: Instant, random: &mut Random) -> Self {
        Self {
            base,
            last_initiation: None,
            retry: None,
            punch_at: None,
            restart_at: None,
            failures: 0,
            look_at: None,
            patience: jitter(random),
        }
    }

    // --- handshakes ---

    pub(crate) fn initiation_sent(&mut self, now: Instant, random: &mut Random) {
        let until = self.retry.map_or(now + ATTEMPT_TIME, |(_, until)| until);
        self.retry = Some((now + RETRY + jitter(random), until));
        self.last_initiation = Some(now);
        self.restart_at = None;
        self.patience = jitter(random);
    }

    pub(crate) fn is_initiating(&self) -> bool {
        self.retry.is_some()
    }

    /// Whether an initiation may be sent: not within `Rekey-Timeout` of the last.
    pub(crate) fn may_initiate(&self, now: Instant) -> bool {
        self.last_initiation.is_none_or(|at| at + RETRY <= now)
    }

    /// When an initiation may be sent.
    pub(crate) fn earliest_initiation(&self, now: Instant) -> Instant {
        self.last_initiation.map_or(now, |at| now.max(at + RETRY))
    }

    /// What has become of the initiation under way: is it to be repeated, or given up?
    pub(crate) fn overdue(&self, now: Instant) -> Option<Overdue> {
        let (at, until) = self.retry?;
        match (at <= now, until <= now) {
            (true, false) => Some(Overdue::Repeat),
            (true, true) => Some(Overdue::GiveUp),
            (false, _) => None,
        }
    }

    pub(crate) fn established(&mut self) {
        self.retry = None;
        self.punch_at = None;
        self.restart_at = None;
        self.failures = 0;
    }

    /// The handshake was given up; `again` says whether somebody still waits for the peer.
    pub(crate) fn gave_up(&mut self, again: bool, now: Instant, random: &mut Random) {
        self.retry = None;
        self.punch_at = None;
        let pause = RESTART_FIRST
            .saturating_mul(1 << self.failures.min(8))
            .min(RESTART_MAX);
        self.failures = self.failures.saturating_add(1);
        self.restart_at = again.then(|| now + pause + jitter(random));
    }

    /// A handshake is to be begun at this moment, if no other begins before.
    pub(crate) fn restart(&mut self, at: Instant) {
        self.restart_at = Some(self.restart_at.map_or(at, |before| before.min(at)));
    }

    pub(crate) fn take_restart(&mut self, now: Instant) -> bool {
        self.restart_at.take_if(|at| *at <= now).is_some()
    }

    pub(crate) fn is_backing_off(&self) -> bool {
        self.restart_at.is_some()
    }

    /// An endpoint was told for a peer without a session.
    pub(crate) fn punch(&mut self, now: Instant, random: &mut Random) {
        self.punch_at = Some(now + PUNCH_RETRY + jitter(random));
    }

    pub(crate) fn take_punch(&mut self, now: Instant) -> bool {
        self.punch_at.take_if(|at| *at <= now).is_some()
    }

    /// All keys changed: nothing is under way.
    pub(crate) fn reset(&mut self) {
        self.last_initiation = None;
        self.retry = None;
        self.punch_at = None;
        self.restart_at = None;
    }

    // --- traffic ---

    /// Packets pass: their time-outs have to be watched.
    pub(crate) fn watch(&mut self, marks: &Marks, now: Instant) {
        marks.set_watched(true);
        self.look_at.get_or_insert(now + LOOK);
    }

    /// Looks whether packets still pass, where that is due, and goes on watching or not.
    pub(crate) fn look(&mut self, marks: &Marks, now: Instant) {
        if self.look_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        let open =
            marks.unanswered_since(self.base).is_some() || marks.owed_since(self.base).is_some();
        if marks.take_activity() || open {
            self.look_at = Some(now + LOOK);
            return;
        }
        marks.set_watched(false);
        // Whoever sent before seeing that is seen here.
        if marks.take_activity() {
            self.watch(marks, now);
        }
    }

    /// Whether data was received for whose answer nothing was sent in time.
    pub(crate) fn owes_answer(&self, marks: &Marks, now: Instant) -> bool {
        marks
            .owed_since(self.base)
            .is_some_and(|at| at + ANSWER_AFTER <= now)
    }

    /// Whether data was sent for which nothing came back in time.
    pub(crate) fn lacks_answer(&self, marks: &Marks, now: Instant) -> bool {
        marks
            .unanswered_since(self.base)
            .is_some_and(|at| at + ANSWER_TIMEOUT + self.patience <= now)
    }

    /// When a keepalive of this interval is due.
    pub(crate) fn keepalive_at(&self, marks: &Marks, interval: Duration, now: Instant) -> Instant {
        marks.last_sent(self.base).map_or(now, |at| at + interval)
    }

    /// When the peer has to be looked at next, but for the ends of its sessions.
    pub(crate) fn deadline(
        &self,
        marks: &Marks,
        keepalive: Option<Duration>,
        now: Instant,
    ) -> Option<Instant> {
        let keepalive = keepalive
            .filter(|_| !(self.is_initiating() || self.is_backing_off()))
            .map(|interval| self.keepalive_at(marks, interval, now));
        let owed = marks.owed_since(self.base).map(|at| at + ANSWER_AFTER);
        let lacked = marks
            .unanswered_since(self.base)
            .map(|at| at + ANSWER_TIMEOUT + self.patience);
        let retry = self.retry.map(|(at, _)| at);
        let own = [retry, self.punch_at, self.restart_at, self.look_at];
        own.into_iter()
            .chain([keepalive, owed, lacked])
            .flatten()
            .min()
    }
}

/// What an initiation without an answer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    Repeat,
    GiveUp,
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "the starting point of a clock the test moves"
)]
mod tests {
    use super::*;

    fn timers(start: Instant) -> (Timers, Random) {
        let mut random = Random::new(1);
        (Timers::new(start, &mut random), random)
    }

    #[test]
    fn an_initiation_is_repeated_after_five_seconds_and_a_jitter_that_differs() {
        let start = Instant::now();
        let (mut timers, mut random) = timers(start);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..50 {
            timers.reset();
            timers.initiation_sent(start, &mut random);
            let retry = timers.retry.unwrap().0 - start;
            assert!(retry >= RETRY && retry <= RETRY + Duration::from_millis(333));
            seen.insert(retry);
            assert_eq!(
                timers.overdue(start + retry - Duration::from_millis(1)),
                None
            );
            assert_eq!(timers.overdue(start + retry), Some(Overdue::Repeat));
        }
        assert!(seen.len() > 30);
    }

    #[test]
    fn a_handshake_is_given_up_after_ninety_seconds_however_often_it_was_repeated() {
        let start = Instant::now();
        let (mut timers, mut random) = timers(start);
        let mut now = start;
        loop {
            timers.initiation_sent(now, &mut random);
            now = timers.retry.unwrap().0;
            if timers.overdue(now) == Some(Overdue::GiveUp) {
                break;
            }
        }
        assert!((90..96).contains(&(now - start).as_secs()));
    }

    #[test]
    fn restarts_back_off_to_a_minute_and_begin_anew_after_success() {
        let start = Instant::now();
        let (mut timers, mut random) = timers(start);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            timers.gave_up(true, start, &mut random);
            pauses.push((timers.restart_at.unwrap() - start).as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        timers.established();
        timers.gave_up(true, start, &mut random);
        assert_eq!((timers.restart_at.unwrap() - start).as_secs(), 5);
        timers.gave_up(false, start, &mut random);
        assert_eq!(timers.restart_at, None);
    }

    #[test]
    fn data_has_ten_seconds_to_be_answered_and_fifteen_for_an_answer() {
        let start = Instant::now();
        let (timers, _) = timers(start);
        let marks = Marks::default();
        let after = |seconds| start + Duration::from_secs(seconds);
        marks.received(100, true, start, after(1));
        assert!(!timers.owes_answer(&marks, after(10)) && timers.owes_answer(&marks, after(11)));
        marks.sent(100, false, start, after(2));
        assert!(!timers.owes_answer(&marks, after(60)));
        assert!(
            !timers.lacks_answer(&marks, after(60)),
            "a keepalive needs no answer"
        );
        marks.sent(100, true, start, after(20));
        marks.sent(100, true, start, after(30));
        assert!(!timers.lacks_answer(&marks, after(34)) && timers.lacks_answer(&marks, after(36)));
        assert_eq!(
            timers.deadline(&marks, None, after(30)),
            Some(after(35) + timers.patience)
        );
        marks.received(32, false, start, after(34));
        assert!(!timers.lacks_answer(&marks, after(60)));
        assert_eq!(timers.deadline(&marks, None, after(60)), None);
    }

    #[test]
    fn a_peer_is_watched_while_packets_pass_and_costs_nothing_after() {
        let start = Instant::now();
        let (mut timers, _) = timers(start);
        let marks = Marks::default();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(marks.sent(100, false, start, start), "nobody watches yet");
        timers.watch(&marks, start);
        assert!(!marks.sent(100, false, start, start));
        timers.look(&marks, after(4));
        assert_eq!(timers.deadline(&marks, None, after(4)), Some(after(5)));
        timers.look(&marks, after(5));
        assert_eq!(timers.deadline(&marks, None, after(5)), Some(after(10)));
        timers.look(&marks, after(10));
        assert_eq!(timers.deadline(&marks, None, after(10)), None);
        assert!(
            marks.sent(100, false, start, after(11)),
            "nobody watches any more"
        );
    }
}
