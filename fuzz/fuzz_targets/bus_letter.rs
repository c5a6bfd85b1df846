#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swarm_bus::testing::fuzz_letter(data));
