//! The append-only log that is both the store's state and its audit trail.
//!
//! One line an event: `<hash> <json>`, where `hash = SHA-256(previous hash ‖ json)`. The file
//! `head` says how many lines and bytes count and what the last hash is; replacing it is the
//! commit. What lies behind the head is a transaction that a crash cut off before it counted.
//!
//! Nothing is ever compacted: what the log is good for is that nobody can take something out of
//! it, and a shorter log would have to be believed. A certificate costs some 1.3 kB of it (64
//! bytes of hash, a certificate of 600 to 700 bytes in base64, the grant), a revocation 0.4 kB: a
//! thousand nodes that renew every ten days write 50 MB a year.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::Entry;
use super::{Error, disk};

const VERSION: u32 = 1;
/// What the first line is chained to.
const GENESIS: &[u8] = b"swarm-pki journal 1";

/// The fewest lines that are worth a thread of their own.
const LINES_PER_THREAD: usize = 2_000;

/// Up to where the journal counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    version: u32,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    #[serde(with = "hex::serde")]
    hash: [u8; 32],
}

impl Head {
    pub(super) fn genesis() -> Self {
        Self {
            version: VERSION,
            entries: 0,
            bytes: 0,
            hash: Sha256::digest(GENESIS).into(),
        }
    }

    pub(super) fn parse(content: &[u8], path: &Path) -> Result<Self, Error> {
        let head: Head = serde_json::from_slice(content)
            .map_err(|fault| Error::corrupt(path, fault.to_string()))?;
        if head.version != VERSION {
            return Err(Error::UnsupportedVersion(head.version));
        }
        Ok(head)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a head is plain data")
    }

    /// Returns the hash of the last entry, in hexadecimal.
    pub(super) fn hash(&self) -> String {
        hex::encode(self.hash)
    }
}

/// Lines that are written together.
#[derive(Debug)]
pub(super) struct Batch {
    head: Head,
    text: Vec<u8>,
}

impl Batch {
    /// Begins behind `head`.
    pub(super) fn after(head: &Head) -> Self {
        Self {
            head: head.clone(),
            text: Vec::new(),
        }
    }

    /// Begins with a whole journal as it was written before.
    pub(super) fn verbatim(text: &[u8], head: &Head) -> Self {
        Self {
            head: head.clone(),
            text: text.to_vec(),
        }
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.head.entries + 1
    }

    #[cfg(feature = "testing")]
    pub(super) fn into_parts(self) -> (Vec<u8>, Head) {
        (self.text, self.head)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn push(&mut self, entry: &Entry) {
        let json = serde_json::to_vec(entry).expect("entries are plain data");
        let hash = chain(&self.head.hash, &json);
        let before = self.text.len();
        self.text.extend_from_slice(hex::encode(hash).as_bytes());
        self.text.push(b' ');
        self.text.extend_from_slice(&json);
        self.text.push(b'\n');
        self.head.hash = hash;
        self.head.entries += 1;
        self.head.bytes += (self.text.len() - before) as u64;
    }
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    head_path: PathBuf,
}

impl Journal {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            path: directory.join("journal"),
            head_path: directory.join("head"),
        }
    }

    /// Reads the head; `None` when there is no store.
    pub(super) fn head(&self) -> Result<Option<Head>, Error> {
        let Some(content) = disk::read(&self.head_path)? else {
            return if self.path.exists() {
                Err(Error::corrupt(
                    &self.head_path,
                    "it is gone, and the journal is not",
                ))
            } else {
                Ok(None)
            };
        };
        Head::parse(&content, &self.head_path).map(Some)
    }

    /// Reads and verifies the entries between two heads.
    pub(super) fn entries(&self, from: &Head, to: &Head) -> Result<Vec<Entry>, Error> {
        let text = self.text(from, to)?;
        read_entries(&text, from, to).map_err(|what| Error::corrupt(&self.path, what))
    }

    /// Reads the bytes between two heads.
    pub(super) fn text(&self, from: &Head, to: &Head) -> Result<Vec<u8>, Error> {
        if to.bytes < from.bytes || to.entries < from.entries {
            return Err(Error::corrupt(&self.head_path, "it went back"));
        }
        let mut text = Vec::new();
        let mut file = File::open(&self.path).map_err(Error::io("open", &self.path))?;
        file.seek(SeekFrom::Start(from.bytes))
            .and_then(|_| file.take(to.bytes - from.bytes).read_to_end(&mut text))
            .map_err(Error::io("read", &self.path))?;
        if (text.len() as u64) < to.bytes - from.bytes {
            return Err(Error::corrupt(
                &self.path,
                "it is shorter than the head says",
            ));
        }
        Ok(text)
    }

    /// Appends a batch that begins behind `head`, and commits it. The caller holds the lock.
    pub(super) fn append(&self, head: &Head, batch: &Batch) -> Result<Head, Error> {
        disk::write_at(&self.path, head.bytes, &batch.text)?;
        disk::write_atomic(&self.head_path, &batch.head.to_json())?;
        Ok(batch.head.clone())
    }
}

/// Verifies and parses lines. Every line states its own hash, so parts of a long journal are
/// verified side by side.
pub(super) fn read_entries(text: &[u8], from: &Head, to: &Head) -> Result<Vec<Entry>, String> {
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (lines.len() / LINES_PER_THREAD).clamp(1, processors.min(16));
    let size = lines.len().div_ceil(threads).max(1);
    let parts: Vec<Result<Vec<Entry>, String>> = std::thread::scope(|scope| {
        let lines = &lines;
        let workers: Vec<_> = (0..lines.len())
            .step_by(size)
            .map(|start| {
                let part = move || {
                    let before = match start {
                        0 => Some(from.hash),
                        _ => written_hash(lines[start - 1]),
                    };
                    let number = from.entries + start as u64 + 1;
                    read_part(&lines[start..lines.len().min(start + size)], before, number)
                };
                (threads > 1)
                    .then(|| scope.spawn(part))
                    .map_or_else(|| Err(part()), Ok)
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| match worker {
                Ok(handle) => handle
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(done) => done,
            })
            .collect()
    });
    let mut entries = Vec::with_capacity(lines.len());
    for part in parts {
        entries.extend(part?);
    }
    let last = lines
        .last()
        .map_or(Some(from.hash), |line| written_hash(line));
    if last != Some(to.hash) || from.entries + entries.len() as u64 != to.entries {
        return Err("its end is not the one that the head names".into());
    }
    Ok(entries)
}

fn read_part(lines: &[&[u8]], before: Option<[u8; 32]>, first: u64) -> Result<Vec<Entry>, String> {
    // Without the hash before it, the part before this one fails and is the one that is named.
    let mut hash = before.unwrap_or_default();
    let mut entries = Vec::with_capacity(lines.len());
    for (number, line) in (first..).zip(lines) {
        let entry = read_line(line, &mut hash).map_err(|what| format!("line {number}: {what}"))?;
        if entry.sequence != number {
            return Err(format!("line {number}: its number is {}", entry.sequence));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn chain(previous: &[u8; 32], json: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(previous)
        .chain_update(json)
        .finalize()
        .into()
}

/// Reads the hash that a line states.
fn written_hash(line: &[u8]) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(line.get(..64)?, &mut hash).ok()?;
    Some(hash)
}

fn read_line(line: &[u8], hash: &mut [u8; 32]) -> Result<Entry, String> {
    let line = line.strip_suffix(b"\n").ok_or("it is cut off")?;
    let (written, json) = match (line.get(..64), line.get(64), line.get(65..)) {
        (Some(written), Some(b' '), Some(json)) => (written, json),
        _ => return Err("it is not an entry".into()),
    };
    *hash = chain(hash, json);
    if written != hex::encode(*hash).as_bytes() {
        return Err("its hash does not fit".into());
    }
    serde_json::from_slice(json).map_err(|fault| fault.to_string())
}
