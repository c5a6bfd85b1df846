//! What is done with the keys of one bucket.

use std::collections::BTreeMap;

use serde_json::json;
use swarm_bus::Pattern;
use swarm_bus::kv::{Bucket, Content, KvError, Update};

use super::key::Key;
use super::show::Shown;
use crate::cmd::bus::advice::Advise as _;
use crate::cmd::bus::parse_pattern;
use crate::cmd::bus::until::Bounds;
use crate::input;
use crate::report::{Failure, Output, print_bytes, print_line, table};

/// What a value is written to.
#[derive(Debug, clap::Args)]
pub(super) struct Write {
    /// The bucket
    bucket: String,
    /// The key
    key: String,
    /// The value: JSON in swarm-state, else any text; - or nothing reads standard input
    #[arg(allow_negative_numbers = true)]
    value: Option<String>,
}

/// What is removed.
#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// The bucket
    bucket: String,
    /// The key
    key: String,
    /// Only if the key is still at this revision
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
}

/// On which condition a value is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Put,
    Create,
    Update(u64),
}

/// What is done with the keys of one bucket.
pub(super) enum Work {
    List {
        keys: String,
    },
    Get {
        key: String,
        revision: Option<u64>,
        raw: bool,
    },
    Write {
        key: String,
        value: Option<String>,
        how: How,
    },
    Remove {
        key: String,
        revision: Option<u64>,
        purge: bool,
    },
    History {
        key: String,
    },
    Watch {
        keys: String,
        bounds: Bounds,
    },
}

impl Write {
    pub(super) fn put(self) -> (String, Work) {
        self.how(How::Put)
    }

    pub(super) fn create(self) -> (String, Work) {
        self.how(How::Create)
    }

    fn how(self, how: How) -> (String, Work) {
        let Self { bucket, key, value } = self;
        (bucket, Work::Write { key, value, how })
    }
}

impl Remove {
    pub(super) fn delete(self) -> (String, Work) {
        self.by(false)
    }

    pub(super) fn purge(self) -> (String, Work) {
        self.by(true)
    }

    fn by(self, purge: bool) -> (String, Work) {
        let Self {
            bucket,
            key,
            revision,
        } = self;
        let work = Work::Remove {
            key,
            revision,
            purge,
        };
        (bucket, work)
    }
}

impl Work {
    pub(super) async fn run<K: Key>(
        self,
        bucket: &Bucket<K>,
        output: Output,
    ) -> Result<(), Failure> {
        let name = bucket.name();
        match self {
            Self::List { keys } => list(bucket, &parse_pattern(&keys)?, output).await,
            Self::Get { key, revision, raw } => {
                get(bucket, &K::read(&name, &key)?, revision, raw, output).await
            }
            Self::Write { key, value, how } => {
                let key = K::read(&name, &key)?;
                let value = K::value(input::given(value)?)?;
                write(bucket, &key, &value, how, output).await
            }
            Self::Remove {
                key,
                revision,
                purge,
            } => remove(bucket, &K::read(&name, &key)?, revision, purge, output).await,
            Self::History { key } => history(bucket, &K::read(&name, &key)?, output).await,
            Self::Watch { keys, bounds } => {
                watch(bucket, &parse_pattern(&keys)?, bounds, output).await
            }
        }
    }
}

async fn list<K: Key>(bucket: &Bucket<K>, keys: &Pattern, output: Output) -> Result<(), Failure> {
    let mut watch = bucket
        .watch(K::filter(&bucket.name(), keys)?)
        .await
        .map_err(KvError::into_failure)?;
    let mut all = BTreeMap::new();
    loop {
        match watch.next().await.map_err(KvError::into_failure)? {
            Update::Entry(entry) => match &entry.content {
                Content::Value(_) => drop(all.insert(entry.key.text(), Shown::entry(&entry))),
                Content::Deleted | Content::Purged => drop(all.remove(&entry.key.text())),
            },
            Update::Vanished { key, .. } => drop(all.remove(&key.text())),
            Update::Restarted => all.clear(),
            Update::Current => break,
            update @ Update::Unreadable { .. } => {
                // under no key, and in its place at the end of the table
                let shown = Shown::update(&update);
                all.insert(format!("\u{10ffff}{}", all.len()), shown);
            }
            _ => {}
        }
    }
    let all: Vec<_> = all.into_values().collect();
    output.show(&all, || match all.as_slice() {
        [] => format!("{} has no such key", bucket.name()),
        all => {
            let rows: Vec<_> = all.iter().map(Shown::row).collect();
            table(&["key", "revision", "age", "value"], &rows)
        }
    })
}

async fn get<K: Key>(
    bucket: &Bucket<K>,
    key: &K,
    revision: Option<u64>,
    raw: bool,
    output: Output,
) -> Result<(), Failure> {
    if raw && output.is_json() {
        return Err(
            Failure::input("what --raw prints is the value, and no JSON").hint("leave --json out"),
        );
    }
    let entry = match revision {
        None => bucket.entry(key).await,
        Some(revision) => bucket.revision(key, revision).await,
    };
    let (name, text) = (bucket.name(), key.text());
    let missing = |now: &str, then: &str| match revision {
        None => Failure::failed(format!("{text} {now} in {name}"))
            .hint(format!("which there are: swarm bus kv ls {name}")),
        Some(revision) => Failure::failed(format!("revision {revision} of {name} {then} {text}"))
            .hint(format!("what is kept: swarm bus kv history {name} {text}")),
    };
    let entry = entry
        .map_err(KvError::into_failure)?
        .ok_or_else(|| missing("is not", "is none that it keeps of"))?;
    let Content::Value(value) = &entry.content else {
        return Err(missing("was deleted", "deleted"));
    };
    if raw {
        return print_bytes(&K::bytes(value));
    }
    let shown = Shown::entry(&entry);
    output.show(&shown, || {
        let row = shown.row();
        format!(
            "{:#}\n(revision {}, {} ago)",
            K::show(value),
            row[1],
            row[2]
        )
    })
}

async fn write<K: Key>(
    bucket: &Bucket<K>,
    key: &K,
    value: &K::Payload,
    how: How,
    output: Output,
) -> Result<(), Failure> {
    let written = match how {
        How::Put => bucket.put(key, value).await,
        How::Create => bucket.create(key, value).await,
        How::Update(revision) => bucket.update(key, value, revision).await,
    };
    let revision = written.map_err(KvError::into_failure)?;
    let (bucket, key) = (bucket.name(), key.text());
    let said = json!({ "bucket": bucket, "key": key, "revision": revision });
    output.show(&said, || {
        format!("{key} is at revision {revision} of {bucket}")
    })
}

async fn remove<K: Key>(
    bucket: &Bucket<K>,
    key: &K,
    revision: Option<u64>,
    purge: bool,
    output: Output,
) -> Result<(), Failure> {
    let removed = match purge {
        false => bucket.delete(key, revision).await,
        true => bucket.purge(key, revision).await,
    };
    let revision = removed.map_err(KvError::into_failure)?;
    let (bucket, key) = (bucket.name(), key.text());
    let said = json!({ "bucket": bucket, "key": key, "revision": revision });
    output.show(&said, || format!("{key} is deleted from {bucket}"))
}

async fn history<K: Key>(bucket: &Bucket<K>, key: &K, output: Output) -> Result<(), Failure> {
    let history = bucket.history(key).await.map_err(KvError::into_failure)?;
    if history.is_empty() && !output.is_json() {
        return print_line(&format!("{} has nothing of {}", bucket.name(), key.text()));
    }
    for entry in &history {
        let shown = match entry {
            Ok(entry) => Shown::entry(entry),
            Err(error) => Shown::unreadable(error),
        };
        output.item(&shown, || shown.line())?;
    }
    Ok(())
}

async fn watch<K: Key>(
    bucket: &Bucket<K>,
    keys: &Pattern,
    bounds: Bounds,
    output: Output,
) -> Result<(), Failure> {
    let mut until = bounds.begin()?;
    let mut watch = bucket
        .watch(K::filter(&bucket.name(), keys)?)
        .await
        .map_err(KvError::into_failure)?;
    while let Some(update) = until.next(watch.next()).await {
        let shown = Shown::update(&update.map_err(KvError::into_failure)?);
        output.item(&shown, || shown.line())?;
        if shown.is_entry() {
            until.note();
        }
    }
    until.end("entries")
}
