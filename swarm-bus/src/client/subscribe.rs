//! Subscriptions and the messages that come out of them.

use super::link::{Lane, Refusal, RoundTripError};
use super::mailbox::Item;
use super::statistics::count;
use super::subscriptions::{Incoming, Purpose, Registration, Room};
use super::{Client, ReceiveError, State, SubscribeError};
use crate::codec::Codec;
use crate::topic::{Filter, ParseTopicError};
use crate::wire::Delivery;
use crate::{Headers, Pattern, Subject, Token, Topic};
use futures_util::Stream;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;
use tokio::time::Instant;

/// A message of a topic.
pub struct Message<T: Topic> {
    /// What it was published to.
    pub topic: T,
    /// What it carries.
    pub payload: T::Payload,
    /// What travelled with it.
    pub headers: Headers,
    /// When it came in here, by this machine's clock.
    pub received: SystemTime,
}

impl<T: Topic> Message<T> {
    pub(crate) fn decode(delivery: Delivery, received: SystemTime) -> Result<Self, ReceiveError> {
        let topic = Subject::parse(&delivery.subject)
            .map_err(ParseTopicError::from)
            .and_then(|subject| T::parse(&subject));
        let topic = match topic {
            Ok(topic) => topic,
            Err(source) => {
                return Err(ReceiveError::Subject {
                    subject: delivery.subject,
                    source,
                });
            }
        };
        if let Some(found) = delivery.headers.schema().filter(|found| *found > T::SCHEMA) {
            return Err(ReceiveError::Schema {
                subject: delivery.subject,
                found,
                known: T::SCHEMA,
            });
        }
        let payload = match T::Codec::open(&delivery.headers, &delivery.payload) {
            Ok(payload) => payload,
            Err(source) => {
                return Err(ReceiveError::Undecodable {
                    subject: delivery.subject,
                    payload: delivery.payload,
                    source,
                });
            }
        };
        if let Err(source) = topic.verify(&payload, &delivery.headers) {
            return Err(ReceiveError::Forged {
                subject: delivery.subject,
                source,
            });
        }
        Ok(Self {
            topic,
            payload,
            headers: delivery.headers,
            received,
        })
    }
}

impl<T: Topic + fmt::Debug> fmt::Debug for Message<T>
where
    T::Payload: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("payload", &self.payload)
            .field("headers", &self.headers)
            .field("received", &self.received)
            .finish()
    }
}

/// A subscription whose items are not looked into yet.
pub(super) struct Inbox {
    client: Client,
    pub(super) registration: Arc<Registration>,
}

impl Inbox {
    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Item<Incoming>>> {
        self.registration.mailbox.poll_next(context)
    }

    pub(super) async fn barrier(&self) -> Result<(), SubscribeError> {
        let deadline = Instant::now() + self.client.core.options.timeout;
        loop {
            let link = self.client.link_by(deadline).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            let result = link.round_trip(Lane::User, left).await;
            if self.registration.is_denied() {
                return Err(SubscribeError::Denied {
                    pattern: self.registration.pattern.clone(),
                });
            }
            match result {
                Ok(()) => return Ok(()),
                Err(RoundTripError::TimedOut) => return Err(SubscribeError::TimedOut),
                Err(RoundTripError::Refused(Refusal::Moved)) => {}
                // The state follows the end of a connection by a moment.
                Err(RoundTripError::Lost | RoundTripError::Refused(_)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
        }
    }

    /// Asks the server for no more, and ends after what it had sent until then.
    pub(super) async fn drain(&self) {
        let core = &self.client.core;
        for link in core.topology.retire(self.registration.sid) {
            // Without an answer the connection is gone, and nothing can come by it.
            let _ = link.round_trip(Lane::Control, core.options.timeout).await;
        }
        // Where one connection replaces another just then, it is known now what both delivered.
        let (duplicates, missed) = self.registration.mailbox.release();
        count(&core.counters.duplicates, duplicates);
        count(&core.counters.missed, missed);
        self.registration.mailbox.close();
    }

    pub(super) fn note_undecodable(&self) {
        count(&self.client.core.counters.undecodable, 1);
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.client.core.topology.remove(self.registration.sid);
    }
}

/// A subscription to a topic: messages as they come, in order, each publisher's each once.
///
/// It survives the loss and the replacement of the connection; what is published while there is no
/// connection does not reach it. It ends when the client is drained. Dropping it unsubscribes.
pub struct Subscription<T> {
    inbox: Inbox,
    topic: PhantomData<fn() -> T>,
}

impl Client {
    /// Subscribes. The subscription goes live with the connection, which this does not wait for:
    /// [`Subscription::barrier`] does.
    ///
    /// # Errors
    /// [`SubscribeError::Closed`].
    pub fn subscribe<T: Topic>(
        &self,
        filter: impl Into<Filter<T>>,
    ) -> Result<Subscription<T>, SubscribeError> {
        self.subscription(filter.into(), None)
    }

    /// Subscribes as one of a group: each message goes to one member.
    ///
    /// # Errors
    /// [`SubscribeError::Closed`].
    pub fn queue_subscribe<T: Topic>(
        &self,
        filter: impl Into<Filter<T>>,
        group: Token,
    ) -> Result<Subscription<T>, SubscribeError> {
        self.subscription(filter.into(), Some(group))
    }

    fn subscription<T: Topic>(
        &self,
        filter: Filter<T>,
        group: Option<Token>,
    ) -> Result<Subscription<T>, SubscribeError> {
        Ok(Subscription {
            inbox: self.open_inbox(filter.pattern(), group, Purpose::Messages)?,
            topic: PhantomData,
        })
    }

    pub(super) fn open_inbox(
        &self,
        pattern: &Pattern,
        group: Option<Token>,
        purpose: Purpose,
    ) -> Result<Inbox, SubscribeError> {
        let room = Room {
            messages: match purpose {
                Purpose::Signals => 1,
                _ => self.core.options.subscription_messages,
            },
            bytes: self.core.options.subscription_bytes,
        };
        let registration = self
            .core
            .topology
            .add(pattern.clone(), group, purpose, &room)
            .ok_or(SubscribeError::Closed)?;
        Ok(Inbox {
            client: self.clone(),
            registration,
        })
    }

    /// Waits for the present connection, or the next one.
    pub(crate) async fn link_by(
        &self,
        deadline: Instant,
    ) -> Result<Arc<super::link::Link>, SubscribeError> {
        let mut states = self.states();
        loop {
            if let Some(link) = self.core.topology.current()
                && !link.is_ended()
            {
                return Ok(link);
            }
            if matches!(states.current(), State::Closed | State::Draining) {
                return Err(SubscribeError::Closed);
            }
            // The state may lag behind the connection: look again now and then.
            let soon = Instant::now() + std::time::Duration::from_millis(20);
            match tokio::time::timeout_at(deadline.min(soon), states.changed()).await {
                Ok(None) => return Err(SubscribeError::Closed),
                Ok(Some(_)) => {}
                Err(_) if Instant::now() >= deadline => return Err(SubscribeError::TimedOut),
                Err(_) => {}
            }
        }
    }
}

impl<T: Topic> Subscription<T> {
    /// Waits for the next message. An `Err` takes the place of what could not be delivered; the
    /// subscription goes on after it. `None` is the end.
    ///
    /// Dropping the future before it is ready loses nothing.
    pub async fn next(&mut self) -> Option<Result<Message<T>, ReceiveError>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Waits until the server has the subscription: what anybody publishes on that server after
    /// this returns will come. A cluster's other servers learn of it a moment later.
    ///
    /// # Errors
    /// [`SubscribeError`]; it waits [`Options::timeout`](super::Options::timeout) at most.
    pub async fn barrier(&self) -> Result<(), SubscribeError> {
        self.inbox.barrier().await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Message<T>, ReceiveError>>> {
        let item = ready!(self.inbox.poll_next(context));
        Poll::Ready(item.map(|item| {
            match item {
                Item::Missed(count) => Err(ReceiveError::Missed { count }),
                Item::Denied => Err(ReceiveError::Denied {
                    pattern: self.inbox.registration.pattern.clone(),
                }),
                Item::Parcel(incoming) => Message::decode(incoming.delivery, incoming.received)
                    .inspect_err(|_| self.inbox.note_undecodable()),
            }
        }))
    }
}

impl<T: Topic> Stream for Subscription<T> {
    type Item = Result<Message<T>, ReceiveError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl<T: Topic> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription")
            .field(&self.inbox.registration.pattern)
            .finish()
    }
}
