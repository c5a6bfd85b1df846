//! When a peer has to be looked at next: what the noise layer cannot say itself.
//!
//! The noise layer stamps events with the time of its last tick, so it is ticked before it is
//! used and every 250 ms while packets pass. Handshake attempts, their jitter, the restart
//! after they were given up, and persistent keepalives are kept here.

use std::time::{Duration, Instant};

use super::random::Random;

/// How stale the noise layer's clock may be when it is used.
pub(crate) const TICK_ACTIVE: Duration = Duration::from_millis(250);
/// Ticks of a session that carries nothing.
const TICK_IDLE: Duration = Duration::from_secs(1);
/// Ticks without a session, until old keys are certainly wiped.
const TICK_WIPING: Duration = Duration::from_secs(10);
/// Time without any activity after which a peer without a session needs no tick: three times
/// `REJECT_AFTER_TIME`, when the last ephemeral keys are wiped.
const WIPED_AFTER: Duration = Duration::from_secs(3 * 180 + 30);
/// A handshake initiation is repeated after this (`REKEY_TIMEOUT`) …
const RETRY: Duration = Duration::from_secs(5);
/// … and up to this much more, drawn anew each time.
const JITTER_MILLIS: u64 = 334;
/// An initiation sent because an endpoint was told is repeated once, this much later: the
/// first may have met a NAT that the peer had not opened from its side yet.
const PUNCH_RETRY: Duration = Duration::from_secs(1);
/// Pause after the first handshake that was given up; it doubles up to …
const RESTART_FIRST: Duration = Duration::from_secs(5);
/// … this.
const RESTART_MAX: Duration = Duration::from_secs(60);
/// The age of a session at which its initiator renews it (`REKEY_AFTER_TIME`).
const REKEY_AFTER: Duration = Duration::from_secs(120);

/// Data is answered with an empty packet when nothing else was sent for this long
/// (`KEEPALIVE_TIMEOUT`).
const ANSWER_AFTER: Duration = Duration::from_secs(10);
/// A handshake is begun when data went unanswered for this long (`KEEPALIVE_TIMEOUT` and
/// `REKEY_TIMEOUT` together).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How far before its time the noise layer may have stamped a packet: its longest tick, and
/// a little.
const STAMP_SLACK: Duration = Duration::from_millis(1200);
/// The age from which a session must be watched for its end, whatever else.
const NEAR_ITS_END: Duration = Duration::from_secs(150);

/// The clockwork of one peer.
#[derive(Debug, Clone)]
pub(crate) struct Timers {
    last_tick: Option<Instant>,
    /// Something passed since the last tick.
    traffic: bool,
    last_activity: Instant,
    last_sent: Option<Instant>,
    last_received: Option<Instant>,
    /// The first data sent since something was received.
    unanswered_since: Option<Instant>,
    /// The first data received since something was sent.
    owed_since: Option<Instant>,
    last_initiation: Option<Instant>,
    /// When the initiation under way is repeated.
    retry_at: Option<Instant>,
    punch_at: Option<Instant>,
    restart_at: Option<Instant>,
    failures: u32,
    established: Option<Instant>,
    as_initiator: bool,
}

impl Timers {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            last_tick: None,
            traffic: false,
            last_activity: now,
            last_sent: None,
            last_received: None,
            unanswered_since: None,
            owed_since: None,
            last_initiation: None,
            retry_at: None,
            punch_at: None,
            restart_at: None,
            failures: 0,
            established: None,
            as_initiator: false,
        }
    }

    /// Whether the noise layer must be ticked before it is used.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.last_tick
            .is_none_or(|at| now.saturating_duration_since(at) >= TICK_ACTIVE)
    }

    /// Whether a tick now would repeat an initiation before its jitter has passed.
    pub(super) fn in_jitter(&self, now: Instant) -> bool {
        match (self.last_initiation, self.retry_at) {
            // A little early, since the noise layer reads a clock of its own.
            (Some(sent), Some(retry)) => {
                now + Duration::from_millis(20) >= sent + RETRY && now < retry
            }
            _ => false,
        }
    }

    /// Until when the noise layer must not be ticked, if that is after `now`.
    ///
    /// It takes 15 seconds without a packet from the peer for 15 seconds without an answer, so
    /// that after a silence the first packet alone would set off a handshake, unless its
    /// answer is back before the next tick. On a path of half a second it never is.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        if self.in_jitter(now) {
            return self.retry_at;
        }
        let since = self.unanswered_since.filter(|_| !self.is_initiating())?;
        let silent = self.last_received? + ANSWER_TIMEOUT <= now + STAMP_SLACK;
        let young = now < self.established? + NEAR_ITS_END;
        Some(since + ANSWER_TIMEOUT).filter(|until| silent && young && now < *until)
    }

    pub(crate) fn ticked(&mut self, now: Instant) {
        self.last_tick = Some(now);
        self.traffic = false;
    }

    pub(crate) fn sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
        self.owed_since = None;
        self.last_activity = now;
        self.traffic = true;
    }

    /// Data was sent, which the peer has to answer with something.
    pub(crate) fn data_sent(&mut self, now: Instant) {
        self.unanswered_since.get_or_insert(now);
    }

    pub(crate) fn received(&mut self, now: Instant) {
        self.last_received = Some(now);
        self.unanswered_since = None;
        self.last_activity = now;
        self.traffic = true;
    }

    /// Data was received, which has to be answered with something. The noise layer does that
    /// too, unless the data came within the tick of what was sent last.
    pub(crate) fn data_received(&mut self, now: Instant) {
        self.owed_since.get_or_insert(now);
    }

    pub(crate) fn take_owed(&mut self, now: Instant) -> bool {
        self.owed_since
            .take_if(|at| *at + ANSWER_AFTER <= now)
            .is_some()
    }

    pub(crate) fn initiation_sent(&mut self, now: Instant, random: &mut Random) {
        self.last_initiation = Some(now);
        self.retry_at = Some(now + RETRY + Duration::from_millis(random.below(JITTER_MILLIS)));
        self.restart_at = None;
    }

    pub(crate) fn is_initiating(&self) -> bool {
        self.retry_at.is_some()
    }

    /// The peer began a handshake of its own, which takes the place of ours.
    pub(crate) fn yielded(&mut self, queued: bool, now: Instant) {
        self.retry_at = None;
        self.punch_at = None;
        if queued {
            self.restart_at = Some(now + RETRY);
        }
    }

    pub(crate) fn established(&mut self, as_initiator: bool, now: Instant) {
        self.retry_at = None;
        self.punch_at = None;
        self.restart_at = None;
        self.failures = 0;
        self.established = Some(now);
        self.as_initiator = as_initiator;
    }

    /// The handshake was given up; `again` says whether somebody still waits for the peer.
    pub(crate) fn gave_up(&mut self, again: bool, now: Instant, random: &mut Random) {
        self.retry_at = None;
        self.punch_at = None;
        let pause = RESTART_FIRST
            .saturating_mul(1 << self.failures.min(8))
            .min(RESTART_MAX);
        self.failures = self.failures.saturating_add(1);
        let jitter = Duration::from_millis(random.below(JITTER_MILLIS));
        self.restart_at = again.then_some(now + pause + jitter);
    }

    /// The noise layer was made anew: nothing is under way.
    pub(crate) fn renewed(&mut self) {
        self.last_tick = None;
        self.last_initiation = None;
        self.retry_at = None;
        self.punch_at = None;
        self.restart_at = None;
        self.unanswered_since = None;
        self.owed_since = None;
        self.established = None;
    }

    /// An endpoint was told for a peer without a session.
    pub(crate) fn punch(&mut self, now: Instant, random: &mut Random) {
        self.punch_at =
            Some(now + PUNCH_RETRY + Duration::from_millis(random.below(JITTER_MILLIS)));
    }

    pub(crate) fn take_punch(&mut self, now: Instant) -> bool {
        self.punch_at.take_if(|at| *at <= now).is_some()
    }

    pub(crate) fn take_restart(&mut self, now: Instant) -> bool {
        self.restart_at.take_if(|at| *at <= now).is_some()
    }

    pub(crate) fn is_backing_off(&self) -> bool {
        self.restart_at.is_some()
    }

    /// Whether a packet that waits may start a handshake at once; if not, one is scheduled.
    pub(crate) fn may_initiate(&mut self, now: Instant) -> bool {
        match self.last_initiation.map(|at| at + RETRY) {
            Some(earliest) if earliest > now => {
                self.restart_at = Some(self.restart_at.map_or(earliest, |at| at.min(earliest)));
                false
            }
            _ => true,
        }
    }

    /// Whether the session is ours to renew, and old enough.
    pub(crate) fn rekey_due(&self, now: Instant) -> bool {
        self.as_initiator
            && self
                .established
                .is_some_and(|at| now.saturating_duration_since(at) >= REKEY_AFTER)
    }

    /// When a keepalive of this interval is due.
    pub(crate) fn keepalive_at(&self, interval: Duration, now: Instant) -> Instant {
        self.last_sent.map_or(now, |at| at + interval)
    }

    /// When the peer has to be looked at next.
    pub(crate) fn deadline(
        &self,
        session: bool,
        keepalive: Option<Duration>,
        now: Instant,
    ) -> Option<Instant> {
        let ticked = self.last_tick.unwrap_or(now);
        let tick = if self.traffic {
            Some(ticked + TICK_ACTIVE)
        } else if session {
            Some(ticked + TICK_IDLE)
        } else if now < self.last_activity + WIPED_AFTER {
            Some(ticked + TICK_WIPING)
        } else {
            None
        };
        // A tick that is held would be skipped: nothing to wake up for.
        let tick = tick.map(|at| self.held_until(at.max(now)).unwrap_or(at));
        let keepalive = keepalive
            .filter(|_| !(self.is_initiating() || self.is_backing_off()))
            .map(|interval| self.keepalive_at(interval, now));
        let owed = self.owed_since.map(|at| at + ANSWER_AFTER);
        let own = [self.retry_at, self.punch_at, self.restart_at, owed];
        own.into_iter().chain([tick, keepalive]).flatten().min()
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "the starting point of a clock the test moves"
)]
mod tests {
    use super::*;

    #[test]
    fn an_initiation_is_repeated_after_five_seconds_and_a_jitter_that_differs() {
        let start = Instant::now();
        let mut random = Random::new(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let mut timers = Timers::new(start);
            timers.initiation_sent(start, &mut random);
            timers.ticked(start);
            let retry = timers.retry_at.unwrap() - start;
            assert!(retry >= RETRY && retry <= RETRY + Duration::from_millis(333));
            seen.insert(retry);
            assert!(!timers.in_jitter(start + Duration::from_millis(4900)));
            assert_eq!(timers.in_jitter(start + RETRY), retry > RETRY);
            assert!(!timers.in_jitter(start + retry));
        }
        assert!(seen.len() > 30);
    }

    #[test]
    fn restarts_back_off_to_a_minute_and_begin_anew_after_success() {
        let start = Instant::now();
        let mut random = Random::new(1);
        let mut timers = Timers::new(start);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            timers.gave_up(true, start, &mut random);
            pauses.push((timers.restart_at.unwrap() - start).as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        timers.established(true, start);
        timers.gave_up(true, start, &mut random);
        assert_eq!((timers.restart_at.unwrap() - start).as_secs(), 5);
        timers.gave_up(false, start, &mut random);
        assert_eq!(timers.restart_at, None);
    }

    #[test]
    fn an_answer_is_waited_for_before_a_handshake_is_begun_for_its_lack() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.established(true, start);
        timers.received(start);
        let sent = start + Duration::from_secs(60);
        timers.ticked(sent);
        timers.sent(sent);
        timers.data_sent(sent);
        let held = Some(sent + ANSWER_TIMEOUT);
        assert_eq!(timers.held_until(sent + Duration::from_secs(1)), held);
        assert_eq!(timers.deadline(true, None, sent), held);
        assert_eq!(timers.held_until(sent + ANSWER_TIMEOUT), None);
        timers.received(sent + Duration::from_millis(600));
        assert_eq!(timers.held_until(sent + Duration::from_secs(1)), None);
        // Close to its end a session is watched all the same.
        let late = start + Duration::from_secs(151);
        timers.data_sent(late);
        assert_eq!(timers.held_until(late), None);
    }

    #[test]
    fn a_peer_with_traffic_is_ticked_within_a_quarter_of_a_second() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.ticked(start);
        assert_eq!(timers.deadline(true, None, start), Some(start + TICK_IDLE));
        timers.received(start);
        assert_eq!(
            timers.deadline(true, None, start),
            Some(start + TICK_ACTIVE)
        );
        timers.ticked(start + TICK_ACTIVE);
        assert_eq!(
            timers.deadline(true, None, start),
            Some(start + TICK_ACTIVE + TICK_IDLE)
        );
        let later = start + Duration::from_secs(3600);
        assert_eq!(timers.deadline(false, None, later), None);
    }
}
