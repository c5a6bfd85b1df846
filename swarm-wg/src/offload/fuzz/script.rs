//! Scripts: bytes that say which packets arrive.
//!
//! There are sixteen flows, each of which goes on where it stopped. Most steps add data that
//! can be joined; the others add what must not be.

use std::ops::Range;

use super::super::ip::{Transport, Version, tcp};
use super::super::packets::{Recipe, destination_options};

/// Packets of a batch, so that a run stays short.
const MAX_PACKETS: usize = 160;
/// Payloads, in bytes: small ones reach the limit of datagrams, large ones that of bytes.
const SIZES: [usize; 8] = [1, 2, 7, 64, 501, 1400, 9000, 20_000];

/// A script that is read once. At its end it says zero.
pub(super) struct Script<'a> {
    bytes: &'a [u8],
    flows: Vec<(Recipe, usize)>,
}

impl<'a> Script<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let flow = |n: u16| {
            let version = if n & 1 == 0 { Version::V4 } else { Version::V6 };
            let transport = match n & 2 {
                0 => Transport::Tcp,
                _ => Transport::Udp,
            };
            let mut recipe = Recipe::new(version, transport, &[]);
            recipe.ports[0] += n & 4;
            recipe.host += (n / 8) as u8;
            recipe.sequence = u32::MAX - 3000;
            recipe.identification = u16::MAX - 2;
            (recipe, SIZES[3])
        };
        Self {
            bytes,
            flows: (0..16).map(flow).collect(),
        }
    }

    pub(super) fn byte(&mut self) -> u8 {
        let (byte, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *byte
    }

    /// The packets of one batch, in a buffer with gaps. Ends at a byte of `0xff`.
    pub(super) fn batch(&mut self) -> (Vec<u8>, Vec<Range<usize>>) {
        let mut buffer = Vec::new();
        let mut places = Vec::new();
        while places.len() < MAX_PACKETS && !self.bytes.is_empty() {
            let step = self.byte();
            if step == 0xff {
                break;
            }
            let packet = self.packet(usize::from(step & 0xf), step >> 4);
            buffer.resize(buffer.len() + places.len() % 4, 0xa5);
            places.push(buffer.len()..buffer.len() + packet.len());
            buffer.extend(packet);
        }
        (buffer, places)
    }

    /// The next packet of a flow.
    fn packet(&mut self, flow: usize, action: u8) -> Vec<u8> {
        let argument = if action < 6 { 0 } else { self.byte() };
        let (recipe, size) = &mut self.flows[flow];
        let mut length = *size;
        match action {
            6 => length = usize::from(argument) % length,
            7 => {
                *size = SIZES[usize::from(argument & 7)];
                length = *size;
            }
            8 => change(recipe, argument),
            _ => {}
        }
        let mut once = recipe.clone();
        once.payload = (0..length).map(|n| (n as u8) ^ argument).collect();
        let mut corrupt = None;
        match action {
            9 => once.flags |= tcp::PSH,
            10 => once.flags = argument,
            11 => once.payload.clear(),
            12 => once.fragment = u16::from(argument) << 8 | u16::from(argument & 1),
            13 => once.extension = extension(&once, argument),
            14 => corrupt = Some((argument, self.byte())),
            15 => return self.raw(argument),
            _ => {}
        }
        let (recipe, _) = &mut self.flows[flow];
        recipe.sequence = recipe.sequence.wrapping_add(once.payload.len() as u32);
        recipe.identification = recipe.identification.wrapping_add(1);
        let mut packet = once.build();
        if let Some((at, mask)) = corrupt {
            let at = usize::from(at) % packet.len();
            packet[at] ^= mask;
        }
        packet
    }

    fn raw(&mut self, length: u8) -> Vec<u8> {
        let (packet, rest) = self.bytes.split_at(self.bytes.len().min(length.into()));
        self.bytes = rest;
        packet.to_vec()
    }
}

/// Changes what all packets of a flow from now on have in their headers.
fn change(recipe: &mut Recipe, argument: u8) {
    let by = argument >> 4;
    match argument & 0xf {
        0 => recipe.class ^= by,
        1 => recipe.flow_label ^= u16::from(by),
        2 => recipe.hops ^= by,
        3 => recipe.identification = recipe.identification.wrapping_add(by.into()),
        4..8 => recipe.fragment ^= 0x4000,
        8 => recipe.sequence = recipe.sequence.wrapping_sub(by.into()),
        9 => recipe.sequence = recipe.sequence.wrapping_add(by.into()),
        10 => recipe.acknowledgement ^= u32::from(by),
        11 => recipe.window ^= u16::from(by),
        12 => recipe.urgent ^= u16::from(by),
        13 => recipe.options = vec![1; usize::from(by % 11) * 4],
        14 => recipe.options.iter_mut().for_each(|byte| *byte ^= by),
        _ => {}
    }
}

fn extension(recipe: &Recipe, argument: u8) -> Vec<u8> {
    match recipe.version {
        Version::V4 => vec![1; usize::from(argument % 11) * 4],
        Version::V6 => destination_options(recipe.transport),
    }
}
