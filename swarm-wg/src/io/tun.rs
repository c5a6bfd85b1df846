//! The TUN device: super-packets in, joined packets out.
//!
//! With segmentation offload (a virtio-net header before each packet) the kernel hands over
//! up to 64 KiB of a flow with one read, and takes as much with one write. Where it refuses
//! that, packets come and go one by one.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use tun_rs::{DeviceBuilder, SyncDevice};

use super::fair::Fair;
use super::routes::interface_error;
use crate::config::InterfaceName;
use crate::error::Error;
use crate::offload::{GSO_UDP_L4, HEADER_LEN, Joiner, Offer, Split, VirtioHeader};

/// Packets that wait in the kernel for this process. The default, 500, loses packets at rates
/// that the tunnel can carry.
pub(super) const QUEUE_LEN: u32 = 4000;
/// Reads of one turn: what is read must be sent before more is.
const MAX_READS: usize = 64;
/// The most parts of one write that need no allocation.
const MAX_PARTS: usize = 72;

/// The interface, with a queue for each worker.
pub(super) struct Tun {
    queues: Vec<SyncDevice>,
    /// Whether a virtio-net header is before each packet.
    headers: bool,
    takes: Takes,
}

/// Whether the kernel takes joined TCP, and joined UDP.
struct Takes {
    tcp: AtomicBool,
    udp: AtomicBool,
}

impl Takes {
    fn offer(&self) -> Offer {
        Offer {
            tcp: self.tcp.load(Ordering::Relaxed),
            udp: self.udp.load(Ordering::Relaxed),
        }
    }
}

impl Tun {
    /// Makes the interface, which is still down.
    pub(super) fn create(name: &InterfaceName, mtu: u16, workers: usize) -> Result<Self, Error> {
        let build = |offload: bool| {
            DeviceBuilder::new()
                .name(name.as_str())
                .mtu(mtu)
                .enable(false)
                .with(|device| {
                    device.offload(offload).multi_queue(workers > 1);
                })
                .build_sync()
        };
        let (first, headers) = match build(true) {
            Ok(device) => (device, true),
            Err(error) => {
                tracing::debug!(%error, "the interface has no offload");
                let device = build(false).map_err(interface_error(name.as_str(), "create"))?;
                (device, false)
            }
        };
        let takes_udp = headers && first.udp_gso();
        let mut queues = vec![first];
        let configure = interface_error(name.as_str(), "configure");
        let rest: io::Result<()> = (1..workers)
            .try_for_each(|_| {
                queues.push(queues[0].try_clone()?);
                Ok(())
            })
            .and_then(|()| {
                queues
                    .iter()
                    .try_for_each(|queue| queue.set_nonblocking(true))
            });
        rest.map_err(configure)?;
        Ok(Self {
            queues,
            headers,
            takes: Takes {
                tcp: AtomicBool::new(headers),
                udp: AtomicBool::new(takes_udp),
            },
        })
    }

    pub(super) fn index(&self) -> io::Result<u32> {
        self.queues[0].if_index()
    }

    pub(super) fn mtu(&self) -> io::Result<u16> {
        self.queues[0].mtu()
    }

    pub(super) fn bring_up(&self) -> io::Result<()> {
        self.queues[0].enabled(true)
    }

    /// The queue of a worker.
    pub(super) fn queue(&self, worker: usize) -> Queue<'_> {
        Queue {
            fd: self.queues[worker].as_fd(),
            headers: self.headers,
            takes: &self.takes,
        }
    }

    /// What may be joined before it is written.
    pub(super) fn offer(&self) -> Offer {
        self.takes.offer()
    }
}

/// One queue of the interface.
#[derive(Clone, Copy)]
pub(super) struct Queue<'a> {
    fd: BorrowedFd<'a>,
    headers: bool,
    takes: &'a Takes,
}

impl Queue<'_> {
    /// Reads what there is, within bounds. Returns how many reads had to be dropped to make
    /// room for others.
    pub(super) fn read(self, fair: &mut Fair) -> io::Result<u64> {
        let mut dropped = 0;
        for _ in 0..MAX_READS {
            let Some(room) = fair.room() else {
                match fair.make_room() {
                    Some(reads) => dropped += reads,
                    None => break,
                }
                continue;
            };
            match rustix::io::read(self.fd, room) {
                Ok(length) => fair.take(length, self.headers),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) if fair.is_empty() => return Err(error.into()),
                Err(_) => break,
            }
        }
        Ok(dropped)
    }

    /// Joins packets that lie in a buffer, and writes them; returns how many the interface
    /// would not take.
    pub(super) fn write(
        self,
        joiner: &mut Joiner,
        buffer: &mut [u8],
        packets: &[Range<usize>],
    ) -> u64 {
        if packets.is_empty() {
            return 0;
        }
        joiner.set_offer(self.takes.offer());
        joiner.join(buffer, packets);
        let mut failed = 0;
        for (header, parts) in joiner.writes() {
            let result = self.write_parts(header, buffer, parts);
            let Err(error) = result else { continue };
            if parts.len() > 1 && error == rustix::io::Errno::INVAL {
                failed += self.write_apart(*header, buffer, parts);
            } else {
                failed += parts.len() as u64;
                tracing::debug!(%error, packets = parts.len(), "interface refuses packets");
            }
        }
        failed
    }

    fn write_parts(
        self,
        header: &[u8; HEADER_LEN],
        buffer: &[u8],
        parts: &[Range<usize>],
    ) -> rustix::io::Result<()> {
        let skipped = usize::from(!self.headers);
        let all =
            std::iter::once(&header[..]).chain(parts.iter().map(|part| &buffer[part.clone()]));
        let count = parts.len() + 1;
        let write = |slices: &[IoSlice<'_>]| loop {
            match rustix::io::writev(self.fd, &slices[skipped..]) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.map(drop),
            }
        };
        if count > MAX_PARTS {
            return write(&all.map(IoSlice::new).collect::<Vec<_>>());
        }
        let mut slices = [IoSlice::new(&[]); MAX_PARTS];
        for (slice, bytes) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(bytes);
        }
        write(&slices[..count])
    }

    /// Writes packets one by one that the kernel refuses as one, and joins no more of their
    /// kind. Returns how many it would not take.
    fn write_apart(self, header: [u8; HEADER_LEN], buffer: &[u8], parts: &[Range<usize>]) -> u64 {
        let header = VirtioHeader::parse(&header);
        let is_udp = header.gso_type == GSO_UDP_L4;
        let refused = if is_udp {
            &self.takes.udp
        } else {
            &self.takes.tcp
        };
        refused.store(false, Ordering::Relaxed);
        tracing::info!(udp = is_udp, "the kernel takes no joined packets");
        let joined: Vec<u8> = parts
            .iter()
            .flat_map(|part| &buffer[part.clone()])
            .copied()
            .collect();
        let Ok(split) = Split::parse(header, &joined) else {
            return parts.len() as u64;
        };
        let mut failed = 0;
        let mut packet = Vec::new();
        for n in 0..split.count() {
            packet.resize(split.segment_len(n), 0);
            split.write(n, &mut packet);
            let whole = 0..packet.len();
            if self
                .write_parts(&[0; HEADER_LEN], &packet, &[whole])
                .is_err()
            {
                failed += 1;
            }
        }
        failed
    }
}

impl AsFd for Queue<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::Recipe;
    use std::os::unix::net::UnixDatagram;

    fn takes() -> Takes {
        Takes {
            tcp: AtomicBool::new(true),
            udp: AtomicBool::new(true),
        }
    }

    /// Packets of one flow in a buffer, as they are received.
    fn received(recipes: &[Recipe]) -> (Vec<u8>, Vec<Range<usize>>) {
        let (mut buffer, mut ranges) = (Vec::new(), Vec::new());
        for recipe in recipes {
            buffer.extend_from_slice(&[0; 16]);
            let start = buffer.len();
            buffer.extend(recipe.build());
            ranges.push(start..buffer.len());
        }
        (buffer, ranges)
    }

    fn read_all(socket: &UnixDatagram) -> Vec<Vec<u8>> {
        socket.set_nonblocking(true).unwrap();
        let mut room = vec![0; 70_000];
        std::iter::from_fn(|| {
            socket
                .recv(&mut room)
                .ok()
                .map(|length| room[..length].to_vec())
        })
        .collect()
    }

    #[test]
    fn packets_that_the_kernel_takes_only_apart_are_written_apart_and_none_is_lost() {
        // A socket keeps the writes apart, as the device does.
        let (ours, kernel) = UnixDatagram::pair().unwrap();
        let takes = takes();
        let queue = Queue {
            fd: ours.as_fd(),
            headers: true,
            takes: &takes,
        };
        let recipes = Recipe::flow(5, 1000);
        let (mut buffer, ranges) = received(&recipes);
        let mut joiner = Joiner::new(takes.offer());
        joiner.join(&mut buffer, &ranges);
        let (header, parts) = joiner.writes().next().unwrap();
        assert_eq!(parts.len(), 5);
        assert_eq!(queue.write_apart(*header, &buffer, parts), 0);
        let expected: Vec<_> = recipes
            .iter()
            .map(|recipe| [&[0; HEADER_LEN][..], &recipe.build()].concat())
            .collect();
        assert_eq!(read_all(&kernel), expected);
        // From now on they are not joined to begin with.
        assert!(!takes.offer().tcp && takes.offer().udp);
        let (mut buffer, ranges) = received(&recipes);
        assert_eq!(queue.write(&mut joiner, &mut buffer, &ranges), 0);
        assert_eq!(read_all(&kernel), expected);
    }

    #[test]
    fn joined_packets_are_one_write_and_a_device_without_headers_gets_them_bare() {
        let (ours, kernel) = UnixDatagram::pair().unwrap();
        let recipes = Recipe::flow(3, 500);
        for headers in [true, false] {
            let takes = takes();
            takes.tcp.store(headers, Ordering::Relaxed);
            let queue = Queue {
                fd: ours.as_fd(),
                headers,
                takes: &takes,
            };
            let (mut buffer, ranges) = received(&recipes);
            let mut joiner = Joiner::new(takes.offer());
            assert_eq!(queue.write(&mut joiner, &mut buffer, &ranges), 0);
            let written = read_all(&kernel);
            if headers {
                let header = VirtioHeader::parse(written[0].first_chunk().unwrap());
                let split = Split::parse(header, &written[0][HEADER_LEN..]).unwrap();
                assert_eq!((written.len(), split.count()), (1, 3));
            } else {
                let bare: Vec<_> = recipes.iter().map(Recipe::build).collect();
                assert_eq!(written, bare);
            }
        }
    }
}
