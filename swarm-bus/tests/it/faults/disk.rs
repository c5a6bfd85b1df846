//! A small file system that can be filled: a tmpfs in a mount namespace of its own, which goes when
//! the process that holds it does, and that goes with the test, however it ends.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub(super) struct Disk {
    holder: Child,
    path: PathBuf,
    _directory: TempDir,
}

impl Disk {
    /// Makes a file system; `None` where this user may not.
    pub(super) fn new(megabytes: u32) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let mount = "mount -t tmpfs -o size=$1m tmpfs \"$2\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["-Urm", "sh", "-c", mount, "sh", &megabytes.to_string()])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = String::new();
        let _ = BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said);
        let inside = directory.path().strip_prefix("/").unwrap();
        let path = Path::new("/proc")
            .join(holder.id().to_string())
            .join("root")
            .join(inside);
        let disk = Self {
            holder,
            path,
            _directory: directory,
        };
        (said == "mounted\n" && std::fs::create_dir(disk.path("files")).is_ok()).then_some(disk)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes all the room that is left.
    pub(super) fn fill(&self) {
        let mut filler = std::fs::File::create(self.path("filler")).unwrap();
        for size in [1 << 20, 4096] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Says whether more than what is left of a page has no room.
    pub(super) fn is_full(&self) -> bool {
        let tried = std::fs::write(self.path("tried"), vec![0; 64 << 10]);
        let _ = std::fs::remove_file(self.path("tried"));
        tried.is_err_and(|error| error.kind() == ErrorKind::StorageFull)
    }

    pub(super) fn free(&self) {
        let _ = std::fs::remove_file(self.path("filler"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_disk_is_full_until_it_is_freed_and_goes_with_its_holder() {
    let Some(disk) = Disk::new(2) else {
        crate::rig::skip::<()>("faults::disk", "no file system may be mounted here");
        return;
    };
    let file = disk.path("files/some");
    disk.fill();
    assert!(disk.is_full());
    assert!(std::fs::write(&file, vec![0; 8192]).is_err());
    disk.free();
    assert!(!disk.is_full());
    std::fs::write(&file, vec![0; 8192]).unwrap();
    drop(disk);
    assert!(!file.exists());
}
