//! Invites and addresses as people type them, and what stands behind an invite's checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| swarm_pki::testing::fuzz_invite(data));
