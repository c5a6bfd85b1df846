//! Ports for the servers that tests start.
//!
//! A port that the kernel gave and that was closed again is anybody's: another test may be given it before
//! the server takes it, or while the server is down. So these lie below those that the kernel gives by
//! itself (from 32768 on Linux, from 49152 elsewhere), and a test marks its own with a UDP socket of the
//! same number: every test program of this machine sees the mark, and it is gone when the test is.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u16 = 12_000;
const COUNT: u32 = 20_000;

/// A TCP port of 127.0.0.1 at which nothing listens, and which no other test is given while it is kept.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _mark: UdpSocket,
}

impl Port {
    /// Takes a port.
    ///
    /// # Panics
    /// When none is left.
    #[must_use]
    pub fn free() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // each program begins elsewhere, so that they seldom meet
        let start = std::process::id().wrapping_mul(61);
        for _ in 0..COUNT {
            let next = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let number = FIRST + (next % COUNT) as u16;
            let Ok(mark) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self {
                    number,
                    _mark: mark,
                };
            }
        }
        panic!("no port from {FIRST} on is free");
    }

    /// Returns its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_port_is_given_once_while_it_is_kept_and_a_server_can_take_it() {
        let ports: Vec<_> = (0..50).map(|_| Port::free()).collect();
        let numbers: BTreeSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        for port in &ports {
            let address = (Ipv4Addr::LOCALHOST, port.number());
            assert!(UdpSocket::bind(address).is_err(), "{port} is not marked");
            TcpListener::bind(address).expect("nobody listens");
        }
    }

    #[test]
    fn a_port_at_which_somebody_listens_is_not_given() {
        let taken = Port::free();
        let address = (Ipv4Addr::LOCALHOST, taken.number());
        let _server = TcpListener::bind(address).expect("nobody listens");
        drop(taken);
        for _ in 0..50 {
            assert_ne!(Port::free().number(), address.1);
        }
    }
}
