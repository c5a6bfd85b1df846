#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swarm_matrix::testing::fuzz_event(data));
