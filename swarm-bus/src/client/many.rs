//! Asking many: one request, several answers.
//!
//! <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-47.md>

use super::link::{Answer, ExpectedMany};
use super::request::{fault, read};
use super::{Client, Fault, PublishError, RequestError};
use crate::Call;
use crate::wire::Delivery;
use crate::wire::encode::Publication;
use futures_util::Stream;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// When to stop waiting for further answers to one request.
///
/// # Defaults
/// At most 1,024 answers, no gap, no end marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManyBounds {
    /// How long to wait in all.
    pub within: Duration,
    /// How long to wait for the next answer once there was one. The time that the asker takes over
    /// an answer does not count.
    pub gap: Option<Duration>,
    /// How many answers to take at most.
    pub max_messages: usize,
    /// Whether an empty message ends the answers. One with an error in its headers is none.
    pub end_marker: bool,
}

impl ManyBounds {
    /// Waits for so long in all.
    #[must_use]
    pub const fn within(within: Duration) -> Self {
        Self {
            within,
            gap: None,
            max_messages: 1024,
            end_marker: false,
        }
    }

    /// Ends when no answer came for so long after the last one.
    #[must_use]
    pub const fn gap(mut self, gap: Duration) -> Self {
        self.gap = Some(gap);
        self
    }

    /// Ends after so many answers.
    #[must_use]
    pub const fn max_messages(mut self, count: usize) -> Self {
        self.max_messages = count;
        self
    }

    /// Ends with an empty message.
    #[must_use]
    pub const fn end_marker(mut self) -> Self {
        self.end_marker = true;
        self
    }
}

/// Why no more answers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManyEnd {
    /// As many came as were wanted.
    Count,
    /// The time in all is up.
    Time,
    /// Nothing came for too long after the last answer.
    Gap,
    /// The end marker came.
    Marker,
    /// The last item is an error after which nothing can come.
    Error,
}

/// What to do about one answer.
#[derive(Debug, PartialEq)]
enum Verdict {
    Take,
    /// Takes it, and no more.
    TakeLast,
    End(ManyEnd),
}

/// How far the answers to one request have come; time is an argument.
#[derive(Debug)]
struct Progress {
    bounds: ManyBounds,
    deadline: Instant,
    received: usize,
    /// Since when the asker waits for an answer after the first.
    waiting: Option<Instant>,
}

impl Progress {
    fn new(bounds: ManyBounds, now: Instant) -> Self {
        Self {
            // A day more or less: `Duration::MAX` is no time that can be added.
            deadline: now + bounds.within.min(Duration::from_secs(1 << 30)),
            bounds,
            received: 0,
            waiting: None,
        }
    }

    /// Judges an answer of so many bytes, which is an error or not.
    fn handle(&mut self, bytes: usize, is_fault: bool) -> Verdict {
        self.waiting = None;
        if self.bounds.end_marker && bytes == 0 && !is_fault {
            return Verdict::End(ManyEnd::Marker);
        }
        self.received += 1;
        match self.received >= self.bounds.max_messages {
            true => Verdict::TakeLast,
            false => Verdict::Take,
        }
    }

    /// Says that nothing is there now; returns until when to wait.
    fn wait(&mut self, now: Instant) -> Instant {
        let gap = self.bounds.gap.filter(|_| self.received > 0);
        let waiting = *self.waiting.get_or_insert(now);
        gap.and_then(|gap| waiting.checked_add(gap))
            .map_or(self.deadline, |end| end.min(self.deadline))
    }

    /// Says which time is up, when one is.
    fn expired(&self, now: Instant) -> ManyEnd {
        match now >= self.deadline {
            true => ManyEnd::Time,
            false => ManyEnd::Gap,
        }
    }
}

/// The answers to one request, in bytes.
struct RawReplies {
    subject: String,
    /// `None` after the end: the subscription is taken back with it.
    answers: Option<ExpectedMany>,
    progress: Progress,
    timer: Pin<Box<Sleep>>,
    end: Option<ManyEnd>,
    /// How many answers found no room, until it is told.
    missed: u64,
}

impl RawReplies {
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Delivery, RequestError>>> {
        let Some(answers) = &mut self.answers else {
            return Poll::Ready(self.epilogue());
        };
        if let Poll::Ready(answer) = answers.poll_answer(context) {
            return Poll::Ready(self.handle(answer));
        }
        let until = self.progress.wait(Instant::now());
        if self.timer.deadline() != until {
            self.timer.as_mut().reset(until);
        }
        ready!(self.timer.as_mut().poll(context));
        // What came up to now is still given, and nothing more is taken.
        answers.close();
        let answer = ready!(answers.poll_answer(context));
        Poll::Ready(self.handle(answer))
    }

    fn handle(&mut self, answer: Option<Answer>) -> Option<Result<Delivery, RequestError>> {
        let error = match answer {
            Some(Answer::Message(delivery)) => match delivery.status {
                None => return self.take(delivery),
                Some(503) => RequestError::NoResponders {
                    subject: self.subject.clone(),
                },
                Some(code) => Fault::new(code, delivery.description).into(),
            },
            Some(Answer::Denied) => RequestError::Publish(PublishError::Denied {
                subject: self.subject.clone(),
            }),
            None if self.answers.as_ref().is_some_and(ExpectedMany::is_closed) => {
                self.stop(self.progress.expired(Instant::now()));
                return self.epilogue();
            }
            None => RequestError::LinkLost,
        };
        self.stop(ManyEnd::Error);
        Some(Err(error))
    }

    fn take(&mut self, delivery: Delivery) -> Option<Result<Delivery, RequestError>> {
        let is_fault = fault(&delivery).is_some();
        match self.progress.handle(delivery.payload.len(), is_fault) {
            Verdict::Take => Some(Ok(delivery)),
            Verdict::TakeLast => {
                self.stop(ManyEnd::Count);
                Some(Ok(delivery))
            }
            Verdict::End(end) => {
                self.stop(end);
                self.epilogue()
            }
        }
    }

    fn stop(&mut self, end: ManyEnd) {
        self.end = Some(end);
        self.missed = self.answers.take().map_or(0, |answers| answers.missed());
    }

    /// What comes after the last answer: what was missed, once.
    fn epilogue(&mut self) -> Option<Result<Delivery, RequestError>> {
        match std::mem::take(&mut self.missed) {
            0 => None,
            count => Some(Err(RequestError::Missed { count })),
        }
    }
}

/// The typed answers to one request: a stream that ends.
///
/// An answer that is an error ([`RequestError::Fault`]) or cannot be read
/// ([`RequestError::Decode`]) is an item, and others follow. After any other error nothing follows.
/// Dropping it takes the subscription back at once.
pub struct Replies<C> {
    raw: RawReplies,
    topic: PhantomData<fn() -> C>,
}

impl Client {
    /// Asks, and takes the answers of all who answer, until one of the bounds is reached.
    ///
    /// The time begins now. Nobody there and a request that is not permitted are items:
    /// [`RequestError::NoResponders`] and [`PublishError::Denied`] in [`RequestError::Publish`].
    /// More bytes than [`Options::subscription_bytes`](super::Options::subscription_bytes) are not
    /// held for a reader who is behind: that is [`RequestError::Missed`] at the end.
    ///
    /// # Errors
    /// [`PublishError`] when the request was not taken.
    pub fn request_many<C: Call>(
        &self,
        topic: &C,
        payload: &C::Payload,
        bounds: ManyBounds,
    ) -> Result<Replies<C>, PublishError> {
        let (headers, payload, id) = self.question::<C>(payload)?;
        let subject = topic.subject();
        let message = Publication {
            id: Some(&id),
            ..Publication::new(subject.as_str(), &headers, &payload)
        };
        Ok(Replies {
            raw: self.ask_many(&message, bounds)?,
            topic: PhantomData,
        })
    }

    /// Asks many in bytes.
    fn ask_many(
        &self,
        message: &Publication<'_>,
        bounds: ManyBounds,
    ) -> Result<RawReplies, PublishError> {
        let subject = message.subject;
        let mut answers = None;
        let bytes = self.core.options.subscription_bytes;
        self.send(message, |link| {
            // One more for the word of the server, and for the end marker.
            let count = bounds.max_messages.saturating_add(1).min(1 << 20);
            let place = ExpectedMany::new(link, subject, count, bytes);
            let inbox = place.inbox();
            answers = Some(place);
            Some(inbox)
        })?;
        let progress = Progress::new(bounds, Instant::now());
        let mut replies = RawReplies {
            subject: subject.to_owned(),
            answers,
            timer: Box::pin(tokio::time::sleep_until(progress.deadline)),
            progress,
            end: None,
            missed: 0,
        };
        if bounds.max_messages == 0 {
            replies.stop(ManyEnd::Count);
        }
        Ok(replies)
    }
}

impl<C: Call> Replies<C> {
    /// Waits for the next answer; `None` is the end, whose reason [`end`](Self::end) tells.
    ///
    /// Dropping the future before it is ready loses nothing.
    pub async fn next(&mut self) -> Option<Result<C::Reply, RequestError>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Returns why no more answers come; `None` while they may.
    #[must_use]
    pub fn end(&self) -> Option<ManyEnd> {
        self.raw.end
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<C::Reply, RequestError>>> {
        let item = ready!(self.raw.poll_next(context));
        Poll::Ready(item.map(|answer| read::<C>(&answer?)))
    }
}

impl<C: Call> Stream for Replies<C> {
    type Item = Result<C::Reply, RequestError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl<C: Call> fmt::Debug for Replies<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies")
            .field("subject", &self.raw.subject)
            .field("progress", &self.raw.progress)
            .field("end", &self.raw.end)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_gap_begins_when_the_asker_waits_and_never_outlasts_the_whole() {
        let start = Instant::now();
        let bounds = ManyBounds::within(SECOND * 10).gap(SECOND);
        let mut progress = Progress::new(bounds, start);
        assert_eq!(
            progress.wait(start),
            start + SECOND * 10,
            "the first has all the time"
        );
        assert_eq!(progress.handle(1, false), Verdict::Take);
        // The asker took four seconds over it.
        let back = start + SECOND * 4;
        assert_eq!(progress.wait(back), back + SECOND);
        assert_eq!(
            progress.wait(back + SECOND / 2),
            back + SECOND,
            "it is not prolonged"
        );
        assert_eq!(progress.expired(back + SECOND), ManyEnd::Gap);
        assert_eq!(progress.handle(1, false), Verdict::Take);
        let late = start + SECOND * 19 / 2;
        assert_eq!(progress.wait(late), start + SECOND * 10);
        assert_eq!(progress.expired(start + SECOND * 10), ManyEnd::Time);
    }

    #[test]
    fn the_last_that_is_wanted_and_the_marker_end_the_answers() {
        let bounds = ManyBounds::within(SECOND).max_messages(2).end_marker();
        let mut progress = Progress::new(bounds, Instant::now());
        assert_eq!(progress.handle(1, false), Verdict::Take);
        assert_eq!(
            progress.handle(0, true),
            Verdict::TakeLast,
            "an error is no marker"
        );
        let mut progress = Progress::new(bounds, Instant::now());
        assert_eq!(progress.handle(0, false), Verdict::End(ManyEnd::Marker));
        // Without the marker an empty message is one like others.
        let mut progress = Progress::new(ManyBounds::within(SECOND), Instant::now());
        assert_eq!(progress.handle(0, false), Verdict::Take);
        let _ = Progress::new(ManyBounds::within(Duration::MAX), Instant::now());
    }
}
