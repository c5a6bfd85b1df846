//! The messages of one stream.

use super::config::{Discard, StorageType, StreamConfig};
use crate::{Pattern, Subject};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A message that is kept.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) subject: Subject,
    pub(super) headers: Bytes,
    pub(super) payload: Bytes,
    pub(super) at: Duration,
}

/// What was taken out, for the consumers to take note of.
pub(super) type Removed = Vec<(u64, Stored)>;

/// Messages by their numbers, and the numbers by subject.
#[derive(Debug, Default)]
pub(super) struct Store {
    messages: BTreeMap<u64, Stored>,
    subjects: BTreeMap<Subject, BTreeSet<u64>>,
    bytes: u64,
    last: u64,
    last_at: Duration,
    purged: bool,
}

/// How much room a message takes, as a server counts.
fn size(storage: StorageType, message: &Stored) -> u64 {
    let content = message.subject.as_str().len() + message.headers.len() + message.payload.len();
    let around = match (storage, message.headers.is_empty()) {
        (StorageType::Memory, _) => 16,
        (StorageType::File, true) => 30,
        (StorageType::File, false) => 34,
    };
    (content + around) as u64
}

impl Store {
    pub(super) fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of the first message; 0 before anything was stored or purged, one more than the
    /// last when all are gone.
    pub(super) fn first(&self) -> u64 {
        match self.messages.first_key_value() {
            Some((first, _)) => *first,
            None if self.last == 0 && !self.purged => 0,
            None => self.last + 1,
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn last_at(&self) -> Duration {
        self.last_at
    }

    pub(super) fn message(&self, sequence: u64) -> Option<&Stored> {
        self.messages.get(&sequence)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Stored)> {
        self.messages
            .iter()
            .map(|(sequence, stored)| (*sequence, stored))
    }

    /// Returns the first message from `start` on that a filter lets through.
    pub(super) fn next(&self, filter: Option<&Pattern>, start: u64) -> Option<(u64, &Stored)> {
        if let Some(subject) = filter.and_then(Pattern::as_subject) {
            let sequence = *self.subjects.get(&subject)?.range(start..).next()?;
            return Some((sequence, &self.messages[&sequence]));
        }
        self.messages
            .range(start..)
            .find(|(_, stored)| passes(filter, &stored.subject))
            .map(|(sequence, stored)| (*sequence, stored))
    }

    /// Returns the last message that a filter lets through.
    pub(super) fn last_of(&self, filter: Option<&Pattern>) -> Option<(u64, &Stored)> {
        let sequence = match filter {
            None => *self.messages.last_key_value()?.0,
            Some(_) => self.last_per_subject(filter).max()?,
        };
        Some((sequence, &self.messages[&sequence]))
    }

    /// Returns the numbers of the last message of each subject that a filter lets through.
    pub(super) fn last_per_subject(&self, filter: Option<&Pattern>) -> impl Iterator<Item = u64> {
        self.per_subject(filter)
            .filter_map(|(_, sequences)| sequences.last().copied())
    }

    /// Returns each subject that a filter lets through, with the numbers of its messages.
    pub(super) fn per_subject(
        &self,
        filter: Option<&Pattern>,
    ) -> impl Iterator<Item = (&Subject, &BTreeSet<u64>)> {
        self.subjects
            .iter()
            .filter(move |(subject, _)| passes(filter, subject))
    }

    /// Counts the messages from `start` on that a filter lets through.
    pub(super) fn count(&self, filter: Option<&Pattern>, start: u64) -> u64 {
        let of_subject = |sequences: &BTreeSet<u64>| sequences.range(start..).count() as u64;
        match filter {
            None => self.messages.range(start..).count() as u64,
            Some(_) => self
                .per_subject(filter)
                .map(|(_, all)| of_subject(all))
                .sum(),
        }
    }

    /// Keeps a message within the limits.
    pub(super) fn store(
        &mut self,
        config: &StreamConfig,
        message: Stored,
    ) -> Result<(u64, Removed), &'static str> {
        self.check_room(config, &message)?;
        let subject = message.subject.clone();
        self.last += 1;
        self.last_at = message.at;
        self.bytes += size(config.storage, &message);
        let of_subject = self.subjects.entry(subject.clone()).or_default();
        of_subject.insert(self.last);
        self.messages.insert(self.last, message);
        let mut removed = self.enforce_per_subject(config, Some(&subject));
        removed.append(&mut self.enforce(config));
        Ok((self.last, removed))
    }

    /// Counts a number up without a message.
    pub(super) fn skip(&mut self, now: Duration) -> u64 {
        self.last += 1;
        self.last_at = now;
        self.last
    }

    fn check_room(&self, config: &StreamConfig, message: &Stored) -> Result<(), &'static str> {
        if config.discard == Discard::Old {
            return Ok(());
        }
        let of_subject = self.subjects.get(&message.subject);
        // A message that takes the place of another of its subject.
        let replaced = of_subject
            .filter(|all| within(config.max_msgs_per_subject, all.len() as u64, 1).is_err())
            .and_then(|all| all.first());
        if replaced.is_some() && config.discard_new_per_subject {
            return Err("maximum messages per subject exceeded");
        }
        if within(config.max_msgs, self.len(), 1).is_err() && replaced.is_none() {
            return Err("maximum messages exceeded");
        }
        let content = (message.headers.len() + message.payload.len()) as u64;
        // A server refuses what would fill it to the last byte, too.
        if within(config.max_bytes, self.bytes, content + 1).is_err() {
            let freed = replaced.map_or(0, |first| size(config.storage, &self.messages[first]));
            if freed <= content {
                return Err("maximum bytes exceeded");
            }
        }
        Ok(())
    }

    /// Takes out what is beyond the limit of each subject, or of one.
    pub(super) fn enforce_per_subject(
        &mut self,
        config: &StreamConfig,
        subject: Option<&Subject>,
    ) -> Removed {
        let Some(max) = usize::try_from(config.max_msgs_per_subject)
            .ok()
            .filter(|max| *max > 0)
        else {
            return Vec::new();
        };
        // In a file one makes room for one, though a limit that came later may want more.
        let most = match (subject, config.storage) {
            (Some(_), StorageType::File) => 1,
            _ => usize::MAX,
        };
        let concerned = self.subjects.iter();
        let concerned = concerned.filter(|(of, _)| subject.is_none_or(|subject| subject == *of));
        let beyond: Vec<u64> = concerned
            .flat_map(|(_, all)| all.iter().take(all.len().saturating_sub(max)).copied())
            .take(most)
            .collect();
        let storage = config.storage;
        beyond
            .into_iter()
            .filter_map(|sequence| self.remove(storage, sequence))
            .collect()
    }

    /// Takes out what is beyond the limits of the whole.
    pub(super) fn enforce(&mut self, config: &StreamConfig) -> Removed {
        let mut removed = Vec::new();
        while within(config.max_msgs, self.len(), 0).is_err()
            || within(config.max_bytes, self.bytes, 0).is_err()
        {
            match self.remove(config.storage, self.first()) {
                Some(first) => removed.push(first),
                None => break,
            }
        }
        removed
    }

    /// Takes out what is too old.
    pub(super) fn expire(&mut self, config: &StreamConfig, now: Duration) -> Removed {
        let mut removed = Vec::new();
        while self.expires(config).is_some_and(|at| at <= now) {
            removed.extend(self.remove(config.storage, self.first()));
        }
        removed
    }

    /// Returns when the first message becomes too old.
    pub(super) fn expires(&self, config: &StreamConfig) -> Option<Duration> {
        let max_age = Duration::from_nanos(config.max_age.max(0).unsigned_abs());
        let (_, first) = self.messages.first_key_value()?;
        (!max_age.is_zero()).then(|| first.at.saturating_add(max_age))
    }

    /// Takes note of a purge, which counts even where nothing was there.
    pub(super) fn note_purge(&mut self) {
        self.purged = true;
    }

    /// Takes one message out.
    pub(super) fn remove(&mut self, storage: StorageType, sequence: u64) -> Option<(u64, Stored)> {
        let stored = self.messages.remove(&sequence)?;
        self.bytes -= size(storage, &stored);
        if let Some(all) = self.subjects.get_mut(&stored.subject) {
            all.remove(&sequence);
            if all.is_empty() {
                self.subjects.remove(&stored.subject);
            }
        }
        Some((sequence, stored))
    }
}

/// Says whether a filter lets a subject through.
pub(super) fn passes(filter: Option<&Pattern>, subject: &Subject) -> bool {
    filter.is_none_or(|filter| filter.matches(subject))
}

/// Says whether more fits within a limit; one that is not above zero is none.
fn within(limit: i64, present: u64, more: u64) -> Result<(), ()> {
    match u64::try_from(limit) {
        Ok(limit) if limit > 0 && present + more > limit => Err(()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(subject: &'static str, payload: &'static str) -> Stored {
        Stored {
            subject: Subject::from_static(subject),
            headers: Bytes::new(),
            payload: Bytes::from_static(payload.as_bytes()),
            at: Duration::ZERO,
        }
    }

    fn kept(store: &Store) -> Vec<u64> {
        store.iter().map(|(sequence, _)| sequence).collect()
    }

    #[test]
    fn each_limit_takes_the_oldest_or_refuses_the_newest() {
        let mut config = StreamConfig {
            max_msgs: 3,
            max_msgs_per_subject: 2,
            ..StreamConfig::default()
        };
        let mut store = Store::default();
        assert_eq!((store.first(), store.last()), (0, 0));
        for subject in ["a", "b", "a", "a"] {
            store.store(&config, stored(subject, "x")).unwrap();
        }
        assert_eq!(kept(&store), [2, 3, 4], "the first of a gave way");
        store.store(&config, stored("c", "x")).unwrap();
        assert_eq!(kept(&store), [3, 4, 5], "the first of all gave way");
        config.discard = Discard::New;
        let full = store.store(&config, stored("d", "x"));
        assert_eq!(full.unwrap_err(), "maximum messages exceeded");
        store.store(&config, stored("a", "x")).unwrap();
        assert_eq!(kept(&store), [4, 5, 6], "one of its own gave way");
        config.discard_new_per_subject = true;
        let full = store.store(&config, stored("a", "x"));
        assert_eq!(full.unwrap_err(), "maximum messages per subject exceeded");
        config.max_bytes = i64::try_from(store.bytes()).unwrap();
        config.max_msgs = -1;
        let full = store.store(&config, stored("d", ""));
        assert_eq!(full.unwrap_err(), "maximum bytes exceeded");
        for sequence in 4..=6 {
            store.remove(config.storage, sequence).unwrap();
        }
        assert_eq!((store.len(), store.bytes()), (0, 0));
        assert_eq!((store.first(), store.last()), (7, 6));
    }

    #[test]
    fn messages_are_found_by_filter() {
        let config = StreamConfig::default();
        let mut store = Store::default();
        for subject in ["a.x", "b.x", "a.y", "a.x"] {
            store.store(&config, stored(subject, "")).unwrap();
        }
        let found = |filter: &'static str, start| {
            let filter = Pattern::from_static(filter);
            let next = store
                .next(Some(&filter), start)
                .map(|(sequence, _)| sequence);
            let last = store.last_of(Some(&filter)).map(|(sequence, _)| sequence);
            (next, last, store.count(Some(&filter), start))
        };
        assert_eq!(found("a.*", 2), (Some(3), Some(4), 2));
        assert_eq!(found("a.x", 2), (Some(4), Some(4), 1));
        assert_eq!(found("b.>", 3), (None, Some(2), 0));
        assert_eq!(found("c", 1), (None, None, 0));
        let mut last: Vec<_> = store.last_per_subject(None).collect();
        last.sort_unstable();
        assert_eq!(last, [2, 3, 4]);
    }
}
