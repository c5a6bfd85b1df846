#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swarm_pki::testing::fuzz_bundle(data));
