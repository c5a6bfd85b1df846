//! What waits for a connection: messages of topics that drop the oldest.

use super::link::{Refusal, lock};
use super::statistics::count;
use super::{Core, PublishError};
use crate::wire::encode::Publication;
use crate::{Headers, MessageId, Subject};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;

/// How many drops a follower may lag behind.
pub(super) const CAPACITY: usize = 1024;
/// How long to wait for place in a connection's queue.
const FULL: Duration = Duration::from_millis(5);

/// A message that was taken and is gone: older than others that found no connection either, or left
/// over when the client closed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Where it was to go.
    pub subject: Subject,
    /// The id that it bore.
    pub id: MessageId,
}

/// Follows what is dropped of topics with [`Offline::DropOldest`](crate::Offline::DropOldest).
#[derive(Debug)]
pub struct Drops(broadcast::Receiver<Dropped>);

impl Drops {
    pub(super) fn new(receiver: broadcast::Receiver<Dropped>) -> Self {
        Self(receiver)
    }

    /// Waits for the next drop; `None` after the client closed. `Err` says how many were not kept
    /// because nobody looked; [`Statistics::dropped`](super::Statistics::dropped) counts all.
    pub async fn next(&mut self) -> Option<Result<Dropped, u64>> {
        match self.0.recv().await {
            Ok(dropped) => Some(Ok(dropped)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Err(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// A message that waits.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) subject: Subject,
    pub(super) id: MessageId,
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
}

impl Held {
    fn publication(&self) -> Publication<'_> {
        Publication {
            subject: self.subject.as_str(),
            headers: &self.headers,
            id: Some(&self.id),
            payload: &self.payload,
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.publication().length()
    }
}

/// Messages in order, within bounds: pure.
#[derive(Debug, Default)]
struct Queue {
    held: VecDeque<Held>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds a message; returns those that give way.
    fn push(&mut self, held: Held, messages: usize, bytes: usize) -> Vec<Held> {
        self.bytes += held.size();
        self.held.push_back(held);
        let mut dropped = Vec::new();
        while self.held.len() > messages || self.bytes > bytes {
            match self.pop() {
                Some(oldest) => dropped.push(oldest),
                None => break,
            }
        }
        dropped
    }

    fn pop(&mut self) -> Option<Held> {
        let oldest = self.held.pop_front()?;
        self.bytes -= oldest.size();
        Some(oldest)
    }
}

pub(super) struct Backlog {
    queue: Mutex<Queue>,
    pub(super) drops: broadcast::Sender<Dropped>,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            drops: broadcast::Sender::new(CAPACITY),
        }
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.queue).held.len()
    }
}

impl Core {
    /// Sends a message, or keeps it until there is a connection; never before others that are kept.
    pub(super) fn send_or_keep(&self, held: Held) -> Result<(), PublishError> {
        let mut queue = lock(&self.backlog.queue);
        if queue.closed {
            return Err(PublishError::Disconnected);
        }
        if queue.held.is_empty() {
            match self.send_held(&held) {
                Ok(()) => {
                    count(&self.counters.messages_out, 1);
                    return Ok(());
                }
                Err(PublishError::Disconnected) => {}
                Err(error) => {
                    count(&self.counters.rejected, 1);
                    return Err(error);
                }
            }
        }
        let options = &self.options;
        let capacity = options.offline_bytes;
        if options.offline_messages == 0 || held.size() > capacity {
            count(&self.counters.rejected, 1);
            let pending = queue.bytes;
            return Err(PublishError::QueueFull { pending, capacity });
        }
        let dropped = queue.push(held, options.offline_messages, capacity);
        drop(queue);
        self.tell_dropped(dropped);
        Ok(())
    }

    fn send_held(&self, held: &Held) -> Result<(), PublishError> {
        let message = held.publication();
        let size = message.size();
        loop {
            let link = self.topology.current();
            let link = link.ok_or(PublishError::Disconnected)?;
            let max = link.server.max_payload;
            if size > max {
                return Err(PublishError::TooLarge { size, max });
            }
            return match link.publish(&message, None) {
                Ok(()) => Ok(()),
                Err(Refusal::Moved) => continue,
                Err(Refusal::Full { pending, capacity }) => {
                    Err(PublishError::QueueFull { pending, capacity })
                }
                Err(Refusal::Closed) => Err(PublishError::Disconnected),
            };
        }
    }

    /// Sends what waits, in order, as long as there is a connection.
    pub(super) async fn send_backlog(self: Arc<Self>) {
        loop {
            let full = {
                let mut queue = lock(&self.backlog.queue);
                let Some(oldest) = queue.held.front() else {
                    return;
                };
                match self.send_held(oldest) {
                    Ok(()) => {
                        count(&self.counters.messages_out, 1);
                        queue.pop();
                        false
                    }
                    Err(PublishError::QueueFull { .. }) => true,
                    // Another connection begins anew with what is left.
                    Err(PublishError::Disconnected) => return,
                    Err(_) => {
                        let hopeless = queue.pop();
                        drop(queue);
                        self.tell_dropped(hopeless);
                        false
                    }
                }
            };
            if full {
                tokio::time::sleep(FULL).await;
            }
        }
    }

    /// Takes nothing more, and tells what was left.
    pub(super) fn close_backlog(&self) {
        let left = {
            let mut queue = lock(&self.backlog.queue);
            queue.closed = true;
            std::mem::take(&mut queue.held)
        };
        self.tell_dropped(left);
    }

    fn tell_dropped(&self, dropped: impl IntoIterator<Item = Held>) {
        for Held { subject, id, .. } in dropped {
            count(&self.counters.dropped, 1);
            let _ = self.backlog.drops.send(Dropped { subject, id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(number: usize, length: usize) -> Held {
        Held {
            subject: Subject::from_static("a"),
            id: MessageId::parse(&number.to_string()).unwrap(),
            headers: Headers::new(),
            payload: vec![0; length].into(),
        }
    }

    fn ids(held: &[Held]) -> Vec<&str> {
        held.iter().map(|held| held.id.as_str()).collect()
    }

    #[test]
    fn the_oldest_give_way_to_the_newest_within_both_bounds() {
        let mut queue = Queue::default();
        let room = held(0, 0).size() * 3 + 100;
        for number in 0..3 {
            assert!(queue.push(held(number, 30), 3, room).is_empty());
        }
        assert_eq!(ids(&queue.push(held(3, 30), 3, room)), ["0"]);
        assert_eq!(ids(&queue.push(held(4, 90), 3, room)), ["1", "2"]);
        assert_eq!(queue.pop().unwrap().id.as_str(), "3");
        assert_eq!(queue.pop().unwrap().id.as_str(), "4");
        assert!(queue.pop().is_none());
        assert_eq!(queue.bytes, 0);
    }
}
