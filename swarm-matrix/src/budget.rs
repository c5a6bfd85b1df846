//! Publishes on transitions only.
//!
//! A server never reclaims a state event that another superseded: 3.9 kB each, for ever, and some
//! thirty a second are all it takes. So the same content is published once, and a content that
//! changes faster than [`BudgetConfig::interval_ms`] is held back, the newest winning, until its
//! time has come. Nothing that is offered is dropped: what is held is either published later or
//! replaced by something newer.

use std::collections::BTreeMap;

/// How much may be published.
///
/// # Defaults
/// At most one event a key per 10 seconds, after a burst of 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetConfig {
    /// Milliseconds that pay for one event of a key.
    pub interval_ms: u64,
    /// Events of a key that may follow one another at once; at least one.
    pub burst: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            interval_ms: 10_000,
            burst: 3,
        }
    }
}

impl BudgetConfig {
    /// One event a key per `interval_ms`, after a burst.
    pub fn new(interval_ms: u64, burst: u32) -> Self {
        Self {
            interval_ms,
            burst: burst.max(1),
        }
    }
}

/// What is to be done with a content that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Offer {
    /// Publish it now; it counts as published until [`Budget::failed`].
    Publish,
    /// It is what was published last: nothing to do.
    Unchanged,
    /// It is held until then (milliseconds, the clock of the caller); [`Budget::poll`] gives it.
    Held {
        /// When.
        until: u64,
    },
}

/// Decides what to publish and when. Pure: `now` is milliseconds of a clock that does not go
/// backwards; where it does, nothing is lost, only later.
///
/// Poll until `None` whenever [`Budget::next_deadline`] has passed.
#[derive(Debug)]
pub struct Budget<K, C> {
    config: BudgetConfig,
    keys: BTreeMap<K, Entry<C>>,
}

#[derive(Debug)]
struct Entry<C> {
    published: Option<C>,
    held: Option<C>,
    /// When all that was spent is paid back (a leaky bucket told by one number).
    paid_at: u64,
    /// After a failure, when to try again.
    retry_at: u64,
}

impl<K: Ord + Clone, C: Clone + PartialEq> Budget<K, C> {
    /// A budget of which nothing is spent.
    pub fn new(config: BudgetConfig) -> Self {
        Self {
            config,
            keys: BTreeMap::new(),
        }
    }

    /// Tells what stands published already, as read from the room after a restart.
    pub fn seed(&mut self, key: K, content: C) {
        let entry = self.keys.entry(key).or_insert_with(Entry::empty);
        entry.published.get_or_insert(content);
    }

    /// Offers a content.
    pub fn offer(&mut self, key: K, content: C, now: u64) -> Offer {
        let config = self.config;
        let entry = self.keys.entry(key).or_insert_with(Entry::empty);
        if entry.published.as_ref() == Some(&content) {
            entry.held = None;
            return Offer::Unchanged;
        }
        let due = entry.due(config);
        if due <= now {
            entry.spend(config, now);
            entry.held = None;
            entry.published = Some(content);
            Offer::Publish
        } else {
            entry.held = Some(content);
            Offer::Held { until: due }
        }
    }

    /// The next held content whose time has come; publish it.
    pub fn poll(&mut self, now: u64) -> Option<(K, C)> {
        let config = self.config;
        let ready = |entry: &Entry<C>| entry.held.is_some() && entry.due(config) <= now;
        let (key, entry) = self.keys.iter_mut().find(|(_, entry)| ready(entry))?;
        entry.spend(config, now);
        let content = entry.held.take()?;
        entry.published = Some(content.clone());
        Some((key.clone(), content))
    }

    /// All that is held, at once, whatever its time: before leaving in good order.
    pub fn drain(&mut self) -> Vec<(K, C)> {
        let take = |(key, entry): (&K, &mut Entry<C>)| {
            let content = entry.held.take()?;
            entry.published = Some(content.clone());
            Some((key.clone(), content))
        };
        self.keys.iter_mut().filter_map(take).collect()
    }

    /// Tells that publishing failed: the content is held again unless something newer is, and
    /// tried after the interval, or on [`Budget::retry`].
    pub fn failed(&mut self, key: &K, content: C, now: u64) {
        let interval = self.config.interval_ms;
        let Some(entry) = self.keys.get_mut(key) else {
            return;
        };
        if entry.published.as_ref() == Some(&content) {
            entry.published = None;
        }
        entry.held.get_or_insert(content);
        entry.paid_at = entry.paid_at.saturating_sub(interval);
        entry.retry_at = now.saturating_add(interval);
    }

    /// Tells that what failed before may succeed now.
    pub fn retry(&mut self) {
        self.keys.values_mut().for_each(|entry| entry.retry_at = 0);
    }

    /// When [`Budget::poll`] next gives something.
    pub fn next_deadline(&self) -> Option<u64> {
        let held = self.keys.values().filter(|entry| entry.held.is_some());
        held.map(|entry| entry.due(self.config)).min()
    }
}

impl<C> Entry<C> {
    fn empty() -> Self {
        Self {
            published: None,
            held: None,
            paid_at: 0,
            retry_at: 0,
        }
    }

    /// When one more event may go: as soon as at most `burst − 1` are unpaid.
    fn due(&self, config: BudgetConfig) -> u64 {
        let credit = u64::from(config.burst.max(1) - 1) * config.interval_ms;
        self.paid_at.saturating_sub(credit).max(self.retry_at)
    }

    fn spend(&mut self, config: BudgetConfig, now: u64) {
        self.paid_at = self.paid_at.max(now).saturating_add(config.interval_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budget() -> Budget<&'static str, u32> {
        Budget::new(BudgetConfig::new(1_000, 2))
    }

    #[test]
    fn the_same_content_is_published_once() {
        let mut budget = budget();
        assert_eq!(budget.offer("a", 1, 0), Offer::Publish);
        assert_eq!(budget.offer("a", 1, 5), Offer::Unchanged);
        budget.seed("b", 7);
        assert_eq!(budget.offer("b", 7, 5), Offer::Unchanged);
    }

    #[test]
    fn a_flapping_content_is_coalesced_to_the_newest() {
        let mut budget = budget();
        assert_eq!(budget.offer("a", 1, 0), Offer::Publish);
        assert_eq!(budget.offer("a", 2, 1), Offer::Publish);
        assert_eq!(budget.offer("a", 3, 2), Offer::Held { until: 1_000 });
        assert_eq!(budget.offer("a", 4, 3), Offer::Held { until: 1_000 });
        assert_eq!(budget.poll(999), None);
        assert_eq!(budget.next_deadline(), Some(1_000));
        assert_eq!(budget.poll(1_000), Some(("a", 4)));
        assert_eq!(budget.poll(1_000), None);
    }

    #[test]
    fn going_back_to_what_stands_published_needs_no_event() {
        let mut budget = budget();
        budget.offer("a", 1, 0);
        budget.offer("a", 2, 0);
        assert!(matches!(budget.offer("a", 3, 0), Offer::Held { .. }));
        assert_eq!(budget.offer("a", 2, 0), Offer::Unchanged);
        assert_eq!(budget.next_deadline(), None);
    }

    #[test]
    fn a_failure_is_tried_again_later_unless_something_newer_came() {
        let mut budget = budget();
        budget.offer("a", 1, 0);
        budget.failed(&"a", 1, 10);
        assert_eq!(budget.offer("a", 2, 10), Offer::Held { until: 1_010 });
        assert_eq!(budget.poll(1_009), None);
        assert_eq!(budget.poll(1_010), Some(("a", 2)));
    }

    #[test]
    fn what_failed_costs_nothing_and_goes_as_soon_as_it_can() {
        let mut budget = budget();
        budget.offer("a", 1, 0);
        budget.failed(&"a", 1, 10);
        budget.retry();
        assert_eq!(budget.poll(11), Some(("a", 1)));
        assert_eq!(budget.offer("a", 2, 12), Offer::Publish);
    }

    #[test]
    fn leaving_gives_all_that_is_held() {
        let mut budget = budget();
        for n in 0..4 {
            budget.offer("a", n, 0);
        }
        assert_eq!(budget.drain(), [("a", 3)]);
        assert_eq!(budget.next_deadline(), None);
    }

    proptest! {
        #[test]
        fn the_rate_holds_and_the_newest_is_never_lost(
            offers in prop::collection::vec((0..4_u32, 0..700_u64), 1..80)
        ) {
            let mut budget = budget();
            let (mut now, mut sent, mut last) = (0, Vec::new(), 0);
            for (content, pause) in offers {
                now += pause;
                while let Some((_, content)) = budget.poll(now) { sent.push((now, content)); }
                if budget.offer("a", content, now) == Offer::Publish { sent.push((now, content)); }
                last = content;
            }
            while let Some(due) = budget.next_deadline() {
                now = now.max(due);
                while let Some((_, content)) = budget.poll(now) { sent.push((now, content)); }
            }
            prop_assert_eq!(sent.last().unwrap().1, last);
            for (index, window) in sent.windows(3).enumerate() {
                prop_assert!(window[2].0 - window[0].0 >= 1_000 - 1, "{index} {sent:?}");
            }
            for pair in sent.windows(2) {
                prop_assert_ne!(pair[0].1, pair[1].1);
            }
        }
    }
}
