//! Entries of a bucket as they are shown.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;
use swarm_bus::kv::{Content, Entry, KvError, Update};

use super::key::Key;
use crate::report::chain;

/// An entry, or a word about entries, as a line or a JSON object.
#[derive(Debug, Default, Serialize)]
pub(super) struct Shown {
    /// `put`, `del` or `purge`; in a watch also `current`, `missed`, `vanished`, `restarted` and
    /// `unreadable`.
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// RFC 3339 in UTC, by the server's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_milliseconds: Option<u128>,
    /// `null` is a value, so it is there only with `put`.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Shown {
    pub(super) fn entry<K: Key>(entry: &Entry<K>) -> Self {
        let (operation, value) = match &entry.content {
            Content::Value(value) => ("put", Some(K::show(value))),
            Content::Deleted => ("del", None),
            Content::Purged => ("purge", None),
        };
        Self {
            operation,
            key: Some(entry.key.text()),
            revision: Some(entry.revision),
            time: Some(humantime::format_rfc3339_millis(entry.time).to_string()),
            age_milliseconds: Some(entry.age_at(SystemTime::now()).as_millis()),
            value,
            error: None,
        }
    }

    pub(super) fn unreadable(error: &KvError) -> Self {
        let revision = match error {
            KvError::Unreadable { revision, .. } => Some(*revision),
            _ => None,
        };
        Self {
            operation: "unreadable",
            revision,
            error: Some(chain(error)),
            ..Self::default()
        }
    }

    pub(super) fn update<K: Key>(update: &Update<K>) -> Self {
        let word = |operation| Self {
            operation,
            ..Self::default()
        };
        match update {
            Update::Entry(entry) => Self::entry(entry),
            Update::Unreadable { revision, error } => Self {
                revision: Some(*revision),
                error: Some(chain(error)),
                ..word("unreadable")
            },
            Update::Current => word("current"),
            Update::Missed { after, before } => Self {
                error: Some(format!(
                    "the bucket does not hold the revisions between {after} and {before} any more"
                )),
                ..word("missed")
            },
            Update::Vanished { key, revision } => Self {
                key: Some(key.text()),
                revision: Some(*revision),
                ..word("vanished")
            },
            Update::Restarted => word("restarted"),
            _ => word("unknown"),
        }
    }

    /// Whether it is an entry, and not a word about entries.
    pub(super) fn is_entry(&self) -> bool {
        matches!(self.operation, "put" | "del" | "purge" | "unreadable")
    }

    pub(super) fn line(&self) -> String {
        let said = match (&self.value, &self.error) {
            (Some(value), _) => value.to_string(),
            (None, Some(error)) => format!("! {error}"),
            (None, None) => match self.operation {
                "current" => return "-- that is the present state; changes follow".to_owned(),
                "restarted" => {
                    return "-- the bucket is another one now; its state follows".to_owned();
                }
                "del" => "deleted".to_owned(),
                "purge" => "deleted with its history".to_owned(),
                "vanished" => "not in the bucket any more".to_owned(),
                other => other.to_owned(),
            },
        };
        let key = self.key.as_deref().unwrap_or("-");
        let revision = self
            .revision
            .map(|revision| format!("  @{revision}"))
            .unwrap_or_default();
        let age = self
            .age_milliseconds
            .map(|age| format!("  {} ago", spoken(age)))
            .unwrap_or_default();
        format!("{key}{revision}{age}  {said}")
    }

    /// As a row of a table: key, revision, age, value.
    pub(super) fn row(&self) -> Vec<String> {
        let age = self.age_milliseconds.map(spoken);
        let value = match (&self.value, &self.error) {
            (Some(value), _) => short(&value.to_string()),
            (None, Some(error)) => format!("! {error}"),
            (None, None) => self.operation.to_owned(),
        };
        vec![
            self.key.clone().unwrap_or_else(|| "-".to_owned()),
            self.revision.map_or("-".to_owned(), |r| r.to_string()),
            age.unwrap_or_else(|| "-".to_owned()),
            value,
        ]
    }
}

/// In whole seconds from the first one on.
fn spoken(milliseconds: u128) -> String {
    let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
    let age = match milliseconds {
        0..1000 => Duration::from_millis(milliseconds),
        more => Duration::from_secs(more / 1000),
    };
    humantime::format_duration(age).to_string()
}

/// A table stays readable: a long value is cut, `get` shows all of it.
fn short(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
