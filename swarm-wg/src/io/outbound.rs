//! The way out of one worker, which several threads may carry packets on at once: one reads,
//! any number seal, and one sends, so packets keep their order whoever is scheduled when.
//!
//! ```text
//!   begin ── read, choose, cut ──▶ end_reading ── seal ──▶ finish ── send, in the order of reading
//! ```
//! No thread waits for another to seal or to send: who finishes a batch that is not the next
//! leaves it, and who finishes the next sends what is ready after it, too.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::fair::Fair;
use super::grace::{Grace, Turn, Turns};
use super::lock;
use super::shared::ring;
use super::threads::AFTER_FAILURE;
use super::tun::Queue;
use crate::core::plane::Unsealed;

/// Batches under way at once: one for each thread. More would only have small flows wait longer.
const BATCHES: usize = 2;

/// What is read from the interface, with one thread at a time.
pub(super) struct Reader {
    pub(super) fair: Fair,
    failing: bool,
}

/// The interface is gone.
pub(super) struct Gone;

impl Reader {
    /// Reads what there is, and chooses what is sent next. Returns how many reads had to be
    /// dropped to make room for others.
    pub(super) fn read(&mut self, queue: Queue<'_>) -> Result<u64, Gone> {
        let dropped = match queue.read(&mut self.fair) {
            Ok(dropped) => {
                self.failing = false;
                dropped
            }
            Err(error) if is_gone(&error) => return Err(Gone),
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "cannot read from the interface");
                }
                std::thread::sleep(AFTER_FAILURE);
                0
            }
        };
        self.fair.choose();
        Ok(dropped)
    }
}

/// Whether the interface behind a queue exists no more.
fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::BADFD, Errno::NODEV]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Packets that were read together, until they are sent.
pub(super) struct Batch {
    pub(super) messages: Unsealed,
    turns: Turns,
    turn: Option<Turn>,
}

impl Batch {
    /// Begins anew, before anything is looked up.
    fn begin(&mut self) {
        self.messages.clear();
        self.turn = Some(self.turns.begin());
    }
}

/// The place of a batch in the order of reading.
pub(super) struct Ticket(u64);

/// The way out of one worker.
pub(super) struct Outbound {
    state: Mutex<State>,
    /// Tells the helper that there is something for it.
    call: Condvar,
    /// Readable when the carrier has to look again.
    news: OwnedFd,
}

struct State {
    /// `None`: a thread reads.
    reader: Option<Reader>,
    free: Vec<Batch>,
    /// Batches in the order of reading, from the next to be sent on. `None`: it is being sealed.
    read: VecDeque<Option<Batch>>,
    /// The ticket of the first of them.
    first: u64,
    sending: bool,
    /// More waits than the thread that read last has taken.
    backlog: bool,
    /// The helper is wanted when there is a backlog.
    helped: bool,
    carrier_waits: bool,
    helper_waits: bool,
    stopping: bool,
}

impl Outbound {
    pub(super) fn new(grace: &Grace, news: OwnedFd) -> Self {
        let batch = || Batch {
            messages: Unsealed::default(),
            turns: grace.register(),
            turn: None,
        };
        Self {
            state: Mutex::new(State {
                reader: Some(Reader {
                    fair: Fair::new(),
                    failing: false,
                }),
                free: (0..BATCHES).map(|_| batch()).collect(),
                read: VecDeque::with_capacity(BATCHES),
                first: 0,
                sending: false,
                backlog: false,
                helped: false,
                carrier_waits: false,
                helper_waits: false,
                stopping: false,
            }),
            call: Condvar::new(),
            news,
        }
    }

    /// Readable when the carrier has to look again: see [`Self::begin`].
    pub(super) fn news(&self) -> &OwnedFd {
        &self.news
    }

    /// Has the carrier look again.
    pub(super) fn ring(&self) {
        ring(&self.news);
    }

    /// Begins to read for the carrier. `None`: the helper reads, or nothing more can be under
    /// way; [`Self::news`] tells when to try again.
    pub(super) fn begin(&self) -> Option<(Reader, Batch)> {
        let mut state = lock(&self.state);
        let begun = state.begin();
        state.carrier_waits = begun.is_none();
        begun
    }

    /// Waits until there is something to read for the helper; `None`: the tunnel stops.
    pub(super) fn begin_helping(&self) -> Option<(Reader, Batch)> {
        let mut state = lock(&self.state);
        loop {
            if state.stopping {
                return None;
            }
            if state.helped
                && state.backlog
                && let Some(begun) = state.begin()
            {
                state.helper_waits = false;
                return Some(begun);
            }
            state.helper_waits = true;
            state = self
                .call
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives the reader back once what was chosen is written to the batch, which gets its place
    /// in the order. `None`: there was nothing.
    pub(super) fn end_reading(&self, reader: Reader, batch: Batch) -> Option<(Ticket, Batch)> {
        let mut state = lock(&self.state);
        state.backlog = !reader.fair.is_empty();
        state.reader = Some(reader);
        let taken = if batch.messages.is_empty() {
            state.release(batch);
            None
        } else {
            state.read.push_back(None);
            Some((Ticket(state.first + state.read.len() as u64 - 1), batch))
        };
        self.tell(state);
        taken
    }

    /// Takes a batch that is sealed, and sends with `send` what is next in order.
    pub(super) fn finish(&self, Ticket(ticket): Ticket, batch: Batch, send: impl Fn(&mut Batch)) {
        let mut state = lock(&self.state);
        let place = (ticket - state.first) as usize;
        state.read[place] = Some(batch);
        if state.sending {
            return;
        }
        state.sending = true;
        while let Some(next) = state.read.front_mut().and_then(Option::take) {
            state.read.pop_front();
            state.first += 1;
            drop(state);
            let mut batch = next;
            send(&mut batch);
            state = lock(&self.state);
            state.release(batch);
        }
        state.sending = false;
        self.tell(state);
    }

    /// Says whether the helper is wanted.
    pub(super) fn set_helped(&self, helped: bool) {
        lock(&self.state).helped = helped;
    }

    /// Has a helper that waits see that the tunnel stops.
    pub(super) fn stop(&self) {
        lock(&self.state).stopping = true;
        self.call.notify_all();
    }

    /// Tells who waits that they may go on.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        if state.reader.is_none() || state.free.is_empty() {
            return;
        }
        let carrier = std::mem::take(&mut state.carrier_waits);
        let helper = state.helper_waits && state.helped && state.backlog;
        drop(state);
        if carrier {
            self.ring();
        }
        if helper {
            self.call.notify_one();
        }
    }
}

impl State {
    fn begin(&mut self) -> Option<(Reader, Batch)> {
        if self.free.is_empty() {
            return None;
        }
        let reader = self.reader.take()?;
        let mut batch = self.free.pop()?;
        batch.begin();
        Some((reader, batch))
    }

    /// Keeps a batch for later; what it was looked up for is over.
    fn release(&mut self, mut batch: Batch) {
        batch.turn = None;
        self.free.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::noise::Session;
    use crate::core::plane::Sink as _;
    use crate::io::clock;
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
    use std::time::Duration;

    const LAST: u16 = 20_000;

    fn outbound() -> Outbound {
        let news = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap();
        Outbound::new(&Grace::default(), news)
    }

    fn session() -> Arc<Session> {
        Arc::new(Session::made_up(1, 2, clock::now()))
    }

    /// Puts a message into a batch, by whose destination it is known.
    fn put(batch: &mut Batch, session: &Arc<Session>, number: u16) {
        batch.messages.room(48).fill(7);
        let to = ([127, 0, 0, 1], number).into();
        batch.messages.commit(to, 48, session, number.into());
    }

    fn numbers(batch: &mut Batch) -> Vec<u16> {
        let sealed = batch.messages.seal();
        sealed.iter().map(|run| run.destination.port()).collect()
    }

    #[test]
    fn batches_are_sent_in_the_order_of_reading_by_one_thread_at_a_time_and_all() {
        let (outbound, session) = (outbound(), session());
        outbound.set_helped(true);
        let next = AtomicU16::new(1);
        let is_sending = AtomicBool::new(false);
        let sent = Mutex::new(Vec::new());
        let senders = Mutex::new(HashSet::new());
        let carry = |(mut reader, mut batch): (Reader, Batch), stumble: u16| {
            let number = next.load(Ordering::SeqCst);
            if number <= LAST {
                put(&mut batch, &session, number);
                next.store(number + 1, Ordering::SeqCst);
            }
            // There is always more, until the end.
            if number >= LAST {
                reader.fair = Fair::new();
            } else if reader.fair.is_empty() {
                reader.fair.room().unwrap()[..28].fill(0x45);
                reader.fair.take(28, false);
            }
            let Some((ticket, batch)) = outbound.end_reading(reader, batch) else {
                return;
            };
            if number.is_multiple_of(stumble) {
                std::thread::sleep(Duration::from_micros(50));
            }
            outbound.finish(ticket, batch, |batch| {
                assert!(!is_sending.swap(true, Ordering::SeqCst));
                lock(&sent).extend(numbers(batch));
                lock(&senders).insert(std::thread::current().id());
                is_sending.store(false, Ordering::SeqCst);
            });
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some(begun) = outbound.begin_helping() {
                    carry(begun, 97);
                }
            });
            let patience = clock::now() + Duration::from_secs(60);
            while lock(&sent).len() < LAST.into() && clock::now() < patience {
                match outbound.begin() {
                    Some(begun) => carry(begun, 89),
                    None => std::thread::yield_now(),
                }
            }
            outbound.stop();
        });
        let expected: Vec<u16> = (1..=LAST).collect();
        assert_eq!(*lock(&sent), expected);
        assert_eq!(lock(&senders).len(), 2, "both have sent");
    }

    #[test]
    fn a_batch_that_is_not_the_next_waits_for_the_one_before_it() {
        let (outbound, session) = (outbound(), session());
        let begin = |number| {
            let (reader, mut batch) = outbound.begin().unwrap();
            // Nobody else reads meanwhile.
            assert!(outbound.begin().is_none());
            put(&mut batch, &session, number);
            outbound.end_reading(reader, batch).unwrap()
        };
        let (first, second) = (begin(1), begin(2));
        // As many are under way as may be.
        assert!(outbound.begin().is_none());
        let mut seen = [0; 8];
        rustix::io::read(outbound.news(), &mut seen).unwrap();
        let sent = Mutex::new(Vec::new());
        let send = |batch: &mut Batch| lock(&sent).extend(numbers(batch));
        outbound.finish(second.0, second.1, send);
        assert!(lock(&sent).is_empty());
        assert!(rustix::io::read(outbound.news(), &mut seen).is_err());
        outbound.finish(first.0, first.1, send);
        assert_eq!(*lock(&sent), [1, 2]);
        // Who was told to wait is told to go on.
        rustix::io::read(outbound.news(), &mut seen).unwrap();
        assert!(outbound.begin().is_some());
    }

    #[test]
    fn whoever_waits_for_turns_waits_until_a_batch_is_sent() {
        let grace = Arc::new(Grace::default());
        let news = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap();
        let outbound = Outbound::new(&grace, news);
        let (reader, mut batch) = outbound.begin().unwrap();
        put(&mut batch, &session(), 1);
        let (ticket, batch) = outbound.end_reading(reader, batch).unwrap();
        let is_sent = Arc::new(AtomicBool::new(false));
        let waiter = std::thread::spawn({
            let (grace, is_sent) = (Arc::clone(&grace), Arc::clone(&is_sent));
            move || {
                grace.wait();
                is_sent.load(Ordering::SeqCst)
            }
        });
        std::thread::sleep(Duration::from_millis(30));
        outbound.finish(ticket, batch, |_| is_sent.store(true, Ordering::SeqCst));
        assert!(waiter.join().unwrap());
    }
}
