//! The authority's directory on disk: atomic, crash-safe, locked, with a hash-chained audit log.
//!
//! ```text
//! <dir>/            0700
//!   journal         every transaction, one line each, hash-chained: state and audit log in one
//!   head            how far the journal counts; replacing this file is the commit
//!   root.key        PKCS#8, plain or encrypted
//!   issuing-1.key   PKCS#8; one for each generation
//!   root.<n>.crl    the newest revocation list of each authority, PEM
//!   issuing-1.<n>.crl
//!   lock            held during a change; names the holder's process
//! ```
//!
//! Several processes may use one directory at once: every change is one short exclusive
//! transaction, and every reader sees the last committed state. Calls block for file operations;
//! asynchronous programs put them on a blocking thread.

mod audit;
mod authorities;
mod disk;
mod error;
mod event;
mod grant;
mod invite;
mod issue;
mod journal;
mod query;
mod redeem;
mod revoke;
mod state;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use audit::AuditEntry;
pub use authorities::StoreSpec;
pub use error::Error;
pub use grant::{Grant, Settings};
pub use invite::{InviteInfo, InviteSecret, InviteSpec};
pub use issue::Issued;
pub use query::{NodeRecord, NodeStatus};
pub use revoke::{CrlRefresh, Target};

use crate::{Authority, SerialNumber, Timestamp};
use audit::Throttle;
use event::{Entry, Event};
use journal::{Head, Journal};
use state::State;

/// How long a change waits for another process by default.
pub const DEFAULT_LOCK_WAIT: Duration = Duration::from_secs(5);

/// An authority on disk. Cheap to clone; clones share their memory of the directory.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    lock_wait: Duration,
}

struct Inner {
    directory: PathBuf,
    journal: Journal,
    memory: Mutex<Memory>,
}

/// What this process has read of the directory so far.
struct Memory {
    head: Head,
    state: State,
    /// Signing authorities whose keys were read, by generation.
    authorities: HashMap<u32, Authority>,
    throttle: Throttle,
}

/// An open transaction: the lock is held, the memory is up to date.
struct Transaction<'a> {
    store: &'a Store,
    memory: MutexGuard<'a, Memory>,
    _lock: disk::Lock,
}

impl Store {
    /// Opens the authority in `directory`, verifying its whole journal.
    ///
    /// # Errors
    /// [`Error::NotInitialized`] when there is none; [`Error::Corrupt`] names a damaged file.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = directory.as_ref().to_path_buf();
        let journal = Journal::new(&directory);
        let head = journal
            .head()?
            .ok_or_else(|| Error::NotInitialized(directory.clone()))?;
        let state = State::replay(journal.entries(&Head::genesis(), &head)?)
            .map_err(|what| Error::corrupt(&directory.join("journal"), what))?;
        let memory = Memory {
            head,
            state,
            authorities: HashMap::new(),
            throttle: Throttle::default(),
        };
        let inner = Inner {
            directory,
            journal,
            memory: Mutex::new(memory),
        };
        Ok(Self {
            inner: Arc::new(inner),
            lock_wait: DEFAULT_LOCK_WAIT,
        })
    }

    /// Sets how long a change waits for another process before it fails with [`Error::Held`].
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Returns a number that grows with every change; cheap to poll.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] when the directory is damaged.
    pub fn generation(&self) -> Result<u64, Error> {
        let head = self.inner.journal.head()?;
        head.map(|head| head.entries)
            .ok_or_else(|| Error::NotInitialized(self.directory().into()))
    }

    /// Takes the lock and brings the memory up to date.
    fn begin(&self) -> Result<Transaction<'_>, Error> {
        let lock = disk::Lock::take(self.inner.directory.join("lock"), self.lock_wait)?;
        let memory = self.current()?;
        Ok(Transaction {
            store: self,
            memory,
            _lock: lock,
        })
    }

    /// Returns the memory, brought up to the last committed state.
    fn current(&self) -> Result<MutexGuard<'_, Memory>, Error> {
        let mut memory = self
            .inner
            .memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let head = self.inner.journal.head()?;
        let head = head.ok_or_else(|| Error::NotInitialized(self.directory().into()))?;
        if head != memory.head {
            let entries = self.inner.journal.entries(&memory.head, &head)?;
            for entry in entries {
                memory
                    .state
                    .apply(entry)
                    .map_err(|what| Error::corrupt(&self.path("journal"), what))?;
            }
            memory.head = head;
        }
        Ok(memory)
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.inner.directory.join(name)
    }
}

impl Transaction<'_> {
    fn state(&self) -> &State {
        &self.memory.state
    }

    /// Writes one event and makes it count.
    fn commit(&mut self, event: Event, requester: &str, now: Timestamp) -> Result<(), Error> {
        let entry = Entry {
            sequence: self.memory.head.entries + 1,
            at: now,
            requester: short(requester),
            event,
        };
        let head = self.store.inner.journal.append(&self.memory.head, &entry)?;
        self.memory
            .state
            .apply(entry)
            .map_err(|what| Error::corrupt(&self.store.path("journal"), what))?;
        self.memory.head = head;
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("directory", &self.directory())
            .finish_non_exhaustive()
    }
}

/// Cuts a text from outside to what the log takes.
fn short(text: &str) -> String {
    text.chars().take(256).collect()
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Randomness)?;
    Ok(bytes)
}

fn random_serial() -> Result<SerialNumber, Error> {
    Ok(SerialNumber::from_random(random()?))
}
