//! Every input that fuzzing found worth keeping, once more.

use std::path::Path;

use swarm_wg::testing;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    // A published crate comes without its corpora.
    let Ok(entries) = std::fs::read_dir(&corpus) else {
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
fn the_corpus_of_messages_to_seal_holds() {
    replay("wg_cipher", testing::fuzz_cipher);
}

#[test]
fn the_corpus_of_datagrams_holds() {
    replay("wg_datagrams", testing::fuzz_datagrams);
}

#[test]
fn the_corpus_of_inner_packets_holds() {
    replay("wg_inner", testing::fuzz_inner);
}

#[cfg(feature = "uapi")]
#[test]
fn the_corpus_of_configuration_requests_holds() {
    replay("wg_uapi", testing::fuzz_uapi);
}

#[cfg(feature = "tun")]
#[test]
fn the_corpus_of_packets_to_cut_holds() {
    replay("wg_split", testing::fuzz_split);
}

#[cfg(feature = "tun")]
#[test]
fn the_corpus_of_packets_to_join_holds() {
    replay("wg_join", testing::fuzz_join);
}

mod any {
    use proptest::prelude::*;

    use super::testing;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_operations_on_a_core_with_live_peers_hold(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            testing::fuzz_datagrams(&bytes);
        }

        #[test]
        fn any_inner_packets_hold(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            testing::fuzz_inner(&bytes);
        }
    }

    #[cfg(feature = "tun")]
    proptest! {
        #[test]
        fn any_packets_to_cut_hold(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            testing::fuzz_split(&bytes);
        }

        #[test]
        fn any_packets_to_join_hold(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            testing::fuzz_join(&bytes);
        }
    }

    #[cfg(feature = "uapi")]
    proptest! {
        #[test]
        fn any_configuration_requests_hold(text in "(get=1\n|set=1\n|[a-z_]{1,12}=[a-f0-9./:-]{0,40}\n|\n){0,30}") {
            testing::fuzz_uapi(text.as_bytes());
        }
    }
}
