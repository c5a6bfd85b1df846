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
//!  │ core     handle_*, poll_*    │   no I/O, no clock, no threads
//!  │             │                │
//!  │ noise    handshake, sessions │   boringtun
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
//! # What the core does about its noise layer
//! boringtun does the handshake and the sessions, and the core makes good what it leaves open:
//! plaintexts are padded; counters near their end are refused; a handshake that was given up
//! begins anew with back-off and jitter; sessions that carry keepalives alone are renewed;
//! its clock is brought up to date before it is used; data is always answered, and a lone
//! packet on a slow path sets off no handshake; cookie replies move no endpoint; one
//! table of prefixes serves all peers; packets that wait are bounded over all peers; a changed
//! pre-shared key takes effect at once, without opening the door to replays. Three things it
//! cannot mend: handshakes are dated by the wall clock as it stood when a peer's state was
//! made (see [`TunnelConfig::handshake_floor`]); the replay window is 1,024 packets; and old
//! keys are wiped by the clock, not at the very moment they are replaced.
#![forbid(unsafe_code)]
#![allow(
    unexpected_cfgs,
    reason = "swarm_virtual_time is set from outside, for tests"
)]
mod config;
pub mod core;
mod error;
mod event;
#[cfg(feature = "tun")]
mod io;
mod key;
mod metrics;
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
pub use io::{Events, RecvError};
pub use key::{InvalidKey, KEY_LEN, PresharedKey, PrivateKey, PublicKey};
pub use metrics::{Metrics, Sample};
pub use stats::PeerStats;
#[cfg(feature = "tun")]
pub use tunnel::Tunnel;

#[cfg(all(doctest, feature = "tun"))]
#[doc = include_str!("../README.md")]
struct Readme;
