//! What fuzzing found worth keeping, once more.

use proptest::prelude::*;
use proptest::sample::Index;
use std::path::Path;

fn replay(target: &str, entry: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    // The published crate comes without its corpora.
    let Ok(files) = std::fs::read_dir(&corpus) else {
        return;
    };
    let seeds: Vec<_> = files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    for seed in &seeds {
        entry(seed);
    }
    // And the neighbourhood: pieces of two seeds with some bytes changed.
    let piece = || {
        (
            prop::sample::select(seeds.clone()),
            any::<Index>(),
            any::<Index>(),
        )
    };
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 0..6);
    let config = ProptestConfig::with_cases(2000);
    proptest!(config, |(a in piece(), b in piece(), changes in changes)| {
        let cut = |(seed, from, to): &(Vec<u8>, Index, Index)| {
            let (from, to) = (from.index(seed.len() + 1), to.index(seed.len() + 1));
            seed[from.min(to)..from.max(to)].to_vec()
        };
        let mut data = [cut(&a), cut(&b)].concat();
        for (at, byte) in changes {
            if !data.is_empty() {
                let at = at.index(data.len());
                data[at] = byte;
            }
        }
        entry(&data);
    });
}

#[test]
fn the_corpus_of_subjects_holds() {
    replay("bus_subject", swarm_bus::testing::fuzz_subject);
}

#[test]
fn the_corpus_of_monitoring_holds() {
    replay("bus_monitor", swarm_bus::testing::fuzz_monitor);
}

#[test]
fn the_corpus_of_payloads_holds() {
    replay("bus_payload", swarm_bus::testing::fuzz_payload);
}

#[test]
fn the_corpus_of_the_protocol_holds() {
    replay("bus_wire", swarm_bus::testing::fuzz_wire);
}

#[test]
fn the_corpus_of_the_server_in_the_process_holds() {
    replay("bus_server", swarm_bus::testing::fuzz_server);
}

#[test]
fn the_corpus_of_stored_messages_holds() {
    replay("bus_stored", swarm_bus::testing::fuzz_stored);
}

#[test]
fn the_corpus_of_answers_holds() {
    replay("bus_answer", swarm_bus::testing::fuzz_answer);
}

#[test]
fn the_corpus_of_dead_letters_holds() {
    replay("bus_letter", swarm_bus::testing::fuzz_letter);
}

#[test]
fn the_corpus_of_objects_holds() {
    replay("bus_object", swarm_bus::testing::fuzz_object);
}

#[test]
fn the_corpus_of_spools_holds() {
    replay("bus_spool", swarm_bus::testing::fuzz_spool);
}
