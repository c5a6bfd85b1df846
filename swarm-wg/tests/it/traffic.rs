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

    /// Sends numbered datagrams of one length from a side to the other as fast as it goes, and
    /// reads those that arrive there: in order, whatever is lost. Returns how many arrived.
    pub(crate) fn flood(&self, from: Side, count: u32, length: usize) -> u32 {
        let bind = |side: Side| self.inside(side, || UdpSocket::bind((side.inner(), 0)).unwrap());
        let (sender, receiver) = (bind(from), bind(from.other()));
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = receiver.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut payload = vec![0; length];
                for number in 1..=count {
                    payload[..4].copy_from_slice(&number.to_be_bytes());
                    // A full queue may refuse it.
                    let _ = sender.send_to(&payload, address);
                }
                // The last of them must not be lost.
                payload[..4].copy_from_slice(&u32::MAX.to_be_bytes());
                for _ in 0..50 {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    let _ = sender.send_to(&payload, address);
                }
            });
            let mut buffer = vec![0; 65_536];
            let (mut arrived, mut last) = (0, 0);
            loop {
                let got = receiver.recv(&mut buffer).unwrap();
                let number = u32::from_be_bytes(*buffer[..got].first_chunk().unwrap());
                if number == u32::MAX {
                    return arrived;
                }
                assert!(number > last, "{number} after {last}");
                (arrived, last) = (arrived + 1, number);
            }
        })
    }
}

/// Datagrams on their way at a time: no more than fit a receive buffer.
const AT_ONCE: usize = 32;

/// Bytes that differ from place to place, and from seed to seed.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let place = |n: u32| n.wrapping_add(seed << 8).wrapping_mul(0x9e37_79b1);
    (0..length).map(|n| (place(n as u32) >> 24) as u8).collect()
}
