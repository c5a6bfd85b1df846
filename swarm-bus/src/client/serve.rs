//! Answering.

use super::link::{Lane, Owed, Refusal, RoundTripError};
use super::mailbox::Item;
use super::statistics::count;
use super::subscribe::Inbox;
use super::subscriptions::{Incoming, Purpose};
use super::{Client, Fault, Message, PublishError, ReceiveError, SubscribeError};
use crate::envelope::{FAULT, FAULT_CODE, sealed};
use crate::topic::Filter;
use crate::wire::encode::Publication;
use crate::{Call, Headers, Token};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;
use tokio::time::Instant;

/// How many requests [`Requests::serve`] works on at a time.
const CONCURRENCY: usize = 64;

/// The requests that come to a topic.
///
/// Like a [`Subscription`](super::Subscription) it survives the loss and the replacement of the
/// connection. An answer goes out by the connection that the request came by, which waits for it
/// when it is replaced: a server permits the answer there only.
pub struct Requests<C> {
    inbox: Inbox,
    topic: PhantomData<fn() -> C>,
}

/// A request, to be answered once.
pub struct Request<C: Call> {
    /// The message: what was asked, of what.
    pub message: Message<C>,
    /// How to answer.
    pub responder: Responder<C>,
}

/// What became of one request, for who counts.
pub(crate) enum Outcome<'a> {
    /// It is answered.
    Answered { took: Duration },
    /// It is answered with an error.
    Failed { fault: &'a Fault, took: Duration },
    /// It could not be read, or never came.
    Unserved(&'a ReceiveError),
    /// Its answer could not be sent.
    Unsent(&'a PublishError),
}

/// The right to answer a request once. Dropped without an answer it leaves the asker waiting until
/// their time is up.
pub struct Responder<C> {
    reply: Option<String>,
    owed: Option<Owed>,
    client: Client,
    topic: PhantomData<fn() -> C>,
}

impl Client {
    /// Receives the requests of a topic; with a group, as one member among which they are shared.
    ///
    /// # Errors
    /// [`SubscribeError::Closed`].
    pub fn requests<C: Call>(
        &self,
        filter: impl Into<Filter<C>>,
        group: Option<Token>,
    ) -> Result<Requests<C>, SubscribeError> {
        Ok(Requests {
            inbox: self.open_inbox(filter.into().pattern(), group, Purpose::Requests)?,
            topic: PhantomData,
        })
    }
}

impl<C: Call> Requests<C> {
    /// Waits until the server has the subscription.
    ///
    /// # Errors
    /// [`SubscribeError`], as [`Subscription::barrier`](super::Subscription::barrier).
    pub async fn barrier(&self) -> Result<(), SubscribeError> {
        self.inbox.barrier().await
    }

    /// Waits for the next request. One that cannot be read is answered with fault 400, and yields
    /// an `Err`. `None` is the end.
    pub async fn next(&mut self) -> Option<Result<Request<C>, ReceiveError>> {
        self.receive().await
    }

    async fn receive(&self) -> Option<Result<Request<C>, ReceiveError>> {
        let item = std::future::poll_fn(|context| self.inbox.poll_next(context)).await?;
        Some(match item {
            Item::Missed(count) => Err(ReceiveError::Missed { count }),
            Item::Denied => Err(ReceiveError::Denied {
                pattern: self.inbox.registration.pattern.clone(),
            }),
            Item::Parcel(incoming) => self.open(incoming),
        })
    }

    /// Answers requests with a function until the client is drained, up to 64 at a time. What a
    /// request costs its asker beyond that is waiting, and the oldest are served first.
    pub async fn serve<F, A>(self, answer: F)
    where
        F: Fn(Message<C>) -> A,
        A: Future<Output = Result<C::Reply, Fault>>,
    {
        self.serve_until(std::future::pending(), answer).await;
    }

    /// Answers requests as [`serve`](Self::serve) does, until `stop` is ready; then the server is
    /// asked for no more, and what it had sent is answered still.
    pub async fn serve_until<F, A>(self, stop: impl Future<Output = ()>, answer: F)
    where
        F: Fn(Message<C>) -> A,
        A: Future<Output = Result<C::Reply, Fault>>,
    {
        let note = |outcome: Outcome<'_>| match outcome {
            Outcome::Unserved(error) => tracing::debug!(%error, "a request was not served"),
            Outcome::Unsent(error) => tracing::debug!(%error, "an answer was not sent"),
            Outcome::Answered { .. } | Outcome::Failed { .. } => {}
        };
        self.serve_noted(stop, answer, note).await;
    }

    /// Answers requests until `stop`, and tells `note` what became of each.
    pub(crate) async fn serve_noted<F, A>(
        self,
        stop: impl Future<Output = ()>,
        answer: F,
        note: impl Fn(Outcome<'_>),
    ) where
        F: Fn(Message<C>) -> A,
        A: Future<Output = Result<C::Reply, Fault>>,
    {
        let work = |request: Request<C>| {
            let began = Instant::now();
            let answered = answer(request.message);
            let note = &note;
            async move {
                let answered = answered.await;
                let took = began.elapsed();
                let sent = match &answered {
                    Ok(reply) => {
                        note(Outcome::Answered { took });
                        request.responder.respond(reply)
                    }
                    Err(fault) => {
                        note(Outcome::Failed { fault, took });
                        request.responder.fail(fault)
                    }
                };
                if let Err(error) = sent {
                    note(Outcome::Unsent(&error));
                }
            }
        };
        let mut under_way = FuturesUnordered::new();
        let drained = async {
            stop.await;
            self.inbox.drain().await;
        };
        let mut drained = std::pin::pin!(drained.fuse());
        loop {
            tokio::select! {
                () = &mut drained => {}
                Some(()) = under_way.next() => {}
                item = self.receive(), if under_way.len() < CONCURRENCY => match item {
                    Some(Ok(request)) => under_way.push(work(request)),
                    Some(Err(error)) => note(Outcome::Unserved(&error)),
                    None => break,
                },
            }
        }
        while under_way.next().await.is_some() {}
    }

    fn open(&self, incoming: Incoming) -> Result<Request<C>, ReceiveError> {
        let Incoming {
            mut delivery,
            received,
            owed,
        } = incoming;
        let responder = Responder {
            reply: delivery.reply.take(),
            owed,
            client: self.inbox.client().clone(),
            topic: PhantomData,
        };
        match Message::decode(delivery, received) {
            Ok(message) => Ok(Request { message, responder }),
            Err(error) => {
                self.inbox.note_undecodable();
                let mut reason = error.to_string();
                if let Some(source) = std::error::Error::source(&error) {
                    reason = format!("{reason}: {source}");
                }
                // The asker may be gone; the error says what matters here.
                let _ = responder.fail(&Fault::new(400, reason));
                Err(error)
            }
        }
    }
}

impl<C: Call> Responder<C> {
    /// Answers.
    ///
    /// # Errors
    /// [`PublishError`] when the answer could not be sent.
    pub fn respond(self, reply: &C::Reply) -> Result<(), PublishError> {
        let (headers, payload) = sealed::<C::ReplyCodec, _, PublishError>(C::SCHEMA, reply)?;
        self.send(&headers, &payload)
    }

    /// Answers in part; more answers follow. The server permits as many as
    /// [`AllowResponses::max`](crate::permissions::AllowResponses::max) says.
    ///
    /// # Errors
    /// [`PublishError`] when the answer could not be sent.
    pub fn respond_part(&self, reply: &C::Reply) -> Result<(), PublishError> {
        let (headers, payload) = sealed::<C::ReplyCodec, _, PublishError>(C::SCHEMA, reply)?;
        self.send(&headers, &payload)
    }

    /// Says that all parts were sent, by the empty message that an asker may wait for
    /// ([`ManyBounds::end_marker`](super::ManyBounds::end_marker)).
    ///
    /// # Errors
    /// [`PublishError`] when it could not be sent.
    pub fn finish(self) -> Result<(), PublishError> {
        self.send(&Headers::new(), &Bytes::new())
    }

    /// Answers with an error.
    ///
    /// # Errors
    /// [`PublishError`] when the answer could not be sent.
    pub fn fail(self, fault: &Fault) -> Result<(), PublishError> {
        let mut headers = Headers::new();
        headers.set(FAULT_CODE, &fault.code.to_string())?;
        headers.set(FAULT, &fault.description)?;
        self.send(&headers, &Bytes::new())
    }

    /// Answers, and waits until the server has the answer.
    ///
    /// # Errors
    /// [`PublishError`] when the answer could not be sent, or it is not known whether it was.
    pub async fn respond_flushed(
        self,
        reply: &C::Reply,
        within: Duration,
    ) -> Result<(), PublishError> {
        let Some(owed) = &self.owed else {
            return self.respond(reply);
        };
        let link = owed.link().clone();
        let id = self.client.core.ids.next();
        self.respond(reply)?;
        match link.round_trip(Lane::Control, within).await {
            Ok(()) => Ok(()),
            Err(RoundTripError::TimedOut) => Err(PublishError::Unconfirmed { id }),
            Err(_) => Err(PublishError::Disconnected),
        }
    }

    fn send(&self, headers: &Headers, payload: &Bytes) -> Result<(), PublishError> {
        // Published without asking for an answer: there is nobody to answer.
        let (Some(reply), Some(owed)) = (&self.reply, &self.owed) else {
            return Ok(());
        };
        let link = owed.link();
        let message = Publication::new(reply, headers, payload);
        let size = message.size();
        if size > link.server.max_payload {
            count(&self.client.core.counters.rejected, 1);
            return Err(PublishError::TooLarge {
                size,
                max: link.server.max_payload,
            });
        }
        let sent = link
            .out
            .answer(message.length(), |to| message.write(to, None))
            .map(drop);
        let counters = &self.client.core.counters;
        count(
            match sent {
                Ok(()) => &counters.messages_out,
                Err(_) => &counters.rejected,
            },
            1,
        );
        sent.map_err(|refusal| match refusal {
            Refusal::Full { pending, capacity } => PublishError::QueueFull { pending, capacity },
            Refusal::Moved | Refusal::Closed => PublishError::Disconnected,
        })
    }
}

impl<C> fmt::Debug for Responder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("reply", &self.reply)
            .finish()
    }
}

impl<C: Call> fmt::Debug for Requests<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Requests")
            .field(&self.inbox.registration.pattern)
            .finish()
    }
}
