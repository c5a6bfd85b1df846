//! Which subscriptions there are, and by which connections their messages come.

use super::link::{Link, Owed, lock};
use super::mailbox::{Fate, Mailbox, Parcel};
use super::statistics::{Counters, count};
use crate::wire::Delivery;
use crate::{Pattern, Token};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// A message in a mailbox.
pub(crate) struct Incoming {
    pub(super) delivery: Delivery,
    pub(super) received: SystemTime,
    /// The connection that owes the answer, where one is awaited here.
    pub(super) owed: Option<Owed>,
}

impl Parcel for Incoming {
    fn id(&self) -> Option<&str> {
        self.delivery.headers.id()
    }

    fn size(&self) -> usize {
        let headers = self.delivery.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        size_of::<Self>() + self.delivery.subject.len() + headers + self.delivery.payload.len()
    }
}

/// What the messages of a subscription are to who reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Messages.
    Messages,
    /// Requests to be answered.
    Requests,
    /// Signs that something has changed, of which one says as much as many.
    Signals,
}

/// A subscription, as connections know it.
pub(crate) struct Registration {
    pub(super) sid: u64,
    pub(super) pattern: Pattern,
    pub(super) queue: Option<Token>,
    pub(super) mailbox: Mailbox<Incoming>,
    purpose: Purpose,
    denied: AtomicBool,
}

impl Registration {
    pub(super) fn deliver(&self, link: &Arc<Link>, delivery: Delivery, counters: &Counters) {
        let serves = self.purpose == Purpose::Requests;
        let owed = (serves && delivery.reply.is_some()).then(|| Owed::new(link));
        let incoming = Incoming {
            delivery,
            received: wall_clock(),
            owed,
        };
        match self.mailbox.accept(link.id, incoming) {
            Fate::Taken => {}
            Fate::Duplicate => count(&counters.duplicates, 1),
            Fate::Missed if self.purpose == Purpose::Signals => {}
            Fate::Missed => count(&counters.missed, 1),
        }
    }

    pub(super) fn deny(&self) {
        self.denied.store(true, Ordering::Release);
        self.mailbox.deny();
    }

    pub(super) fn forget_denial(&self) {
        self.denied.store(false, Ordering::Release);
    }

    pub(super) fn is_denied(&self) -> bool {
        self.denied.load(Ordering::Acquire)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the moment of receipt is taken where the message comes in"
)]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The subscriptions and the connections that serve them. One lock over both, so that a
/// subscription made while one connection replaces another is known to each.
pub(super) struct Topology(Mutex<Inner>);

struct Inner {
    next_sid: u64,
    registrations: BTreeMap<u64, Arc<Registration>>,
    /// By which users publish.
    current: Option<Arc<Link>>,
    /// Which is about to become the current one.
    incoming: Option<Arc<Link>>,
    closed: bool,
}

/// How much a subscription holds.
pub(super) struct Room {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Topology {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Inner {
            // 1 is the inbox.
            next_sid: 2,
            registrations: BTreeMap::new(),
            current: None,
            incoming: None,
            closed: false,
        }))
    }

    pub(super) fn current(&self) -> Option<Arc<Link>> {
        lock(&self.0).current.clone()
    }

    pub(super) fn registrations(&self) -> Vec<Arc<Registration>> {
        lock(&self.0).registrations.values().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.0).registrations.len()
    }

    /// Adds a subscription; `None` after the end.
    pub(super) fn add(
        &self,
        pattern: Pattern,
        queue: Option<Token>,
        purpose: Purpose,
        room: &Room,
    ) -> Option<Arc<Registration>> {
        let mut inner = lock(&self.0);
        if inner.closed {
            return None;
        }
        let sid = inner.next_sid;
        inner.next_sid += 1;
        let registration = Arc::new(Registration {
            sid,
            pattern,
            queue,
            mailbox: Mailbox::new(room.messages, room.bytes),
            purpose,
            denied: AtomicBool::new(false),
        });
        if let (Some(_), Some(incoming)) = (&inner.current, &inner.incoming) {
            registration.mailbox.begin_handover(incoming.id);
        }
        for link in inner.current.iter().chain(&inner.incoming) {
            link.attach(&registration);
        }
        inner.registrations.insert(sid, Arc::clone(&registration));
        Some(registration)
    }

    /// Drops a subscription.
    pub(super) fn remove(&self, sid: u64) {
        let mut inner = lock(&self.0);
        inner.registrations.remove(&sid);
        for link in inner.current.iter().chain(&inner.incoming) {
            link.detach(sid);
        }
    }

    /// Asks for no more of a subscription's messages, on any connection; what is under way still
    /// reaches it, by the connections that are returned.
    pub(super) fn retire(&self, sid: u64) -> Vec<Arc<Link>> {
        let mut inner = lock(&self.0);
        inner.registrations.remove(&sid);
        for link in inner.current.iter().chain(&inner.incoming) {
            link.quiet(sid);
        }
        inner
            .current
            .iter()
            .chain(&inner.incoming)
            .cloned()
            .collect()
    }

    /// Asks a connection that is about to take over for all subscriptions. Where another is at
    /// work, what comes by the new one is held.
    pub(super) fn prepare(&self, link: &Arc<Link>) {
        let mut inner = lock(&self.0);
        for registration in inner.registrations.values() {
            if inner.current.is_some() {
                registration.mailbox.begin_handover(link.id);
            }
            link.attach(registration);
        }
        inner.incoming = Some(Arc::clone(link));
    }

    /// Lets the prepared connection take over. Users who still hold the one before are told to move.
    pub(super) fn switch(&self) {
        let mut inner = lock(&self.0);
        let incoming = inner.incoming.take();
        if let Some(old) = std::mem::replace(&mut inner.current, incoming) {
            old.out.retire();
        }
    }

    /// Gives the prepared connection up.
    pub(super) fn abandon(&self) {
        lock(&self.0).incoming = None;
    }

    /// Forgets a connection that ended or is about to.
    pub(super) fn lost(&self, link: &Arc<Link>) {
        let mut inner = lock(&self.0);
        if inner.current.as_ref().is_some_and(|l| l.id == link.id) {
            inner.current = None;
        }
    }

    /// Ends all subscriptions after what they hold; returns the connection.
    pub(super) fn close(&self) -> Option<Arc<Link>> {
        let mut inner = lock(&self.0);
        inner.closed = true;
        inner.incoming = None;
        for registration in std::mem::take(&mut inner.registrations).into_values() {
            registration.mailbox.close();
        }
        inner.current.take()
    }
}
