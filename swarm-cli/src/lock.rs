//! One process a node: a lock that names its holder and ends with it.

use std::fs::File;
use std::io::{Read, Seek, Write};

use rustix::fs::{FlockOperation, flock};

use crate::error::Error;
use crate::layout::NodeLayout;

/// Held as long as this value lives; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a node, or says who holds it.
    pub(crate) fn take(node: &NodeLayout) -> Result<Self, Error> {
        let path = node.lock();
        let fail = |source: std::io::Error| Error::File {
            path: path.clone(),
            source,
        };
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(fail(error.into()));
            }
            let mut pid = String::new();
            let mut head = (&mut file).take(16);
            head.read_to_string(&mut pid).map_err(fail)?;
            return Err(Error::Held {
                path,
                pid: pid.trim().to_owned(),
            });
        }
        file.set_len(0).map_err(fail)?;
        file.rewind().map_err(fail)?;
        writeln!(file, "{}", std::process::id()).map_err(fail)?;
        Ok(Self { _file: file })
    }
}
