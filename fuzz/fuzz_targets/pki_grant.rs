//! Grant files as people carry them: PEM, certificates, a trust bundle and signed attachments.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| swarm_pki::testing::fuzz_grant(data));
