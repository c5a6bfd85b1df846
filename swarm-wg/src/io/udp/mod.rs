//! The UDP sockets: IPv4 and IPv6 on one port, a pair for each worker, runs of datagrams with
//! one call.

mod received;
mod sender;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use super::sys::{self, MAX_MESSAGES, Outgoing};
use crate::core::TransmitBatch;
use crate::error::Error;
pub(in crate::io) use received::ReceiveBatch;
use sender::{Sender, datagrams};

/// Room in the kernel for datagrams each way, in bytes. The default loses bursts; more than
/// this gains nothing.
const BUFFER: usize = 4 << 20;
/// How often a free port is sought that both families can have.
const PORT_ATTEMPTS: u32 = 16;

/// The sockets of all workers, on one port.
pub(super) struct Sockets {
    pairs: Vec<Pair>,
    port: u16,
}

/// The sockets of one worker.
pub(super) struct Pair {
    v4: Sender,
    /// `None` on a machine without IPv6.
    v6: Option<Sender>,
}

impl Sockets {
    /// Binds a port, or any free one for 0.
    pub(super) fn bind(port: u16, fwmark: u32, workers: usize) -> Result<Self, Error> {
        let mut attempts = if port == 0 { PORT_ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            match Self::bind_all(port, fwmark, workers) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
                result => return result.map_err(|source| Error::Bind { port, source }),
            }
        }
    }

    fn bind_all(port: u16, fwmark: u32, workers: usize) -> io::Result<Self> {
        let v4 = open((Ipv4Addr::UNSPECIFIED, port).into(), fwmark)?;
        let port = v4.local_addr()?.port();
        let v6 = match open((Ipv6Addr::UNSPECIFIED, port).into(), fwmark) {
            Ok(socket) => Some(socket),
            Err(error) if is_without_ipv6(&error) => None,
            Err(error) => return Err(error),
        };
        let mut pairs = vec![Pair::new(v4, v6)];
        // The port was nobody's; from here on it is shared by the workers.
        for _ in 1..workers {
            let [v4, v6] = [Some(&pairs[0].v4), pairs[0].v6.as_ref()].map(|first| {
                first
                    .map(|first| open_beside(&first.socket, fwmark))
                    .transpose()
            });
            if let Some(v4) = v4? {
                pairs.push(Pair::new(v4, v6?));
            }
        }
        Ok(Self { pairs, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The sockets of a worker.
    pub(super) fn of(&self, worker: usize) -> &Pair {
        &self.pairs[worker]
    }

    /// Sets the mark on outgoing datagrams.
    pub(super) fn set_fwmark(&self, fwmark: u32) -> io::Result<()> {
        self.pairs
            .iter()
            .flat_map(Pair::all)
            .try_for_each(|sender| socket2::SockRef::from(&sender.socket).set_mark(fwmark))
    }
}

impl Pair {
    fn new(v4: UdpSocket, v6: Option<UdpSocket>) -> Self {
        Self {
            v4: Sender::new(v4),
            v6: v6.map(Sender::new),
        }
    }

    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.all()
            .map(|sender| PollFd::new(&sender.socket, PollFlags::IN))
    }

    fn all(&self) -> impl Iterator<Item = &Sender> {
        std::iter::once(&self.v4).chain(&self.v6)
    }

    /// Sends datagrams; returns how many the operating system would not take.
    pub(super) fn send(&self, batch: &TransmitBatch) -> u64 {
        let mut failed = 0;
        let empty = Outgoing {
            destination: (Ipv4Addr::UNSPECIFIED, 0).into(),
            payload: &[],
            segment_len: 0,
        };
        let mut messages = [empty; MAX_MESSAGES];
        let mut runs = batch.iter().peekable();
        while let Some(first) = runs.peek() {
            let is_v4 = first.destination.is_ipv4();
            let mut count = 0;
            while count < MAX_MESSAGES
                && let Some(run) = runs.next_if(|run| run.destination.is_ipv4() == is_v4)
            {
                messages[count] = Outgoing {
                    destination: run.destination,
                    payload: run.payload,
                    segment_len: run.segment_len,
                };
                count += 1;
            }
            let sender = if is_v4 {
                Some(&self.v4)
            } else {
                self.v6.as_ref()
            };
            failed += match sender {
                Some(sender) => sender.send_all(&messages[..count]),
                None => messages[..count].iter().map(datagrams).sum(),
            };
        }
        failed
    }
}

fn new_socket(address: SocketAddr, fwmark: u32) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    } else {
        // The outer datagram may be cut on its way rather than vanish: an inner path does
        // not learn of the outer one's limits.
        sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::DONT)?;
    }
    grow(&socket)?;
    if fwmark != 0 {
        socket.set_mark(fwmark)?;
    }
    socket.set_nonblocking(true)?;
    if let Err(error) = sys::enable_gro(socket.as_fd()) {
        tracing::debug!(%error, "datagrams are not joined on receiving");
    }
    Ok(socket)
}

fn open(address: SocketAddr, fwmark: u32) -> io::Result<UdpSocket> {
    let socket = new_socket(address, fwmark)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Opens another socket on the port of one that is bound: the kernel spreads sources over them.
fn open_beside(first: &UdpSocket, fwmark: u32) -> io::Result<UdpSocket> {
    socket2::SockRef::from(first).set_reuse_port(true)?;
    let address = first.local_addr()?;
    let socket = new_socket(address, fwmark)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Makes the buffers large: past the system's limit where that is allowed, up to it where not.
fn grow(socket: &Socket) -> io::Result<()> {
    let fd = socket.as_fd();
    if sockopt::set_socket_recv_buffer_size_force(fd, BUFFER).is_err() {
        socket.set_recv_buffer_size(BUFFER)?;
    }
    if sockopt::set_socket_send_buffer_size_force(fd, BUFFER).is_err() {
        socket.set_send_buffer_size(BUFFER)?;
    }
    Ok(())
}

fn is_without_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_share_a_port_and_datagrams_come_in_batches() {
        let sockets = Sockets::bind(0, 0, 1).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..3u8 {
            client
                .send_to(&[n; 5], ("127.0.0.1", sockets.port()))
                .unwrap();
        }
        let mut expected = vec![vec![0; 5], vec![1; 5], vec![2; 5]];
        if sockets.of(0).v6.is_some()
            && let Ok(client) = UdpSocket::bind("[::1]:0")
        {
            client.send_to(&[9; 7], ("::1", sockets.port())).unwrap();
            expected.push(vec![9; 7]);
        }
        let mut batch = ReceiveBatch::new();
        let mut received = Vec::new();
        loop {
            sockets.of(0).receive(&mut batch);
            if batch.is_empty() {
                break;
            }
            for (start, message) in (0..).map_while(|n| batch.message(n)) {
                let bytes = &batch.buffer[start..start + message.length];
                received.extend(bytes.chunks(message.segment_len).map(<[u8]>::to_vec));
            }
        }
        received.sort();
        assert_eq!(received, expected);
    }

    #[test]
    fn a_port_in_use_is_an_error_that_names_it_however_many_share_it() {
        let first = Sockets::bind(0, 0, 2).unwrap();
        let port = first.port();
        for workers in [1, 2] {
            assert!(
                matches!(Sockets::bind(port, 0, workers), Err(Error::Bind { port: p, .. }) if p == port)
            );
        }
    }
}
