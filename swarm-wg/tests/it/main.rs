//! The tunnel against real parts: network namespaces, Debian's wireguard-go and wg.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

#[cfg(feature = "uapi")]
mod configuration;
#[cfg(feature = "testing")]
mod hours;
#[cfg(feature = "tun")]
mod interop;
#[cfg(feature = "tun")]
mod lab;
#[cfg(feature = "tun")]
mod pair;
#[cfg(feature = "testing")]
mod replay;
