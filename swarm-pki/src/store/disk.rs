//! Files that are there in full or not at all, and a lock that dies with its holder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use super::Error;
use super::failpoint::{self, Interruption};

/// How long to sleep between two tries for the lock.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// The longest file that is read in one piece, a key or a revocation list.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Makes a directory for this user alone.
pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    step().map_err(Error::io("create", path))?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::io("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .map_err(Error::io("set the mode of", path))
}

/// Refuses a directory that others can look into.
pub(super) fn check_private(path: &Path) -> Result<(), Error> {
    check_mode(path, 0o700)
}

/// Puts `content` under `path` with mode 0600: after a crash the old file is there or the new one.
pub(super) fn write_atomic(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let temporary = path.with_file_name(name);
    // A leftover of a crash is not trusted to have the right mode.
    remove_if_there(&temporary)?;
    create(&temporary, content)?;
    rename(&temporary, path)?;
    sync_parent(path)
}

/// Writes a new file outside the store, with mode 0600 where the file system knows modes.
pub(super) fn write_new(path: &Path, content: &[u8]) -> Result<(), Error> {
    match create(path, content) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::NotEmpty(path.to_path_buf()));
        }
        Err(fault) => {
            // Half a file is of no use, and in the way of the next try.
            let _ = fs::remove_file(path);
            return Err(fault);
        }
        Ok(()) => {}
    }
    sync_parent(path)
}

fn create(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("create", path))?;
    write_all(&mut file, content).map_err(Error::io("write", path))?;
    sync(&file).map_err(Error::io("sync", path))
}

/// Writes `content` at `offset`, cutting off whatever is there, and syncs.
pub(super) fn write_at(path: &Path, offset: u64, content: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("inspect", path))?.len();
    if length < offset {
        return Err(Error::corrupt(path, "it is shorter than the head says"));
    }
    if length > offset {
        step()
            .and_then(|()| file.set_len(offset))
            .map_err(Error::io("cut", path))?;
    }
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| write_all(&mut file, content))
        .and_then(|()| sync(&file))
        .map_err(Error::io("append to", path))
}

/// Moves a file or directory to its place.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    step()
        .and_then(|()| fs::rename(from, to))
        .map_err(Error::io("replace", to))
}

pub(super) fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| sync(&directory))
        .map_err(Error::io("sync", parent))
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(()),
        Err(fault) => Err(Error::io("inspect", path)(fault)),
        Ok(_) => step()
            .and_then(|()| fs::remove_file(path))
            .map_err(Error::io("remove", path)),
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
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, Error> {
    check_mode(path, 0o600)?;
    read_text(path)
}

/// Reads a text file that may be secret.
pub(super) fn read_text(path: &Path) -> Result<Zeroizing<String>, Error> {
    let bytes = read(path)?.ok_or_else(|| {
        let gone = io::Error::from(ErrorKind::NotFound);
        Error::io("open", path)(gone)
    })?;
    String::from_utf8(bytes)
        .map(Zeroizing::new)
        .map_err(|_| Error::corrupt(path, "it is not text"))
}

fn check_mode(path: &Path, needed: u32) -> Result<(), Error> {
    let mode = fs::metadata(path)
        .map_err(Error::io("inspect", path))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(Error::Permissions {
            path: path.to_path_buf(),
            mode: mode & 0o7777,
            needed,
        });
    }
    Ok(())
}

fn write_all(file: &mut File, content: &[u8]) -> io::Result<()> {
    match failpoint::hit() {
        None => file.write_all(content),
        Some(how) => {
            file.write_all(&content[..content.len() / 2])?;
            file.sync_all()?;
            Err(interrupted(how))
        }
    }
}

fn sync(file: &File) -> io::Result<()> {
    step()?;
    file.sync_all()
}

/// Counts one file operation.
fn step() -> io::Result<()> {
    failpoint::hit().map_or(Ok(()), |how| Err(interrupted(how)))
}

fn interrupted(how: Interruption) -> io::Error {
    match how {
        Interruption::Abort => std::process::abort(),
        Interruption::Fail => io::Error::from(ErrorKind::StorageFull),
    }
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
