//! The TUN device: packets in batches.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use tun_rs::{DeviceBuilder, SyncDevice};

use super::routes::interface_error;
use crate::config::InterfaceName;
use crate::core::PacketBatch;
use crate::error::Error;

/// Packets that wait in the kernel for this process. The default, 500, loses packets at rates
/// that the tunnel can carry.
pub(super) const QUEUE_LEN: u32 = 4000;
/// The largest packet a device can hand over.
const MAX_PACKET: usize = 65_535;
/// Packets read before a turn is made of them.
const MAX_BATCH: usize = 64;

pub(super) struct Tun {
    device: SyncDevice,
}

impl Tun {
    /// Makes the interface, which is still down.
    pub(super) fn create(name: &InterfaceName, mtu: u16) -> Result<Self, Error> {
        let device = DeviceBuilder::new()
            .name(name.as_str())
            .mtu(mtu)
            .enable(false)
            .build_sync()
            .map_err(interface_error(name.as_str(), "create"))?;
        device
            .set_nonblocking(true)
            .map_err(interface_error(name.as_str(), "configure"))?;
        Ok(Self { device })
    }

    pub(super) fn index(&self) -> io::Result<u32> {
        self.device.if_index()
    }

    pub(super) fn bring_up(&self) -> io::Result<()> {
        self.device.enabled(true)
    }

    /// Reads what there is, up to a full batch.
    pub(super) fn read(&self, batch: &mut ReadBatch) -> io::Result<()> {
        batch.clear();
        while batch.ends.len() < MAX_BATCH && batch.buffer.len() - batch.used() >= MAX_PACKET {
            let used = batch.used();
            match self.device.recv(&mut batch.buffer[used..]) {
                Ok(length) => batch.ends.push(used + length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if batch.ends.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Writes packets; returns how many the interface would not take.
    pub(super) fn write(&self, packets: &PacketBatch) -> u64 {
        let mut failed = 0;
        for packet in packets.iter() {
            if let Err(error) = self.device.send(packet) {
                failed += 1;
                tracing::debug!(%error, length = packet.len(), "interface refuses packet");
            }
        }
        failed
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Packets read from the device, in one buffer.
pub(super) struct ReadBatch {
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

impl ReadBatch {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; MAX_PACKET + MAX_BATCH * 2048],
            ends: Vec::with_capacity(MAX_BATCH),
        }
    }

    fn used(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn clear(&mut self) {
        self.ends.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.buffer[start..*end])
    }
}
