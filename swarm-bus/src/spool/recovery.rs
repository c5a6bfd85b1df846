//! Opening a spool after whatever befell it.

use super::cursor::{self, Cursor};
use super::error::OpenError;
use super::files::Files;
use super::ledger::{Extent, Ledger};
use super::record;
use super::segment::{
    HEADER, Header, HeaderFlaw, Piece, Scan, SpoolId, file_name, parse_file_name,
};

/// No segment is longer: a full one, and what is written together.
const MAX_SEGMENT: u64 = 2 * record::MAX as u64;
/// How far numbers jump where it is not known which were used.
const LEAP: u64 = 1 << 32;

/// What opening a spool found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// How many messages wait.
    pub waiting: u64,
    /// Bytes at the end of the last segment that are no whole record, and were cut off: what a crash
    /// left half written. No put had returned for them, unless the disk lied or went bad.
    pub torn_bytes: u64,
    /// What is damaged otherwise, or gone.
    pub damage: Vec<Damage>,
    /// How many messages the damage took, as far as it can be known. Where a crash left a gap in the
    /// last messages, those are among them whose put had not returned.
    pub lost: u64,
    /// Whether the cursor was damaged or gone: what was sent already may be sent again.
    pub cursor_lost: bool,
}

/// A place where a spool's files are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The first byte.
    pub offset: u64,
    /// How many bytes; 0 where messages are missing before this file.
    pub bytes: u64,
}

/// What a spool goes on from.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) ledger: Ledger,
    pub(super) cursor: Cursor,
    /// The number of the next message.
    pub(super) next: u64,
    /// The number after the last one on disk.
    pub(super) after: u64,
    pub(super) recovery: Recovery,
}

/// Reads a spool. Cuts off a torn end and removes segments without records; changes nothing else.
pub(super) fn recover(files: &dyn Files, fresh: SpoolId) -> Result<Opened, OpenError> {
    let names = files.list().map_err(OpenError::io("list", ""))?;
    let mut firsts: Vec<u64> = names.iter().filter_map(|n| parse_file_name(n)).collect();
    firsts.sort_unstable();
    let present = names.iter().any(|name| name == cursor::FILE);
    let cursor = match read_cursor(files, present)? {
        cursor::Read::Cursor(cursor) => Some(cursor),
        cursor::Read::Version(version) => return Err(version_error(cursor::FILE, version)),
        cursor::Read::Nothing => None,
    };
    let mut reader = Reader {
        files,
        spool: cursor.map(|cursor| cursor.spool),
        done: cursor.map_or(0, |cursor| cursor.done),
        read: 0,
        known_before: cursor.is_some(),
        ledger: Ledger::default(),
        recovery: Recovery::default(),
    };
    for (at, first) in firsts.iter().enumerate() {
        reader.segment(*first, at + 1 == firsts.len())?;
    }
    let Reader {
        spool,
        read,
        done,
        ledger,
        mut recovery,
        ..
    } = reader;
    let opened = !firsts.is_empty() && spool.is_some();
    let after = read.max(done);
    let mut next = after;
    let cursor = match cursor {
        Some(cursor) => {
            // A number may have been sent and be damaged now: none is ever used twice.
            next = next.max(cursor.sent);
            cursor
        }
        None => {
            recovery.cursor_lost = opened;
            if opened {
                next = next.saturating_add(LEAP);
            }
            Cursor {
                spool: spool.unwrap_or(fresh),
                generation: 0,
                done: ledger.front().map_or(next, |extent| extent.first),
                // All that is there may have been sent.
                sent: next,
                doubt: next,
            }
        }
    };
    if next >= record::NUMBERS {
        return Err(OpenError::Foreign {
            file: cursor::FILE.to_owned(),
        });
    }
    recovery.waiting = ledger.waiting();
    Ok(Opened {
        ledger,
        cursor,
        next,
        after,
        recovery,
    })
}

fn read_cursor(files: &dyn Files, present: bool) -> Result<cursor::Read, OpenError> {
    if !present {
        return Ok(cursor::Read::Nothing);
    }
    let bytes = files
        .read(cursor::FILE, 0, 2 * cursor::SLOT as usize)
        .map_err(OpenError::io("read", cursor::FILE))?;
    Ok(Cursor::read(&bytes))
}

fn version_error(file: &str, version: u16) -> OpenError {
    OpenError::Version {
        file: file.to_owned(),
        version,
    }
}

struct Reader<'a> {
    files: &'a dyn Files,
    spool: Option<SpoolId>,
    done: u64,
    /// The number after the last one read.
    read: u64,
    /// Whether it is known what comes before the next segment.
    known_before: bool,
    ledger: Ledger,
    recovery: Recovery,
}

impl Reader<'_> {
    fn segment(&mut self, first: u64, last: bool) -> Result<(), OpenError> {
        let name = file_name(first);
        let length = self
            .files
            .length(&name)
            .map_err(OpenError::io("look at", &name))?;
        if length > MAX_SEGMENT {
            return Err(OpenError::Foreign { file: name });
        }
        let bytes = self
            .files
            .read(&name, 0, length as usize)
            .map_err(OpenError::io("read", &name))?;
        match Header::decode(&bytes) {
            Err(HeaderFlaw::Version(version)) => return Err(version_error(&name, version)),
            Ok(header) => {
                let spool = *self.spool.get_or_insert(header.spool);
                if spool != header.spool || header.first != first || first < self.read {
                    return Err(OpenError::Foreign { file: name });
                }
                // What was done with may be gone; what comes after that may not.
                let missing = header.after.saturating_sub(self.read.max(self.done));
                if self.known_before && missing > 0 {
                    self.damaged(&name, 0, 0);
                    self.recovery.lost += missing;
                }
            }
            // A segment that was being made when all stopped.
            Err(HeaderFlaw::Damaged) if bytes.len() <= HEADER => {
                self.recovery.torn_bytes += bytes.len() as u64;
                return self.remove(&name);
            }
            Err(HeaderFlaw::Damaged) => self.damaged(&name, 0, bytes.len().min(HEADER)),
        }
        self.records(&name, first, &bytes, last)
    }

    fn records(
        &mut self,
        name: &str,
        first: u64,
        bytes: &[u8],
        last: bool,
    ) -> Result<(), OpenError> {
        let mut extent = Extent::new(first, bytes.len() as u64);
        let mut end = HEADER.min(bytes.len());
        for piece in Scan::new(bytes, HEADER, first) {
            match piece {
                Piece::Record(at, record) => {
                    self.recovery.lost += record.number - extent.end;
                    extent.add(record.number, record.time);
                    end = at + record.size();
                }
                Piece::Damage { offset, bytes: n } => {
                    let tail = offset + n == bytes.len();
                    if !(tail && last) {
                        self.damaged(name, offset, n);
                    }
                }
            }
        }
        let torn = bytes.len() - end;
        if last && torn > 0 {
            self.recovery.torn_bytes += torn as u64;
            self.files
                .truncate(name, end as u64)
                .and_then(|()| self.files.sync(name))
                .map_err(OpenError::io("cut", name))?;
            extent.bytes = end as u64;
        }
        for number in extent.first..self.done.min(extent.end) {
            extent.finish(number);
        }
        self.read = extent.end;
        self.known_before = true;
        if extent.first == extent.end && extent.bytes == end as u64 {
            return self.remove(name);
        }
        self.ledger.push(extent);
        Ok(())
    }

    fn damaged(&mut self, file: &str, offset: usize, bytes: usize) {
        self.recovery.damage.push(Damage {
            file: file.to_owned(),
            offset: offset as u64,
            bytes: bytes as u64,
        });
    }

    fn remove(&self, name: &str) -> Result<(), OpenError> {
        self.files
            .remove(name)
            .map_err(OpenError::io("remove", name))
    }
}
