//! What the fuzz targets call: any bytes, read as sequences of operations on live cores, held
//! against what must always be true.

mod laws;
mod operations;
mod script;
mod world;

use operations::Limits;
use script::Script;
use world::{World, inner};

/// Sequences of operations on cores with live peers. A script decides which datagram arrives,
/// when, from where and how often, and how it was changed on its way; which packets are sent,
/// by whom in whose name; how much time passes; and what is configured meanwhile.
///
/// # Panics
/// When a core
/// - delivers a packet that the owner of its source did not send, or delivers it twice or to
///   another than the owner of its destination;
/// - moves an endpoint for a datagram that is not authentic, or takes one twice;
/// - answers what is not authentic with more bytes than it got;
/// - takes a datagram without using it for anything and without counting it as dropped, or
///   loses a packet that is to be sent without counting it;
/// - wants to be looked at without end, or does not fall silent;
/// - does not find back to a peer once all is in order again.
pub fn fuzz_datagrams(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new(script.byte().into());
    let mut limits = Limits::default();
    while world.step(&mut script, &mut limits) {}
    world.check_recovery();
    world.check_accounts();
}

/// A message under a key, sealed, opened and changed, by each cipher that this machine has.
///
/// # Panics
/// When they differ, or what was changed is opened.
pub fn fuzz_cipher(data: &[u8]) {
    let (key, data) = data.split_at(data.len().min(32));
    let (counter, data) = data.split_at(data.len().min(8));
    let (flip, message) = data.split_at(data.len().min(4));
    let flip = u32::from_le_bytes(padded(flip));
    crate::core::compare_ciphers(
        &padded(key),
        u64::from_le_bytes(padded(counter)),
        message,
        flip as usize,
    );
}

/// The bytes, and zeros.
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|n| bytes.get(n).copied().unwrap_or(0))
}

/// Packets from the interface, and from a peer inside its session, of any bytes.
///
/// # Panics
/// When a packet is delivered that is no IP packet or whose source is not its sender's.
pub fn fuzz_inner(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new(1);
    while !script.is_empty() {
        let (how, bytes) = (script.byte(), script.bytes());
        world.send(0, bytes);
        // A peer that means harm sends us what it likes, from whom it likes.
        let mut harmful = bytes.to_vec();
        address(&mut harmful, how & 1 != 0);
        world.send(1, &harmful);
        world.settle();
    }
    world.check_accounts();
}

/// Addresses a packet to the first node, as the second or as whoever it says.
fn address(packet: &mut [u8], as_second: bool) {
    let v4 = packet.first().is_none_or(|first| first >> 4 != 6);
    let (source, destination) = (inner(1, v4), inner(0, v4));
    let mut write = |at: usize, address: std::net::IpAddr| {
        let octets = match address {
            std::net::IpAddr::V4(address) => address.octets().to_vec(),
            std::net::IpAddr::V6(address) => address.octets().to_vec(),
        };
        if let Some(room) = packet.get_mut(at..at + octets.len()) {
            room.copy_from_slice(&octets);
        }
    };
    write(if v4 { 16 } else { 24 }, destination);
    if as_second {
        write(if v4 { 12 } else { 8 }, source);
    }
}

/// Requests of the configuration protocol, of any bytes and cut anywhere.
#[cfg(feature = "uapi")]
pub fn fuzz_uapi(data: &[u8]) {
    use crate::uapi::{Framing, frame, parse};

    let mut rest = data;
    // However a request arrives, its end is found in the same place.
    let whole = frame(rest, 0);
    if let Framing::Complete(length) = whole {
        assert_eq!(
            frame(&rest[..length], length - 1),
            Framing::Complete(length)
        );
        assert_eq!(frame(&rest[..length - 1], 0), Framing::Partial);
    }
    while let Framing::Complete(length) = frame(rest, 0) {
        let _ = parse(&rest[..length]);
        rest = &rest[length..];
    }
    let _ = parse(rest);
}

/// Super-packets of a TUN device, of any bytes, cut.
///
/// # Panics
/// When what was cut is not as it has to be.
#[cfg(feature = "tun")]
pub fn fuzz_split(data: &[u8]) {
    crate::offload::fuzz_split(data);
}

/// Packets of several flows, some of them damaged, joined and cut again.
///
/// # Panics
/// When what comes out is not what went in, or packets of a flow overtake each other.
#[cfg(feature = "tun")]
pub fn fuzz_join(data: &[u8]) {
    crate::offload::fuzz_join(data);
}
