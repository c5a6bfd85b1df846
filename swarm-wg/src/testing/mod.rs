//! What a user of this crate needs to test against it: a virtual network of many cores, and
//! the entry points of the fuzz targets. Outside semver.
//!
//! # Time
//! The cryptography below the core reads the monotonic clock itself. In an ordinary build a
//! [`Network`] therefore runs in real time: [`Network::run_for`] waits as long as it says. In
//! a build with `RUSTFLAGS="--cfg swarm_virtual_time"` the clock of the whole build stands
//! still but for what `run_for` moves it, hours pass in milliseconds, and everything but the
//! keys of the handshakes repeats itself exactly ([`VIRTUAL_TIME`] tells which it is).

mod clock;
mod fuzz;
mod network;
mod packets;

pub use clock::VIRTUAL_TIME;
#[cfg(feature = "uapi")]
pub use fuzz::fuzz_uapi;
pub use fuzz::{fuzz_datagrams, fuzz_inner};
pub use network::{Link, Network, NodeId};
pub use packets::udp_packet;
