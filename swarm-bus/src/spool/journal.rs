//! The files of a spool: appending, the cursor, removal. All durable when a call returns; no clock.

use super::cursor::{self, Cursor};
use super::error::OpenError;
use super::files::Files;
use super::ledger::{Extent, Ledger};
use super::recovery::{Opened, Recovery, recover};
use super::segment::{HEADER, Header, SpoolId, file_name};
use std::io;
use std::sync::Arc;

/// Writes a spool's files. There is one for a directory.
pub(super) struct Journal {
    files: Arc<dyn Files>,
    segment_bytes: u64,
    cursor: Cursor,
    cursor_exists: bool,
    active: Option<Active>,
    /// The number after the last one on disk.
    after: u64,
    /// A segment with something behind its end that must not stay.
    repair: Option<Active>,
}

#[derive(Debug, Clone, Copy)]
struct Active {
    first: u64,
    length: u64,
}

/// Records that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// The number of the first.
    pub(super) first: u64,
    /// When each was put, milliseconds since 1970.
    pub(super) times: Vec<u64>,
}

impl Journal {
    /// Opens a spool; `fresh` is its id if there is none yet. Returns the number of the next message
    /// too.
    pub(super) fn open(
        files: Arc<dyn Files>,
        segment_bytes: u64,
        fresh: SpoolId,
    ) -> Result<(Self, Ledger, u64, Recovery), OpenError> {
        let Opened {
            ledger,
            cursor,
            next,
            after,
            recovery,
        } = recover(&*files, fresh)?;
        let mut journal = Self {
            files,
            segment_bytes,
            cursor,
            cursor_exists: cursor.generation > 0,
            active: None,
            after,
            repair: None,
        };
        // The id must be known before the first message, and numbers that were used for ever.
        if !journal.cursor_exists {
            journal
                .save(cursor.done, cursor.sent, cursor.doubt)
                .map_err(OpenError::io("write", cursor::FILE))?;
        }
        Ok((journal, ledger, next, recovery))
    }

    /// Returns the id of the spool.
    pub(super) fn id(&self) -> SpoolId {
        self.cursor.spool
    }

    /// Returns how far it has come, as the disk knows it.
    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Writes records and enters them in the ledger. After an error none of them is there, unless
    /// the process dies before the next success; their numbers are not used again.
    pub(super) fn append(
        &mut self,
        batch: &Batch,
        ledger: &std::sync::Mutex<Ledger>,
    ) -> io::Result<()> {
        self.mend()?;
        let active = match self.active {
            Some(active) if active.length < self.segment_bytes => active,
            _ => self.roll(batch.first, ledger)?,
        };
        let name = file_name(active.first);
        let written = self
            .files
            .write(&name, active.length, &batch.bytes)
            .and_then(|()| self.files.sync(&name));
        if let Err(error) = written {
            // What a failed sync leaves on disk is not known: it is cut off, and the file not
            // written to any more.
            self.active = None;
            self.repair = Some(active);
            let _ = self.mend();
            return Err(error);
        }
        let bytes = batch.bytes.len() as u64;
        self.active = Some(Active {
            length: active.length + bytes,
            ..active
        });
        self.after = batch.first + batch.times.len() as u64;
        super::lock(ledger).extend(batch.first, &batch.times, bytes);
        Ok(())
    }

    /// Begins a new segment.
    fn roll(&mut self, first: u64, ledger: &std::sync::Mutex<Ledger>) -> io::Result<Active> {
        self.active = None;
        let name = file_name(first);
        let header = Header {
            spool: self.cursor.spool,
            first,
            after: self.after,
        };
        let made = self
            .files
            .create(&name)
            .and_then(|()| self.files.write(&name, 0, &header.encode()))
            .and_then(|()| self.files.sync(&name))
            .and_then(|()| self.files.sync_directory());
        if let Err(error) = made {
            let _ = self.files.remove(&name);
            return Err(error);
        }
        let active = Active {
            first,
            length: HEADER as u64,
        };
        self.active = Some(active);
        super::lock(ledger).push(Extent::new(first, HEADER as u64));
        Ok(active)
    }

    /// Cuts off what a failed write left.
    fn mend(&mut self) -> io::Result<()> {
        if let Some(broken) = self.repair {
            let name = file_name(broken.first);
            self.files.truncate(&name, broken.length)?;
            self.files.sync(&name)?;
            self.repair = None;
        }
        Ok(())
    }

    /// Writes how far the spool has come.
    pub(super) fn save(&mut self, done: u64, sent: u64, doubt: u64) -> io::Result<()> {
        let next = Cursor {
            generation: self.cursor.generation + 1,
            done: done.max(self.cursor.done),
            sent: sent.max(self.cursor.sent),
            doubt,
            ..self.cursor
        };
        if !self.cursor_exists {
            self.files.create(cursor::FILE)?;
        }
        self.files
            .write(cursor::FILE, next.offset(), &next.encode())?;
        self.files.sync(cursor::FILE)?;
        if !self.cursor_exists {
            self.files.sync_directory()?;
            self.cursor_exists = true;
        }
        self.cursor = next;
        Ok(())
    }

    /// Removes the oldest segment, of which nothing waits or nothing shall. The cursor goes first:
    /// a segment that is missing behind it is a loss.
    pub(super) fn remove_front(
        &mut self,
        ledger: &std::sync::Mutex<Ledger>,
    ) -> io::Result<Option<Extent>> {
        let Some((first, end)) = super::lock(ledger).front().map(|e| (e.first, e.end)) else {
            return Ok(None);
        };
        if self.cursor.done < end {
            self.save(end, end, self.cursor.doubt)?;
        }
        self.files.remove(&file_name(first))?;
        if self.active.is_some_and(|active| active.first == first) {
            self.active = None;
        }
        if self.repair.is_some_and(|broken| broken.first == first) {
            self.repair = None;
        }
        Ok(super::lock(ledger).pop_front())
    }
}
