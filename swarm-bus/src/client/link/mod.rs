//! One connection, from its greeting to its end. It is never mended: a new one takes its place.

mod dial;
mod outbound;
mod pump;
mod replies;
mod writer;

pub(super) use dial::dial;
pub(super) use outbound::{Lane, Outbound, Refusal};
pub(crate) use replies::Replies;
pub(crate) use replies::{Answer, Expected, ExpectedMany, Inbox};

use super::statistics::{Counters, count};
use super::subscriptions::Registration;
use super::{Denied, LinkError, Operation, ServerInfo};
use crate::Token;
use crate::wire::encode::{self, Publication};
use crate::wire::{Complaint, Delivery};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch};
use writer::Writer;

/// The subscription number of the inbox; others begin after it.
const INBOX: u64 = 1;

/// How many answers are awaited at most when a message is written by who sends it: where there are
/// more, messages go together, which takes less of everybody's time.
const FEW: usize = 4;
/// How many bytes such a message has at most, so that a sender is not held up.
const AT_ONCE: usize = 16 << 10;

pub(crate) struct Link {
    pub(crate) id: u64,
    pub(super) server: Arc<ServerInfo>,
    pub(super) out: Outbound,
    writer: Writer,
    pub(crate) replies: Replies,
    routes: Mutex<HashMap<u64, Arc<Registration>>>,
    /// What the server objected to last, which explains the end that often follows.
    complaint: Mutex<Option<Complaint>>,
    ended: watch::Sender<Option<Arc<LinkError>>>,
    unanswered: AtomicUsize,
    answered: Notify,
    counters: Arc<Counters>,
    denials: broadcast::Sender<Denied>,
}

impl Link {
    pub(super) fn new(
        id: u64,
        node: &Token,
        token: &str,
        server: ServerInfo,
        outbound_bytes: usize,
        counters: Arc<Counters>,
        denials: broadcast::Sender<Denied>,
    ) -> Self {
        let link = Self {
            id,
            server: Arc::new(server),
            out: Outbound::new(outbound_bytes),
            writer: Writer::default(),
            replies: Replies::new(node, token),
            routes: Mutex::default(),
            complaint: Mutex::default(),
            ended: watch::Sender::new(None),
            unanswered: AtomicUsize::new(0),
            answered: Notify::new(),
            counters,
            denials,
        };
        let inbox = link.replies.pattern();
        link.out
            .control(|to| encode::subscribe(to, INBOX, &inbox, None));
        link
    }

    /// Hands on what a user publishes.
    pub(super) fn publish(
        &self,
        message: &Publication<'_>,
        reply: Option<&str>,
    ) -> Result<(), Refusal> {
        let wake = self
            .out
            .user(message.length(), |to| message.write(to, reply))?;
        let awaited = reply.is_some() && message.length() <= AT_ONCE;
        if awaited && wake.waker().is_some() && self.replies.count() <= FEW {
            self.writer
                .write_now(wake, &self.out, &self.counters.bytes_out);
        }
        Ok(())
    }

    /// Asks for a subscription's messages.
    pub(super) fn attach(&self, registration: &Arc<Registration>) {
        registration.forget_denial();
        lock(&self.routes).insert(registration.sid, Arc::clone(registration));
        let queue = registration.queue.as_ref().map(Token::as_str);
        self.out
            .control(|to| encode::subscribe(to, registration.sid, &registration.pattern, queue));
    }

    /// Asks for no more of a subscription's messages; what is under way is still delivered.
    pub(super) fn quiet(&self, sid: u64) {
        self.out.control(|to| encode::unsubscribe(to, sid));
    }

    /// Drops a subscription.
    pub(super) fn detach(&self, sid: u64) {
        if lock(&self.routes).remove(&sid).is_some() {
            self.quiet(sid);
        }
    }

    /// Waits until the server has handled everything that was sent on this lane before.
    ///
    /// # Errors
    /// The refusal of a lane that takes nothing, or [`RoundTripError`].
    pub(super) async fn round_trip(
        &self,
        lane: Lane,
        within: Duration,
    ) -> Result<(), RoundTripError> {
        let pong = self.out.ping(lane).map_err(RoundTripError::Refused)?;
        match tokio::time::timeout(within, pong).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(RoundTripError::Lost),
            Err(_) => Err(RoundTripError::TimedOut),
        }
    }

    /// Waits for the end of the connection.
    pub(super) async fn ended(&self) -> Arc<LinkError> {
        let mut ended = self.ended.subscribe();
        let end = ended.wait_for(Option::is_some).await;
        match end.as_deref() {
            Ok(Some(error)) => Arc::clone(error),
            _ => unreachable!("the sender lives in self, and the value waited for is some"),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Waits until no answer is owed or awaited on this connection.
    pub(super) async fn settled(&self) {
        loop {
            let answered = self.answered.notified();
            if self.unanswered.load(Ordering::Acquire) == 0 && self.replies.is_empty() {
                return;
            }
            // The replies' side has no signal of its own: look again now and then.
            let _ = tokio::time::timeout(Duration::from_millis(50), answered).await;
        }
    }

    pub(super) fn handle_message(self: &Arc<Self>, delivery: Delivery) {
        count(&self.counters.messages_in, 1);
        if delivery.sid == INBOX {
            self.replies.deliver(delivery);
            return;
        }
        if delivery.sid >= replies::OWN_SIDS {
            self.replies.deliver_to(delivery.sid, delivery);
            return;
        }
        let route = lock(&self.routes).get(&delivery.sid).cloned();
        if let Some(route) = route {
            route.deliver(self, delivery, &self.counters);
        }
    }

    pub(super) fn handle_complaint(&self, complaint: Complaint) {
        tracing::debug!(link = self.id, ?complaint, "the server objects");
        match &complaint {
            Complaint::PublishDenied { subject } => {
                self.replies.deny(subject);
                self.note_denied(Operation::Publish, subject, None);
            }
            Complaint::SubscribeDenied { pattern, queue } => {
                let routes = lock(&self.routes);
                for route in routes.values() {
                    if route.pattern.as_str() == pattern
                        && route.queue.as_ref().map(Token::as_str) == queue.as_deref()
                    {
                        route.deny();
                    }
                }
                drop(routes);
                self.note_denied(Operation::Subscribe, pattern, queue.clone());
            }
            Complaint::Unauthorized { .. } | Complaint::Other { .. } => {
                *lock(&self.complaint) = Some(complaint);
            }
        }
    }

    fn note_denied(&self, operation: Operation, subject: &str, queue: Option<String>) {
        count(&self.counters.denied, 1);
        let _ = self.denials.send(Denied {
            operation,
            subject: subject.to_owned(),
            queue,
        });
    }

    /// Ends the connection for those who wait on it.
    fn end(&self, error: LinkError) {
        let server = || self.server.address.clone();
        let error = match (lock(&self.complaint).take(), error) {
            (_, LinkError::Closed) => LinkError::Closed,
            (Some(Complaint::Unauthorized { text }), _) => LinkError::Unauthorized {
                server: server(),
                text,
            },
            (Some(Complaint::Other { text }), LinkError::Broken { .. }) => {
                LinkError::ClosedByServer {
                    server: server(),
                    text,
                }
            }
            (_, error) => error,
        };
        tracing::debug!(link = self.id, %error, "connection ended");
        self.out.close();
        self.replies.close();
        lock(&self.routes).clear();
        self.ended.send_replace(Some(Arc::new(error)));
    }
}

/// Why the server did not confirm what was sent.
#[derive(Debug)]
pub(super) enum RoundTripError {
    Refused(Refusal),
    Lost,
    TimedOut,
}

/// An answer that is owed on this connection; while it lives, a replaced connection lingers.
pub(crate) struct Owed(Arc<Link>);

impl Owed {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        link.unanswered.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(link))
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, Ordering::AcqRel);
        self.0.answered.notify_waiters();
    }
}

/// Locks what no panic leaves half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
