//! Reading a stream by a durable consumer, by pulling.

use super::StreamError;
use super::filters::{Filters, pause};
use crate::client::{
    Answer, Client, ExpectedMany, Message, PublishError, ReceiveError, RequestError, State,
    wall_clock,
};
use crate::wire::Delivery;
use crate::wire::encode::Publication;
use crate::{Headers, Token, Topic};
use bytes::Bytes;
use serde_json::json;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;
use tokio::time::Instant;

/// How long a pull stays with the server. Shorter than a replaced connection lingers, so that what
/// comes by it is still received.
const PULL: Duration = Duration::from_secs(5);
/// How long after its end a pull that was not heard of is given up.
const GRACE: Duration = Duration::from_secs(2);
/// How long what a server said of the filter is believed where a message does not fit it.
const FRESH: Duration = Duration::from_secs(1);
/// How long to wait after a pull that the server turned away.
const RETRY: Duration = Duration::from_millis(250);

/// What a [`Consumer`] does with messages that can never be read: of no subject of the topic,
/// [undecodable](ReceiveError::Undecodable) or [forged](ReceiveError::Forged). One whose
/// [schema](ReceiveError::Schema) is newer is left alone: another program may read it.
///
/// In any case the message is given to the reader as the error that it is. The server
/// tells by an advisory what is settled here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Undecodable {
    /// Nothing: the reader decides.
    #[default]
    Leave,
    /// Terminates it: it never comes again. A work queue drops it by that, and what is told of it
    /// is told without its content.
    Term,
    /// Gives it back, to come again after a while, until
    /// [`max_deliver`](super::ConsumerConfig::max_deliver) is reached: a work queue keeps it then.
    GiveBack(Duration),
}

/// A durable pull consumer: every message at least once, until it is acknowledged. Who must not
/// work on one twice remembers what he took: [`Taken`](super::Taken).
///
/// # What the filter does not let through
/// A server may give a consumer a message that its filter does not let through: it looks at the
/// filter when it delivers a message first, and not when it comes again. In a cluster whose leader
/// died, it may then be another message than the one that was delivered.
///
/// Such a message is not given to the reader, whatever its topic. It is given back, to come again
/// after half a second, then after twice the time up to a minute: by then the servers agree and it
/// is the message that was meant. It is never acknowledged or terminated, for either would take it
/// from a work queue, where it is for another consumer, or would forget the message that was meant.
/// Each is counted in [`Statistics::foreign`](crate::client::Statistics::foreign) and said in the
/// log.
///
/// Who changes the filter of a consumer of which messages are out, and reads on, meets the same with
/// those that the new filter does not let through: they come again for ever, or
/// [`max_deliver`](super::ConsumerConfig::max_deliver) times, and count as pending meanwhile. A new
/// consumer does not have them.
pub struct Consumer<T> {
    client: Client,
    stream: Token,
    durable: Token,
    batch: usize,
    pull: Option<Pull>,
    ready: VecDeque<Delivery>,
    undecodable: Undecodable,
    filters: Filters,
    /// When the server said so.
    filters_at: Instant,
    topic: PhantomData<fn() -> T>,
}

/// Messages that were asked for.
struct Pull {
    answers: ExpectedMany,
    left: usize,
    until: Instant,
}

/// A stored message, to be acknowledged.
pub struct Delivered<T: Topic> {
    /// The message, or why it cannot be read. Unacknowledged it comes again; what can never be read
    /// is best [`term`](Self::term)inated.
    pub content: Result<Message<T>, ReceiveError>,
    /// Its number in the stream.
    pub sequence: u64,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    /// How many more wait for this consumer.
    pub pending: u64,
    client: Client,
    reply: String,
}

impl Client {
    /// Reads by a durable consumer that exists.
    ///
    /// # Errors
    /// [`StreamError`]; [`NoConsumer`](StreamError::NoConsumer) when there is none.
    pub async fn consumer<T: Topic>(
        &self,
        stream: &Token,
        durable: &Token,
    ) -> Result<Consumer<T>, StreamError> {
        let filters = self.filters(stream, durable).await?;
        Ok(Consumer {
            client: self.clone(),
            stream: stream.clone(),
            durable: durable.clone(),
            batch: 32,
            pull: None,
            ready: VecDeque::new(),
            undecodable: Undecodable::default(),
            filters,
            filters_at: Instant::now(),
            topic: PhantomData,
        })
    }

    /// Asks what a consumer lets through.
    async fn filters(&self, stream: &Token, durable: &Token) -> Result<Filters, StreamError> {
        let info = self.api(format_args!("CONSUMER.INFO.{stream}.{durable}"));
        let config = self.stream_api(&info, &serde_json::Value::Null).await?;
        Ok(Filters::parse(&config))
    }
}

impl<T: Topic> Consumer<T> {
    /// Sets how many messages are asked for at once; 32 at first. They count as delivered when they
    /// come, so a slow reader asks for few.
    #[must_use]
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch.clamp(1, 1024);
        self
    }

    /// Sets what happens to messages that can never be read; nothing at first.
    #[must_use]
    pub fn undecodable(mut self, policy: Undecodable) -> Self {
        self.undecodable = policy;
        self
    }

    /// Waits for the next message, through losses and replacements of the connection.
    ///
    /// Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    /// [`StreamError`] when the consumer is gone, the user may not, or the client is closed. A lost
    /// connection is no error.
    pub async fn next(&mut self) -> Result<Delivered<T>, StreamError> {
        loop {
            if let Some(delivery) = self.ready.front()
                && !self.filters.let_through(&delivery.subject)
                && self.filters_at.elapsed() > FRESH
            {
                // It may be the filter that was changed. The message waits in its place meanwhile.
                self.ask_for_the_filter().await?;
            }
            if let Some(delivery) = self.ready.pop_front() {
                if let Some(delivered) = self.open(delivery) {
                    return Ok(delivered);
                }
                continue;
            }
            match &mut self.pull {
                None => self.pull = Some(self.ask_for_more().await?),
                Some(pull) => {
                    let mut states = self.client.states();
                    let answer = tokio::time::timeout_at(pull.until, pull.answers.answer());
                    let answer = tokio::select! {
                        biased;
                        answer = answer => answer,
                        // A pull that is given up keeps nobody waiting; what comes by it is
                        // delivered again.
                        _ = states.until(is_ending) => {
                            self.pull = None;
                            return Err(PublishError::Disconnected.into());
                        }
                    };
                    match answer {
                        Ok(Some(Answer::Message(delivery))) => self.handle(delivery).await?,
                        Ok(Some(Answer::Denied)) => {
                            self.pull = None;
                            return Err(PublishError::Denied {
                                subject: self.pull_subject(),
                            }
                            .into());
                        }
                        // The connection is gone, or the pull was: ask anew.
                        Ok(None) | Err(_) => self.pull = None,
                    }
                }
            }
        }
    }

    async fn ask_for_the_filter(&mut self) -> Result<(), StreamError> {
        let filters = self.client.filters(&self.stream, &self.durable).await;
        self.filters_at = Instant::now();
        match filters {
            Ok(filters) => self.filters = filters,
            Err(error @ (StreamError::NoConsumer | StreamError::NoStream)) => return Err(error),
            // What does not fit what is known is given back, and is asked for when it comes again.
            Err(error) => tracing::debug!(%error, "the filter of a consumer is not known anew"),
        }
        Ok(())
    }

    fn pull_subject(&self) -> String {
        let (stream, durable) = (&self.stream, &self.durable);
        self.client
            .api(format_args!("CONSUMER.MSG.NEXT.{stream}.{durable}"))
    }

    async fn ask_for_more(&self) -> Result<Pull, StreamError> {
        let subject = self.pull_subject();
        let expires = PULL.as_nanos() as u64;
        let body = Bytes::from(json!({"batch": self.batch, "expires": expires}).to_string());
        loop {
            if is_ending(&self.client.states().current()) {
                return Err(PublishError::Disconnected.into());
            }
            let mut answers = None;
            let headers = Headers::new();
            let message = Publication::new(&subject, &headers, &body);
            let sent = self.client.send(&message, |link| {
                // Some more for the words that come between and at the end.
                let place = ExpectedMany::new(link, &subject, self.batch + 8, usize::MAX);
                let inbox = place.inbox();
                answers = Some(place);
                Some(inbox)
            });
            match (sent, answers) {
                (Ok(_), Some(answers)) => {
                    return Ok(Pull {
                        answers,
                        left: self.batch,
                        until: Instant::now() + PULL + GRACE,
                    });
                }
                (Err(PublishError::Disconnected | PublishError::QueueFull { .. }), _) => {
                    tokio::time::sleep(RETRY).await;
                }
                (Err(error), _) => return Err(error.into()),
                (Ok(_), None) => unreachable!("what is sent has the reply made for it"),
            }
        }
    }

    async fn handle(&mut self, delivery: Delivery) -> Result<(), StreamError> {
        let Some(status) = delivery.status else {
            self.ready.push_back(delivery);
            if let Some(pull) = &mut self.pull {
                pull.left -= 1;
                if pull.left == 0 {
                    self.pull = None;
                }
            }
            return Ok(());
        };
        match status {
            // A sign of life.
            100 => {}
            // Nothing (more) within the time: the usual end.
            404 | 408 => self.pull = None,
            409 if delivery.description.contains("Consumer Deleted") => {
                self.pull = None;
                return Err(StreamError::NoConsumer);
            }
            // Nobody is there: a server that starts, or a consumer that is gone.
            503 => {
                self.pull = None;
                let (stream, durable) = (&self.stream, &self.durable);
                let info = self
                    .client
                    .api(format_args!("CONSUMER.INFO.{stream}.{durable}"));
                match self
                    .client
                    .stream_api(&info, &serde_json::Value::Null)
                    .await
                {
                    Err(error @ (StreamError::NoConsumer | StreamError::NoStream)) => {
                        return Err(error);
                    }
                    _ => tokio::time::sleep(RETRY).await,
                }
            }
            // Too many readers, leadership on its way: later.
            _ => {
                self.pull = None;
                tokio::time::sleep(RETRY).await;
            }
        }
        Ok(())
    }

    /// Makes the message of a delivery; `None` where it does not come from a consumer, or is not for
    /// this one.
    fn open(&self, mut delivery: Delivery) -> Option<Delivered<T>> {
        let reply = delivery.reply.take()?;
        let place = Place::parse(&reply)?;
        if !self.filters.let_through(&delivery.subject) {
            self.give_back(&delivery, &place, &reply);
            return None;
        }
        let delivered = Delivered {
            content: Message::decode(delivery, wall_clock()),
            sequence: place.sequence,
            deliveries: place.deliveries,
            pending: place.pending,
            client: self.client.clone(),
            reply,
        };
        self.settle(&delivered);
        Some(delivered)
    }

    /// Gives back what is not for this consumer, without a word that could settle it.
    fn give_back(&self, delivery: &Delivery, place: &Place, reply: &str) {
        self.client.count_foreign();
        tracing::warn!(
            stream = %self.stream,
            consumer = %self.durable,
            subject = %delivery.subject,
            sequence = place.sequence,
            deliveries = place.deliveries,
            reply,
            "a message that the consumer's filter does not let through is given back"
        );
        if let Err(error) = self.client.say(reply, nak(pause(place.deliveries))) {
            // It comes again when its time is up.
            tracing::debug!(%error, "what is not for this consumer is not given back yet");
        }
    }

    /// Does what the policy says with what can never be read.
    fn settle(&self, delivered: &Delivered<T>) {
        let error = match &delivered.content {
            Err(
                error @ (ReceiveError::Subject { .. }
                | ReceiveError::Undecodable { .. }
                | ReceiveError::Forged { .. }),
            ) => error,
            _ => return,
        };
        let said = match self.undecodable {
            Undecodable::Leave => return,
            Undecodable::GiveBack(delay) => delivered.nak(delay).map_err(StreamError::from),
            Undecodable::Term => match delivered.term_because(&error.to_string()) {
                Err(StreamError::Unsupported(_)) => delivered.term().map_err(StreamError::from),
                said => said,
            },
        };
        if let Err(said) = said {
            // It comes again, and is settled then.
            tracing::debug!(error = %said, "what cannot be read is not settled yet");
        }
    }
}

fn is_ending(state: &State) -> bool {
    matches!(state, State::Closed | State::Draining)
}

/// What the subject for acknowledgements says:
/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.<pending>`, where
/// newer servers put a domain and an account hash before the stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    deliveries: u64,
    sequence: u64,
    pending: u64,
}

impl Place {
    pub(crate) fn parse(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.split('.').collect();
        let at = match tokens.len() {
            9 => 4,
            11.. => 6,
            _ => return None,
        };
        (tokens[..2] == ["$JS", "ACK"]).then_some(())?;
        Some(Self {
            deliveries: tokens[at].parse().ok()?,
            sequence: tokens[at + 1].parse().ok()?,
            pending: tokens[at + 4].parse().ok()?,
        })
    }
}

impl<T: Topic> Delivered<T> {
    /// Says that the work is done: the message does not come again, if this arrives.
    ///
    /// # Errors
    /// [`PublishError`] when it was not sent.
    pub fn ack(&self) -> Result<(), PublishError> {
        self.say(Bytes::from_static(b"+ACK"))
    }

    /// Says that the work is done, and waits until the server has taken note.
    ///
    /// # Errors
    /// [`RequestError`] when it is not known whether it has.
    pub async fn ack_confirmed(&self, within: Duration) -> Result<(), RequestError> {
        self.confirm(Bytes::from_static(b"+ACK"), within).await
    }

    /// Gives the message back, to come again after a while.
    ///
    /// # Errors
    /// [`PublishError`] when it was not sent.
    pub fn nak(&self, delay: Duration) -> Result<(), PublishError> {
        self.say(nak(delay))
    }

    /// Says that the message is never to come again, though its work was not done.
    ///
    /// # Errors
    /// [`PublishError`] when it was not sent.
    pub fn term(&self) -> Result<(), PublishError> {
        self.say(Bytes::from_static(b"+TERM"))
    }

    /// Says so, and waits until the server has taken note.
    ///
    /// # Errors
    /// [`RequestError`] when it is not known whether it has.
    pub async fn term_confirmed(&self, within: Duration) -> Result<(), RequestError> {
        self.confirm(Bytes::from_static(b"+TERM"), within).await
    }

    /// Says so, and why: the server's advisory tells it on. Control characters become spaces, and
    /// what goes beyond 512 bytes is cut off.
    ///
    /// # Errors
    /// [`StreamError::Unsupported`], and nothing is sent, when the server is older than 2.10.4: it
    /// would not understand the word, and the message would come again.
    /// [`term`](Self::term) does without a reason.
    pub fn term_because(&self, reason: &str) -> Result<(), StreamError> {
        self.client.server_version()?.check_term_reason()?;
        let reason = reason[..reason.floor_char_boundary(512)].replace(char::is_control, " ");
        Ok(self.say(Bytes::from(format!("+TERM {reason}")))?)
    }

    /// Asks for more time.
    ///
    /// # Errors
    /// [`PublishError`] when it was not sent.
    pub fn progress(&self) -> Result<(), PublishError> {
        self.say(Bytes::from_static(b"+WPI"))
    }

    async fn confirm(&self, word: Bytes, within: Duration) -> Result<(), RequestError> {
        self.client
            .ask(&self.reply, &Headers::new(), &word, within)
            .await
            .map(drop)
    }

    fn say(&self, word: Bytes) -> Result<(), PublishError> {
        self.client.say(&self.reply, word)
    }
}

impl Client {
    /// Says a word about a message to its consumer.
    fn say(&self, reply: &str, word: Bytes) -> Result<(), PublishError> {
        let headers = Headers::new();
        let message = Publication::new(reply, &headers, &word);
        self.send(&message, |_| None).map(drop)
    }
}

/// The word that gives a message back, to come again after a while.
fn nak(delay: Duration) -> Bytes {
    let delay = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX >> 1);
    Bytes::from(format!("-NAK {}", json!({"delay": delay})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_read_from_both_forms_of_the_subject() {
        let place = Place {
            deliveries: 2,
            sequence: 30,
            pending: 5,
        };
        assert_eq!(Place::parse("$JS.ACK.S.C.2.30.4.1700000000.5"), Some(place));
        let new = Place::parse("$JS.ACK._.hash.S.C.2.30.4.1700000000.5.rnd").unwrap();
        assert_eq!((new.deliveries, new.sequence, new.pending), (2, 30, 5));
        let domain = Place::parse("$JS.ACK.hub0.hash.S.C.2.30.4.1700000000.5").unwrap();
        assert_eq!(domain, new);
        for bad in [
            "",
            "$JS.ACK.S",
            "_INBOX.a.b.c.d.e.f.g.h",
            "$JS.ACK.S.C.x.1.1.1.1",
        ] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }
}
