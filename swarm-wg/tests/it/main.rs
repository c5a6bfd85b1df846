//! The tunnel against real parts: network namespaces, Debian's wireguard-go and wg.

#![allow(
    unexpected_cfgs,
    reason = "swarm_virtual_time is set from outside, for tests"
)]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

#[cfg(feature = "testing")]
mod replay;
#[cfg(all(swarm_virtual_time, feature = "testing"))]
mod virtual_time;

// The clock of the cryptography stands still in that build: nothing real can talk to it.
#[cfg(all(not(swarm_virtual_time), feature = "uapi"))]
mod configuration;
#[cfg(all(not(swarm_virtual_time), feature = "tun"))]
mod interop;
#[cfg(all(not(swarm_virtual_time), feature = "tun"))]
mod lab;
#[cfg(all(not(swarm_virtual_time), feature = "tun"))]
mod pair;
