//! A backup's text, as it is and with a digest that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| swarm_pki::testing::fuzz_backup(data));
