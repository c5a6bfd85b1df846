//! Traffic through a tunnel from one side to the other: pings, streams, datagrams.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

use crate::lab::{Lab, Side};
use crate::programs::PATIENCE;

impl Lab {
    /// One ping through the tunnel from a side, with patience for a handshake.
    pub(crate) fn ping(&self, from: Side, to: IpAddr) -> bool {
        let to = to.to_string();
        self.exec(from, "ping", &["-c", "1", "-W", "5", "-n", &to])
            .status
            .success()
    }

    /// Pings both families from both sides.
    pub(crate) fn assert_pings(&self) {
        for side in [Side::A, Side::B] {
            assert!(self.ping(side, side.other().inner()), "IPv4 from {side:?}");
            assert!(
                self.ping(side, side.other().inner_v6()),
                "IPv6 from {side:?}"
            );
        }
    }

    /// Sends bytes over TCP from a side to an address of the other, and reads them there.
    pub(crate) fn transfer(&self, from: Side, to: IpAddr, length: usize) {
        let listener = self
            .inside(from.other(), || TcpListener::bind((to, 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let data = noise(length, 1);
        std::thread::scope(|scope| {
            let received = scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut received = Vec::new();
                stream.read_to_end(&mut received).unwrap();
                received
            });
            let mut stream = self
                .inside(from, || TcpStream::connect_timeout(&address, PATIENCE))
                .unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&data).unwrap();
            drop(stream);
            assert!(
                received.join().unwrap() == data,
                "TCP from {from:?} to {to}"
            );
        });
    }

    pub(crate) fn assert_transfers(&self, length: usize) {
        for side in [Side::A, Side::B] {
            self.transfer(side, side.other().inner(), length);
            self.transfer(side, side.other().inner_v6(), length);
        }
    }

    /// Sends datagrams of these lengths from a side to an address of the other, a few at a
    /// time, and reads them there: each as it was, and in order.
    pub(crate) fn datagrams(&self, from: Side, to: IpAddr, lengths: &[usize]) {
        let own = match to {
            IpAddr::V4(_) => from.inner(),
            IpAddr::V6(_) => from.inner_v6(),
        };
        let bind = |side, address| {
            let socket = self.inside(side, || UdpSocket::bind((address, 0)));
            socket.expect("a port is free")
        };
        let (sender, receiver) = (bind(from, own), bind(from.other(), to));
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = receiver.local_addr().unwrap();
        let mut buffer = vec![0; 65_536];
        for (window, lengths) in lengths.chunks(AT_ONCE).enumerate() {
            let payloads: Vec<_> = (0..)
                .zip(lengths)
                .map(|(n, length)| noise(*length, (window * AT_ONCE) as u32 + n))
                .collect();
            for payload in &payloads {
                sender.send_to(payload, address).unwrap();
            }
            for (n, payload) in payloads.iter().enumerate() {
                let length = receiver.recv(&mut buffer).unwrap_or_else(|error| {
                    panic!("{error}: {n} of {lengths:?} from {from:?} to {to}")
                });
                assert!(
                    buffer[..length] == payload[..],
                    "{length} bytes in place of {}, {n} of {lengths:?} from {from:?} to {to}",
                    payload.len()
                );
            }
        }
    }
}

/// Datagrams on their way at a time: no more than fit a receive buffer.
const AT_ONCE: usize = 32;

/// Bytes that differ from place to place, and from seed to seed.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let place = |n: u32| n.wrapping_add(seed << 8).wrapping_mul(0x9e37_79b1);
    (0..length).map(|n| (place(n as u32) >> 24) as u8).collect()
}
