//! What fuzzing found worth keeping, once more.

use std::path::Path;

fn replay(target: &str, entry: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    // The published crate comes without its corpora.
    let Ok(files) = std::fs::read_dir(&corpus) else {
        return;
    };
    for file in files {
        entry(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

#[test]
fn the_corpus_of_subjects_holds() {
    replay("bus_subject", swarm_bus::testing::subject);
}

#[test]
fn the_corpus_of_monitoring_holds() {
    replay("bus_monitor", swarm_bus::testing::monitor);
}

#[test]
fn the_corpus_of_the_protocol_holds() {
    replay("bus_wire", swarm_bus::testing::wire);
}
