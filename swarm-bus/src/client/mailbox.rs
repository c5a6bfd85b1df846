//! What waits in a subscription; bounded, and exact while one connection replaces another.
//!
//! During a replacement both connections deliver. The old one's messages go straight in; the new
//! one's are held until the old one has delivered all it had, so that the order stays, and those
//! that the old one delivered too are dropped by their id. In a queue group each message comes by
//! one of them only, which the same rule serves.

use crate::MessageId;
use futures_util::task::AtomicWaker;
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

/// How many ids are remembered during a replacement: seconds of a fast stream, a few megabytes.
const MAX_REMEMBERED: usize = 1 << 16;

/// What a mailbox asks of the messages in it.
pub(super) trait Parcel {
    /// What tells the message from others, if it bears that.
    fn id(&self) -> Option<&str>;
    /// How many bytes it takes.
    fn size(&self) -> usize;
}

/// What comes out of a mailbox.
#[derive(Debug, PartialEq)]
pub(super) enum Item<P> {
    Parcel(P),
    /// So many were dropped at this place.
    Missed(u64),
    /// The server does not permit the subscription.
    Denied,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Taken,
    Duplicate,
    Missed,
}

pub(super) struct Mailbox<P> {
    inner: Mutex<Inner<P>>,
    waker: AtomicWaker,
    max_messages: usize,
    max_bytes: usize,
}

struct Inner<P> {
    queue: VecDeque<Item<P>>,
    messages: usize,
    bytes: usize,
    handover: Option<Handover<P>>,
    closed: bool,
}

struct Handover<P> {
    new_link: u64,
    released: bool,
    held_bytes: usize,
    /// The ids of what came by the old connection since the replacement began.
    delivered: HashSet<String>,
    held: Vec<P>,
}

impl<P: Parcel> Mailbox<P> {
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                queue: VecDeque::new(),
                messages: 0,
                bytes: 0,
                handover: None,
                closed: false,
            }),
            waker: AtomicWaker::new(),
            max_messages,
            max_bytes,
        }
    }

    /// Takes a message that came by a connection.
    pub(super) fn accept(&self, link: u64, parcel: P) -> Fate {
        let fate = self
            .lock()
            .accept(link, parcel, self.max_messages, self.max_bytes);
        self.waker.wake();
        fate
    }

    /// Begins a replacement: what comes by `new_link` is held, what comes by another goes in and is
    /// remembered.
    pub(super) fn begin_handover(&self, new_link: u64) {
        let mut inner = self.lock();
        // What is remembered from a replacement just before may still come by its new connection.
        let delivered = inner
            .handover
            .take()
            .map_or_else(HashSet::new, |h| h.delivered);
        inner.handover = Some(Handover {
            new_link,
            released: false,
            held_bytes: 0,
            delivered,
            held: Vec::new(),
        });
    }

    /// Lets in what was held, less what came by the old connection too, which is quiet from now on.
    /// Returns the number of duplicates and of messages that found no room.
    pub(super) fn release(&self) -> (usize, usize) {
        let (mut duplicates, mut missed) = (0, 0);
        {
            let mut inner = self.lock();
            let Some(handover) = &mut inner.handover else {
                return (0, 0);
            };
            handover.released = true;
            let new_link = handover.new_link;
            for parcel in std::mem::take(&mut handover.held) {
                match inner.accept(new_link, parcel, self.max_messages, self.max_bytes) {
                    Fate::Taken => {}
                    Fate::Duplicate => duplicates += 1,
                    Fate::Missed => missed += 1,
                }
            }
        }
        self.waker.wake();
        (duplicates, missed)
    }

    /// Forgets what the old connection delivered: no copy of it is under way any more.
    pub(super) fn end_handover(&self, new_link: u64) {
        let mut inner = self.lock();
        if inner
            .handover
            .as_ref()
            .is_some_and(|h| h.new_link == new_link)
        {
            inner.handover = None;
        }
    }

    pub(super) fn deny(&self) {
        {
            let mut inner = self.lock();
            if inner
                .queue
                .back()
                .is_none_or(|item| !matches!(item, Item::Denied))
            {
                inner.queue.push_back(Item::Denied);
            }
        }
        self.waker.wake();
    }

    /// Ends the mailbox after what is in it.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.waker.wake();
    }

    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Item<P>>> {
        if let Some(item) = self.lock().pop() {
            return Poll::Ready(Some(item));
        }
        self.waker.register(context.waker());
        let mut inner = self.lock();
        match inner.pop() {
            Some(item) => Poll::Ready(Some(item)),
            None if inner.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<P>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Parcel> Inner<P> {
    fn accept(&mut self, link: u64, parcel: P, max_messages: usize, max_bytes: usize) -> Fate {
        if let Some(handover) = &mut self.handover {
            if handover.new_link == link && !handover.released {
                let bytes = handover.held_bytes + parcel.size();
                if handover.held.len() >= max_messages
                    || (bytes > max_bytes && !handover.held.is_empty())
                {
                    self.miss();
                    return Fate::Missed;
                }
                handover.held_bytes = bytes;
                handover.held.push(parcel);
                return Fate::Taken;
            }
            if let Some(id) = parcel.id().filter(|id| id.len() <= MessageId::MAX_LENGTH) {
                if handover.delivered.contains(id) {
                    return Fate::Duplicate;
                }
                // What is not remembered may come twice; nothing is lost by it.
                if !handover.released && handover.delivered.len() < MAX_REMEMBERED {
                    handover.delivered.insert(id.to_owned());
                }
            }
        }
        self.push(parcel, max_messages, max_bytes)
    }

    fn push(&mut self, parcel: P, max_messages: usize, max_bytes: usize) -> Fate {
        if self.closed {
            return Fate::Taken;
        }
        let bytes = self.bytes + parcel.size();
        if self.messages >= max_messages || (bytes > max_bytes && self.messages > 0) {
            self.miss();
            return Fate::Missed;
        }
        self.messages += 1;
        self.bytes = bytes;
        self.queue.push_back(Item::Parcel(parcel));
        Fate::Taken
    }

    fn miss(&mut self) {
        match self.queue.back_mut() {
            Some(Item::Missed(count)) => *count += 1,
            _ => self.queue.push_back(Item::Missed(1)),
        }
    }

    fn pop(&mut self) -> Option<Item<P>> {
        let item = self.queue.pop_front()?;
        if let Item::Parcel(parcel) = &item {
            self.messages -= 1;
            self.bytes -= parcel.size();
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Letter(String);

    impl Parcel for Letter {
        fn id(&self) -> Option<&str> {
            Some(&self.0)
        }
        fn size(&self) -> usize {
            10
        }
    }

    fn letter(number: usize) -> Letter {
        Letter(number.to_string())
    }

    fn read(mailbox: &Mailbox<Letter>) -> Vec<Item<Letter>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut items = Vec::new();
        while let Poll::Ready(Some(item)) = mailbox.poll_next(&mut context) {
            items.push(item);
        }
        items
    }

    #[test]
    fn what_finds_no_room_is_counted_at_its_place() {
        let mailbox = Mailbox::new(2, 1000);
        for number in 0..5 {
            mailbox.accept(1, letter(number));
        }
        let expected = [
            Item::Parcel(letter(0)),
            Item::Parcel(letter(1)),
            Item::Missed(3),
        ];
        assert_eq!(read(&mailbox), expected);
        assert_eq!(mailbox.accept(1, letter(9)), Fate::Taken);
    }

    #[test]
    fn a_message_larger_than_the_room_gets_in_alone() {
        let mailbox = Mailbox::new(10, 5);
        assert_eq!(mailbox.accept(1, letter(0)), Fate::Taken);
        assert_eq!(mailbox.accept(1, letter(1)), Fate::Missed);
    }

    #[test]
    fn a_closed_mailbox_gives_what_it_has_and_ends() {
        let mailbox = Mailbox::new(10, 1000);
        mailbox.accept(1, letter(0));
        mailbox.close();
        mailbox.accept(1, letter(1));
        assert_eq!(read(&mailbox), [Item::Parcel(letter(0))]);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert_eq!(mailbox.poll_next(&mut context), Poll::Ready(None));
    }

    proptest! {
        /// The publisher numbers its messages. The old connection delivers 0..old_end, the new one
        /// new_start.., with new_start <= old_end because it is made before the old one is broken;
        /// how the two interleave is up to chance.
        #[test]
        fn a_replacement_loses_nothing_doubles_nothing_and_keeps_the_order(
            total in 1_usize..60,
            old_end in 0_usize..60,
            overlap in 0_usize..60,
            choices in prop::collection::vec(any::<bool>(), 120),
            begin_at in 0_usize..60,
        ) {
            let old_end = old_end.min(total);
            let new_start = old_end.saturating_sub(overlap);
            let mailbox = Mailbox::new(1000, 100_000);
            let mut choices = choices.into_iter();
            let (mut old, mut new) = (0, new_start);
            while old < begin_at.min(new_start) {
                mailbox.accept(1, letter(old));
                old += 1;
            }
            mailbox.begin_handover(2);
            while old < old_end {
                if choices.next().unwrap_or(true) || new >= total {
                    mailbox.accept(1, letter(old));
                    old += 1;
                } else {
                    mailbox.accept(2, letter(new));
                    new += 1;
                }
            }
            mailbox.release();
            while new < total {
                mailbox.accept(2, letter(new));
                new += 1;
            }
            mailbox.end_handover(2);
            let expected: Vec<_> = (0..total).map(|n| Item::Parcel(letter(n))).collect();
            prop_assert_eq!(read(&mailbox), expected);
        }
    }
}
