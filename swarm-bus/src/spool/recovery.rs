//! Opening a spool after whatever befell it.

use super::cursor::{self, Cursor};
use super::error::OpenError;
use super::files::Files;
use super::ledger::{Extent, Ledger};
use super::record;
use super::segment::{
    HEADER, Header, HeaderFlaw, Piece, Scan, SpoolId, file_name, parse_file_name,
};
use std::io;

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
    /// How many messages the damage took, at most: how many of the numbers that are missing may
    /// have been those of messages that still waited.
    ///
    /// It is exact where bytes of a segment were changed. It is too high by the messages whose put
    /// had not returned, where a crash left a gap in the last ones; by numbers that were never used,
    /// where a whole segment or the beginning of one is gone (a spool that is opened again begins
    /// up to 65,536 further on, and 2^32 after it lost its cursor); and by what was sent since the
    /// cursor was last written.
    ///
    /// Not among them is what leaves no trace: what was [torn off](Self::torn_bytes) the end, and
    /// segments that are gone from there, or, [without a cursor](Self::cursor_lost), from the
    /// beginning.
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
        written: 0,
        known_before: cursor.is_some(),
        ledger: Ledger::default(),
        recovery: Recovery::default(),
    };
    for (at, first) in firsts.iter().enumerate() {
        reader.segment(*first, &firsts[at + 1..])?;
    }
    let Reader {
        spool,
        read,
        written,
        done,
        ledger,
        mut recovery,
        ..
    } = reader;
    let opened = !firsts.is_empty() && spool.is_some();
    let after = written.max(done);
    let mut next = read.max(done);
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

/// Returns below which number lies all that was written before segments that begin with these.
pub(super) fn below(files: &dyn Files, following: &[u64]) -> io::Result<u64> {
    for first in following {
        let name = file_name(*first);
        match Header::decode(&files.read(&name, 0, HEADER)?) {
            Ok(header) => return Ok(header.after),
            // It says nothing, and will be removed.
            Err(_) if files.length(&name)? <= HEADER as u64 => {}
            Err(_) => return Ok(*first),
        }
    }
    Ok(record::NUMBERS)
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
    /// The number after the last one read, or that a segment begins with.
    read: u64,
    /// The number after the last one that is known to have been written.
    written: u64,
    /// Whether it is known what comes before the next segment.
    known_before: bool,
    ledger: Ledger,
    recovery: Recovery,
}

impl Reader<'_> {
    /// Reads the segment that begins with a number, where others begin with `following`.
    fn segment(&mut self, first: u64, following: &[u64]) -> Result<(), OpenError> {
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
                if self.known_before && self.lose(self.read, header.after) {
                    self.damaged(&name, 0, 0);
                }
                self.written = self.written.max(header.after);
            }
            // A segment that was being made when all stopped.
            Err(HeaderFlaw::Damaged) if bytes.len() <= HEADER => {
                self.recovery.torn_bytes += bytes.len() as u64;
                return self.remove(&name);
            }
            Err(HeaderFlaw::Damaged) if first < self.read => {
                return Err(OpenError::Foreign { file: name });
            }
            Err(HeaderFlaw::Damaged) => {
                self.damaged(&name, 0, HEADER);
                self.written = first;
                // It does not say any more which numbers before it were used.
                if self.known_before {
                    self.lose(self.read, first);
                }
            }
        }
        self.records(&name, first, &bytes, following)
    }

    /// Counts the numbers from `from` to before `to` as lost; says whether any is. What was done
    /// with may be gone, what comes after that may not.
    fn lose(&mut self, from: u64, to: u64) -> bool {
        let missing = to.saturating_sub(from.max(self.done));
        self.recovery.lost += missing;
        missing > 0
    }

    fn records(
        &mut self,
        name: &str,
        first: u64,
        bytes: &[u8],
        following: &[u64],
    ) -> Result<(), OpenError> {
        let last = following.is_empty();
        let below = below(self.files, following).map_err(OpenError::io("read", name))?;
        let mut extent = Extent::new(first, bytes.len() as u64);
        let mut end = HEADER.min(bytes.len());
        for piece in Scan::new(bytes, HEADER, first, below) {
            match piece {
                Piece::Record(at, record) => {
                    self.lose(extent.end, record.number);
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
        if extent.first < extent.end {
            self.written = extent.end;
        } else if last {
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

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::super::record::NUMBERS;
    use super::*;
    use crate::{Headers, Subject};
    use proptest::prelude::*;

    const SPOOL: SpoolId = [7; 12];

    fn record(number: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let subject = Subject::from_static("a.b");
        record::write(&mut bytes, number, 9, &subject, &Headers::new(), payload);
        bytes
    }

    /// Writes a segment of the numbers, and returns where each record begins.
    fn segment(files: &Memory, numbers: std::ops::Range<u64>, after: u64) -> Vec<usize> {
        let first = numbers.start;
        let header = Header {
            spool: SPOOL,
            first,
            after,
        };
        let (mut bytes, mut starts) = (header.encode().to_vec(), Vec::new());
        for number in numbers {
            starts.push(bytes.len());
            bytes.extend(record(number, &vec![0x5a; (number * 31 % 90) as usize]));
        }
        write(files, first, 0, &bytes);
        starts
    }

    fn write(files: &Memory, first: u64, at: usize, bytes: &[u8]) {
        let name = file_name(first);
        if files.length(&name).is_err() {
            files.create(&name).unwrap();
        }
        files.write(&name, at as u64, bytes).unwrap();
    }

    fn done(files: &Memory, done: u64) {
        let cursor = Cursor {
            spool: SPOOL,
            generation: 1,
            done,
            sent: done,
            doubt: 0,
        };
        files.create(cursor::FILE).unwrap();
        files
            .write(cursor::FILE, cursor.offset(), &cursor.encode())
            .unwrap();
    }

    fn counted(files: &Memory) -> (u64, u64, usize) {
        let recovery = recover(files, [0; 12]).unwrap().recovery;
        (recovery.waiting, recovery.lost, recovery.damage.len())
    }

    #[test]
    fn a_record_in_a_damaged_ones_payload_makes_no_more_lost_than_had_room() {
        for jump in [4, 1000, 1 << 40, NUMBERS - 9] {
            let files = Memory::default();
            done(&files, 0);
            let mut starts = segment(&files, 0..3, 0);
            let name = file_name(0);
            let mut bytes = files.read(&name, 0, usize::MAX).unwrap();
            starts.push(bytes.len());
            bytes.extend(record(3, &record(3 + jump, b"never put")));
            for number in 4..9 {
                bytes.extend(record(number, b"after it"));
            }
            bytes[starts[3] + 5] ^= 1;
            write(&files, 0, 0, &bytes);
            assert_eq!(counted(&files), (8, 1, 1), "{jump}");
        }
    }

    #[test]
    fn a_record_in_a_damaged_ones_payload_takes_no_number_of_the_next_segment() {
        let files = Memory::default();
        done(&files, 0);
        segment(&files, 0..3, 0);
        let name = file_name(0);
        let mut bytes = files.read(&name, 0, usize::MAX).unwrap();
        let start = bytes.len();
        let mut payload = vec![b'x'; 900];
        payload.extend(record(20, b"never put"));
        bytes.extend(record(3, &payload));
        bytes[start + 5] ^= 1;
        write(&files, 0, 0, &bytes);
        segment(&files, 4..7, 4);
        // Told twice: what is damaged, and, by the next segment, that something is missing.
        assert_eq!(counted(&files), (6, 1, 2));
    }

    #[test]
    fn what_was_done_with_is_not_lost() {
        for (sent, lost) in [(0, 2), (1, 2), (2, 1), (3, 0), (5, 0)] {
            let files = Memory::default();
            done(&files, sent);
            let starts = segment(&files, 0..9, 0);
            write(&files, 0, starts[1] + 8, &[0xff; 2]);
            write(&files, 0, starts[2] + 8, &[0xff; 2]);
            let waiting = 9 - sent.max(1) - lost + u64::from(sent == 0);
            assert_eq!(counted(&files), (waiting, lost, 1), "{sent}");
        }
    }

    #[test]
    fn a_damaged_header_may_have_named_messages_before_it() {
        let files = Memory::default();
        done(&files, 0);
        segment(&files, 0..5, 0);
        segment(&files, 5..8, 5);
        // Three more may have been between them, in a segment that is gone.
        segment(&files, 11..14, 8);
        assert_eq!(counted(&files), (11, 0, 0));
        write(&files, 5, 3, b"?");
        assert_eq!(counted(&files), (11, 0, 1));
        write(&files, 11, 3, b"?");
        assert_eq!(counted(&files), (11, 3, 2));
        files.remove(&file_name(5)).unwrap();
        assert_eq!(counted(&files), (8, 6, 1));
    }

    #[test]
    fn a_header_that_contradicts_itself_counts_as_damaged() {
        let files = Memory::default();
        done(&files, 0);
        segment(&files, 0..5, 0);
        segment(&files, 5..8, u64::MAX);
        segment(&files, 8..9, u64::MAX);
        assert_eq!(counted(&files), (9, 0, 2));
    }

    #[test]
    fn segments_that_overlap_are_told_apart_from_damage() {
        let files = Memory::default();
        done(&files, 0);
        segment(&files, 0..5, 0);
        segment(&files, 3..8, 3);
        for _ in 0..2 {
            let refused = recover(&files, [0; 12]).map(|_| ());
            assert!(matches!(refused, Err(OpenError::Foreign { .. })));
            write(&files, 3, 3, b"?");
        }
    }

    proptest! {
        #[test]
        fn where_bytes_are_changed_the_number_of_what_is_lost_is_exact(
            sent in 0..40_u64,
            changes in prop::collection::vec((0..60_u64, any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let files = Memory::default();
            done(&files, sent);
            let mut broken = std::collections::BTreeSet::new();
            for first in [0, 20, 40] {
                let mut starts = segment(&files, first..first + 20, first);
                let end = files.length(&file_name(first)).unwrap() as usize;
                starts.push(end);
                // What is cut off the end is told otherwise.
                let last = if first == 40 { 18 } else { 19 };
                for (number, at, byte) in &changes {
                    if !(first..=first + last).contains(number) {
                        continue;
                    }
                    let index = (number - first) as usize;
                    let at = starts[index] + at.index(starts[index + 1] - starts[index]);
                    let before = files.read(&file_name(first), at as u64, 1).unwrap();
                    // Twice the same place may heal it.
                    if broken.insert(*number) {
                        write(&files, first, at, &[before[0] ^ (byte | 1)]);
                    }
                }
            }
            let lost = broken.iter().filter(|number| **number >= sent).count() as u64;
            let (waiting, counted, _) = counted(&files);
            prop_assert_eq!(counted, lost);
            prop_assert_eq!(waiting, 60 - sent - lost);
        }
    }
}
