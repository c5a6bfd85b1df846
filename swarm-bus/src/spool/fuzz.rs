//! Any bytes as the files of a spool.
//!
//! The first two bytes are the length of the cursor's file, the next two that of the first segment;
//! what comes after these is the second. The segments are named after the numbers that they say
//! they begin with.

use super::cursor::{self, Cursor};
use super::files::Files;
use super::journal::{Batch, Journal};
use super::ledger::Ledger;
use super::memory::Memory;
use super::record;
use super::recovery::{Recovery, below};
use super::segment::{HEADER, Header, Piece, Scan, file_name, parse_file_name};
use crate::{Headers, Subject};
use std::sync::{Arc, Mutex};

const SEGMENT: u64 = 4096;

pub(crate) fn files(data: &[u8]) {
    let (cursor, rest) = part(data);
    let (one, two) = part(rest);
    let memory = Memory::default();
    put(&memory, cursor::FILE, cursor);
    if let cursor::Read::Cursor(cursor) = Cursor::read(cursor) {
        assert_eq!(Cursor::read(&padded(&cursor)), cursor::Read::Cursor(cursor));
    }
    for (at, bytes) in [one, two].into_iter().enumerate() {
        let first = Header::decode(bytes).map_or(at as u64 * 1000, |header| header.first);
        put(&memory, &file_name(first), bytes);
    }
    let most = used(&memory);
    let memory = Arc::new(memory);
    // Two starts; what was there at the first, and what is put after it, is there at the second.
    let Some((mut journal, ledger, next, recovery)) = open(&memory) else {
        return;
    };
    assert!(recovery.lost + recovery.waiting <= most);
    assert!(recovery.lost == 0 || !recovery.damage.is_empty());
    let mut expected = waiting(&memory, &ledger.lock().expect("no panic before"));
    let mut batch = Batch {
        first: next,
        ..Batch::default()
    };
    let subject = Subject::from_static("a.b");
    record::write(&mut batch.bytes, next, 7, &subject, &Headers::new(), b"new");
    batch.times.push(7);
    journal.append(&batch, &ledger).expect("memory takes it");
    expected.push((next, b"new".to_vec()));
    drop(journal);
    let most = used(&memory);
    let (_, ledger, again, recovery) = open(&memory).expect("it opens as before");
    assert!(recovery.lost + recovery.waiting <= most);
    let found = waiting(&memory, &ledger.lock().expect("no panic before"));
    // A search that stopped at its bound may go further once the torn end is cut off, and find more.
    assert!(expected.iter().all(|message| found.contains(message)));
    assert!(found.is_sorted_by(|a, b| a.0 < b.0));
    assert!(again >= next, "no number is used twice");
}

fn part(data: &[u8]) -> (&[u8], &[u8]) {
    match data {
        [a, b, rest @ ..] => {
            let length = usize::from(u16::from_le_bytes([*a, *b]));
            rest.split_at(length.min(rest.len()))
        }
        _ => (data, &[]),
    }
}

fn padded(cursor: &Cursor) -> Vec<u8> {
    let mut file = vec![0; cursor.offset() as usize];
    file.extend_from_slice(&cursor.encode());
    file
}

fn put(memory: &Memory, name: &str, bytes: &[u8]) {
    if !bytes.is_empty() {
        memory.create(name).expect("memory takes it");
        memory.write(name, 0, bytes).expect("memory takes it");
    }
}

/// Reads the segments, and returns how many numbers may have been used and not be done with: as
/// many as can wait and be lost at most.
fn used(memory: &Memory) -> u64 {
    let names = memory.list().expect("memory lists");
    let mut firsts: Vec<u64> = names.iter().filter_map(|n| parse_file_name(n)).collect();
    firsts.sort_unstable();
    let mut end = 0;
    for (at, first) in firsts.iter().enumerate() {
        let below = below(memory, &firsts[at + 1..]).expect("memory reads");
        let bytes = memory
            .read(&file_name(*first), 0, usize::MAX)
            .expect("memory reads");
        end = end.max(scan(&bytes, *first, below));
    }
    let start = match memory.read(cursor::FILE, 0, 2 * cursor::SLOT as usize) {
        Ok(bytes) => match Cursor::read(&bytes) {
            cursor::Read::Cursor(cursor) => Some(cursor.done),
            cursor::Read::Version(_) | cursor::Read::Nothing => None,
        },
        Err(_) => None,
    };
    let start = start.or(firsts.first().copied());
    end.saturating_sub(start.unwrap_or(0))
}

/// Reads a segment: each byte once, as a record that is written the same again, or as damage.
/// Returns the number after the last.
fn scan(bytes: &[u8], first: u64, below: u64) -> u64 {
    let (mut covered, mut next) = (HEADER.min(bytes.len()), first);
    let mut damaged = 0;
    for piece in Scan::new(bytes, HEADER, first, below) {
        match piece {
            Piece::Record(at, record) => {
                assert!(at == covered && record.number >= next);
                // What is missing was where the damage is.
                assert!((record.number - next) as usize <= damaged / record::LEAST);
                damaged = 0;
                let subject = record.parse_subject().expect("it was looked at");
                let headers = record.parse_headers().expect("it was looked at");
                let mut again = Vec::new();
                record::write(
                    &mut again,
                    record.number,
                    record.time,
                    &subject,
                    &headers,
                    record.payload,
                );
                covered += again.len();
                assert_eq!(again, bytes[at..covered]);
                next = record.number.saturating_add(1);
            }
            Piece::Damage { offset, bytes } => {
                assert!(offset == covered && bytes > 0);
                covered += bytes;
                damaged = bytes;
            }
        }
    }
    assert_eq!(covered, bytes.len());
    next
}

fn open(memory: &Arc<Memory>) -> Option<(Journal, Mutex<Ledger>, u64, Recovery)> {
    let files: Arc<dyn Files> = Arc::clone(memory) as _;
    let (journal, ledger, next, recovery) = Journal::open(files, SEGMENT, [5; 12]).ok()?;
    Some((journal, Mutex::new(ledger), next, recovery))
}

/// Reads what waits, in order.
fn waiting(memory: &Memory, ledger: &Ledger) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((number, extent)) = ledger.waiting_from(from) {
        let name = file_name(extent.first);
        let bytes = memory
            .read(&name, 0, extent.bytes as usize)
            .expect("what is in the ledger can be read");
        for piece in Scan::new(&bytes, HEADER, extent.first, extent.end) {
            if let Piece::Record(_, record) = piece
                && !ledger.is_done(record.number)
            {
                found.push((record.number, record.payload.to_vec()));
            }
        }
        from = extent.end.max(number.saturating_add(1));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::segment::SpoolId;
    use super::*;
    use proptest::prelude::*;

    const SPOOL: SpoolId = [7; 12];

    /// What stands in a segment, made so that checksums do not give it away.
    #[derive(Debug, Clone)]
    enum Part {
        /// The next record.
        Whole(usize),
        /// The next record, damaged, with whole ones in its payload whose numbers are so much higher.
        Nested(usize, Vec<u64>),
        /// A whole record whose number is so much higher than the next.
        Ahead(u64),
        Junk(Vec<u8>),
    }

    #[derive(Debug, Clone)]
    struct Crafted {
        gap: u64,
        after: i64,
        damaged_header: bool,
        parts: Vec<Part>,
        cut: usize,
    }

    fn part() -> impl Strategy<Value = Part> {
        let jump = || prop_oneof![0..12_u64, 0..2000_u64, 0..record::NUMBERS];
        prop_oneof![
            4 => (0..200_usize).prop_map(Part::Whole),
            3 => (0..200_usize, prop::collection::vec(jump(), 0..4))
                .prop_map(|(length, inner)| Part::Nested(length, inner)),
            1 => jump().prop_map(Part::Ahead),
            1 => prop::collection::vec(any::<u8>(), 1..90).prop_map(Part::Junk),
        ]
    }

    fn crafted() -> impl Strategy<Value = Crafted> {
        (
            prop_oneof![Just(0_u64), 0..9_u64, 0..100_000_u64],
            prop_oneof![Just(0_i64), -9..9_i64],
            prop::bool::weighted(0.2),
            prop::collection::vec(part(), 0..12),
            prop_oneof![Just(0_usize), 0..60_usize],
        )
            .prop_map(|(gap, after, damaged_header, parts, cut)| Crafted {
                gap,
                after,
                damaged_header,
                parts,
                cut,
            })
    }

    fn record(number: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let subject = Subject::from_static("a.b");
        record::write(&mut bytes, number, 9, &subject, &Headers::new(), payload);
        bytes
    }

    /// Returns the bytes, and the number after the last that was meant.
    fn write(crafted: &Crafted, before: u64) -> (Vec<u8>, u64) {
        let first = before + crafted.gap;
        let header = Header {
            spool: SPOOL,
            first,
            after: before.saturating_add_signed(crafted.after),
        };
        let (mut bytes, mut next) = (header.encode().to_vec(), first);
        for part in &crafted.parts {
            match part {
                Part::Whole(length) => bytes.extend(record(next, &vec![b'x'; *length])),
                Part::Nested(length, inner) => {
                    let mut payload = vec![b'x'; *length];
                    for jump in inner {
                        payload.extend(record(next.saturating_add(*jump), b"inner"));
                    }
                    let start = bytes.len();
                    bytes.extend(record(next, &payload));
                    bytes[start + 5] ^= 1;
                }
                Part::Ahead(jump) => bytes.extend(record(next.saturating_add(*jump), b"ahead")),
                Part::Junk(junk) => bytes.extend(junk),
            }
            next += u64::from(matches!(part, Part::Whole(_) | Part::Nested(..)));
        }
        if crafted.damaged_header {
            bytes[3] ^= 1;
        }
        bytes.truncate(bytes.len().saturating_sub(crafted.cut));
        (bytes, next)
    }

    fn length(bytes: &[u8]) -> [u8; 2] {
        u16::try_from(bytes.len())
            .expect("they are few")
            .to_le_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn crafted_segments_hold_as_any_bytes_do(
            segments in [crafted(), crafted()],
            done in prop::option::of(0..40_u64),
        ) {
            let cursor = done.map_or_else(Vec::new, |done| padded(&Cursor {
                spool: SPOOL,
                generation: 2,
                done,
                sent: done,
                doubt: 0,
            }));
            let (one, next) = write(&segments[0], 0);
            let (two, _) = write(&segments[1], next);
            let mut data = length(&cursor).to_vec();
            data.extend(cursor);
            data.extend(length(&one));
            data.extend(one);
            data.extend(two);
            files(&data);
        }
    }
}
