//! The files of a spool under every fault there is.

use super::files::Files;
use super::journal::{Batch, Journal};
use super::ledger::Ledger;
use super::memory::{Fault, Memory};
use super::record;
use super::recovery::Recovery;
use super::segment::{HEADER, Piece, Scan, file_name};
use crate::{Headers, Subject};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

const SEGMENT: u64 = 4096;

/// What was written, and what came of it.
#[derive(Default)]
struct History {
    /// Every message that was tried, by number.
    tried: BTreeMap<u64, Vec<u8>>,
    /// Those whose put returned `Ok`.
    put: BTreeSet<u64>,
    /// Those that were dealt with; the cursor may not know it yet.
    done: BTreeSet<u64>,
    /// Whether something was refused.
    errors: usize,
}

struct Program {
    journal: Journal,
    ledger: Mutex<Ledger>,
    next: u64,
}

fn open(files: &Arc<Memory>) -> Option<(Program, Recovery)> {
    let files: Arc<dyn Files> = Arc::clone(files) as _;
    let (journal, ledger, next, recovery) = Journal::open(files, SEGMENT, [5; 12]).ok()?;
    let program = Program {
        journal,
        ledger: Mutex::new(ledger),
        next,
    };
    Some((program, recovery))
}

/// Puts and deals with messages as a program would, through several segments.
fn work(program: &mut Program, history: &mut History, rounds: u64) {
    for round in 0..rounds {
        let mut batch = Batch {
            first: program.next,
            ..Batch::default()
        };
        for _ in 0..=round % 4 {
            let number = program.next;
            program.next += 1;
            let payload = vec![number as u8 ^ 0x5a; (number * 97 % 700) as usize];
            let subject = Subject::from_static("a.b");
            let headers = Headers::new();
            record::write(
                &mut batch.bytes,
                number,
                number,
                &subject,
                &headers,
                &payload,
            );
            batch.times.push(number);
            history.tried.insert(number, payload);
        }
        match program.journal.append(&batch, &program.ledger) {
            Ok(()) => history.put.extend(batch.first..program.next),
            Err(_) => history.errors += 1,
        }
        if round % 3 == 2 {
            let mut ledger = program.ledger.lock().unwrap();
            for _ in 0..4 {
                let first = ledger.first_waiting().unwrap_or(0);
                if ledger.finish(first) {
                    history.done.insert(first);
                }
            }
            let done = ledger.first_waiting().unwrap_or(0);
            let over = ledger.front().is_some_and(|front| front.end <= done);
            drop(ledger);
            history.errors += usize::from(program.journal.save(done, done + 5, 0).is_err());
            if over && ledger_has_two(program) {
                let removed = program.journal.remove_front(&program.ledger);
                history.errors += usize::from(removed.is_err());
            }
        }
    }
}

fn ledger_has_two(program: &Program) -> bool {
    program.ledger.lock().unwrap().segments() > 1
}

/// Reads what waits, in order.
fn waiting(files: &Memory, ledger: &Ledger) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(extent) = ledger.extent_at(at) {
        at = extent.end;
        let name = file_name(extent.first);
        let bytes = files.read(&name, 0, extent.bytes as usize).unwrap();
        for piece in Scan::new(&bytes, HEADER, extent.first, extent.end) {
            if let Piece::Record(_, record) = piece
                && !ledger.is_done(record.number)
            {
                found.push((record.number, record.payload.to_vec()));
            }
        }
    }
    found
}

/// Holds what is there to what was put: all of it, in order, once, and nothing else.
fn check(files: &Memory, program: &Program, history: &History, case: &str) {
    let found = waiting(files, &program.ledger.lock().unwrap());
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{case}: order");
    for (number, payload) in &found {
        assert_eq!(history.tried.get(number), Some(payload), "{case}: {number}");
    }
    let found: BTreeSet<u64> = found.into_iter().map(|(number, _)| number).collect();
    for number in history.put.difference(&history.done) {
        assert!(found.contains(number), "{case}: {number} is gone");
    }
    let highest = history.put.last().copied().unwrap_or(0);
    assert!(
        program.next >= highest,
        "{case}: a number would be used again"
    );
}

#[test]
fn after_a_loss_of_power_at_any_operation_all_that_was_put_is_there_once() {
    let mut at = 0;
    loop {
        let mut reached = false;
        for seed in 0..12 {
            let case = format!("operation {at}, seed {seed}");
            let files = Arc::new(Memory::failing(Fault::Power { at }, seed));
            let mut history = History::default();
            if let Some((mut program, _)) = open(&files) {
                work(&mut program, &mut history, 40);
            }
            reached |= files.has_failed();
            let files = Arc::new(files.after_power_loss());
            let (mut program, recovery) = open(&files).unwrap();
            // Whole records behind the gap of a half-written batch look like damage before them.
            let never_put = (history.tried.len() - history.put.len()) as u64;
            assert!(recovery.lost <= never_put, "{case}: {recovery:?}");
            assert!(
                recovery.damage.len() as u64 <= recovery.lost,
                "{case}: {recovery:?}"
            );
            assert!(!recovery.cursor_lost, "{case}");
            check(&files, &program, &history, &case);
            // Life goes on, and so it reads after a second start.
            work(&mut program, &mut history, 9);
            assert!(history.put.len() > 9, "{case}");
            drop(program);
            let files = Arc::new(files.after_power_loss());
            let (program, again) = open(&files).unwrap();
            assert_eq!(again.torn_bytes, 0, "{case}");
            assert!(again.lost <= recovery.lost, "{case}");
            check(&files, &program, &history, &case);
        }
        if !reached {
            break;
        }
        at += 1;
    }
    assert!(at > 120, "{at} operations were tried");
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let mut refused = 0;
    for at in 4..110 {
        for count in [1, 2, 3, 7] {
            let case = format!("operations from {at}, {count} of them");
            let files = Arc::new(Memory::failing(Fault::Full { at, count }, at as u64));
            let mut history = History::default();
            let (mut program, _) = open(&files).expect("the disk is not full yet");
            work(&mut program, &mut history, 40);
            assert!(files.has_failed(), "{case}");
            refused += history.errors;
            let last = *history.put.last().unwrap();
            assert!(last + 8 > program.next, "{case}: it takes messages again");
            check(&files, &program, &history, &case);
            drop(program);
            let files = Arc::new(files.after_power_loss());
            let (program, recovery) = open(&files).unwrap();
            assert!(
                recovery.damage.is_empty() && recovery.lost == 0,
                "{case}: {recovery:?}"
            );
            check(&files, &program, &history, &case);
            let found = waiting(&files, &program.ledger.lock().unwrap());
            for (number, _) in found {
                assert!(
                    history.put.contains(&number),
                    "{case}: {number} was refused"
                );
            }
        }
    }
    assert!(refused > 400, "{refused}");
}

#[test]
fn damage_is_told_and_everything_around_it_is_there() {
    let files = Arc::new(Memory::default());
    let mut history = History::default();
    let (mut program, _) = open(&files).unwrap();
    work(&mut program, &mut history, 40);
    let firsts: Vec<u64> = {
        let ledger = program.ledger.lock().unwrap();
        let mut at = 0;
        std::iter::from_fn(|| {
            let extent = ledger.extent_at(at)?;
            at = extent.end;
            Some(extent.first)
        })
        .collect()
    };
    let before = waiting(&files, &program.ledger.lock().unwrap()).len() as u64;
    drop(program);
    assert!(firsts.len() > 3);
    // Some bytes of a segment in the middle, and a whole one.
    files
        .write(&file_name(firsts[1]), 300, &[0xff; 40])
        .unwrap();
    files.remove(&file_name(firsts[2])).unwrap();
    let gone = firsts[3] - firsts[2];
    let (program, recovery) = open(&files).unwrap();
    assert_eq!(recovery.damage.len(), 2, "{recovery:?}");
    assert!(recovery.lost > gone && recovery.lost <= gone + 3);
    assert_eq!(recovery.waiting, before - recovery.lost);
    assert_eq!(recovery.waiting, program.ledger.lock().unwrap().waiting());

    // Without a cursor nothing is lost, and no number is used again.
    let next = program.next;
    drop(program);
    files.write("cursor", 0, &[0; 8192]).unwrap();
    let (program, recovery) = open(&files).unwrap();
    assert!(recovery.cursor_lost && program.next > next);
    assert_eq!(program.journal.cursor().sent, program.next);
}

#[test]
fn what_a_newer_program_or_another_spool_wrote_is_left_alone() {
    let files = Arc::new(Memory::default());
    let mut history = History::default();
    let (mut program, _) = open(&files).unwrap();
    work(&mut program, &mut history, 3);
    drop(program);
    let name = files.list().unwrap().remove(0);
    let mut header = files.read(&name, 0, HEADER).unwrap();
    let good = header.clone();
    for (at, byte) in [(8, 2), (10, 6)] {
        header[at] = byte;
        let sum = crc32c::crc32c(&header[..HEADER - 4]);
        header[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        files.write(&name, 0, &header).unwrap();
        assert!(open(&files).is_none());
        header.copy_from_slice(&good);
    }
    files.write(&name, 0, &good).unwrap();
    assert!(open(&files).is_some());
}
