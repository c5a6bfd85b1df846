//! Where messages go: sealed as they are written, or all of a batch later, by whichever thread
//! has the time.

use std::net::SocketAddr;
#[cfg(feature = "tun")]
use std::ops::Range;
use std::sync::Arc;

use crate::core::batch::TransmitBatch;
use crate::core::noise::Session;

/// Takes messages that are still plain.
pub(crate) trait Sink {
    /// Room for a message of this length: header, padded plaintext, tag.
    fn room(&mut self, length: usize) -> &mut [u8];

    /// Takes the message in the room last given, to be sealed with this session and counter.
    fn commit(
        &mut self,
        destination: SocketAddr,
        length: usize,
        session: &Arc<Session>,
        counter: u64,
    );
}

/// Seals at once.
impl Sink for TransmitBatch {
    fn room(&mut self, length: usize) -> &mut [u8] {
        self.room(length)
    }

    fn commit(
        &mut self,
        destination: SocketAddr,
        length: usize,
        session: &Arc<Session>,
        counter: u64,
    ) {
        session.seal(counter, self.room(length));
        self.commit(destination, length);
    }
}

/// Messages that wait to be sealed. They can be had sealed alone, so that nothing plain is ever
/// sent.
#[cfg(feature = "tun")]
#[derive(Default)]
pub(crate) struct Unsealed {
    batch: TransmitBatch,
    runs: Vec<Run>,
}

/// Messages of one session that lie one after another, with counters that do the same: all of
/// one length but the last, which may be shorter.
#[cfg(feature = "tun")]
struct Run {
    session: Arc<Session>,
    first: u64,
    count: usize,
    range: Range<usize>,
    message_len: usize,
}

#[cfg(feature = "tun")]
impl Run {
    fn takes(&self, session: &Arc<Session>, counter: u64, start: usize, length: usize) -> bool {
        Arc::ptr_eq(&self.session, session)
            && counter == self.first + self.count as u64
            && start == self.range.end
            && self.range.len() == self.count * self.message_len
            && length <= self.message_len
    }
}

#[cfg(feature = "tun")]
impl Unsealed {
    /// Forgets the messages and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.batch.clear();
        self.runs.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Bytes of all messages together.
    pub(crate) fn bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// Seals what is not sealed yet.
    pub(crate) fn seal(&mut self) -> &TransmitBatch {
        for run in self.runs.drain(..) {
            let messages = self.batch.taken(run.range);
            for (n, message) in messages.chunks_mut(run.message_len).enumerate() {
                run.session.seal(run.first + n as u64, message);
            }
        }
        &self.batch
    }
}

#[cfg(feature = "tun")]
impl Sink for Unsealed {
    fn room(&mut self, length: usize) -> &mut [u8] {
        self.batch.room(length)
    }

    fn commit(
        &mut self,
        destination: SocketAddr,
        length: usize,
        session: &Arc<Session>,
        counter: u64,
    ) {
        let start = self.batch.bytes();
        self.batch.commit(destination, length);
        match self.runs.last_mut() {
            Some(run) if run.takes(session, counter, start, length) => {
                run.range.end += length;
                run.count += 1;
            }
            _ => self.runs.push(Run {
                session: Arc::clone(session),
                first: counter,
                count: 1,
                range: start..start + length,
                message_len: length,
            }),
        }
    }
}

#[cfg(all(test, feature = "tun"))]
#[allow(clippy::disallowed_methods, reason = "a moment to begin with")]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Datagrams: destination and bytes.
    fn datagrams(batch: &TransmitBatch) -> Vec<(SocketAddr, Vec<u8>)> {
        let each = |run: crate::core::Transmit<'_>| {
            let destination = run.destination;
            let all = run.datagrams().map(<[u8]>::to_vec).collect::<Vec<_>>();
            all.into_iter().map(move |bytes| (destination, bytes))
        };
        batch.iter().flat_map(each).collect()
    }

    #[test]
    fn sealed_later_is_the_same_as_sealed_at_once() {
        let now = Instant::now();
        let sessions = [(1, 2), (3, 4)].map(|(a, b)| Arc::new(Session::made_up(a, b, now)));
        let to = |n: u8| SocketAddr::from(([192, 0, 2, n], 1));
        // session, counter, destination, length: runs that go on, and whatever ends one
        let messages = [
            (0, 0, 1, 96),
            (0, 1, 1, 96),
            (0, 2, 1, 64),
            (0, 3, 1, 96),
            (0, 4, 1, 112),
            (1, 5, 1, 112),
            (1, 6, 2, 112),
            (1, 8, 2, 112),
            (0, 9, 2, 32),
            (1, 7, 2, 32),
        ];
        let (mut at_once, mut later) = (TransmitBatch::default(), Unsealed::default());
        // A batch is used again.
        for _ in 0..2 {
            at_once.clear();
            later.clear();
            for (which, counter, host, length) in messages {
                let session = &sessions[which];
                at_once.room(length).fill(host);
                Sink::commit(&mut at_once, to(host), length, session, counter);
                later.room(length).fill(host);
                later.commit(to(host), length, session, counter);
            }
            assert!(later.runs.len() < messages.len());
            assert_eq!(later.bytes(), at_once.bytes());
            let expected = datagrams(&at_once);
            assert_eq!(expected.len(), messages.len());
            assert_eq!(datagrams(later.seal()), expected);
            // What is sealed is not sealed again.
            assert_eq!(datagrams(later.seal()), expected);
        }
    }
}
