//! Segmentation and checksum offload of a TUN device: what the kernel leaves undone on a
//! packet it hands over, and what it takes off a packet it is handed.
//!
//! ```text
//!   TUN ──read──▶ virtio header + packet up to 64 KiB ──Split──▶ packets of the MTU ──▶ encrypt
//!   TUN ◀─writev─ virtio header + pieces of the buffer ◀─Joiner── packets of the MTU ◀── decrypt
//! ```
//!
//! With `IFF_VNET_HDR` each read and write begins with a [`VirtioHeader`]. On the way out a
//! [`Split`] is one read: it is checked once, then writes each packet in one pass that copies
//! and sums. On the way in a [`Joiner`] finds the packets of one flow that follow one upon
//! the other, patches the headers of the first, and names the pieces to write after it, where
//! they lie.
//!
//! # Invariants
//! - No bytes, of the kernel or of a peer, make anything here panic.
//! - Splitting what was joined gives the packets that went in, save the IPv4 identification
//!   of packets that must not be fragmented (RFC 6864: it means nothing there).
//! - Packets of one flow leave in the order in which they came.
//! - A packet whose checksums do not hold is never joined, and never touched.

mod checksum;
#[cfg(any(test, feature = "testing"))]
mod fuzz;
mod ip;
mod join;
#[cfg(any(test, feature = "testing"))]
mod packets;
mod split;
mod virtio;

#[cfg(any(test, feature = "testing"))]
pub(crate) use fuzz::{fuzz_join, fuzz_split};
pub(crate) use join::{Joiner, Offer};
#[cfg(test)]
pub(crate) use packets::Recipe;
pub(crate) use split::Split;
pub(crate) use virtio::{GSO_UDP_L4, HEADER_LEN, VirtioHeader};
