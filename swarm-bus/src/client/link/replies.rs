//! Answers that are awaited: single ones by one subscription for all, told apart by the last token;
//! several to one request by a subscription of their own.

use super::{Link, lock};
use crate::client::id::push_hex;
use crate::wire::{Delivery, encode};
use crate::{Pattern, Token};
use arrayvec::ArrayString;
use smol_str::SmolStr;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};

/// Where the subscription numbers begin that belong to one request each; users' begin at 2.
pub(super) const OWN_SIDS: u64 = 1 << 32;

/// What a request comes to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An answer came.
    Message(Delivery),
    /// The server does not permit the request.
    Denied,
}

/// A subject to answer to: the longest token, and what this crate adds.
pub(crate) type Inbox = ArrayString<192>;

#[derive(Clone)]
pub(crate) struct Replies(Arc<Inner>);

struct Inner {
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    closed: bool,
    entries: HashMap<u64, Entry, BuildHasherDefault<Spread>>,
}

/// Hashes numbers that count up: nobody outside chooses them.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Knuth's multiplication; the table looks at the upper bits, too.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct Entry {
    /// Where the request was published, by which the server names it when it denies it.
    subject: SmolStr,
    to: To,
}

enum To {
    One(oneshot::Sender<Answer>),
    Many(mpsc::Sender<Answer>, Arc<Room>),
}

/// How many bytes of answers one asker holds unread.
struct Room {
    held: AtomicUsize,
    max: usize,
    missed: AtomicU64,
}

impl Room {
    /// Counts an answer in, if there is room. The largest message fits where nothing else is.
    fn admit(&self, size: usize) -> bool {
        let held = self.held.load(Ordering::Relaxed);
        if held > 0 && held.saturating_add(size) > self.max {
            return false;
        }
        self.held.fetch_add(size, Ordering::Relaxed);
        true
    }
}

fn size(delivery: &Delivery) -> usize {
    let headers = delivery.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    size_of::<Delivery>() + delivery.subject.len() + headers + delivery.payload.len()
}

impl Replies {
    pub(super) fn new(node: &Token, token: &str) -> Self {
        Self(Arc::new(Inner {
            prefix: format!("_INBOX_{node}.{token}."),
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        }))
    }

    pub(super) fn pattern(&self) -> Pattern {
        Pattern::parse(&format!("{}*", self.0.prefix))
            .expect("a token within its length makes a pattern")
    }

    /// Makes room for one answer to what is published to `subject`.
    pub(crate) fn expect(&self, subject: &str) -> Expected {
        let (to, from) = oneshot::channel();
        Expected {
            place: self.place(subject, To::One(to)),
            from,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many requests wait for answers.
    pub(crate) fn count(&self) -> usize {
        lock(&self.0.waiting).entries.len()
    }

    fn place(&self, subject: &str, to: To) -> Place {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.place_as(number, subject, to)
    }

    fn place_as(&self, number: u64, subject: &str, to: To) -> Place {
        let mut waiting = lock(&self.0.waiting);
        if !waiting.closed {
            let subject = SmolStr::new(subject);
            waiting.entries.insert(number, Entry { subject, to });
        }
        Place {
            replies: self.clone(),
            number,
            is_left: false,
        }
    }

    pub(super) fn deliver(&self, delivery: Delivery) {
        let number = delivery
            .subject
            .strip_prefix(&self.0.prefix)
            .and_then(|token| u64::from_str_radix(token, 16).ok());
        if let Some(number) = number {
            self.deliver_to(number, delivery);
        }
    }

    /// Hands an answer to who awaits it under a number.
    pub(super) fn deliver_to(&self, number: u64, delivery: Delivery) {
        let mut waiting = lock(&self.0.waiting);
        match waiting.entries.get(&number).map(|entry| &entry.to) {
            Some(To::Many(to, room)) => {
                // Who asks for so many answers makes room for as many; more are nobody's.
                let size = size(&delivery);
                if !room.admit(size) {
                    room.missed.fetch_add(1, Ordering::Relaxed);
                } else if to.try_send(Answer::Message(delivery)).is_err() {
                    room.held.fetch_sub(size, Ordering::Relaxed);
                }
            }
            Some(To::One(_)) => {
                if let Some(Entry {
                    to: To::One(to), ..
                }) = waiting.entries.remove(&number)
                {
                    let _ = to.send(Answer::Message(delivery));
                }
            }
            // The answer came after its time.
            None => {}
        }
    }

    /// Tells all who wait for answers to what was published to a subject that it was denied.
    pub(super) fn deny(&self, subject: &str) {
        let mut waiting = lock(&self.0.waiting);
        let denied: Vec<u64> = waiting
            .entries
            .iter()
            .filter(|(_, entry)| entry.subject == subject)
            .map(|(number, _)| *number)
            .collect();
        for number in denied {
            match waiting.entries.remove(&number).map(|entry| entry.to) {
                Some(To::One(to)) => drop(to.send(Answer::Denied)),
                Some(To::Many(to, _)) => drop(to.try_send(Answer::Denied)),
                None => {}
            }
        }
    }

    /// Ends all waiting: no answer can come any more.
    pub(super) fn close(&self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.closed = true;
        waiting.entries.clear();
    }
}

/// A place in the table, given back when nobody waits any more.
struct Place {
    replies: Replies,
    number: u64,
    /// Whether it is known to be given back.
    is_left: bool,
}

impl Place {
    fn inbox(&self, kind: &str) -> Inbox {
        let mut inbox = Inbox::new();
        inbox.push_str(&self.replies.0.prefix);
        inbox.push_str(kind);
        push_hex(&mut inbox, self.number);
        inbox
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_left {
            lock(&self.replies.0.waiting).entries.remove(&self.number);
        }
    }
}

/// One answer, awaited.
pub(crate) struct Expected {
    place: Place,
    from: oneshot::Receiver<Answer>,
}

impl Expected {
    /// Where the answer is to be sent.
    pub(crate) fn inbox(&self) -> Inbox {
        self.place.inbox("")
    }

    /// Waits for the answer; `None` when the connection ends before.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let answer = (&mut self.from).await.ok();
        // Who sent it, or dropped the sender, took it out of the table before.
        self.place.is_left = true;
        answer
    }

    /// Says whether the server denied the request so far.
    pub(crate) fn is_denied(&mut self) -> bool {
        matches!(self.from.try_recv(), Ok(Answer::Denied))
    }
}

/// Several answers, awaited on a subscription of their own: what a stream sends bears the subject
/// that it was stored under, not that of the inbox.
pub(crate) struct ExpectedMany {
    place: Place,
    link: Arc<Link>,
    from: mpsc::Receiver<Answer>,
    room: Arc<Room>,
    closed: bool,
}

impl ExpectedMany {
    /// Makes room for up to `count` answers to what is published to `subject`, and for `bytes` of
    /// them unread.
    pub(crate) fn new(link: &Arc<Link>, subject: &str, count: usize, bytes: usize) -> Self {
        let (to, from) = mpsc::channel(count);
        let room = Arc::new(Room {
            held: AtomicUsize::new(0),
            max: bytes,
            missed: AtomicU64::new(0),
        });
        let replies = &link.replies;
        let sid = OWN_SIDS + replies.0.next.fetch_add(1, Ordering::Relaxed);
        let expected = Self {
            place: replies.place_as(sid, subject, To::Many(to, Arc::clone(&room))),
            link: Arc::clone(link),
            from,
            room,
            closed: false,
        };
        let inbox = Pattern::from_checked(expected.inbox());
        link.out
            .control(|to| encode::subscribe(to, sid, &inbox, None));
        expected
    }

    /// Where the answers are to be sent.
    pub(crate) fn inbox(&self) -> Inbox {
        // A token more than the inbox of single answers takes.
        self.place.inbox("many.")
    }

    /// Waits for the next answer; `None` when the connection ends before.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        std::future::poll_fn(|context| self.poll_answer(context)).await
    }

    pub(crate) fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let answer = ready!(self.from.poll_recv(context));
        if let Some(Answer::Message(delivery)) = &answer {
            self.room.held.fetch_sub(size(delivery), Ordering::Relaxed);
        }
        Poll::Ready(answer)
    }

    /// Takes no more answers; those that came are still given.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.from.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many answers found no room.
    pub(crate) fn missed(&self) -> u64 {
        self.room.missed.load(Ordering::Relaxed)
    }
}

impl Drop for ExpectedMany {
    fn drop(&mut self) {
        self.link.quiet(self.place.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;

    fn answer_to(inbox: &str) -> Delivery {
        Delivery {
            sid: 1,
            subject: inbox.to_owned(),
            reply: None,
            status: None,
            description: String::new(),
            headers: Headers::new(),
            payload: bytes::Bytes::new(),
        }
    }

    #[test]
    fn an_abandoned_request_leaves_nothing_behind() {
        let replies = Replies::new(&Token::from_static("n"), "t");
        let expected = replies.expect("a.b");
        let inbox = expected.inbox();
        assert!(!replies.is_empty());
        drop(expected);
        assert!(replies.is_empty());
        replies.deliver(answer_to(&inbox));
        replies.deliver(answer_to("_INBOX_n.t.zz"));
        replies.deliver(answer_to("elsewhere"));
    }

    #[tokio::test]
    async fn a_denial_reaches_those_who_asked_there_and_nobody_else() {
        let replies = Replies::new(&Token::from_static("n"), "t");
        let mut denied = replies.expect("a.b");
        let mut other = replies.expect("a.c");
        replies.deny("a.b");
        assert!(matches!(denied.answer().await, Some(Answer::Denied)));
        replies.deliver(answer_to(&other.inbox()));
        assert!(matches!(other.answer().await, Some(Answer::Message(_))));
    }

    #[tokio::test]
    async fn the_end_of_the_connection_ends_the_waiting() {
        let replies = Replies::new(&Token::from_static("n"), "t");
        let mut before = replies.expect("a.b");
        replies.close();
        let mut after = replies.expect("a.b");
        assert!(before.answer().await.is_none());
        assert!(after.answer().await.is_none());
    }
}
