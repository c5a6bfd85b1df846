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
use super::segment::{HEADER, Header, Piece, Scan, file_name};
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
        scan(bytes, first);
        put(&memory, &file_name(first), bytes);
    }
    let memory = Arc::new(memory);
    // Two starts; what was there at the first, and what is put after it, is there at the second.
    let Some((mut journal, ledger, next)) = open(&memory) else {
        return;
    };
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
    let (_, ledger, again) = open(&memory).expect("it opens as before");
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

/// Reads a segment: each byte once, as a record that is written the same again, or as damage.
fn scan(bytes: &[u8], first: u64) {
    let (mut covered, mut next) = (HEADER.min(bytes.len()), first);
    for piece in Scan::new(bytes, HEADER, first) {
        match piece {
            Piece::Record(at, record) => {
                assert!(at == covered && record.number >= next);
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
            }
        }
    }
    assert_eq!(covered, bytes.len());
}

fn open(memory: &Arc<Memory>) -> Option<(Journal, Mutex<Ledger>, u64)> {
    let files: Arc<dyn Files> = Arc::clone(memory) as _;
    let (journal, ledger, next, _) = Journal::open(files, SEGMENT, [5; 12]).ok()?;
    Some((journal, Mutex::new(ledger), next))
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
        for piece in Scan::new(&bytes, HEADER, extent.first) {
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
