//! Receiving runs of datagrams, from one socket after the other.

use std::io;
use std::os::fd::AsFd as _;

use super::super::sys::{self, Incoming, MAX_MESSAGES};
use super::Pair;

/// Room for one message: the longest there is, and something that keeps the starts of messages
/// from falling into the same sets of a processor's cache.
const STRIDE: usize = 65_536 + 2048;
/// Messages longer than this were joined by the kernel: a few make a batch.
const JOINED: usize = 4096;
/// Batches after which the other socket is asked first, so that none is starved.
const FAIRNESS: usize = 16;

impl Pair {
    /// Reads what there is, up to a full batch, from one socket after the other.
    pub(in crate::io) fn receive(&self, batch: &mut ReceiveBatch) {
        batch.messages.clear();
        batch.turns = batch.turns.wrapping_add(1);
        if batch.turns.is_multiple_of(FAIRNESS) {
            batch.first = 1 - batch.first;
        }
        let sockets = [Some(&self.v4), self.v6.as_ref()];
        for which in [batch.first, 1 - batch.first] {
            let Some(sender) = sockets[which] else {
                continue;
            };
            let result = sys::receive(
                sender.socket.as_fd(),
                &mut batch.buffer,
                STRIDE,
                batch.count,
                &mut batch.messages,
            );
            match result {
                Ok(()) => {
                    batch.first = which;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => tracing::debug!(%error, "cannot receive"),
            }
        }
        let joined = batch.messages.iter().any(|message| message.length > JOINED);
        batch.count = if joined { 1 } else { MAX_MESSAGES };
    }
}

/// Messages received, each in a part of one buffer.
pub(in crate::io) struct ReceiveBatch {
    pub(super) buffer: Vec<u8>,
    messages: Vec<Incoming>,
    /// How many messages to ask for.
    count: usize,
    /// Which socket is asked first: the one that had something.
    first: usize,
    turns: usize,
}

impl ReceiveBatch {
    pub(in crate::io) fn new() -> Self {
        Self {
            buffer: vec![0; STRIDE * MAX_MESSAGES],
            messages: Vec::with_capacity(MAX_MESSAGES),
            count: MAX_MESSAGES,
            first: 0,
            turns: 0,
        }
    }

    pub(in crate::io) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// A message, and where it begins in the buffer.
    pub(in crate::io) fn message(&self, n: usize) -> Option<(usize, Incoming)> {
        Some((n * STRIDE, *self.messages.get(n)?))
    }

    pub(in crate::io) fn buffer(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}
