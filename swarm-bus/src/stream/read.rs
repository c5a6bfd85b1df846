//! Reads what a stream keeps without a consumer.
//!
//! JetStream hands out single messages: the last one of a subject, or the first one of a filter
//! from a sequence number on. Asked again and again the latter is all that an ordered consumer
//! gives, and the reader needs no right to define consumers: whoever may do that may have the
//! server send stored messages anywhere.

use super::stored::{Found, Malformed, Stored};
use super::{ApiFault, StreamError, StreamSummary};
use crate::client::{Answer, Client, Expected, PublishError, RequestError};
use crate::{Headers, Pattern, Subject, Token};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads a stream.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) client: Client,
    pub(crate) stream: Token,
    mode: Arc<Mode>,
}

/// Who answers, as the stream said when it was asked last.
#[derive(Default)]
struct Mode {
    /// Whether any server that has the stream may answer, or its leader alone.
    direct: AtomicBool,
    /// Whether a server that answers may lag behind the leader.
    replicated: AtomicBool,
}

/// Some of the subjects of a stream.
pub(crate) struct Page {
    /// How many there are on all pages.
    pub(crate) total: usize,
    pub(crate) subjects: HashMap<String, u64>,
}

/// Which message is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// The last one of a subject.
    Last(&'a Subject),
    /// The first one of a filter from a sequence number on.
    Next { filter: &'a Pattern, from: u64 },
}

/// A message that was asked for.
pub(crate) struct Asked {
    expected: Expected,
    subject: String,
    direct: bool,
}

impl Reader {
    /// Opens a stream, and says what it says of itself.
    pub(crate) async fn open(
        client: &Client,
        stream: Token,
    ) -> Result<(Self, StreamSummary), StreamError> {
        let reader = Self {
            client: client.clone(),
            stream,
            mode: Arc::default(),
        };
        let info = reader.info().await?;
        Ok((reader, info))
    }

    pub(crate) async fn info(&self) -> Result<StreamSummary, StreamError> {
        let info = self
            .client
            .stream_summary(&self.stream, &Value::Null)
            .await?;
        let (direct, replicated) = (info.config.allow_direct, info.config.num_replicas > 1);
        self.mode.direct.store(direct, Ordering::Relaxed);
        self.mode.replicated.store(replicated, Ordering::Relaxed);
        Ok(info)
    }

    /// Counts the messages of one subject.
    pub(crate) async fn count(&self, subject: &Subject) -> Result<u64, StreamError> {
        let page = self.subjects(&subject.into(), 0).await?;
        Ok(page.subjects.get(subject.as_str()).copied().unwrap_or(0))
    }

    /// Lists the subjects of a filter, with the number of messages of each, from the one with the
    /// number `offset` on.
    pub(crate) async fn subjects(
        &self,
        filter: &Pattern,
        offset: usize,
    ) -> Result<Page, StreamError> {
        let body = json!({"subjects_filter": filter, "offset": offset});
        let info = self.client.stream_summary(&self.stream, &body).await?;
        Ok(Page {
            total: info.total,
            subjects: info.state.subjects,
        })
    }

    /// Reads the last message of a subject. Of a replicated stream it may be one that the leader
    /// has replaced a moment ago.
    pub(crate) async fn last(&self, subject: &Subject) -> Result<Option<Stored>, StreamError> {
        let asked = self.ask(Wanted::Last(subject), self.is_direct())?;
        self.answer(asked).await
    }

    /// Reads the last message of a subject that the leader has.
    pub(crate) async fn last_of_leader(
        &self,
        subject: &Subject,
    ) -> Result<Option<Stored>, StreamError> {
        let direct = self.is_direct() && !self.may_lag();
        let asked = self.ask(Wanted::Last(subject), direct)?;
        self.answer(asked).await
    }

    /// Reads the message with a sequence number if it is one of a subject.
    pub(crate) async fn numbered(
        &self,
        subject: &Subject,
        sequence: u64,
    ) -> Result<Option<Stored>, StreamError> {
        let filter = subject.into();
        let found = match self.answer(self.begin_next(&filter, sequence)?).await? {
            None => self.confirm_nothing(&filter, sequence).await?,
            found => found,
        };
        Ok(found.filter(|stored| stored.sequence == sequence))
    }

    /// Asks for the first message of a filter from a sequence number on.
    pub(super) fn begin_next(&self, filter: &Pattern, from: u64) -> Result<Asked, StreamError> {
        self.ask(Wanted::Next { filter, from }, self.is_direct())
    }

    /// Makes sure that there is no such message where a server said so that may lag behind.
    pub(super) async fn confirm_nothing(
        &self,
        filter: &Pattern,
        from: u64,
    ) -> Result<Option<Stored>, StreamError> {
        if !self.may_lag() {
            return Ok(None);
        }
        let asked = self.ask(Wanted::Next { filter, from }, false)?;
        self.answer(asked).await
    }

    fn is_direct(&self) -> bool {
        self.mode.direct.load(Ordering::Relaxed)
    }

    /// Says whether what answers may lag behind the leader.
    fn may_lag(&self) -> bool {
        self.is_direct() && self.mode.replicated.load(Ordering::Relaxed)
    }

    fn ask(&self, wanted: Wanted<'_>, direct: bool) -> Result<Asked, StreamError> {
        let stream = &self.stream;
        let verb = match direct {
            true => "DIRECT.GET",
            false => "STREAM.MSG.GET",
        };
        let api = |request: fmt::Arguments<'_>| self.client.api(request);
        let (subject, body) = match wanted {
            // In this form the server's permissions can tell one subject from another.
            Wanted::Last(subject) if direct => {
                (api(format_args!("{verb}.{stream}.{subject}")), Bytes::new())
            }
            Wanted::Last(subject) => (
                api(format_args!("{verb}.{stream}")),
                json!({"last_by_subj": subject}).to_string().into(),
            ),
            Wanted::Next { filter, from } => (
                api(format_args!("{verb}.{stream}")),
                json!({"seq": from, "next_by_subj": filter})
                    .to_string()
                    .into(),
            ),
        };
        let expected = self.client.begin(&subject, &Headers::new(), &body)?;
        Ok(Asked {
            expected,
            subject,
            direct,
        })
    }

    pub(super) async fn answer(&self, mut asked: Asked) -> Result<Option<Stored>, StreamError> {
        self.answer_to(&mut asked).await
    }

    /// Waits for the answer. Dropping the future before it is ready loses nothing.
    pub(super) async fn answer_to(&self, asked: &mut Asked) -> Result<Option<Stored>, StreamError> {
        let within = self.client.core.options.timeout;
        let answer = match tokio::time::timeout(within, asked.expected.answer()).await {
            Ok(Some(Answer::Message(answer))) => answer,
            Ok(Some(Answer::Denied)) => {
                return Err(PublishError::Denied {
                    subject: asked.subject.clone(),
                }
                .into());
            }
            Ok(None) => return Err(RequestError::LinkLost.into()),
            Err(_) => return Err(RequestError::TimedOut { after: within }.into()),
        };
        if answer.status == Some(503) {
            return Err(StreamError::NoJetStream);
        }
        let found = match asked.direct {
            true => Found::from_direct(answer),
            false => Found::from_json(&answer.payload),
        };
        settled(found)
    }
}

impl Client {
    /// Asks what a stream is and holds, in the words of JetStream's `STREAM.INFO`.
    pub(super) async fn stream_summary(
        &self,
        stream: &Token,
        wanted: &Value,
    ) -> Result<StreamSummary, StreamError> {
        let subject = self.api(format_args!("STREAM.INFO.{stream}"));
        self.stream_request(&subject, wanted).await
    }

    /// Asks a stream's leader for one message, in the words of JetStream's `STREAM.MSG.GET`; `None`
    /// where there is none.
    pub(crate) async fn stored_message(
        &self,
        stream: &Token,
        wanted: &Value,
    ) -> Result<Option<Stored>, StreamError> {
        let subject = self.api(format_args!("STREAM.MSG.GET.{stream}"));
        let body = Bytes::from(wanted.to_string());
        let within = self.core.options.timeout;
        let answer = self.ask(&subject, &Headers::new(), &body, within).await;
        let answer = answer.map_err(|error| match error {
            RequestError::NoResponders { .. } => StreamError::NoJetStream,
            error => error.into(),
        })?;
        settled(Found::from_json(&answer.payload))
    }
}

/// Says what was found, or why it is none.
fn settled(found: Result<Found, Malformed>) -> Result<Option<Stored>, StreamError> {
    match found {
        Ok(Found::Message(stored)) => Ok(Some(stored)),
        Ok(Found::Nothing) => Ok(None),
        Ok(Found::Refused { code, description }) => Err(ApiFault::new(code, description).into()),
        Err(Malformed(what)) => Err(StreamError::Malformed { what }),
    }
}

impl StreamError {
    /// Says whether it is the connection or the server that is not ready, which passes.
    pub(crate) fn is_interruption(&self) -> bool {
        /// JetStream's numbers of errors of a cluster that has no leader yet.
        const UNSETTLED: [u32; 3] = [10008, 10009, 10118];
        match self {
            Self::Request(
                RequestError::LinkLost
                | RequestError::TimedOut { .. }
                | RequestError::NoResponders { .. }
                | RequestError::Publish(
                    PublishError::Disconnected
                    | PublishError::QueueFull { .. }
                    | PublishError::Unconfirmed { .. },
                ),
            )
            | Self::NoJetStream => true,
            Self::Refused { code, .. } => UNSETTLED.contains(code),
            _ => false,
        }
    }
}
