//! What waits to be sent.
//!
//! Two lanes lead to one queue. The connection's own operations go straight there. What users
//! publish does too, except while the connection replaces another: then it is held until the
//! server has everything that was published before, so that the order stays.

use super::lock;
use crate::wire::{Batch, Batches, encode};
use bytes::Buf;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;
use tokio::sync::oneshot;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The connection itself.
    Control,
    /// Users.
    User,
}

/// Why users cannot send here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too much waits already.
    Full { pending: usize, capacity: usize },
    /// Another connection has taken over.
    Moved,
    /// The connection has ended.
    Closed,
}

pub(crate) struct Outbound {
    state: Mutex<State>,
    capacity: usize,
}

struct State {
    ready: Batches,
    held: Option<Held>,
    /// How many bytes the writer took and has not written yet.
    writing: usize,
    /// The writer, if it waits to be woken; else it looks here again by itself.
    waits: Option<Waker>,
    pongs: VecDeque<Option<oneshot::Sender<()>>>,
    retired: bool,
    closing: bool,
    closed: bool,
}

#[derive(Default)]
struct Held {
    batches: Batches,
    pongs: Vec<oneshot::Sender<()>>,
}

/// What the writer is to do next.
pub(super) enum Work {
    Write(Batch),
    Wait,
    Finish,
}

impl Outbound {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                ready: Batches::default(),
                held: None,
                writing: 0,
                waits: None,
                pongs: VecDeque::new(),
                retired: false,
                closing: false,
                closed: false,
            }),
            capacity,
        }
    }

    /// Sends an operation of the connection itself. There are few, and they are small.
    pub(crate) fn control(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = lock(&self.state);
        if !state.closed {
            state.ready.write(|to| to.text(write));
            unlock_and_wake(state);
        }
    }

    /// Sends what a user publishes; `size` is about how many bytes it takes.
    pub(crate) fn user(
        &self,
        size: usize,
        write: impl FnOnce(&mut Batch),
    ) -> Result<Wake, Refusal> {
        let mut state = lock(&self.state);
        state.check_open()?;
        let pending = state.pending();
        if pending > 0 && pending + size > self.capacity {
            return Err(Refusal::Full {
                pending,
                capacity: self.capacity,
            });
        }
        match &mut state.held {
            Some(held) => held.batches.write(write),
            None => state.ready.write(write),
        }
        Ok(state.wake())
    }

    /// Sends an answer to what came by this connection, which only this one may answer: it passes
    /// after others have been told to move.
    pub(crate) fn answer(
        &self,
        size: usize,
        write: impl FnOnce(&mut Batch),
    ) -> Result<Wake, Refusal> {
        let mut state = lock(&self.state);
        if state.closed || state.closing {
            return Err(Refusal::Closed);
        }
        let pending = state.pending();
        if pending > 0 && pending + size > self.capacity {
            return Err(Refusal::Full {
                pending,
                capacity: self.capacity,
            });
        }
        state.ready.write(write);
        Ok(state.wake())
    }

    /// Sends a `PING`. What is returned resolves when its `PONG` is there: the server has handled
    /// everything of this lane before it.
    pub(crate) fn ping(&self, lane: Lane) -> Result<oneshot::Receiver<()>, Refusal> {
        let (pong, answered) = oneshot::channel();
        let mut state = lock(&self.state);
        if lane == Lane::User {
            state.check_open()?;
        } else if state.closed {
            return Err(Refusal::Closed);
        }
        match &mut state.held {
            Some(held) if lane == Lane::User => {
                held.batches.write(ping);
                held.pongs.push(pong);
            }
            _ => {
                state.ready.write(ping);
                state.pongs.push_back(Some(pong));
            }
        }
        unlock_and_wake(state);
        Ok(answered)
    }

    /// Asks whether the line lives; whatever comes back is proof.
    pub(super) fn probe(&self) {
        let mut state = lock(&self.state);
        if !state.closed {
            state.ready.write(ping);
            state.pongs.push_back(None);
            unlock_and_wake(state);
        }
    }

    /// Tells who waits for the oldest `PING`; says whether there was one.
    pub(super) fn handle_pong(&self) -> bool {
        let pong = lock(&self.state).pongs.pop_front();
        match pong {
            Some(waiting) => {
                if let Some(waiting) = waiting {
                    let _ = waiting.send(());
                }
                true
            }
            None => false,
        }
    }

    /// From now on holds what users publish.
    pub(crate) fn hold(&self) {
        lock(&self.state).held.get_or_insert_default();
    }

    /// Sends what was held, and holds no more.
    pub(crate) fn release(&self) {
        let mut state = lock(&self.state);
        if let Some(held) = state.held.take() {
            state.ready.append(held.batches);
            state.pongs.extend(held.pongs.into_iter().map(Some));
        }
        unlock_and_wake(state);
    }

    /// From now on tells users to move to another connection.
    pub(crate) fn retire(&self) {
        lock(&self.state).retired = true;
    }

    /// Ends the connection in order, after what waits is written.
    pub(crate) fn finish(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        unlock_and_wake(state);
    }

    /// Drops everything; those who wait are told.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.ready = Batches::default();
        state.held = None;
        state.writing = 0;
        state.pongs.clear();
        unlock_and_wake(state);
    }

    pub(crate) fn pending(&self) -> usize {
        lock(&self.state).pending()
    }

    /// Takes what comes first. `last` is what was taken before and is written; `writer` is woken when
    /// there is something again.
    pub(super) fn take(&self, last: Option<Batch>, writer: &Waker) -> Work {
        let mut state = lock(&self.state);
        if let Some(last) = last {
            state.writing = 0;
            state.ready.reuse(last);
        }
        if let Some(batch) = state.ready.take() {
            state.writing = batch.remaining();
            return Work::Write(batch);
        }
        if state.closing || state.closed {
            return Work::Finish;
        }
        match &mut state.waits {
            Some(waits) => waits.clone_from(writer),
            none => *none = Some(writer.clone()),
        }
        Work::Wait
    }
}

/// Wakes the writer when it is dropped, if the writer waits: most often it is at work when another
/// message comes.
#[derive(Debug)]
pub(crate) struct Wake(Option<Waker>);

impl Wake {
    pub(super) fn waker(&self) -> Option<&Waker> {
        self.0.as_ref()
    }

    /// Lets the writer sleep, whose work is done.
    pub(super) fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            writer.wake();
        }
    }
}

impl State {
    /// To be dropped after the lock on the state.
    fn wake(&mut self) -> Wake {
        Wake(self.waits.take())
    }

    fn pending(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |held| held.batches.len());
        self.ready.len() + held + self.writing
    }

    fn check_open(&self) -> Result<(), Refusal> {
        if self.retired {
            Err(Refusal::Moved)
        } else if self.closed || self.closing {
            Err(Refusal::Closed)
        } else {
            Ok(())
        }
    }
}

fn unlock_and_wake(mut state: MutexGuard<'_, State>) {
    let wake = state.wake();
    drop(state);
    drop(wake);
}

fn ping(to: &mut Batch) {
    to.text(|to| to.extend_from_slice(encode::PING));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(text: &'static str) -> impl FnOnce(&mut Batch) {
        move |to| to.text(|to| to.extend_from_slice(text.as_bytes()))
    }

    fn taken(out: &Outbound) -> String {
        match out.take(None, Waker::noop()) {
            Work::Write(mut batch) => {
                let length = batch.remaining();
                String::from_utf8(batch.copy_to_bytes(length).to_vec()).unwrap()
            }
            Work::Wait => String::new(),
            Work::Finish => panic!("closed"),
        }
    }

    #[test]
    fn what_is_held_comes_after_what_was_not() {
        let out = Outbound::new(100);
        out.hold();
        out.user(1, put("user")).unwrap();
        let mut flushed = out.ping(Lane::User).unwrap();
        let mut barrier = out.ping(Lane::Control).unwrap();
        assert_eq!(taken(&out), "PING\r\n");
        assert!(out.handle_pong());
        assert_eq!(barrier.try_recv(), Ok(()));
        assert!(!out.handle_pong(), "a pong nobody asked for");
        out.release();
        assert_eq!(taken(&out), "userPING\r\n");
        assert!(out.handle_pong());
        assert_eq!(flushed.try_recv(), Ok(()));
    }

    #[test]
    fn a_full_queue_refuses_and_takes_again_when_written() {
        let out = Outbound::new(10);
        out.user(8, put("12345678")).unwrap();
        let full = Refusal::Full {
            pending: 8,
            capacity: 10,
        };
        assert_eq!(out.user(3, put("abc")).unwrap_err(), full);
        assert_eq!(taken(&out), "12345678");
        assert_eq!(
            out.user(3, put("abc")).unwrap_err(),
            full,
            "still being written"
        );
        assert!(matches!(
            out.take(Some(Batch::default()), Waker::noop()),
            Work::Wait
        ));
        out.user(3, put("abc")).unwrap();
    }

    #[test]
    fn a_message_larger_than_the_queue_gets_in_alone() {
        let out = Outbound::new(2);
        out.user(3, put("abc")).unwrap();
        assert!(out.user(1, put("x")).is_err());
    }

    #[test]
    fn a_retired_connection_takes_answers_but_nothing_new() {
        let out = Outbound::new(100);
        out.retire();
        assert_eq!(out.user(1, put("x")).unwrap_err(), Refusal::Moved);
        out.answer(1, put("y")).unwrap();
        out.finish();
        assert_eq!(taken(&out), "y");
        assert!(matches!(out.take(None, Waker::noop()), Work::Finish));
    }
}
