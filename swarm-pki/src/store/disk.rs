//! Files that are there in full or not at all, and a lock that dies with its holder.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::Error;

/// How long to sleep between two tries for the lock.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// The longest file that is read in one piece, a key or a revocation list.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Makes a directory for this user alone.
pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::io("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .map_err(Error::io("set the mode of", path))
}

/// Puts `content` under `path` with mode 0600: after a crash the old file is there or the new one.
pub(super) fn write_atomic(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let temporary = path.with_file_name(name);
    // A leftover of a crash is not trusted to have the right mode.
    remove_if_there(&temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(Error::io("create", &temporary))?;
    file.write_all(content)
        .map_err(Error::io("write", &temporary))?;
    file.sync_all().map_err(Error::io("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::io("replace", path))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io("sync", path))
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(fault)),
        _ => Ok(()),
    }
}

/// Reads a whole file; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(Error::io("open", path)(fault)),
    };
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(Error::io("read", path))?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::corrupt(path, "it is too long"));
    }
    Ok(Some(content))
}

/// Reads a secret file; refuses one that others can read.
pub(super) fn read_secret(path: &Path) -> Result<zeroize::Zeroizing<String>, Error> {
    let mode = fs::metadata(path)
        .map_err(Error::io("inspect", path))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(Error::Permissions {
            path: path.to_path_buf(),
            mode: mode & 0o7777,
        });
    }
    let bytes = read(path)?.ok_or_else(|| Error::corrupt(path, "it is gone"))?;
    String::from_utf8(bytes)
        .map(zeroize::Zeroizing::new)
        .map_err(|_| Error::corrupt(path, "it is not text"))
}

/// The exclusive right to change the store; given back when dropped or when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock within `wait`.
    #[allow(
        clippy::disallowed_methods,
        reason = "the wait for another process is bounded in real time"
    )]
    pub(super) fn take(path: PathBuf, wait: Duration) -> Result<Self, Error> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let started = std::time::Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(fault) => return Err(Error::io("lock", &path)(fault.into())),
            }
            if started.elapsed() >= wait {
                let mut text = String::new();
                let _ = file.take(16).read_to_string(&mut text);
                return Err(Error::Held {
                    path,
                    pid: text.trim().parse().unwrap_or(0),
                });
            }
            std::thread::sleep(LOCK_POLL);
        }
        // The pid is for the message of others only; failing to write it harms nobody.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}
