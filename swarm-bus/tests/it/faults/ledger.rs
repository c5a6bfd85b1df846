//! What became of every message: pure.

use std::collections::{BTreeMap, HashMap};

/// A message as the application knows it: its publisher and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) node: u8,
    pub(super) number: u32,
}

/// What its publisher was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// A stream or a spool keeps it.
    Kept,
    /// It is nowhere: an error that leaves no doubt.
    Refused,
    /// It may be kept or not: an error that says so, and no other attempt; or the death of the
    /// process before it was told.
    Unknown,
}

#[derive(Debug, Default)]
struct Account {
    fate: Option<Fate>,
    /// Its number in the stream, where its publisher was told.
    stored: Option<u64>,
    /// The numbers in the stream under which the application worked on it.
    taken: Vec<u64>,
    kind: u32,
}

/// What is wrong with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Kept, and never given to the application. With the number that the stream gave it.
    Lost(Key, Option<u64>),
    /// Given to the application more than once.
    TakenTwice(Key, u64),
    /// More than once in the stream.
    StoredTwice(Key, Vec<u64>),
    /// Said to be nowhere, and in the stream.
    Refuted(Key, Vec<u64>),
    /// Not of any publisher.
    Stray(Key),
    /// Nobody said what became of it.
    Unsettled(Key),
    /// In the stream under another number than its publisher was told.
    Misplaced(Key, u64, u64),
    /// Came again under a number that the application had taken another message by.
    Mistaken(Key, u64),
    /// In the stream before an earlier message of its subject.
    Disordered(Key, u64),
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<Key, Account>,
    mistaken: Vec<(Key, u64)>,
    /// How many are kept and were not taken yet.
    owed: usize,
    taken: u64,
}

impl Ledger {
    /// Notes what a publisher was told.
    pub(super) fn publish(&mut self, key: Key, kind: u32, fate: Fate, stored: Option<u64>) {
        let account = self.accounts.entry(key).or_default();
        assert_eq!(account.fate, None, "{key:?} has its fate already");
        (account.fate, account.kind, account.stored) = (Some(fate), kind, stored);
        self.owed += usize::from(fate == Fate::Kept && account.taken.is_empty());
    }

    /// Notes that the application worked on a message.
    pub(super) fn take(&mut self, key: Key, sequence: u64) {
        let account = self.accounts.entry(key).or_default();
        let owed = account.fate == Some(Fate::Kept) && account.taken.is_empty();
        self.owed -= usize::from(owed);
        self.taken += 1;
        account.taken.push(sequence);
    }

    /// Notes that the application left a message because it had worked on it before.
    pub(super) fn leave(&mut self, key: Key, sequence: u64) {
        let account = self.accounts.get(&key);
        if account.is_none_or(|account| !account.taken.contains(&sequence)) {
            self.mistaken.push((key, sequence));
        }
    }

    pub(super) fn owed(&self) -> usize {
        self.owed
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many messages came to each end, by publisher.
    pub(super) fn count(&self) -> BTreeMap<(u8, Fate), usize> {
        let mut counts = BTreeMap::new();
        for (key, account) in &self.accounts {
            if let Some(fate) = account.fate {
                *counts.entry((key.node, fate)).or_default() += 1;
            }
        }
        counts
    }

    /// Accounts for every message; the publishers whose messages are in order are named.
    pub(super) fn judge(&self, ordered: &[u8]) -> Vec<Finding> {
        let mut findings: Vec<_> = self
            .mistaken
            .iter()
            .map(|(key, sequence)| Finding::Mistaken(*key, *sequence))
            .collect();
        let mut keys: Vec<_> = self.accounts.keys().copied().collect();
        keys.sort_unstable();
        let mut last: HashMap<(u8, u32), u64> = HashMap::new();
        for key in keys {
            let account = &self.accounts[&key];
            let mut places = account.taken.clone();
            places.sort_unstable();
            if let Some(twice) = places.windows(2).find(|pair| pair[0] == pair[1]) {
                findings.push(Finding::TakenTwice(key, twice[0]));
            }
            places.dedup();
            if places.len() > 1 {
                findings.push(Finding::StoredTwice(key, places.clone()));
            }
            match account.fate {
                None if places.is_empty() => {}
                None => findings.push(Finding::Stray(key)),
                Some(Fate::Kept) if places.is_empty() => {
                    findings.push(Finding::Lost(key, account.stored));
                }
                Some(Fate::Refused) if !places.is_empty() => {
                    findings.push(Finding::Refuted(key, places.clone()));
                }
                Some(_) => {}
            }
            let Some(place) = places.first().copied() else {
                continue;
            };
            if let Some(stored) = account.stored.filter(|stored| *stored != place) {
                findings.push(Finding::Misplaced(key, stored, place));
            }
            if ordered.contains(&key.node) {
                let last = last.entry((key.node, account.kind)).or_default();
                if place < *last {
                    findings.push(Finding::Disordered(key, place));
                }
                *last = place.max(*last);
            }
        }
        findings
    }

    /// Accounts for publishers of which each message must have had its fate told.
    pub(super) fn untold(&self, node: u8, count: u32) -> Vec<Finding> {
        (0..count)
            .map(|number| Key { node, number })
            .filter(|key| self.accounts.get(key).is_none_or(|a| a.fate.is_none()))
            .map(Finding::Unsettled)
            .collect()
    }
}

#[test]
fn every_way_in_which_a_message_can_go_wrong_is_found() {
    let key = |number| Key { node: 1, number };
    let mut ledger = Ledger::default();
    for number in 0..6 {
        ledger.publish(key(number), 0, Fate::Kept, Some(10 + u64::from(number)));
    }
    ledger.publish(key(6), 0, Fate::Refused, None);
    ledger.publish(key(7), 0, Fate::Unknown, None);
    ledger.publish(key(8), 0, Fate::Refused, None);
    assert_eq!(ledger.owed(), 6);
    for (number, sequence) in [
        (0, 10),
        (1, 11),
        (1, 11),
        (2, 12),
        (2, 40),
        (3, 50),
        (5, 15),
        (6, 16),
        (9, 19),
    ] {
        ledger.take(key(number), sequence);
    }
    ledger.leave(key(0), 10);
    ledger.leave(key(4), 10);
    assert_eq!(ledger.owed(), 1);
    let found = ledger.judge(&[1]);
    assert_eq!(
        found,
        [
            Finding::Mistaken(key(4), 10),
            Finding::TakenTwice(key(1), 11),
            Finding::StoredTwice(key(2), vec![12, 40]),
            Finding::Misplaced(key(3), 13, 50),
            Finding::Lost(key(4), Some(14)),
            Finding::Disordered(key(5), 15),
            Finding::Refuted(key(6), vec![16]),
            Finding::Disordered(key(6), 16),
            Finding::Stray(key(9)),
            Finding::Disordered(key(9), 19),
        ]
    );
    assert_eq!(ledger.untold(1, 10), [Finding::Unsettled(key(9))]);
    assert_eq!(ledger.count()[&(1, Fate::Kept)], 6);
}
