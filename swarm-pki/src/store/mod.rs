//! The authority's directory on disk: atomic, crash-safe, locked, with a hash-chained audit log.
//!
//! ```text
//! <dir>/                0700
//!   journal             every event, one line each, hash-chained: state and audit log in one
//!   head                how far the journal counts; replacing this file is the commit
//!   root-1.key          PKCS#8, plain or encrypted; absent where the root's key lives elsewhere
//!   issuing-1.key       PKCS#8; one for each generation
//!   pending-<id>.key    of an authority that a subordinate has asked for
//!   root-1.<n>.crl      the newest revocation list of each authority, PEM
//!   issuing-1.<n>.crl
//!   lock                held during a change; names the holder's process
//! ```
//!
//! Several processes may use one directory at once: every change is one short exclusive
//! transaction, and every reader sees the last committed state. Changes that several threads make
//! at once are written together. Calls block for file operations; asynchronous programs put them
//! on a blocking thread.
//!
//! # Several authorities
//!
//! The root's store issues for nodes itself, and certifies *subordinates*: stores of their own,
//! one for each hub or region, without the root's key ([`Store::init_subordinate`],
//! [`Store::sign_subordinate`], [`Store::accept_authority`]). Nodes of all of them are one swarm.

mod access;
mod adopt;
mod apply;
mod audit;
mod authorities;
mod authority_id;
mod backup;
mod change;
mod crls;
mod disk;
mod error;
mod event;
mod export;
pub(crate) mod failpoint;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod grant;
mod init;
mod inventory;
mod invite;
mod issue;
mod journal;
mod narrate;
mod policy;
mod query;
mod redeem;
mod reenroll;
mod restore;
mod revoke;
mod rollover;
mod service;
mod settings;
mod state;
mod subordinate;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

pub use access::{KeyPlace, RootAccess, RootKey};
pub use adopt::Adoption;
pub use audit::AuditEntry;
pub use authorities::AuthorityRecord;
pub use authority_id::{AuthorityId, AuthorityIdError};
pub use crls::CrlRefresh;
pub use error::Error;
pub use export::{Export, ExportFormat};
pub use grant::Grant;
pub use init::StoreSpec;
pub use invite::{InviteInfo, InviteSecret, InviteSpec};
pub use issue::Issued;
pub use policy::{AddressPrefix, PolicyFault, PrefixError, RolePolicy};
pub use query::{NodeRecord, NodeStatus};
pub use reenroll::{PendingReenrolment, Reenrolment};
pub use revoke::Target;
pub use rollover::{RolloverSpec, RolloverStatus};
pub use service::{Holder, IssuedService, ServiceGrant, ServiceRecord};
pub use settings::Settings;
pub use subordinate::{AuthorityGrant, AuthorityRequest};

use crate::{Authority, SerialNumber};
use audit::Throttle;
use change::{Queue, Transaction, lock};
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
    /// Changes that wait to be written, by one caller of this process at a time.
    queue: Mutex<Queue>,
    turn: Condvar,
}

/// What this process has read of the directory so far.
struct Memory {
    head: Head,
    state: State,
    /// The memory is ahead of the disk, or was left in the middle of a change.
    stale: bool,
    /// Issuing authorities whose keys were read.
    signers: HashMap<AuthorityId, Authority>,
    throttle: Throttle,
}

impl Store {
    /// Opens the authority in `directory`, verifying its whole journal.
    ///
    /// # Errors
    /// [`Error::NotInitialized`] when there is none; [`Error::Permissions`] when others can look
    /// into the directory; [`Error::Corrupt`] names a damaged file.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = directory.as_ref().to_path_buf();
        let journal = Journal::new(&directory);
        let (head, state) = read_whole(&directory, &journal)?;
        disk::check_private(&directory)?;
        let memory = Memory {
            head,
            state,
            stale: false,
            signers: HashMap::new(),
            throttle: Throttle::default(),
        };
        let inner = Inner {
            directory,
            journal,
            memory: Mutex::new(memory),
            queue: Mutex::default(),
            turn: Condvar::new(),
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

    /// Returns the memory, brought up to the last committed state.
    fn current(&self) -> Result<MutexGuard<'_, Memory>, Error> {
        let mut memory = lock(&self.inner.memory);
        if memory.stale {
            (memory.head, memory.state) = read_whole(self.directory(), &self.inner.journal)?;
            memory.signers.clear();
            memory.stale = false;
            return Ok(memory);
        }
        let head = self.inner.journal.head()?;
        let head = head.ok_or_else(|| Error::NotInitialized(self.directory().into()))?;
        if head != memory.head {
            let entries = self.inner.journal.entries(&memory.head, &head)?;
            memory.stale = true;
            for entry in entries {
                memory
                    .state
                    .apply(entry)
                    .map_err(|what| Error::corrupt(&self.path("journal"), what))?;
            }
            memory.head = head;
            memory.stale = false;
        }
        Ok(memory)
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.inner.directory.join(name)
    }
}

/// Reads and verifies the whole journal.
fn read_whole(directory: &Path, journal: &Journal) -> Result<(Head, State), Error> {
    let head = journal
        .head()?
        .ok_or_else(|| Error::NotInitialized(directory.to_path_buf()))?;
    let state = State::replay(journal.entries(&Head::genesis(), &head)?)
        .map_err(|what| Error::corrupt(&directory.join("journal"), what))?;
    Ok((head, state))
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
