//! Sending runs of datagrams, whatever the kernel refuses.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::super::sys::{self, Outgoing};

/// How long a full socket may hold up its sender. A longer wait would hold up the timers of
/// every peer.
const SEND_PATIENCE: Duration = Duration::from_millis(50);
/// Runs that the kernel has refused to cut, one after another, before it is no longer asked.
const REFUSALS: u32 = 8;

/// A socket, and what it is known to refuse.
pub(super) struct Sender {
    pub(super) socket: UdpSocket,
    /// Runs refused one after another.
    refusals: AtomicU32,
}

/// How many datagrams a message is.
pub(super) fn datagrams(message: &Outgoing<'_>) -> u64 {
    message.payload.len().div_ceil(message.segment_len.max(1)) as u64
}

impl Sender {
    pub(super) fn new(socket: UdpSocket) -> Self {
        Self {
            socket,
            refusals: AtomicU32::new(0),
        }
    }

    /// Sends messages, whatever becomes of each; returns how many datagrams were not sent.
    pub(super) fn send_all(&self, mut messages: &[Outgoing<'_>]) -> u64 {
        let mut failed = 0;
        while let Some(first) = messages.first() {
            let is_run = first.payload.len() > first.segment_len;
            if is_run && self.refusals.load(Ordering::Relaxed) >= REFUSALS {
                failed += self.send_apart(first);
                messages = &messages[1..];
                continue;
            }
            match sys::send(self.socket.as_fd(), messages) {
                Ok(sent) => {
                    let cut = messages[..sent]
                        .iter()
                        .any(|m| m.payload.len() > m.segment_len);
                    if cut && self.refusals.load(Ordering::Relaxed) > 0 {
                        self.refusals.store(0, Ordering::Relaxed);
                    }
                    messages = &messages[sent.max(1)..];
                }
                Err(error) => {
                    if self.is_worth_another_try(&error) {
                        continue;
                    }
                    failed += match is_run && is_refusal(&error) {
                        true => {
                            self.refusals.fetch_add(1, Ordering::Relaxed);
                            self.send_apart(first)
                        }
                        false => {
                            let destination = first.destination;
                            tracing::debug!(%error, %destination, "cannot send");
                            datagrams(first)
                        }
                    };
                    messages = &messages[1..];
                }
            }
        }
        failed
    }

    /// Sends the datagrams of a run that the kernel does not cut.
    fn send_apart(&self, run: &Outgoing<'_>) -> u64 {
        let each = run.payload.chunks(run.segment_len).map(|payload| Outgoing {
            destination: run.destination,
            payload,
            segment_len: payload.len(),
        });
        let each: Vec<_> = each.collect();
        self.send_all(&each)
    }

    /// Whether a send that failed may succeed in a moment; waits for that.
    fn is_worth_another_try(&self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::Interrupted => true,
            io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
                Timespec::try_from(SEND_PATIENCE)
                    .is_ok_and(|patience| rustix::event::poll(&mut fds, Some(&patience)) != Ok(0))
            }
            _ => false,
        }
    }
}

/// Whether the kernel, or the path, takes no run of datagrams: an old kernel or a device
/// without checksums (EINVAL, EIO), or datagrams longer than the path carries in one piece.
fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::INVAL, Errno::IO, Errno::MSGSIZE, Errno::OPNOTSUPP]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_does_not_cut_is_sent_apart_and_nothing_is_lost() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let payload: Vec<u8> = (0..200).collect();
        let run = |segment_len| Outgoing {
            destination: receiver.local_addr().unwrap(),
            payload: &payload,
            segment_len,
        };
        // 200 datagrams are more than one call can cut: refused, as by a kernel without it.
        let sender = Sender::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        for _ in 0..=REFUSALS {
            assert_eq!(sender.send_all(&[run(1), run(150)]), 0);
            let mut room = [0u8; 300];
            for n in 0..200u8 {
                assert_eq!(receiver.recv(&mut room).unwrap(), 1);
                assert_eq!(room[0], n);
            }
            assert_eq!(receiver.recv(&mut room).unwrap(), 150);
            assert_eq!(receiver.recv(&mut room).unwrap(), 50);
            sender.refusals.store(REFUSALS, Ordering::Relaxed);
        }
    }
}
