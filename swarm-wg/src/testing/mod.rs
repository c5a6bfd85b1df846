//! What a user of this crate needs to test against it: a virtual network of many cores, and
//! the entry points of the fuzz targets. Outside semver.
//!
//! A [`Network`] has a clock of its own that only [`Network::run_for`] moves: hours pass in
//! milliseconds, and a run repeats itself exactly.

mod cipher;
mod fuzz;
mod network;
mod packets;
mod routes;

pub use cipher::DataCipher;
#[cfg(feature = "uapi")]
pub use fuzz::fuzz_uapi;
pub use fuzz::{fuzz_cipher, fuzz_datagrams, fuzz_inner};
#[cfg(feature = "tun")]
pub use fuzz::{fuzz_join, fuzz_split};
pub use network::{Link, Network, NodeId};
pub use packets::udp_packet;
pub use routes::RoutingTable;
