//! What is on its way to the stream, by subject: pure.
//!
//! Messages are offered by ascending numbers. One that cannot go now is passed over, and all of its
//! subject after it; [`rewind`](Window::rewind) tells from where to offer again.

use crate::MessageId;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How often a question is not answered before it counts as one that never will be.
const SILENCES: u32 = 3;

/// A moment, by a clock that only goes forward and by the wall clock, which knows of suspensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Moment {
    pub(super) steady: Duration,
    pub(super) wall: Duration,
}

impl Moment {
    /// Returns how long ago a moment was, by the clock that says more.
    fn since(self, earlier: Self) -> Duration {
        let steady = self.steady.saturating_sub(earlier.steady);
        steady.max(self.wall.saturating_sub(earlier.wall))
    }
}

/// What to do with a message that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it.
    Send,
    /// It is on its way.
    Flying,
    /// Not now. Whether it waits for an answer, which comes soon.
    Later { soon: bool },
    /// Find out first what the stream has of the subject.
    Settle,
    /// The stream has it.
    Stored,
}

/// What became of a message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The stream has it.
    Stored,
    /// The stream does not have it, and never will.
    Hopeless,
    /// The stream does not have it.
    Missed,
    /// The stream has it or not.
    Unknown,
    /// So it is, and the server said that this user may not publish the subject. That names no
    /// message: it may be the answer to one before.
    Denied,
}

/// What the stream was found to have of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Everything up to this number.
    UpTo(u64),
    /// Nothing of what is in doubt.
    Nothing,
    /// Ask again later.
    AskAgain,
    /// Nobody answered.
    Silence,
    /// It cannot be found out.
    Unknowable,
}

/// How much may be on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) messages: usize,
    pub(super) per_subject: usize,
    /// For how long after it was sent a message may be sent again, known by its id.
    pub(super) known: Duration,
    /// What waits below may have been stored by a process before this one.
    pub(super) doubt: u64,
}

#[derive(Debug, Default)]
struct Lane {
    flying: BTreeMap<u64, Moment>,
    /// The connection by which they fly.
    link: u64,
    /// Whether one came through since the lane began: more than one may fly.
    open: bool,
    /// The lowest number that must be sent again.
    again: Option<u64>,
    failures: u32,
    until: Option<Duration>,
    /// The lowest number that was passed over.
    passed: Option<u64>,
    /// Up to which number, and since when, messages may be stored without our knowing.
    doubt: Option<(u64, Moment)>,
    /// Up to which number the stream has all; known as soon as it was asked.
    settled: Option<u64>,
    settling: bool,
    /// How often in a row nobody answered the question.
    silences: u32,
    held: bool,
    denied: bool,
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.flying.is_empty()
            && self.again.is_none()
            && self.passed.is_none()
            && self.doubt.is_none()
            && self.settled.is_none()
            && !self.settling
    }

    fn pass(&mut self, number: u64) {
        self.passed = Some(self.passed.map_or(number, |passed| passed.min(number)));
    }

    fn is_paused(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    fn is_blocked(&self, now: Duration) -> bool {
        self.is_paused(now) || self.settling || self.again.is_some()
    }
}

#[derive(Debug)]
pub(super) struct Window {
    bounds: Bounds,
    lanes: HashMap<String, Lane>,
    flying: usize,
    /// How many came through after later ones of their subject.
    pub(super) reordered: u64,
}

impl Window {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: HashMap::new(),
            flying: 0,
            reordered: 0,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.flying >= self.bounds.messages
    }

    /// Returns below which number a process before this one may have sent what waits.
    pub(super) fn inherited(&self) -> u64 {
        self.bounds.doubt
    }

    pub(super) fn flying(&self) -> usize {
        self.flying
    }

    /// Says what to do with the message that comes next; there must be room for it.
    pub(super) fn offer(&mut self, number: u64, subject: &str, link: u64, now: Moment) -> Verdict {
        if !self.lanes.contains_key(subject) {
            self.lanes.insert(subject.to_owned(), Lane::default());
        }
        let lane = self.lanes.get_mut(subject).expect("it was just made");
        if lane.flying.contains_key(&number) {
            return Verdict::Flying;
        }
        if lane.settled.is_some_and(|settled| number < settled) {
            return Verdict::Stored;
        }
        let waits = !lane.flying.is_empty()
            && (lane.link != link || !lane.open || lane.flying.len() >= self.bounds.per_subject);
        let behind = lane.passed.is_some_and(|passed| passed < number);
        if lane.is_blocked(now.steady) || waits || behind {
            lane.pass(number);
            return Verdict::Later {
                soon: !lane.is_paused(now.steady),
            };
        }
        let inherited = number < self.bounds.doubt && lane.settled.is_none();
        let outdated = lane
            .doubt
            .is_some_and(|(up_to, since)| number <= up_to && now.since(since) >= self.bounds.known);
        if inherited || outdated {
            lane.pass(number);
            if !lane.flying.is_empty() {
                return Verdict::Later { soon: true };
            }
            lane.settling = true;
            return Verdict::Settle;
        }
        lane.flying.insert(number, now);
        if lane.link != link {
            lane.link = link;
            lane.open = false;
        }
        self.flying += 1;
        Verdict::Send
    }

    /// Takes back a message that could not be sent after all.
    pub(super) fn recall(&mut self, number: u64, subject: &str) {
        if let Some(lane) = self.lanes.get_mut(subject)
            && lane.flying.remove(&number).is_some()
        {
            self.flying -= 1;
            lane.pass(number);
        }
    }

    /// Takes in what became of a message. `pause` is asked for the time until the next attempt, by
    /// the number of failures so far.
    pub(super) fn answer(
        &mut self,
        number: u64,
        subject: &str,
        outcome: &Outcome,
        now: Moment,
        pause: impl FnOnce(u32) -> Duration,
    ) {
        let Some(lane) = self.lanes.get_mut(subject) else {
            return;
        };
        let Some(sent) = lane.flying.remove(&number) else {
            return;
        };
        self.flying -= 1;
        match outcome {
            Outcome::Stored | Outcome::Hopeless => {
                if *outcome == Outcome::Stored && lane.again.is_some_and(|again| again < number) {
                    self.reordered += 1;
                }
                if lane.doubt.is_some_and(|(up_to, _)| up_to <= number) {
                    lane.doubt = None;
                }
                if lane.settled.is_some_and(|settled| settled <= number)
                    && number >= self.bounds.doubt
                {
                    lane.settled = None;
                }
                if lane.again.is_none() {
                    lane.open = true;
                    lane.failures = 0;
                    (lane.held, lane.denied) = (false, false);
                }
            }
            Outcome::Missed | Outcome::Unknown | Outcome::Denied => {
                lane.denied |= *outcome == Outcome::Denied;
                lane.again = Some(lane.again.map_or(number, |again| again.min(number)));
                if *outcome != Outcome::Missed {
                    let (up_to, since) = lane.doubt.unwrap_or((number, sent));
                    let since = match now.since(sent) > now.since(since) {
                        true => sent,
                        false => since,
                    };
                    lane.doubt = Some((up_to.max(number), since));
                }
            }
        }
        if lane.flying.is_empty()
            && let Some(again) = lane.again.take()
        {
            lane.pass(again);
            lane.open = false;
            lane.until = Some(now.steady + pause(lane.failures));
            lane.failures = lane.failures.saturating_add(1);
        }
        if lane.is_idle() {
            self.lanes.remove(subject);
        }
    }

    /// Says what follows from a question that nobody answered. One that is not allowed is never
    /// answered, one that fell into an outage is answered when it is over: that is found out by
    /// asking again.
    pub(super) fn weigh_silence(&mut self, subject: &str) -> Found {
        let Some(lane) = self.lanes.get_mut(subject) else {
            return Found::AskAgain;
        };
        lane.silences = lane.silences.saturating_add(1);
        match lane.silences < SILENCES {
            true => Found::AskAgain,
            false => Found::Unknowable,
        }
    }

    /// Takes in what the stream has of a subject.
    pub(super) fn settle(&mut self, subject: &str, found: Found, now: Duration, pause: Duration) {
        let Some(lane) = self.lanes.get_mut(subject) else {
            return;
        };
        lane.settling = false;
        lane.held = found == Found::Unknowable;
        match found {
            Found::UpTo(number) => {
                let settled = number.saturating_add(1);
                lane.settled = Some(lane.settled.unwrap_or(0).max(settled));
            }
            // What is known for sure stays known.
            Found::Nothing => lane.settled = Some(lane.settled.unwrap_or(0)),
            Found::AskAgain | Found::Silence | Found::Unknowable => {
                lane.until = Some(now + pause);
                return;
            }
        }
        lane.doubt = None;
        lane.until = None;
        lane.failures = 0;
        lane.silences = 0;
    }

    /// Returns from where to offer again, if from anywhere.
    pub(super) fn rewind(&mut self, link: u64, now: Duration) -> Option<u64> {
        let per_subject = self.bounds.per_subject;
        let ready = |lane: &Lane| {
            !lane.is_blocked(now)
                && (lane.flying.is_empty()
                    || (lane.open && lane.link == link && lane.flying.len() < per_subject))
        };
        let from = self
            .lanes
            .values()
            .filter(|lane| ready(lane))
            .filter_map(|lane| lane.passed)
            .min()?;
        for lane in self.lanes.values_mut() {
            if ready(lane) {
                lane.passed = None;
            }
        }
        Some(from)
    }

    /// Returns when the next pause ends.
    pub(super) fn wakes_at(&self, now: Duration) -> Option<Duration> {
        let lanes = self.lanes.values();
        lanes
            .filter_map(|lane| lane.until)
            .filter(|until| *until > now)
            .min()
    }

    /// Says whether the stream may have something that waits.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.lanes
            .values()
            .any(|lane| lane.doubt.is_some() || lane.settling || !lane.flying.is_empty())
    }

    /// Says whether a subject waits because the server does not permit it.
    pub(super) fn is_denied(&self, subject: &str) -> bool {
        self.lanes.get(subject).is_some_and(|lane| lane.denied)
    }

    /// Returns how many subjects wait because the server does not permit them.
    pub(super) fn denied(&self) -> usize {
        self.lanes.values().filter(|lane| lane.denied).count()
    }

    /// Returns how many subjects wait for another attempt, and how many of these cannot be settled.
    pub(super) fn blocked(&self, now: Duration) -> (usize, usize) {
        let paused = self.lanes.values().filter(|lane| lane.is_paused(now));
        let held = self.lanes.values().filter(|lane| lane.held);
        (paused.count(), held.count())
    }
}

/// What is read of a stream's last message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Last {
    /// There is none of the subject.
    None,
    /// It bears this id.
    Id(String),
    /// It bears none.
    Anonymous,
}

/// Says what follows from the last message of a subject for what is in doubt.
pub(super) fn judge(last: &Last, number_of: impl FnOnce(&str) -> Option<u64>) -> Found {
    match last {
        Last::None => Found::Nothing,
        Last::Id(id) if MessageId::parse(id).is_ok() => match number_of(id) {
            // The stream took our messages in order: it has all up to this one.
            Some(number) => Found::UpTo(number),
            None => Found::Unknowable,
        },
        Last::Id(_) | Last::Anonymous => Found::Unknowable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Duration = Duration::from_secs(90);

    fn window(per_subject: usize, doubt: u64) -> Window {
        Window::new(Bounds {
            messages: 100,
            per_subject,
            known: KNOWN,
            doubt,
        })
    }

    fn at(seconds: u64) -> Moment {
        let moment = Duration::from_secs(seconds);
        Moment {
            steady: moment,
            wall: moment,
        }
    }

    fn second(_: u32) -> Duration {
        Duration::from_secs(1)
    }

    const LATER: Verdict = Verdict::Later { soon: true };

    #[test]
    fn the_first_goes_alone_and_the_others_follow_it() {
        let mut window = window(10, 0);
        assert_eq!(window.offer(1, "a", 1, at(0)), Verdict::Send);
        assert_eq!(window.offer(2, "a", 1, at(0)), LATER);
        assert_eq!(window.offer(3, "b", 1, at(0)), Verdict::Send);
        assert_eq!(window.offer(4, "a", 1, at(0)), LATER);
        assert_eq!(window.rewind(1, at(0).steady), None);
        window.answer(1, "a", &Outcome::Stored, at(0), second);
        assert_eq!(window.offer(4, "a", 1, at(0)), LATER, "2 was passed over");
        assert_eq!(window.rewind(1, at(0).steady), Some(2));
        assert_eq!(window.offer(2, "a", 1, at(0)), Verdict::Send);
        assert_eq!(window.offer(3, "b", 1, at(0)), Verdict::Flying);
        assert_eq!(window.offer(4, "a", 1, at(0)), Verdict::Send);
        assert_eq!(window.flying(), 3);
    }

    #[test]
    fn strictly_one_of_a_subject_flies() {
        let mut window = window(1, 0);
        for number in 1..5 {
            assert_eq!(window.offer(number, "a", 1, at(0)), Verdict::Send);
            assert_eq!(window.offer(number + 1, "a", 1, at(0)), LATER);
            window.answer(number, "a", &Outcome::Stored, at(0), second);
            assert_eq!(window.rewind(1, at(0).steady), Some(number + 1));
        }
    }

    /// Fills a lane: 1 came through, 2 to 4 fly.
    fn opened() -> Window {
        let mut window = window(10, 0);
        assert_eq!(window.offer(1, "a", 1, at(0)), Verdict::Send);
        assert_eq!(window.offer(2, "a", 1, at(0)), LATER);
        window.answer(1, "a", &Outcome::Stored, at(0), second);
        assert_eq!(window.rewind(1, at(0).steady), Some(2));
        for number in 2..5 {
            assert_eq!(window.offer(number, "a", 1, at(0)), Verdict::Send);
        }
        window
    }

    #[test]
    fn after_a_failure_all_is_awaited_and_the_failed_one_goes_first() {
        let mut window = opened();
        window.answer(2, "a", &Outcome::Missed, at(0), second);
        assert_eq!(window.offer(5, "a", 1, at(0)), LATER);
        window.answer(4, "a", &Outcome::Missed, at(0), second);
        assert_eq!(window.reordered, 0);
        window.answer(3, "a", &Outcome::Stored, at(0), second);
        assert_eq!(window.reordered, 1, "3 came before 2");
        assert_eq!(window.rewind(1, at(0).steady), None);
        assert_eq!(window.wakes_at(at(0).steady), Some(at(1).steady));
        assert_eq!(window.rewind(1, at(1).steady), Some(2));
        assert_eq!(window.offer(2, "a", 1, at(1)), Verdict::Send);
        assert_eq!(window.offer(4, "a", 1, at(1)), LATER, "only one at first");
    }

    #[test]
    fn by_another_connection_nothing_goes_before_all_is_answered() {
        let mut window = opened();
        assert_eq!(window.offer(5, "a", 2, at(0)), LATER);
        assert_eq!(window.rewind(2, at(0).steady), None);
        for number in 2..5 {
            window.answer(number, "a", &Outcome::Stored, at(0), second);
        }
        assert_eq!(window.rewind(2, at(0).steady), Some(5));
        assert_eq!(window.offer(5, "a", 2, at(0)), Verdict::Send);
        assert_eq!(
            window.offer(6, "a", 2, at(0)),
            LATER,
            "the first goes alone"
        );
    }

    #[test]
    fn what_may_be_stored_is_sent_again_only_while_the_stream_knows_its_id() {
        for (after, verdict) in [(80, Verdict::Send), (91, Verdict::Settle)] {
            let mut window = opened();
            for number in 2..5 {
                window.answer(number, "a", &Outcome::Unknown, at(4), second);
            }
            assert!(window.is_in_doubt());
            assert_eq!(window.rewind(2, at(after).steady), Some(2));
            assert_eq!(window.offer(2, "a", 2, at(after)), verdict, "{after}");
        }
        // The clock stood still, the wall clock did not.
        let mut window = opened();
        for number in 2..5 {
            window.answer(number, "a", &Outcome::Unknown, at(4), second);
        }
        let mut woken = at(6);
        woken.wall = Duration::from_secs(4000);
        assert_eq!(window.rewind(2, woken.steady), Some(2));
        assert_eq!(window.offer(2, "a", 2, woken), Verdict::Settle);
        assert_eq!(window.offer(3, "a", 2, woken), LATER);
        window.settle("a", Found::UpTo(3), woken.steady, KNOWN);
        assert_eq!(window.rewind(2, woken.steady), Some(2));
        assert_eq!(window.offer(2, "a", 2, woken), Verdict::Stored);
        assert_eq!(window.offer(3, "a", 2, woken), Verdict::Stored);
        assert_eq!(window.offer(4, "a", 2, woken), Verdict::Send);
        assert!(!window.is_in_doubt() || window.flying() == 1);
    }

    #[test]
    fn what_another_process_may_have_sent_is_asked_about_once() {
        let mut window = window(10, 5);
        assert_eq!(window.offer(1, "a", 1, at(0)), Verdict::Settle);
        assert_eq!(window.offer(2, "a", 1, at(0)), LATER);
        window.settle("a", Found::Unknowable, at(0).steady, Duration::from_secs(9));
        assert_eq!(window.blocked(at(0).steady), (1, 1));
        assert_eq!(window.rewind(1, at(9).steady), Some(1));
        assert_eq!(window.offer(1, "a", 1, at(9)), Verdict::Settle);
        window.settle("a", Found::Nothing, at(9).steady, Duration::ZERO);
        assert_eq!(window.rewind(1, at(9).steady), Some(1));
        assert_eq!(window.offer(1, "a", 1, at(9)), Verdict::Send);
        window.answer(1, "a", &Outcome::Stored, at(9), second);
        assert_eq!(window.offer(2, "a", 1, at(9)), Verdict::Send);
        assert_eq!(
            window.offer(7, "b", 1, at(9)),
            Verdict::Send,
            "never sent before"
        );
    }

    #[test]
    fn a_subject_that_is_not_permitted_waits_is_told_and_is_tried_again() {
        let mut window = window(10, 0);
        assert_eq!(window.offer(1, "a", 1, at(0)), Verdict::Send);
        window.answer(1, "a", &Outcome::Denied, at(0), second);
        assert!(window.is_denied("a") && !window.is_denied("b"));
        assert_eq!((window.denied(), window.blocked(at(0).steady)), (1, (1, 0)));
        assert!(window.is_in_doubt(), "the denial may be of one before");
        assert_eq!(
            window.offer(2, "b", 1, at(0)),
            Verdict::Send,
            "others go on"
        );
        assert_eq!(window.rewind(1, at(2).steady), Some(1));
        assert_eq!(window.offer(1, "a", 1, at(2)), Verdict::Send);
        window.answer(1, "a", &Outcome::Stored, at(2), second);
        assert_eq!(window.denied(), 0);
    }

    #[test]
    fn a_question_that_fell_into_an_outage_is_asked_again_before_it_counts_as_forbidden() {
        let mut window = window(10, 5);
        assert_eq!(window.offer(1, "a", 1, at(0)), Verdict::Settle);
        for time in 0..2 {
            assert_eq!(window.weigh_silence("a"), Found::AskAgain);
            window.settle("a", Found::AskAgain, at(time).steady, second(0));
            assert_eq!(window.blocked(at(time).steady), (1, 0), "not held");
            assert_eq!(window.rewind(1, at(time + 1).steady), Some(1));
            assert_eq!(window.offer(1, "a", 1, at(time + 1)), Verdict::Settle);
        }
        assert_eq!(window.weigh_silence("a"), Found::Unknowable);
        // It was the outage: from an answer on it counts anew.
        window.settle("a", Found::UpTo(0), at(3).steady, second(0));
        assert_eq!(window.weigh_silence("a"), Found::AskAgain);
    }

    #[test]
    fn the_last_message_of_a_subject_says_what_is_stored() {
        let ours = |id: &str| id.strip_prefix("me-")?.parse().ok();
        assert_eq!(judge(&Last::None, ours), Found::Nothing);
        assert_eq!(judge(&Last::Id("me-7".into()), ours), Found::UpTo(7));
        assert_eq!(judge(&Last::Id("other-7".into()), ours), Found::Unknowable);
        assert_eq!(judge(&Last::Anonymous, ours), Found::Unknowable);
    }
}
