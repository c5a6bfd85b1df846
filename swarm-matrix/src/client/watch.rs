//! Readers of a room: its state under one type, its messages, its alerts.

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use super::message::{Body, Message, Received};
use super::shared::Shared;
use crate::alerts::{AlertBook, Outcome};
use crate::error::Error;
use crate::event::{Acknowledgement, Alert, StateContent};
use crate::id::RoomId;
use crate::log::Next;
use crate::state::Snapshot;

/// Follows a room's state under one type.
pub struct StateWatch<T> {
    pub(super) shared: Arc<Shared>,
    pub(super) room: RoomId,
    pub(super) seen: u64,
    pub(super) of: PhantomData<fn() -> T>,
}

impl<T: StateContent> StateWatch<T> {
    /// What is said now.
    ///
    /// # Errors
    /// When the room is not known.
    pub fn snapshot(&mut self) -> Result<Snapshot<T>, Error> {
        let (revision, snapshot) = self.shared.read(&self.room, |entry| {
            (entry.state.revision_of(T::TYPE), entry.state.snapshot())
        })?;
        self.seen = revision;
        Ok(snapshot)
    }

    /// Waits until something is said that this watch has not seen, or a member comes or goes.
    /// Cancelling loses nothing.
    ///
    /// # Errors
    /// When the session has come to its end.
    pub async fn changed(&mut self) -> Result<Snapshot<T>, Error> {
        let (shared, room, seen) = (self.shared.clone(), self.room.clone(), self.seen);
        let differs = || {
            let revision = shared
                .read(&room, |entry| entry.state.revision_of(T::TYPE))
                .ok()?;
            (revision != seen).then_some(())
        };
        shared.wait(differs).await?;
        self.snapshot()
    }

    /// Waits until the state is as `wanted` says, and gives it.
    ///
    /// # Errors
    /// When the session has come to its end.
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&Snapshot<T>) -> bool,
    ) -> Result<Snapshot<T>, Error> {
        let mut snapshot = self.snapshot()?;
        while !wanted(&snapshot) {
            snapshot = self.changed().await?;
        }
        Ok(snapshot)
    }
}

/// Reads a room's messages, oldest first: those kept since the session began, then each new one.
/// What this session sends comes back too, once the homeserver has it.
pub struct Messages {
    pub(super) shared: Arc<Shared>,
    pub(super) room: RoomId,
    pub(super) place: u64,
    pub(super) ticks: watch::Receiver<u64>,
}

impl Messages {
    /// The next message; `None` when the session has come to its end and all are read.
    /// Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            self.ticks.borrow_and_update();
            match self
                .shared
                .read(&self.room, |entry| entry.log.next(self.place))
                .ok()?
            {
                Next::Entry(received, after) => {
                    self.place = after;
                    return Some(received);
                }
                Next::Missed { count, resume } => {
                    self.place = resume;
                    return Some(Received::Missed { count: Some(count) });
                }
                Next::Pending if self.shared.check_open().is_err() => return None,
                Next::Pending => self.ticks.changed().await.ok()?,
            }
        }
    }

    /// The next message that could be read, past all else.
    pub async fn next_message(&mut self) -> Option<Message> {
        loop {
            if let Received::Message(message) = self.next().await?
                && matches!(message.body, Body::Text(_) | Body::Typed { .. })
            {
                return Some(*message);
            }
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Received> + Send {
        stream::unfold(self, async |mut messages| {
            messages.next().await.map(|received| (received, messages))
        })
    }
}

/// What a reader of alerts gets.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AlertEvent {
    /// An alert of which people should hear.
    Alert {
        /// The message that carried it: who, when.
        message: Box<Message>,
        /// The alert.
        alert: Box<Alert>,
        /// What it is, in the light of those before it.
        outcome: Outcome,
    },
    /// Somebody has seen an alert.
    Acknowledged {
        /// The message that carried it: who, when.
        message: Box<Message>,
        /// Of what.
        acknowledgement: Acknowledgement,
    },
    /// Messages were missed, alerts among them perhaps.
    Missed {
        /// How many, where that is known.
        count: Option<u64>,
    },
}

/// Reads a room's alerts, each told once.
pub struct Alerts {
    pub(super) messages: Messages,
    pub(super) book: AlertBook,
}

impl Alerts {
    /// The next of which people should hear; `None` when the session has come to its end.
    pub async fn next(&mut self) -> Option<AlertEvent> {
        loop {
            match self.messages.next().await? {
                Received::Missed { count } => return Some(AlertEvent::Missed { count }),
                Received::Message(message) => {
                    if let Some(event) = self.take(message) {
                        return Some(event);
                    }
                }
            }
        }
    }

    /// All that stands: what fires, who has seen it.
    pub fn book(&self) -> &AlertBook {
        &self.book
    }

    fn take(&mut self, message: Box<Message>) -> Option<AlertEvent> {
        if let Some(Ok(alert)) = message.decode::<Alert>() {
            let outcome = self.book.handle_alert(&message.sender, &alert, message.at);
            let alert = Box::new(alert);
            return outcome.is_told().then_some(AlertEvent::Alert {
                message,
                alert,
                outcome,
            });
        }
        let acknowledgement = message.decode::<Acknowledgement>()?.ok()?;
        let taken = self
            .book
            .handle_acknowledgement(&message.sender, &acknowledgement);
        taken.then_some(AlertEvent::Acknowledged {
            message,
            acknowledgement,
        })
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = AlertEvent> + Send {
        stream::unfold(self, async |mut alerts| {
            alerts.next().await.map(|event| (event, alerts))
        })
    }
}
