//! The system calls that no safe library offers as the data path needs them: many datagrams
//! with one call, each of them a run that the kernel cuts (`UDP_SEGMENT`) or has joined
//! (`UDP_GRO`); see udp(7). All unsafe code of the crate is here.

#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

/// The most messages that one call takes.
pub(super) const MAX_MESSAGES: usize = 64;
/// Room for one control message: a header and a number.
const CONTROL_LEN: usize = 64;

/// A control buffer, aligned as its header has to be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// A message to send: datagrams of one length but the last, one after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) destination: SocketAddr,
    pub(super) payload: &'a [u8],
    /// The length of each datagram but the last, in bytes.
    pub(super) segment_len: usize,
}

/// A message that was received: datagrams of one length but the last, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) source: SocketAddr,
    /// Its length, in bytes.
    pub(super) length: usize,
    /// The length of each datagram but the last, in bytes.
    pub(super) segment_len: usize,
}

/// Sends messages; returns how many were, which is at least one.
pub(super) fn send(socket: BorrowedFd<'_>, messages: &[Outgoing<'_>]) -> io::Result<usize> {
    let count = messages.len().min(MAX_MESSAGES);
    let mut names = [MaybeUninit::<libc::sockaddr_storage>::uninit(); MAX_MESSAGES];
    let mut vectors = [MaybeUninit::<libc::iovec>::uninit(); MAX_MESSAGES];
    let mut controls = [MaybeUninit::<Control>::uninit(); MAX_MESSAGES];
    let mut headers = [MaybeUninit::<libc::mmsghdr>::uninit(); MAX_MESSAGES];
    for (n, message) in messages.iter().take(count).enumerate() {
        let name_len = write_address(message.destination, &mut names[n]);
        vectors[n].write(libc::iovec {
            iov_base: message.payload.as_ptr().cast_mut().cast(),
            iov_len: message.payload.len(),
        });
        // SAFETY: all zeros is a message header without anything.
        let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
        header.msg_hdr.msg_name = names[n].as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = name_len;
        header.msg_hdr.msg_iov = vectors[n].as_mut_ptr();
        header.msg_hdr.msg_iovlen = 1;
        // The kernel takes the option for a single datagram, too, but needs not.
        if message.payload.len() > message.segment_len {
            let control = controls[n].write(Control([0; CONTROL_LEN]));
            header.msg_hdr.msg_control = ptr::from_mut(control).cast();
            write_segment_len(&mut header.msg_hdr, message.segment_len);
        }
        headers[n].write(header);
    }
    // SAFETY: the first `count` headers are written, and what they point to (names, vectors,
    // controls, payloads) outlives the call; the kernel only reads it.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as libc::c_uint,
            0,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Writes the control message that has the kernel cut a message into datagrams.
fn write_segment_len(header: &mut libc::msghdr, segment_len: usize) {
    let value = u16::try_from(segment_len).unwrap_or(u16::MAX);
    // SAFETY: `msg_control` points to CONTROL_LEN aligned bytes, which is more than the space
    // of one control message with a u16; so the first header is not null and its data fits.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(mem::size_of::<u16>() as u32) as _;
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(value);
    }
}

/// Receives up to `count` messages, each into a part of `buffer` of its own: they begin
/// `stride` bytes apart and have `stride` bytes of room. Returns once there are no more at
/// hand; it does not wait.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    stride: usize,
    count: usize,
    messages: &mut Vec<Incoming>,
) -> io::Result<()> {
    let count = count.min(MAX_MESSAGES).min(buffer.len() / stride);
    let mut names = [MaybeUninit::<libc::sockaddr_storage>::uninit(); MAX_MESSAGES];
    let mut vectors = [MaybeUninit::<libc::iovec>::uninit(); MAX_MESSAGES];
    let mut controls = [MaybeUninit::<Control>::uninit(); MAX_MESSAGES];
    let mut headers = [MaybeUninit::<libc::mmsghdr>::uninit(); MAX_MESSAGES];
    for (n, part) in buffer.chunks_exact_mut(stride).take(count).enumerate() {
        vectors[n].write(libc::iovec {
            iov_base: part.as_mut_ptr().cast(),
            iov_len: stride,
        });
        // SAFETY: all zeros is a message header without anything.
        let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
        header.msg_hdr.msg_name = names[n].as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as _;
        header.msg_hdr.msg_iov = vectors[n].as_mut_ptr();
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = controls[n].as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = CONTROL_LEN as _;
        headers[n].write(header);
    }
    // SAFETY: the first `count` headers are written, and what they point to outlives the call.
    // Each has a part of `buffer` of its own, which this function has borrowed for writing.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT,
            ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for header in headers.iter().take(received.min(count)) {
        // SAFETY: the kernel has filled the first `received` headers and their names; both
        // were written before the call, so they are initialized whatever it wrote.
        let (header, source) = unsafe {
            let header = header.assume_init_ref();
            (
                header,
                read_address(header.msg_hdr.msg_name.cast(), header.msg_hdr.msg_namelen),
            )
        };
        let length = header.msg_len as usize;
        let Some(source) = source else { continue };
        messages.push(Incoming {
            source,
            length,
            segment_len: segment_len(&header.msg_hdr).unwrap_or(length),
        });
    }
    Ok(())
}

/// Reads from the control messages how long the datagrams are that the kernel has joined.
fn segment_len(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: `header` is as the kernel left it: `msg_controllen` bytes of control messages
    // lie at `msg_control`, which the CMSG macros stay within.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = control.as_ref() {
            let fits = found.cmsg_len >= libc::CMSG_LEN(4) as usize;
            if found.cmsg_level == libc::SOL_UDP && found.cmsg_type == libc::UDP_GRO && fits {
                let value = libc::CMSG_DATA(control)
                    .cast::<libc::c_int>()
                    .read_unaligned();
                return usize::try_from(value).ok().filter(|length| *length > 0);
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

/// Has the kernel join datagrams of one source on their way to the socket.
pub(super) fn enable_gro(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is an int, and its length is told.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            ptr::from_ref(&on).cast(),
            mem::size_of::<libc::c_int>() as _,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn write_address(
    address: SocketAddr,
    out: &mut MaybeUninit<libc::sockaddr_storage>,
) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is larger than, and aligned for, every address.
            unsafe { out.as_mut_ptr().cast::<libc::sockaddr_in>().write(name) };
            mem::size_of::<libc::sockaddr_in>() as _
        }
        SocketAddr::V6(v6) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: sockaddr_storage is larger than, and aligned for, every address.
            unsafe { out.as_mut_ptr().cast::<libc::sockaddr_in6>().write(name) };
            mem::size_of::<libc::sockaddr_in6>() as _
        }
    }
}

/// Reads an address that the kernel wrote.
///
/// # Safety
/// `name` points to a `sockaddr_storage` of which `length` bytes are written.
unsafe fn read_address(
    name: *const libc::sockaddr_storage,
    length: libc::socklen_t,
) -> Option<SocketAddr> {
    let length = length as usize;
    if length < mem::size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: the family is the first field of every address, and is written.
    let family = unsafe { ptr::addr_of!((*name).ss_family).read() };
    match i32::from(family) {
        libc::AF_INET if length >= mem::size_of::<libc::sockaddr_in>() => {
            // SAFETY: of that family and length, a sockaddr_in is written.
            let name = unsafe { name.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 if length >= mem::size_of::<libc::sockaddr_in6>() => {
            // SAFETY: of that family and length, a sockaddr_in6 is written.
            let name = unsafe { name.cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            // The flow information is of that one datagram.
            Some(SocketAddrV6::new(ip, port, 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Has the calling thread run as one that works through batches (sched(7)), which sets nobody
/// aside when it is woken, or as any other.
pub(super) fn schedule_as_batch(batch: bool) -> io::Result<()> {
    let policy = if batch {
        libc::SCHED_BATCH
    } else {
        libc::SCHED_OTHER
    };
    // SAFETY: all zeros is a parameter of priority 0, the only one that these policies take; the
    // kernel only reads it. 0 is the calling thread.
    let result = unsafe {
        let parameter: libc::sched_param = mem::zeroed();
        libc::sched_setscheduler(0, policy, &parameter)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    fn pair(address: &str) -> Option<(UdpSocket, UdpSocket, SocketAddr)> {
        let (a, b) = (
            UdpSocket::bind(address).ok()?,
            UdpSocket::bind(address).ok()?,
        );
        let to = b.local_addr().unwrap();
        Some((a, b, to))
    }

    #[test]
    fn runs_are_cut_joined_and_told_apart_over_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Some((a, b, to)) = pair(address) else {
                continue;
            };
            enable_gro(b.as_fd()).unwrap();
            let payload: Vec<u8> = (0..250).map(|n| n as u8).collect();
            let messages = [
                Outgoing {
                    destination: to,
                    payload: &payload,
                    segment_len: 100,
                },
                Outgoing {
                    destination: to,
                    payload: &payload[..40],
                    segment_len: 40,
                },
            ];
            assert_eq!(send(a.as_fd(), &messages).unwrap(), 2);
            let mut buffer = vec![0u8; 8 * 70_000];
            let mut received = Vec::new();
            let mut datagrams = Vec::new();
            while datagrams.len() < 4 {
                received.clear();
                receive(b.as_fd(), &mut buffer, 70_000, 8, &mut received).unwrap();
                for (n, message) in received.iter().enumerate() {
                    assert_eq!(message.source, a.local_addr().unwrap());
                    let bytes = &buffer[n * 70_000..][..message.length];
                    datagrams.extend(bytes.chunks(message.segment_len).map(<[u8]>::to_vec));
                }
            }
            let expected: Vec<_> = payload.chunks(100).chain([&payload[..40]]).collect();
            assert_eq!(datagrams, expected);
            let nothing = receive(b.as_fd(), &mut buffer, 70_000, 8, &mut received).unwrap_err();
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_run_that_cannot_be_sent_is_an_error_and_the_ones_before_it_are_sent() {
        let (a, b, to) = pair("127.0.0.1:0").unwrap();
        let payload = [1u8; 200];
        let messages = [
            Outgoing {
                destination: to,
                payload: &payload[..50],
                segment_len: 50,
            },
            // 200 datagrams are more than one call can cut.
            Outgoing {
                destination: to,
                payload: &payload,
                segment_len: 1,
            },
        ];
        assert_eq!(send(a.as_fd(), &messages).unwrap(), 1);
        assert!(send(a.as_fd(), &messages[1..]).is_err());
        let mut buffer = [0u8; 100];
        assert_eq!(b.recv(&mut buffer).unwrap(), 50);
    }

    #[test]
    fn a_thread_may_be_scheduled_as_batch_and_as_any_other_again() {
        let both = || schedule_as_batch(true).and_then(|()| schedule_as_batch(false));
        std::thread::spawn(both).join().unwrap().unwrap();
    }
}
