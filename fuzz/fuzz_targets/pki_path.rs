//! A closed prefix, a line break and a path that tries to get around it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| swarm_pki::testing::fuzz_path(data));
