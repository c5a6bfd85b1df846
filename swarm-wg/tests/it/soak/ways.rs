//! Pings and paced datagrams one way, and what came of them.

use std::net::UdpSocket;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::lab::{Lab, Side};
use crate::programs::{PATIENCE, wait};

const PING_EVERY: Duration = Duration::from_millis(200);
const DATAGRAM_EVERY: Duration = Duration::from_millis(20);

/// What came of the packets one way.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Datagrams that came after a later one, or twice.
    pub(super) misplaced: u64,
    pub(super) longest_silence: Duration,
    /// The longest time for which nothing was sent either: the machine stood still.
    pub(super) longest_pause: Duration,
}

impl Way {
    pub(super) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

/// Starts pings from a side, for so long.
pub(super) fn start_pings(lab: &Lab, from: Side, lasting: Duration) -> Child {
    let to = from.other().inner().to_string();
    let interval = PING_EVERY.as_secs_f32().to_string();
    let deadline = lasting.as_secs().to_string();
    lab.spawn(
        from,
        "ping",
        &["-q", "-n", "-i", &interval, "-w", &deadline, &to],
    )
}

/// Reads what came of the pings.
pub(super) fn count_pings(child: Child) -> Way {
    let output = wait(child, PATIENCE);
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |what: &str| -> u64 {
        let found = text
            .split([',', '\n'])
            .find_map(|part| part.trim().strip_suffix(what));
        let number = found.and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("no{what} in {text:?}"))
    };
    Way {
        sent: number(" packets transmitted"),
        received: number(" received"),
        ..Way::default()
    }
}

/// Sends a datagram from a side every now and then until it is told to stop, and receives it
/// at the other. `sent` is counted up meanwhile.
#[allow(clippy::disallowed_methods, reason = "this test runs in real time")]
pub(super) fn pace(lab: &Lab, from: Side, sent: &AtomicU64, stop: &AtomicBool) -> Way {
    let bind = |side: Side| lab.inside(side, || UdpSocket::bind((side.inner(), 0)).unwrap());
    let (sender, receiver) = (bind(from), bind(from.other()));
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&receiver, stop));
        let mut longest_pause = Duration::ZERO;
        while !stop.load(Ordering::SeqCst) {
            let before = Instant::now();
            let number = sent.fetch_add(1, Ordering::SeqCst);
            let mut datagram = number.to_be_bytes().to_vec();
            datagram.resize(100 + (number % 13) as usize * 100, 1);
            // What cannot be sent shows as lost.
            let _ = sender.send(&datagram);
            std::thread::sleep(DATAGRAM_EVERY);
            longest_pause = longest_pause.max(before.elapsed());
        }
        Way {
            sent: sent.load(Ordering::SeqCst),
            longest_pause,
            ..receiving.join().unwrap()
        }
    })
}

/// Receives datagrams until it is told to stop and no more come.
#[allow(clippy::disallowed_methods, reason = "this test runs in real time")]
fn receive(socket: &UdpSocket, stop: &AtomicBool) -> Way {
    let patience = Some(Duration::from_secs(1));
    socket.set_read_timeout(patience).unwrap();
    let mut way = Way::default();
    let (mut expected, mut last) = (0, Instant::now());
    let mut buffer = [0; 2048];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let number = u64::from_be_bytes(*buffer[..length].first_chunk().unwrap());
                way.received += 1;
                way.misplaced += u64::from(number < expected);
                expected = expected.max(number + 1);
                way.longest_silence = way.longest_silence.max(last.elapsed());
                last = Instant::now();
            }
            Err(_) if stop.load(Ordering::SeqCst) => return way,
            Err(_) => {}
        }
    }
}
