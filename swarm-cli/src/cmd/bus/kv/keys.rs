//! What is done with the keys of one bucket.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use serde_json::json;
use swarm_bus::Pattern;
use swarm_bus::kv::{Bucket, Content, KvError, Update};

use super::key::Key;
use super::show::Shown;
use crate::cmd::bus::advice::Advise as _;
use crate::report::{Failure, Output, chain, print_line, table};

/// The most that a value read from standard input may have: what any server takes in one message.
const LONGEST: u64 = 64 << 20;

/// What a value is written to.
#[derive(Debug, clap::Args)]
pub(super) struct Write {
    /// The bucket
    bucket: String,
    /// The key
    key: String,
    /// The value: JSON in swarm-state, else any text; - or nothing reads standard input
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
        count: Option<usize>,
        time: Option<Duration>,
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
            Self::List { keys } => list(bucket, &pattern(&keys)?, output).await,
            Self::Get { key, raw } => get(bucket, &K::read(&name, &key)?, raw, output).await,
            Self::Write { key, value, how } => {
                let key = K::read(&name, &key)?;
                let value = K::value(read(value)?)?;
                write(bucket, &key, &value, how, output).await
            }
            Self::Remove {
                key,
                revision,
                purge,
            } => remove(bucket, &K::read(&name, &key)?, revision, purge, output).await,
            Self::History { key } => history(bucket, &K::read(&name, &key)?, output).await,
            Self::Watch { keys, count, time } => {
                watch(bucket, &pattern(&keys)?, count, time, output).await
            }
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, Failure> {
    Pattern::parse(text).map_err(|error| Failure::input(format!("{text}: {}", chain(&error))))
}

/// A value from the command line or from standard input.
fn read(value: Option<String>) -> Result<Vec<u8>, Failure> {
    if let Some(value) = value.filter(|value| value != "-") {
        return Ok(value.into_bytes());
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::input(format!("cannot read standard input: {error}")))?;
    match bytes.len() as u64 > LONGEST {
        true => Err(Failure::input(format!(
            "standard input is longer than {LONGEST} bytes"
        ))),
        false => Ok(bytes),
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
    raw: bool,
    output: Output,
) -> Result<(), Failure> {
    let entry = bucket.entry(key).await.map_err(KvError::into_failure)?;
    let missing = |how: &str| {
        Failure::failed(format!("{} {how} in {}", key.text(), bucket.name())).hint(format!(
            "which there are: swarm bus kv ls {}",
            bucket.name()
        ))
    };
    let entry = entry.ok_or_else(|| missing("is not"))?;
    let Content::Value(value) = &entry.content else {
        return Err(missing("was deleted"));
    };
    if raw {
        let mut to = std::io::stdout().lock();
        let printed = to.write_all(&K::bytes(value)).and_then(|()| to.flush());
        return match printed {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("cannot print: {error}")))
            }
            _ => Ok(()),
        };
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
    count: Option<usize>,
    time: Option<Duration>,
    output: Output,
) -> Result<(), Failure> {
    let mut watch = bucket
        .watch(K::filter(&bucket.name(), keys)?)
        .await
        .map_err(KvError::into_failure)?;
    let time_is_up = crate::cmd::bus::after(time);
    tokio::pin!(time_is_up);
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        tokio::select! {
            update = watch.next() => {
                let shown = Shown::update(&update.map_err(KvError::into_failure)?);
                output.item(&shown, || shown.line())?;
                seen += usize::from(shown.is_entry());
            }
            () = &mut time_is_up => return match (count, time) {
                (Some(count), Some(time)) => Err(Failure::failed(format!(
                    "{seen} of {count} entries came within {}",
                    humantime::format_duration(time)
                ))),
                _ => Ok(()),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    Ok(())
}
