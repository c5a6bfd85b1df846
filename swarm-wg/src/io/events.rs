//! Events for whoever asked for them: a bounded queue each, losses counted.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;

use thiserror::Error;

use super::lock;
use crate::event::Event;

/// Events that a receiver may leave waiting.
const CAPACITY: usize = 1024;

/// Why there is no event.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// None came in time.
    #[error("no event in time")]
    Timeout,
    /// The tunnel is gone, and all its events were received.
    #[error("the tunnel is gone")]
    Closed,
}

/// A queue of a tunnel's events, from the moment it was asked for. It holds 1,024; events
/// past that are dropped and counted.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Event>,
    lost: Arc<AtomicU64>,
}

impl Events {
    /// Waits for the next event.
    ///
    /// # Errors
    /// [`RecvError::Closed`] when the tunnel is gone.
    pub fn recv(&self) -> Result<Event, RecvError> {
        self.receiver.recv().map_err(|_| RecvError::Closed)
    }

    /// Waits for the next event, no longer than this.
    ///
    /// # Errors
    /// [`RecvError::Timeout`]; [`RecvError::Closed`] when the tunnel is gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Event, RecvError> {
        self.receiver
            .recv_timeout(timeout)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => RecvError::Timeout,
                RecvTimeoutError::Disconnected => RecvError::Closed,
            })
    }

    /// The next event, if there is one already.
    pub fn try_recv(&self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    /// Events lost so far because the queue was full.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(super) struct Subscribers {
    list: Mutex<Vec<(SyncSender<Event>, Arc<AtomicU64>)>>,
}

impl Subscribers {
    pub(super) fn subscribe(&self) -> Events {
        let (sender, receiver) = mpsc::sync_channel(CAPACITY);
        let lost = Arc::new(AtomicU64::new(0));
        lock(&self.list).push((sender, Arc::clone(&lost)));
        Events { receiver, lost }
    }

    pub(super) fn publish(&self, events: &[Event]) {
        lock(&self.list).retain(|(sender, lost)| {
            for event in events {
                match sender.try_send(*event) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(TrySendError::Disconnected(_)) => return false,
                }
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PublicKey;

    #[test]
    fn a_full_queue_counts_what_it_loses_and_blocks_nobody() {
        let subscribers = Subscribers::default();
        let events = subscribers.subscribe();
        let event = Event::HandshakeCompleted {
            peer: PublicKey::from_bytes([1; 32]),
        };
        subscribers.publish(&vec![event; CAPACITY + 3]);
        assert_eq!(events.lost(), 3);
        assert_eq!(events.try_recv(), Some(event));
        drop(subscribers);
        assert_eq!(
            (0..).map_while(|_| events.recv().ok()).count(),
            CAPACITY - 1
        );
        assert_eq!(events.recv(), Err(RecvError::Closed));
    }

    #[test]
    fn a_receiver_that_went_away_is_forgotten() {
        let subscribers = Subscribers::default();
        drop(subscribers.subscribe());
        let event = Event::HandshakeCompleted {
            peer: PublicKey::from_bytes([1; 32]),
        };
        subscribers.publish(&[event]);
        assert!(lock(&subscribers.list).is_empty());
    }
}
