//! The UDP sockets: IPv4 and IPv6 on one port, datagrams in batches.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use crate::core::TransmitBatch;
use crate::error::Error;

/// Room in the kernel for datagrams each way, in bytes. The default loses bursts; more than
/// this gains nothing.
const BUFFER: usize = 4 << 20;
/// The largest datagram there is.
const MAX_DATAGRAM: usize = 65_535;
/// Datagrams read before a turn is made of them.
const MAX_BATCH: usize = 64;
/// How long a full socket may hold up its sender. A longer wait would hold up the timers of
/// every peer.
const SEND_PATIENCE: Duration = Duration::from_millis(50);
/// How often a free port is sought that both families can have.
const PORT_ATTEMPTS: u32 = 16;

pub(super) struct Sockets {
    v4: UdpSocket,
    /// `None` on a machine without IPv6.
    v6: Option<UdpSocket>,
    port: u16,
}

impl Sockets {
    /// Binds a port, or any free one for 0.
    pub(super) fn bind(port: u16, fwmark: u32) -> Result<Self, Error> {
        let mut attempts = if port == 0 { PORT_ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            match Self::bind_both(port, fwmark) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
                result => return result.map_err(|source| Error::Bind { port, source }),
            }
        }
    }

    fn bind_both(port: u16, fwmark: u32) -> io::Result<Self> {
        let v4 = open((Ipv4Addr::UNSPECIFIED, port).into(), fwmark)?;
        let port = v4.local_addr()?.port();
        let v6 = match open((Ipv6Addr::UNSPECIFIED, port).into(), fwmark) {
            Ok(socket) => Some(socket),
            Err(error) if is_without_ipv6(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { v4, v6, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.all().map(|socket| PollFd::new(socket, PollFlags::IN))
    }

    fn all(&self) -> impl Iterator<Item = &UdpSocket> {
        std::iter::once(&self.v4).chain(&self.v6)
    }

    /// Sets the mark on outgoing datagrams.
    pub(super) fn set_fwmark(&self, fwmark: u32) -> io::Result<()> {
        self.all()
            .try_for_each(|socket| socket2::SockRef::from(socket).set_mark(fwmark))
    }

    /// Reads what there is, up to a full batch; each socket gets its share.
    pub(super) fn receive(&self, batch: &mut ReceiveBatch) {
        batch.entries.clear();
        let mut limit = 0;
        for socket in self.all() {
            limit += MAX_BATCH / 2;
            while batch.entries.len() < limit {
                let used = batch.used();
                let Some(room) = batch.buffer.get_mut(used..used + MAX_DATAGRAM) else {
                    break;
                };
                match socket.recv_from(room) {
                    Ok((length, source)) => batch.entries.push((source, used + length)),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        tracing::debug!(%error, "cannot receive");
                        break;
                    }
                }
            }
        }
    }

    /// Sends datagrams; returns how many the operating system would not take.
    pub(super) fn send(&self, batch: &TransmitBatch) -> u64 {
        let mut failed = 0;
        for transmit in batch.iter() {
            if let Err(error) = self.send_one(transmit.destination, transmit.payload) {
                failed += 1;
                tracing::debug!(%error, destination = %transmit.destination, "cannot send");
            }
        }
        failed
    }

    fn send_one(&self, destination: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let socket = match (destination, &self.v6) {
            (SocketAddr::V4(_), _) => &self.v4,
            (SocketAddr::V6(_), Some(socket)) => socket,
            (SocketAddr::V6(_), None) => return Err(io::ErrorKind::Unsupported.into()),
        };
        loop {
            match socket.send_to(payload, destination) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
                    let patience = Timespec::try_from(SEND_PATIENCE).map_err(io::Error::other)?;
                    if rustix::event::poll(&mut fds, Some(&patience))? == 0 {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn open(address: SocketAddr, fwmark: u32) -> io::Result<UdpSocket> {
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

/// Datagrams received, in one buffer.
pub(super) struct ReceiveBatch {
    buffer: Vec<u8>,
    entries: Vec<(SocketAddr, usize)>,
}

impl ReceiveBatch {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; MAX_DATAGRAM + MAX_BATCH * 2048],
            entries: Vec::with_capacity(MAX_BATCH),
        }
    }

    fn used(&self) -> usize {
        self.entries.last().map_or(0, |(_, end)| *end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let starts = std::iter::once(0).chain(self.entries.iter().map(|(_, end)| *end));
        starts
            .zip(&self.entries)
            .map(|(start, (source, end))| (*source, &self.buffer[start..*end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_share_a_port_and_datagrams_come_in_one_batch() {
        let sockets = Sockets::bind(0, 0).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..3u8 {
            client
                .send_to(&[n; 5], ("127.0.0.1", sockets.port()))
                .unwrap();
        }
        let mut expected = 3;
        if sockets.v6.is_some()
            && let Ok(client) = UdpSocket::bind("[::1]:0")
        {
            client.send_to(&[9; 7], ("::1", sockets.port())).unwrap();
            expected += 1;
        }
        let mut batch = ReceiveBatch::new();
        sockets.receive(&mut batch);
        let received: Vec<_> = batch
            .iter()
            .map(|(_, datagram)| datagram.to_vec())
            .collect();
        assert_eq!(received.len(), expected);
        assert_eq!(received[2], [2; 5]);
        sockets.receive(&mut batch);
        assert!(batch.is_empty());
    }

    #[test]
    fn a_port_in_use_is_an_error_that_names_it() {
        let first = Sockets::bind(0, 0).unwrap();
        let port = first.port();
        assert!(matches!(Sockets::bind(port, 0), Err(Error::Bind { port: p, .. }) if p == port));
    }
}
