//! Topics are written and read without needless allocations. A program of its own, whose
//! allocator counts.
#![cfg(feature = "derive")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use swarm_bus::subject::PatternMap;
use swarm_bus::{Pattern, Raw, Subject, Token, Topic};

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's obligations are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from `alloc`, that is from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread allocates while `run` runs.
fn allocations<R>(run: impl FnOnce() -> R) -> usize {
    let before = ALLOCATED.get();
    black_box(run());
    ALLOCATED.get() - before
}

#[derive(Topic, Debug, PartialEq)]
#[topic("lab.{room}.temperature.{probe}", payload = bytes::Bytes, codec = Raw)]
struct Temperature {
    room: Token,
    probe: u16,
}

const PATTERN: Pattern = Pattern::from_static("lab.*.temperature.*");

#[test]
fn a_topic_is_read_without_an_allocation_and_written_with_one() {
    assert_eq!(allocations(|| vec![1u8]), 1, "allocations are counted");
    let room = Token::parse("attic-of-the-north-hut").unwrap();
    let topic = Temperature {
        room,
        probe: 64_000,
    };
    assert_eq!(allocations(|| topic.subject()), 1);
    let subject = topic.subject();
    assert_eq!(allocations(|| Temperature::parse(&subject)), 0);
    assert_eq!(Temperature::parse(&subject).as_ref(), Ok(&topic));
    assert_eq!(allocations(|| Subject::parse(subject.as_str())), 1);
    assert_eq!(
        allocations(|| Temperature::parse(&Subject::from_static("lab.x"))),
        0
    );
}

#[test]
fn short_tokens_and_subjects_lie_in_the_value() {
    assert_eq!(allocations(|| Token::parse("edge-7")), 0);
    assert_eq!(allocations(|| Subject::parse("swarm.alive.edge-7")), 0);
    assert_eq!(
        allocations(|| Token::parse(&"x".repeat(24))),
        2,
        "the text, and its copy"
    );
}

#[test]
fn matching_allocates_nothing() {
    let subject = Subject::from_static("lab.attic.temperature.7");
    assert_eq!(allocations(|| PATTERN.matches(&subject)), 0);
    let mut map = PatternMap::new();
    map.insert(&PATTERN, 1);
    let mut found = 0;
    assert_eq!(allocations(|| map.for_each(&subject, |n| found += n)), 0);
    assert_eq!(found, 1);
}
