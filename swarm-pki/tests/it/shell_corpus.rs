//! Replays the fuzzers' corpora of invites, grant files and paths, and throws the dice a little.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use proptest::prelude::*;
use swarm_pki::testing::{fuzz_grant, fuzz_invite, fuzz_path};

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let Ok(entries) = std::fs::read_dir(&corpus) else {
        #[allow(clippy::print_stderr, reason = "tests say what they skip")]
        {
            eprintln!(
                "SKIPPED: corpus of {target}: {} is not beside the crate",
                corpus.display()
            );
        }
        return;
    };
    let mut count = 0;
    for entry in entries {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn the_corpus_of_invites_holds() {
    replay("pki_invite", fuzz_invite);
}

#[test]
fn the_corpus_of_grant_files_holds() {
    replay("pki_grant", fuzz_grant);
}

#[test]
fn the_corpus_of_paths_holds() {
    replay("pki_path", fuzz_path);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn paths_made_of_tricks_lead_nowhere(
        parts in prop::collection::vec(
            prop_oneof![
                Just("/"), Just("_synapse"), Just("admin"), Just("x"), Just("."), Just(".."),
                Just("%2e"), Just("%2F"), Just("%5c"), Just("%25"), Just("25"), Just("2f"),
                Just("%"), Just(";"), Just("?"), Just("#"), Just("%61dmin"), Just("%41DMIN"),
                Just("%c0%af"), Just("\\"), Just("%00"), Just("%3f"), Just("é"),
            ],
            0..12,
        )
    ) {
        fuzz_path(format!("/{}", parts.concat()).as_bytes());
    }

    #[test]
    fn contents_of_invites_are_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_invite(&content);
    }
}
