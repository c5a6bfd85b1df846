//! A segment: a header, then records by ascending numbers; and reading it whatever befell it.
//!
//! ```text
//! offset  bytes
//!      0      8  "SWARMSPL"
//!      8      2  version: 1
//!     10     12  id of the spool
//!     22      8  number of the first record
//!     30      8  number after the last record that was written before this segment
//!     38      4  CRC32C of the bytes before
//! ```

use super::record::{self, NUMBERS, Record, u16_at, u32_at, u64_at};

/// How many bytes a header takes.
pub(crate) const HEADER: usize = 42;
const MAGIC: &[u8; 8] = b"SWARMSPL";
const VERSION: u16 = 1;
/// How many bytes that are no record are summed at most for each that a search for what is whole
/// after a damage goes on, beside [`record::MAX`] of them: an answer to bytes that were made to look like many long
/// records.
const SEARCH: usize = 4;

/// What tells a spool from every other: the first part of its messages' ids.
pub(crate) type SpoolId = [u8; 12];

/// The beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) spool: SpoolId,
    pub(crate) first: u64,
    /// Numbers from here to `first` were never used.
    pub(crate) after: u64,
}

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFlaw {
    /// A newer program wrote it.
    Version(u16),
    /// It is cut or changed.
    Damaged,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..22].copy_from_slice(&self.spool);
        bytes[22..30].copy_from_slice(&self.first.to_le_bytes());
        bytes[30..38].copy_from_slice(&self.after.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..38]);
        bytes[38..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFlaw> {
        if bytes.len() < HEADER
            || &bytes[..8] != MAGIC
            || u64_at(bytes, 22) >= NUMBERS
            || u64_at(bytes, 30) > u64_at(bytes, 22)
            || u32_at(bytes, 38) != crc32c::crc32c(&bytes[..38])
        {
            return Err(HeaderFlaw::Damaged);
        }
        match u16_at(bytes, 8) {
            VERSION => Ok(Self {
                spool: bytes[10..22].try_into().expect("twelve bytes"),
                first: u64_at(bytes, 22),
                after: u64_at(bytes, 30),
            }),
            version => Err(HeaderFlaw::Version(version)),
        }
    }
}

/// Returns the name of the segment that begins with a number.
pub(super) fn file_name(first: u64) -> String {
    format!("{first:016x}.seg")
}

/// Returns the number that a segment's name says; `None` where the name is no segment's.
pub(super) fn parse_file_name(name: &str) -> Option<u64> {
    let first = u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok()?;
    (first < NUMBERS && file_name(first) == name).then_some(first)
}

/// What stands in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A whole record, and where it begins.
    Record(usize, Record<'a>),
    /// Bytes that are none, up to the next whole record or the end.
    Damage { offset: usize, bytes: usize },
}

/// Reads the records of a segment, around any damage.
///
/// What is found at a place depends on nothing that comes after the record there: bytes that are
/// read again without their torn end give the same.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What the next record's number is; after a damage, at least.
    next: u64,
    /// What lies behind a damage has numbers below this one.
    below: u64,
    /// Whether there was a damage.
    damaged: bool,
    /// What the last search found.
    found: Option<(usize, Record<'a>)>,
    /// How many bytes that are no record may still be summed.
    budget: usize,
}

impl<'a> Scan<'a> {
    /// Reads from `at` on, where the next record is to have the number `next`. Numbers from `below`
    /// on are another segment's.
    pub(crate) fn new(bytes: &'a [u8], at: usize, next: u64, below: u64) -> Self {
        Self {
            bytes,
            at: at.min(bytes.len()),
            next,
            below,
            damaged: false,
            found: None,
            budget: record::MAX,
        }
    }

    /// Reads a record whose number is no more than `farthest`. What turns out to be none is paid for.
    fn record_at(&mut self, at: usize, farthest: u64) -> Option<Record<'a>> {
        let bytes = &self.bytes[at..];
        let (number, length) = record::claim(bytes).ok()?;
        if !(self.next..=farthest).contains(&number)
            || (self.damaged && number >= self.below)
            || length > self.budget
        {
            return None;
        }
        let record = Record::read(bytes)
            .ok()
            .filter(|record| record.parse_subject().is_some() && record.parse_headers().is_some());
        if record.is_none() {
            self.budget -= length;
        }
        record
    }

    /// Looks for a record behind a damage that begins at `start`.
    fn search(&mut self, start: usize) -> Option<(usize, Record<'a>)> {
        (start + 1..self.bytes.len()).find_map(|at| {
            self.budget = self.budget.saturating_add(SEARCH);
            // Each record that is missing took some of the damaged bytes.
            let missing = ((at - start) / record::LEAST) as u64;
            let record = self.record_at(at, self.next.saturating_add(missing))?;
            Some((at, record))
        })
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let start = self.at;
        if start >= self.bytes.len() {
            return None;
        }
        let found = self.found.take();
        let here = found.or_else(|| Some((start, self.record_at(start, self.next)?)));
        if let Some((at, record)) = here {
            self.at = at + record.size();
            self.next = record.number.saturating_add(1);
            return Some(Piece::Record(at, record));
        }
        self.damaged = true;
        self.found = self.search(start);
        self.at = self.found.map_or(self.bytes.len(), |(at, _)| at);
        Some(Piece::Damage {
            offset: start,
            bytes: self.at - start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Headers, Subject};
    use proptest::prelude::*;

    fn records(count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..count {
            let payload = vec![number as u8; (number % 7) as usize * 5];
            let subject = Subject::from_static("a.b");
            record::write(&mut bytes, number, 9, &subject, &Headers::new(), &payload);
        }
        bytes
    }

    #[test]
    fn a_header_reads_back_and_a_newer_one_is_told_from_a_damaged_one() {
        let header = Header {
            spool: [7; 12],
            first: 99,
            after: 90,
        };
        let mut bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        bytes[8] = 2;
        assert_eq!(Header::decode(&bytes), Err(HeaderFlaw::Damaged));
        let sum = crc32c::crc32c(&bytes[..38]);
        bytes[38..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(HeaderFlaw::Version(2)));
        assert_eq!(Header::decode(&bytes[..20]), Err(HeaderFlaw::Damaged));
    }

    #[test]
    fn names_are_read_as_they_are_written_and_no_others() {
        assert_eq!(parse_file_name(&file_name(77)), Some(77));
        for other in [
            "77.seg",
            "000000000000004D.seg",
            "cursor",
            "+00000000000004d.seg",
        ] {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn bytes_that_look_like_many_long_records_are_not_summed_for_ever() {
        // Every 31 bytes a record; four of five say that they are five mebibytes long.
        let (mut bytes, mut number) = (Vec::new(), 0_u64);
        for place in 0..200_000_u64 {
            let start = bytes.len();
            let subject = Subject::from_static("a");
            record::write(&mut bytes, number, 9, &subject, &Headers::new(), b"");
            match place % 5 {
                0 => number += 1,
                _ => bytes[start..start + 4].copy_from_slice(&(5_u32 << 20).to_le_bytes()),
            }
        }
        let before = bytes.len();
        bytes.resize(before + (6 << 20), 0);
        let mut scan = Scan::new(&bytes, 0, 0, NUMBERS);
        let (mut found, mut left) = (0, scan.budget);
        while let Some(piece) = scan.next() {
            found += u64::from(matches!(piece, Piece::Record(..)));
            left = left.min(scan.budget);
        }
        assert!(found > 0 && found <= number, "{found} of {number}");
        // 160,000 times five mebibytes would have been summed.
        assert!(left < 5 << 20, "the bound was met: {left}");
    }

    proptest! {
        #[test]
        fn around_a_damage_everything_else_is_found(
            at: prop::sample::Index,
            length in 1..80_usize,
            junk: u8,
        ) {
            let whole = records(40);
            let mut bytes = whole.clone();
            let from = at.index(bytes.len());
            let to = (from + length).min(bytes.len());
            bytes[from..to].fill(junk);
            let intact: Vec<u64> = Scan::new(&whole, 0, 0, NUMBERS)
                .filter_map(|piece| match piece {
                    Piece::Record(at, record) => {
                        let end = at + record.size();
                        (bytes[at..end] == whole[at..end]).then_some(record.number)
                    }
                    Piece::Damage { .. } => None,
                })
                .collect();
            let (mut found, mut covered) = (Vec::new(), 0);
            for piece in Scan::new(&bytes, 0, 0, NUMBERS) {
                match piece {
                    Piece::Record(at, record) => {
                        prop_assert_eq!(at, covered);
                        covered += record.size();
                        found.push(record.number);
                    }
                    Piece::Damage { offset, bytes } => {
                        prop_assert_eq!(offset, covered);
                        covered += bytes;
                    }
                }
            }
            prop_assert_eq!(found, intact);
            prop_assert_eq!(covered, bytes.len());
        }
    }
}
