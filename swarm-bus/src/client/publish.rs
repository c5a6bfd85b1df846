//! Publishing, in three strengths.

use super::backlog::Held;
#[cfg(feature = "spool")]
use super::link::Expected;
use super::link::{Answer, Inbox, Lane, Link, Refusal, RoundTripError};
use super::statistics::count;
use super::{Client, FlushError, PublishError};
use crate::envelope::{ID, sealed};
use crate::stream::WRONG_SEQUENCE;
use crate::wire::encode::Publication;
use crate::{Delivery, Headers, MessageId, Offline, Subject, Topic};
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The message waits to be sent. It is lost if the connection breaks before the server has it, or,
/// of a topic with [`Offline::DropOldest`], if too many come after it before there is a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The id that it bears.
    pub id: MessageId,
}

/// The server has the message and passed it on to everyone who was subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flushed {
    /// The id that it bears.
    pub id: MessageId,
}

/// A stream keeps the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The id that it bears.
    pub id: MessageId,
    /// Which stream.
    pub stream: String,
    /// Its number there.
    pub sequence: u64,
    /// The JetStream domain of the stream, where the server has one.
    pub domain: Option<String>,
    /// Whether the stream had a message of this id already, and kept that one.
    pub duplicate: bool,
}

impl Stored {
    /// Reads what a stream answered; `None` is no answer.
    pub(crate) fn read(
        answer: Option<Answer>,
        subject: &str,
        id: &MessageId,
    ) -> Result<Self, PublishError> {
        #[derive(Deserialize)]
        struct Ack {
            #[serde(default)]
            stream: String,
            #[serde(default)]
            seq: u64,
            domain: Option<String>,
            #[serde(default)]
            duplicate: bool,
            error: Option<crate::stream::ApiFault>,
        }
        let subject = || subject.to_owned();
        let answer = match answer {
            Some(Answer::Message(answer)) if answer.status == Some(503) => {
                return Err(PublishError::NoStream { subject: subject() });
            }
            Some(Answer::Message(answer)) => answer,
            Some(Answer::Denied) => return Err(PublishError::Denied { subject: subject() }),
            None => return Err(PublishError::Unconfirmed { id: id.clone() }),
        };
        match serde_json::from_slice::<Ack>(&answer.payload) {
            Ok(Ack {
                error: Some(fault), ..
            }) => Err(PublishError::Refused {
                code: fault.err_code,
                description: fault.description,
            }),
            Ok(ack) if !ack.stream.is_empty() => Ok(Self {
                id: id.clone(),
                stream: ack.stream,
                sequence: ack.seq,
                domain: ack.domain,
                duplicate: ack.duplicate,
            }),
            _ => Err(PublishError::Refused {
                code: 0,
                description: "somebody other than a stream answered".to_owned(),
            }),
        }
    }
}

/// A message about to be published; made by [`Client::message`].
#[must_use = "a message is published by `queue`, `flush` or `store`"]
pub struct Outgoing<'a, T> {
    client: &'a Client,
    subject: Subject,
    headers: Headers,
    id: MessageId,
    payload: Bytes,
    within: Duration,
    topic: std::marker::PhantomData<fn() -> T>,
}

impl Client {
    /// Prepares a message, to give it an id, headers or a time limit of its own.
    ///
    /// # Errors
    /// [`PublishError::Encode`].
    pub fn message<T: Topic>(
        &self,
        topic: &T,
        payload: &T::Payload,
    ) -> Result<Outgoing<'_, T>, PublishError> {
        let (headers, payload) = sealed::<T::Codec, _, PublishError>(T::SCHEMA, payload)?;
        Ok(Outgoing {
            client: self,
            subject: topic.subject(),
            headers,
            id: self.core.ids.next(),
            payload,
            within: self.core.options.timeout,
            topic: std::marker::PhantomData,
        })
    }

    /// Prepares a message of no topic.
    pub(crate) fn bytes(
        &self,
        subject: Subject,
        headers: Headers,
        payload: Bytes,
    ) -> Outgoing<'_, ()> {
        Outgoing {
            client: self,
            subject,
            headers,
            id: self.core.ids.next(),
            payload,
            within: self.core.options.timeout,
            topic: std::marker::PhantomData,
        }
    }

    /// Publishes without waiting: the message is on its way when this returns, no more. A payload of
    /// 512 bytes or more is not copied: it, and the buffer that it is a slice of, stays until it is
    /// written.
    ///
    /// # Errors
    /// [`PublishError`] when it was not taken. A refusal by the server comes later, by
    /// [`denials`](Self::denials).
    pub fn publish<T: Topic>(
        &self,
        topic: &T,
        payload: &T::Payload,
    ) -> Result<Queued, PublishError> {
        self.message(topic, payload)?.queue()
    }

    /// Publishes and waits until the server has passed the message on.
    ///
    /// # Errors
    /// [`PublishError`]; [`Denied`](PublishError::Denied) when this user may not.
    pub async fn publish_flushed<T: Topic>(
        &self,
        topic: &T,
        payload: &T::Payload,
    ) -> Result<Flushed, PublishError> {
        self.message(topic, payload)?.flush().await
    }

    /// Publishes and waits until a stream keeps the message. If the connection breaks meanwhile, it
    /// is sent again with the same id: the stream keeps it once, who is subscribed at the moment may
    /// see it twice.
    ///
    /// Compiles only for topics that are [`Delivery::Stored`].
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish_stored<T: Topic>(
        &self,
        topic: &T,
        payload: &T::Payload,
    ) -> Result<Stored, PublishError> {
        self.message(topic, payload)?.store().await
    }

    /// Waits until the server has everything that was published before.
    ///
    /// # Errors
    /// [`FlushError`].
    pub async fn flush(&self) -> Result<(), FlushError> {
        let within = self.core.options.timeout;
        loop {
            let link = self.core.topology.current();
            let link = link.ok_or(FlushError::Disconnected)?;
            return match link.round_trip(Lane::User, within).await {
                Ok(()) => Ok(()),
                Err(RoundTripError::Refused(Refusal::Moved)) => continue,
                Err(RoundTripError::TimedOut) => Err(FlushError::TimedOut),
                Err(RoundTripError::Lost | RoundTripError::Refused(_)) => {
                    Err(FlushError::Disconnected)
                }
            };
        }
    }

    /// Hands a message to the present connection; returns that.
    pub(crate) fn send(
        &self,
        message: &Publication<'_>,
        reply: impl FnMut(&Arc<Link>) -> Option<Inbox>,
    ) -> Result<Arc<Link>, PublishError> {
        let sent = self.try_send(message, reply);
        match &sent {
            Ok(_) => count(&self.core.counters.messages_out, 1),
            Err(_) => count(&self.core.counters.rejected, 1),
        }
        sent
    }

    /// Returns the present connection.
    #[cfg(feature = "spool")]
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.core.topology.current()
    }

    /// Hands a message for a stream to this connection and no other, so that what follows it by the
    /// same one cannot overtake it.
    #[cfg(feature = "spool")]
    pub(crate) fn store_by(
        &self,
        link: &Arc<Link>,
        subject: &str,
        headers: &Headers,
        payload: &Bytes,
    ) -> Result<Expected, PublishError> {
        let message = Publication::new(subject, headers, payload);
        let size = message.size();
        let max = link.server.max_payload;
        if size > max {
            return Err(PublishError::TooLarge { size, max });
        }
        let expected = link.replies.expect(subject);
        let reply = expected.inbox();
        match link.publish(&message, Some(&reply)) {
            Ok(()) => {
                count(&self.core.counters.messages_out, 1);
                Ok(expected)
            }
            Err(Refusal::Full { pending, capacity }) => {
                Err(PublishError::QueueFull { pending, capacity })
            }
            Err(Refusal::Moved | Refusal::Closed) => Err(PublishError::Disconnected),
        }
    }

    fn try_send(
        &self,
        message: &Publication<'_>,
        mut reply: impl FnMut(&Arc<Link>) -> Option<Inbox>,
    ) -> Result<Arc<Link>, PublishError> {
        let size = message.size();
        loop {
            let link = self.core.topology.current();
            let link = link.ok_or(PublishError::Disconnected)?;
            if size > link.server.max_payload {
                return Err(PublishError::TooLarge {
                    size,
                    max: link.server.max_payload,
                });
            }
            let reply = reply(&link);
            return match link.publish(message, reply.as_deref()) {
                Ok(()) => Ok(link),
                Err(Refusal::Moved) => continue,
                Err(Refusal::Full { pending, capacity }) => {
                    Err(PublishError::QueueFull { pending, capacity })
                }
                Err(Refusal::Closed) => Err(PublishError::Disconnected),
            };
        }
    }
}

impl<T: Topic> Outgoing<'_, T> {
    /// Adds a header.
    ///
    /// # Errors
    /// [`PublishError::Header`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, PublishError> {
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// Publishes as [`Client::publish`] does.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn queue(mut self) -> Result<Queued, PublishError> {
        self.seal();
        if matches!(T::OFFLINE, Offline::DropOldest) {
            let id = self.id.clone();
            self.client.core.send_or_keep(Held {
                subject: self.subject,
                id: self.id,
                headers: self.headers,
                payload: self.payload,
            })?;
            return Ok(Queued { id });
        }
        self.client.send(&self.publication(), |_| None)?;
        Ok(Queued { id: self.id })
    }

    /// Publishes as [`Client::publish_flushed`] does.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn flush(mut self) -> Result<Flushed, PublishError> {
        self.seal();
        let subject = self.subject.as_str();
        // The place is made before the message is sent, so that no denial can come too early.
        let mut watched = None;
        let sent = self.client.send(&self.publication(), |link| {
            watched = Some(link.replies.expect(subject));
            None
        })?;
        let within = self.within;
        match sent.round_trip(Lane::User, within).await {
            Ok(()) => {}
            // The connection was replaced just then; that waits for what it had, too.
            Err(RoundTripError::Refused(Refusal::Moved)) => {
                sent.round_trip(Lane::Control, within)
                    .await
                    .map_err(|_| self.unconfirmed())?;
            }
            Err(_) => return Err(self.unconfirmed()),
        }
        match watched.is_some_and(|mut watched| watched.is_denied()) {
            true => Err(PublishError::Denied {
                subject: subject.to_owned(),
            }),
            false => Ok(Flushed { id: self.id }),
        }
    }

    /// Publishes as [`Client::publish_stored`] does.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn store(self) -> Result<Stored, PublishError> {
        const {
            assert!(
                matches!(T::DELIVERY, Delivery::Stored),
                "only a topic with `delivery = stored` can be stored"
            );
        }
        self.store_bytes().await
    }
}

impl<T> Outgoing<'_, T> {
    /// Sets the id, to send a message again whose fate is not known.
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }

    /// Sets how long `flush` and `store` wait.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Stores whatever it is.
    pub(crate) async fn store_bytes(mut self) -> Result<Stored, PublishError> {
        self.seal();
        let deadline = Instant::now() + self.within;
        let mut maybe_stored = false;
        loop {
            let attempt = self.store_once(deadline).await;
            maybe_stored |= matches!(attempt, Err(PublishError::Unconfirmed { .. }));
            let again = match &attempt {
                // Not there yet, or just gone: a server that starts needs a moment for its streams.
                Err(
                    PublishError::Disconnected
                    | PublishError::Unconfirmed { .. }
                    | PublishError::NoStream { .. },
                ) => Instant::now() + RETRY < deadline,
                _ => false,
            };
            if !again {
                return match attempt {
                    Err(error) if maybe_stored => Err(self.judge(error)),
                    attempt => attempt,
                };
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Says what the last error means where an attempt before it may have arrived: that the stream
    /// does not have the message is known of that attempt alone.
    fn judge(&self, last: PublishError) -> PublishError {
        match last {
            // What came between outlasts a copy that is still on its way: that is refused as well.
            PublishError::Refused { code, .. } if WRONG_SEQUENCE.contains(&code) => last,
            last => {
                tracing::debug!(id = %self.id, error = %last, "sent before, unconfirmed");
                self.unconfirmed()
            }
        }
    }

    async fn store_once(&self, deadline: Instant) -> Result<Stored, PublishError> {
        let mut expected = None;
        let subject = self.subject.as_str();
        self.client.send(&self.publication(), |link| {
            let place = link.replies.expect(subject);
            let inbox = place.inbox();
            expected = Some(place);
            Some(inbox)
        })?;
        let mut expected = expected.expect("a message is sent with the reply made for it");
        let answer = tokio::time::timeout_at(deadline, expected.answer()).await;
        Stored::read(answer.ok().flatten(), subject, &self.id)
    }

    /// Lets the message have its own id, and no other.
    fn seal(&mut self) {
        self.headers.remove(ID);
    }

    fn publication(&self) -> Publication<'_> {
        Publication {
            subject: self.subject.as_str(),
            headers: &self.headers,
            id: Some(&self.id),
            payload: &self.payload,
        }
    }

    fn unconfirmed(&self) -> PublishError {
        PublishError::Unconfirmed {
            id: self.id.clone(),
        }
    }
}

/// How long to wait before a message is stored again.
const RETRY: Duration = Duration::from_millis(100);
