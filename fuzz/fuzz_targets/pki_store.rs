//! The store's files: head and journal, and a journal's lines without their hashes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| swarm_pki::testing::fuzz_store(data));
