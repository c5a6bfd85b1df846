//! Asking.

use super::link::{Answer, Expected};
use super::{Client, Fault, PublishError, RequestError};
use crate::codec::Codec;
use crate::envelope::{FAULT, FAULT_CODE, ID, sealed};
use crate::wire::Delivery;
use crate::wire::encode::Publication;
use crate::{Call, Headers, MessageId};
use bytes::Bytes;
use std::time::Duration;

impl Client {
    /// Asks, and waits for the one answer.
    ///
    /// # Errors
    /// [`RequestError`]. After [`TimedOut`](RequestError::TimedOut) and
    /// [`LinkLost`](RequestError::LinkLost) the request may have been carried out.
    pub async fn request<C: Call>(
        &self,
        topic: &C,
        payload: &C::Payload,
        within: Duration,
    ) -> Result<C::Reply, RequestError> {
        let (headers, payload, id) = self.question::<C>(payload)?;
        let subject = topic.subject();
        let message = Publication {
            id: Some(&id),
            ..Publication::new(subject.as_str(), &headers, &payload)
        };
        let answer = self.answer(&message, within).await?;
        read::<C>(&answer)
    }

    /// Writes what a request says.
    pub(super) fn question<C: Call>(
        &self,
        payload: &C::Payload,
    ) -> Result<(Headers, Bytes, MessageId), PublishError> {
        let (mut headers, payload) = sealed::<C::Codec, _, PublishError>(C::SCHEMA, payload)?;
        // A codec may write headers; this one is not its.
        headers.remove(ID);
        Ok((headers, payload, self.core.ids.next()))
    }

    /// Asks in bytes, and leaves the answer to be awaited.
    pub(crate) fn begin(
        &self,
        subject: &str,
        headers: &Headers,
        payload: &Bytes,
    ) -> Result<Expected, PublishError> {
        self.begin_with(&Publication::new(subject, headers, payload))
    }

    fn begin_with(&self, message: &Publication<'_>) -> Result<Expected, PublishError> {
        let mut expected = None;
        self.send(message, |link| {
            let place = link.replies.expect(message.subject);
            let inbox = place.inbox();
            expected = Some(place);
            Some(inbox)
        })?;
        Ok(expected.expect("a request is sent with the reply made for it"))
    }

    /// Asks in bytes.
    pub(crate) async fn ask(
        &self,
        subject: &str,
        headers: &Headers,
        payload: &Bytes,
        within: Duration,
    ) -> Result<Delivery, RequestError> {
        self.answer(&Publication::new(subject, headers, payload), within)
            .await
    }

    async fn answer(
        &self,
        message: &Publication<'_>,
        within: Duration,
    ) -> Result<Delivery, RequestError> {
        let subject = message.subject;
        let mut expected = self.begin_with(message)?;
        match tokio::time::timeout(within, expected.answer()).await {
            Ok(Some(Answer::Message(answer))) if answer.status == Some(503) => {
                Err(RequestError::NoResponders {
                    subject: subject.to_owned(),
                })
            }
            Ok(Some(Answer::Message(answer))) => Ok(answer),
            Ok(Some(Answer::Denied)) => Err(RequestError::Publish(PublishError::Denied {
                subject: subject.to_owned(),
            })),
            Ok(None) => Err(RequestError::LinkLost),
            Err(_) => Err(RequestError::TimedOut { after: within }),
        }
    }
}

/// Reads the error in the headers of an answer, if there is one.
/// Reads an answer.
pub(super) fn read<C: Call>(answer: &Delivery) -> Result<C::Reply, RequestError> {
    if let Some(fault) = fault(answer) {
        return Err(RequestError::Fault(fault));
    }
    if let Some(found) = answer.headers.schema().filter(|found| *found > C::SCHEMA) {
        return Err(RequestError::Schema {
            found,
            known: C::SCHEMA,
        });
    }
    Ok(C::ReplyCodec::open(&answer.headers, &answer.payload)?)
}

pub(super) fn fault(answer: &Delivery) -> Option<Fault> {
    let code = answer.headers.get(FAULT_CODE);
    let description = answer.headers.get(FAULT);
    (code.is_some() || description.is_some()).then(|| Fault {
        code: code.and_then(|code| code.parse().ok()).unwrap_or(500),
        description: description.unwrap_or_default().to_owned(),
    })
}
