//! Packets sealed and opened by a core, beside boringtun, and beside the bare cipher that the
//! core seals with and that of aws-lc-rs, over the same bytes.
//!
//! All are measured in turns, 64 packets at a time, and the ratios printed. What is opened was
//! sealed before, outside the time that counts, since no message is opened twice.
#![allow(clippy::print_stdout, reason = "the ratios are its purpose")]

mod turns;
mod wg;

use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use boringtun::noise::TunnResult;
use criterion::Throughput;
use swarm_wg::testing::DataCipher;
use turns::{Turn, in_turns, is_measuring, short};
use wg::ends::{Ends, packets};
use wg::rival::Rival;

const LENGTHS: [usize; 3] = [64, 512, 1420];
const PACKETS: usize = 64;
const ROUNDS: usize = 600;
const TAG: usize = 16;
const OVERHEAD: usize = 32;

/// A cipher alone: packets sealed and opened where they lie.
trait Cipher {
    fn seal(&self, counter: u64, plain: &mut [u8]) -> [u8; TAG];
    fn open(&self, counter: u64, sealed: &mut [u8]) -> Option<usize>;
}

impl Cipher for DataCipher {
    fn seal(&self, counter: u64, plain: &mut [u8]) -> [u8; TAG] {
        self.seal(counter, plain)
    }

    fn open(&self, counter: u64, sealed: &mut [u8]) -> Option<usize> {
        self.open(counter, sealed)
    }
}

impl Cipher for LessSafeKey {
    fn seal(&self, counter: u64, plain: &mut [u8]) -> [u8; TAG] {
        let tag = self.seal_in_place_separate_tag(nonce(counter), Aad::empty(), plain);
        let tag = tag.expect("a short message");
        *tag.as_ref().first_chunk().expect("a tag has its length")
    }

    fn open(&self, counter: u64, sealed: &mut [u8]) -> Option<usize> {
        let plain = self.open_in_place(nonce(counter), Aad::empty(), sealed);
        plain.ok().map(|plain| plain.len())
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0u8; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// A cipher, and the packets of one length that it seals and opens.
struct Bare<C> {
    cipher: C,
    counter: u64,
    buffers: Vec<Vec<u8>>,
}

impl<C: Cipher> Bare<C> {
    fn new(cipher: C, length: usize) -> Self {
        Self {
            cipher,
            counter: 0,
            buffers: vec![vec![1; length + TAG]; PACKETS],
        }
    }

    fn run(&mut self, seal: bool) -> Duration {
        if seal { self.seal() } else { self.open() }
    }

    fn seal(&mut self) -> Duration {
        let start = Instant::now();
        for buffer in &mut self.buffers {
            self.counter += 1;
            let (plain, tag) = buffer.split_last_chunk_mut().expect("room for a tag");
            *tag = self.cipher.seal(self.counter, plain);
        }
        start.elapsed()
    }

    fn open(&mut self) -> Duration {
        self.seal();
        let first = self.counter - PACKETS as u64 + 1;
        let start = Instant::now();
        for (counter, buffer) in (first..).zip(&mut self.buffers) {
            let plain = self.cipher.open(counter, buffer);
            black_box(plain.expect("authentic"));
        }
        start.elapsed()
    }
}

/// Has a core seal packets, and fetches what is to be sent after each batch of them.
fn core_seals(ends: &mut Ends, packets: &[Vec<u8>], batch: usize) -> Duration {
    let start = Instant::now();
    for batch in packets.chunks(batch) {
        for packet in batch {
            ends.a.handle_inner(packet, ends.now);
        }
        ends.a.poll_transmit(&mut ends.transmits);
        assert_eq!(ends.transmits.len(), batch.len());
    }
    start.elapsed()
}

/// Has a core open packets, and fetches what is to be delivered after each batch of them.
fn core_opens(ends: &mut Ends, packets: &[Vec<u8>], batch: usize) -> Duration {
    let datagrams = ends.seal(packets);
    let start = Instant::now();
    for batch in datagrams.chunks(batch) {
        for datagram in batch {
            ends.b
                .handle_datagram(Ends::a_address(), datagram, ends.now);
        }
        ends.b.poll_inner(&mut ends.inner);
        assert_eq!(ends.inner.len(), batch.len());
    }
    start.elapsed()
}

fn rival_seals(rival: &mut Rival, packets: &[Vec<u8>], room: &mut [Vec<u8>]) -> Duration {
    let start = Instant::now();
    for (packet, room) in packets.iter().zip(room) {
        let sealed = rival.a.encapsulate(packet, room);
        assert!(matches!(sealed, TunnResult::WriteToNetwork(_)));
    }
    start.elapsed()
}

fn rival_opens(
    rival: &mut Rival,
    packets: &[Vec<u8>],
    datagrams: &mut [Vec<u8>],
    room: &mut [Vec<u8>],
) -> Duration {
    rival_seals(rival, packets, datagrams);
    let start = Instant::now();
    for ((packet, datagram), room) in packets.iter().zip(datagrams).zip(room) {
        let datagram = &datagram[..packet.len() + OVERHEAD];
        let opened = rival.b.decapsulate(None, datagram, room);
        assert!(matches!(opened, TunnResult::WriteToTunnelV4(..)));
    }
    start.elapsed()
}

/// Seals or opens packets of one length in each way. The core's bare cipher comes first.
fn turns<'a>(of: &'a Parts, seal: bool) -> Vec<Turn<'a>> {
    let batched = |name, batch| {
        Turn::new(name, move || {
            let ends = &mut *of.ends.borrow_mut();
            match seal {
                true => core_seals(ends, &of.packets, batch),
                false => core_opens(ends, &of.packets, batch),
            }
        })
    };
    vec![
        Turn::new("bare cipher", move || of.bare.borrow_mut().run(seal)),
        Turn::new("bare aws-lc-rs", move || of.library.borrow_mut().run(seal)),
        batched("core, batch of 1", 1),
        batched("core, batch of 64", PACKETS),
        Turn::new("boringtun", move || {
            let (rival, [one, two]) = &mut *of.rival.borrow_mut();
            match seal {
                true => rival_seals(rival, &of.packets, one),
                false => rival_opens(rival, &of.packets, one, two),
            }
        }),
    ]
}

/// What packets of one length are sealed and opened with.
struct Parts {
    packets: Vec<Vec<u8>>,
    bare: RefCell<Bare<DataCipher>>,
    library: RefCell<Bare<LessSafeKey>>,
    ends: RefCell<Ends>,
    rival: RefCell<(Rival, [Vec<Vec<u8>>; 2])>,
}

impl Parts {
    fn new(length: usize) -> Self {
        let room = vec![vec![0; length + OVERHEAD + 148]; PACKETS];
        let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("the key has its length");
        Self {
            packets: packets(length, PACKETS),
            bare: RefCell::new(Bare::new(DataCipher::new(&[7; 32]), length)),
            library: RefCell::new(Bare::new(LessSafeKey::new(key), length)),
            ends: RefCell::new(Ends::new()),
            rival: RefCell::new((Rival::new(), [room.clone(), room])),
        }
    }
}

/// Prints the time of a packet for each, and the ratio to the bare cipher: sealed, opened, and
/// both together.
fn print_ratios(length: usize, names: &[&str], sealed: &[Duration], opened: &[Duration]) {
    println!("\n{length} bytes              seal               open               both");
    for (at, name) in names.iter().enumerate() {
        let column = |times: &[&[Duration]]| {
            let sum = |at: usize| -> f64 { times.iter().map(|of| of[at].as_secs_f64()).sum() };
            let nanoseconds = sum(at) * 1e9 / PACKETS as f64;
            format!("{nanoseconds:>7.0} ns {:>5.2}×", sum(at) / sum(0))
        };
        println!(
            "{name:<18} {}  {}  {}",
            column(&[sealed]),
            column(&[opened]),
            column(&[sealed, opened])
        );
    }
}

fn main() {
    let parts = LENGTHS.map(Parts::new);
    let rounds = if is_measuring() { ROUNDS } else { 1 };
    for (length, parts) in LENGTHS.iter().zip(&parts) {
        // Sealing and opening take turns, too.
        let mut all = turns(parts, true);
        all.extend(turns(parts, false));
        let medians = in_turns(rounds, &mut all);
        let (sealed, opened) = medians.split_at(all.len() / 2);
        let names: Vec<_> = all[..sealed.len()].iter().map(|turn| turn.name).collect();
        print_ratios(*length, &names, sealed, opened);
    }
    println!();
    let mut criterion = short();
    for (seal, what) in [(true, "seal"), (false, "open")] {
        for (length, parts) in LENGTHS.iter().zip(&parts) {
            let mut group = criterion.benchmark_group(format!("wg_packets/{what}/{length}"));
            group.throughput(Throughput::Elements(PACKETS as u64));
            for mut turn in turns(parts, seal) {
                group.bench_function(turn.name, |bencher| {
                    bencher.iter_custom(|times| (0..times).map(|_| (turn.run)()).sum());
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
}
