//! The few operations on files that a spool is made of.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A directory of files. What is written is safe after [`sync`](Self::sync), that a file is there
/// or gone after [`sync_directory`](Self::sync_directory).
pub(crate) trait Files: Send + Sync {
    fn list(&self) -> io::Result<Vec<String>>;
    fn length(&self, name: &str) -> io::Result<u64>;
    /// Reads so many bytes, fewer only at the end of the file.
    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Makes an empty file in place of any of that name.
    fn create(&self, name: &str) -> io::Result<()>;
    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;
    fn sync(&self, name: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_directory(&self) -> io::Result<()>;
}

/// A directory on disk, locked against every other process and spool.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    /// Those that are written to.
    open: Mutex<HashMap<String, Arc<File>>>,
    lock: File,
}

impl Disk {
    /// Opens a directory, made if there is none; `None` when another holds it.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        make_directory(path)?;
        let lock = options().truncate(false).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Some(Self {
            path: path.to_owned(),
            open: Mutex::default(),
            lock,
        }))
    }

    fn writable(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(name) {
            return Ok(Arc::clone(file));
        }
        let mut options = OpenOptions::new();
        let file = Arc::new(options.read(true).write(true).open(self.path.join(name))?);
        // The present segment and the cursor; one more while segments change.
        if open.len() >= 3 {
            open.retain(|name, _| name == super::cursor::FILE);
        }
        open.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn forget(&self, name: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(name);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Closing is not enough while a program that is being started still has a copy of the file.
        let _ = self.lock.unlock();
    }
}

#[cfg(unix)]
fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Payloads are nobody else's business.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl Files for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path.join(name))?.len())
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path.join(name))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(length);
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.forget(name);
        options().truncate(true).open(self.path.join(name))?;
        Ok(())
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.writable(name)?;
        let mut file = &*file;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.writable(name)?.set_len(length)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.writable(name)?.sync_data()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.forget(name);
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        match cfg!(unix) {
            true => File::open(&self.path)?.sync_all(),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_and_closed_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/spool");
        let disk = Disk::open(&path).unwrap().unwrap();
        assert!(Disk::open(&path).unwrap().is_none());
        disk.create("x").unwrap();
        disk.write("x", 0, b"abcdef").unwrap();
        disk.truncate("x", 4).unwrap();
        disk.sync("x").unwrap();
        assert_eq!(disk.read("x", 1, 10).unwrap(), b"bcd");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(&path.join("x"))), (0o700, 0o600));
        }
        disk.remove("x").unwrap();
        disk.remove("x").unwrap();
        assert_eq!(disk.list().unwrap(), ["lock"]);
        drop(disk);
        assert!(Disk::open(&path).unwrap().is_some());
    }
}
