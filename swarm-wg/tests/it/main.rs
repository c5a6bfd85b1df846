//! The tunnel against real parts: network namespaces, wg, and other implementations.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

#[cfg(feature = "uapi")]
mod configuration;
#[cfg(feature = "tun")]
mod foreign;
#[cfg(feature = "testing")]
mod hours;
#[cfg(feature = "tun")]
mod interop;
#[cfg(feature = "tun")]
mod lab;
#[cfg(feature = "tun")]
mod pair;
#[cfg(feature = "tun")]
mod programs;
#[cfg(feature = "testing")]
mod replay;
#[cfg(feature = "tun")]
mod soak;
#[cfg(feature = "tun")]
mod traffic;
#[cfg(feature = "tun")]
mod workers;
