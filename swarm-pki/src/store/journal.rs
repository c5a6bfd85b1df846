//! The append-only log that is both the store's state and its audit trail.
//!
//! One line a transaction: `<hash> <json>`, where `hash = SHA-256(previous hash ‖ json)`. The file
//! `head` says how many lines and bytes count and what the last hash is; replacing it is the
//! commit. What lies behind the head is a transaction that a crash cut off before it counted.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::Entry;
use super::{Error, disk};

const VERSION: u32 = 1;
/// What the first line is chained to.
const GENESIS: &[u8] = b"swarm-pki journal 1";

/// Up to where the journal counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    version: u32,
    pub(super) entries: u64,
    bytes: u64,
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

    /// Returns the hash of the last entry, in hexadecimal.
    pub(super) fn hash(&self) -> String {
        hex::encode(self.hash)
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
        let head: Head = serde_json::from_slice(&content)
            .map_err(|fault| Error::corrupt(&self.head_path, fault.to_string()))?;
        if head.version != VERSION {
            return Err(Error::UnsupportedVersion(head.version));
        }
        Ok(Some(head))
    }

    /// Reads and verifies the entries between two heads.
    pub(super) fn entries(&self, from: &Head, to: &Head) -> Result<Vec<Entry>, Error> {
        if to.bytes < from.bytes || to.entries < from.entries {
            return Err(Error::corrupt(&self.head_path, "it went back"));
        }
        let mut text = Vec::new();
        let mut file = std::fs::File::open(&self.path).map_err(Error::io("open", &self.path))?;
        file.seek(SeekFrom::Start(from.bytes))
            .and_then(|_| file.take(to.bytes - from.bytes).read_to_end(&mut text))
            .map_err(Error::io("read", &self.path))?;
        if (text.len() as u64) < to.bytes - from.bytes {
            return Err(Error::corrupt(
                &self.path,
                "it is shorter than the head says",
            ));
        }
        let mut hash = from.hash;
        let mut entries = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let number = from.entries + entries.len() as u64 + 1;
            let entry = read_line(line, &mut hash)
                .map_err(|what| Error::corrupt(&self.path, format!("line {number}: {what}")))?;
            if entry.sequence != number {
                return Err(Error::corrupt(
                    &self.path,
                    format!("line {number}: its number is {}", entry.sequence),
                ));
            }
            entries.push(entry);
        }
        if hash != to.hash || from.entries + entries.len() as u64 != to.entries {
            return Err(Error::corrupt(
                &self.path,
                "its end is not the one that the head names",
            ));
        }
        Ok(entries)
    }

    /// Appends one entry behind `head` and commits it. The caller holds the lock.
    pub(super) fn append(&self, head: &Head, entry: &Entry) -> Result<Head, Error> {
        let json = serde_json::to_vec(entry).expect("entries are plain data");
        let hash = chain(&head.hash, &json);
        let mut line = hex::encode(hash).into_bytes();
        line.push(b' ');
        line.extend_from_slice(&json);
        line.push(b'\n');
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .map_err(Error::io("open", &self.path))?;
        let length = file
            .metadata()
            .map_err(Error::io("inspect", &self.path))?
            .len();
        if length < head.bytes {
            return Err(Error::corrupt(
                &self.path,
                "it is shorter than the head says",
            ));
        }
        file.set_len(head.bytes)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .and_then(|_| file.write_all(&line))
            .and_then(|()| file.sync_all())
            .map_err(Error::io("append to", &self.path))?;
        let head = Head {
            version: VERSION,
            entries: head.entries + 1,
            bytes: head.bytes + line.len() as u64,
            hash,
        };
        let content = serde_json::to_vec(&head).expect("a head is plain data");
        disk::write_atomic(&self.head_path, &content)?;
        Ok(head)
    }
}

fn chain(previous: &[u8; 32], json: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(previous)
        .chain_update(json)
        .finalize()
        .into()
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
