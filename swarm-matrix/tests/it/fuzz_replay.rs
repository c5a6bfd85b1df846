//! Replays the fuzz corpora.

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let Ok(files) = std::fs::read_dir(&corpus) else {
        return;
    };
    for file in files {
        run(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

#[test]
fn the_event_corpus_replays() {
    replay("matrix_event", swarm_matrix::testing::fuzz_event);
}

#[test]
fn the_apply_corpus_replays() {
    replay("matrix_apply", swarm_matrix::testing::fuzz_apply);
}
