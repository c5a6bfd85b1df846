#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swarm_wg::testing::fuzz_cipher(data));
