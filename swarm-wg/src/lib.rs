//! A userspace WireGuard tunnel to embed: a sans-IO core, a shell for Linux with a TUN device,
//! and peers that come and go while it runs.
//!
//! ```text
//!   your program                     the machine
//!  ┌──────────────────────────────┐
//!  │ Tunnel   add, update, remove │   /var/run/wireguard/swarm0.sock ◀── wg show, wg set
//!  │   │      peers, events       │        │
//!  │   ▼                          │        ▼
//!  │ shell    TUN ◀──▶ threads ◀──┼──▶ UDP socket, IPv4 and IPv6 on one port
//!  │             │                │
//!  │ offload  cut, join           │   64 KiB a system call, both sides
//!  │             │                │
//!  │ core     handle_*, poll_*    │   no I/O, no clock, no threads, no randomness
//!  │  ├ plane   seal, open        │   what packets touch; threads share it without a lock
//!  │  └ noise   handshakes        │   keys, sessions, cookies
//!  └──────────────────────────────┘
//! ```
//!
//! # Life-cycle
//! [`TunnelConfig::new`] with a [`PrivateKey`], then its fields; [`Tunnel::start`] makes the
//! interface and binds the port. Peers are [added](Tunnel::add_peer),
//! [updated](Tunnel::update_peer) and [removed](Tunnel::remove_peer) at any time, from any
//! thread. What happens to them comes as [`Event`]s, how they are as [`PeerStats`], and both
//! in numbers as [`Metrics`]. Dropping the tunnel takes the interface and the port with it.
//!
//! # Invariants
//! - A packet is delivered only if its source address belongs to the peer it came from, by the
//!   longest matching prefix of all peers together; it is sent only to the peer its
//!   destination belongs to.
//! - A peer's endpoint moves only for an authentic message from it.
//! - Once [`Tunnel::remove_peer`] returns, no packet of the peer passes.
//! - Every datagram and packet that is dropped is counted, by [reason](core::DropReason).
//! - Nothing a stranger sends panics, or makes memory grow past a bound; a handshake message
//!   costs a hash before it costs a curve operation.
//! - Private keys are zeroized, and shown by no `Debug`, log or error.
//!
//! # Example
//! ```no_run
//! # #[cfg(not(feature = "tun"))] fn main() {}
//! # #[cfg(feature = "tun")] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use swarm_wg::{Event, PeerConfig, PrivateKey, Tunnel, TunnelConfig};
//!
//! let mut config = TunnelConfig::new(PrivateKey::generate()?);
//! config.interface = "swarm0".parse()?;
//! config.addresses = vec!["10.7.0.1/16".parse()?];
//! let tunnel = Tunnel::start(config)?;
//! let events = tunnel.events();
//!
//! let mut peer = PeerConfig::new("HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=".parse()?);
//! peer.endpoint = Some("192.0.2.7:51820".parse()?);
//! peer.allowed_ips = vec!["10.7.0.2/32".parse()?];
//! peer.persistent_keepalive = Some(25);
//! tunnel.add_peer(peer)?;
//!
//! if let Ok(Event::HandshakeCompleted { peer }) = events.recv_timeout(Duration::from_secs(5)) {
//!     println!("{peer} is there: {:?}", tunnel.peer(&peer));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! - `tun` (on by default): the shell, [`Tunnel`]. Linux.
//! - `uapi` (on by default): the configuration protocol, so that `wg` works.
//! - `testing`: a virtual network of cores, outside semver.
//!
//! Without any of them there is [`core`], for programs that bring their own sockets and
//! threads.
//!
//! # How fast it is, and why
//! Packets cross in batches, and run to completion: one read of up to 64 KiB from the
//! interface is cut, sealed and sent with one call by the thread that read it, and what one
//! call received is opened where it lies, joined, and written with one call. There is no
//! allocation for a packet and no hand-over to another thread. What packets look up is shared
//! by all threads; the core, which makes handshakes and keeps time, is asked only for what is
//! out of the ordinary. The figures are in the README.
// The exceptions are io::sys, the system calls that no safe library offers, and core's cipher for
// AVX-512, whose instructions may be used only where the processor has them.
#![deny(unsafe_code)]
mod config;
pub mod core;
mod error;
mod event;
#[cfg(feature = "tun")]
mod io;
mod key;
mod metrics;
#[cfg(feature = "tun")]
mod offload;
mod stats;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(feature = "tun")]
mod tunnel;
#[cfg(feature = "uapi")]
mod uapi;

pub use config::PeerConfig;
#[cfg(feature = "tun")]
pub use config::{InterfaceName, InvalidInterfaceName, TunnelConfig};
pub use error::Error;
pub use event::Event;
#[cfg(feature = "tun")]
pub use io::{Events, RecvError, Watch};
pub use key::{InvalidKey, KEY_LEN, PresharedKey, PrivateKey, PublicKey};
pub use metrics::{Metrics, Sample};
pub use stats::PeerStats;
#[cfg(feature = "tun")]
pub use tunnel::Tunnel;

#[cfg(all(doctest, feature = "tun"))]
#[doc = include_str!("../README.md")]
struct Readme;
