//! Messages to a stream that are on their way several at a time and must be stored in their order.

use super::link::{Expected, Link, Refusal};
use super::statistics::count;
use super::{Client, PublishError, Stored, SubscribeError};
use crate::wire::encode::Publication;
use crate::{Headers, MessageId, Subject};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One connection, and no other: what is sent on it is stored in its order, and when it breaks,
/// what is missing is missing at the end.
///
/// [`Client::bytes`] takes whichever connection there is: of two messages the first may be lost with
/// one and the second arrive by the next.
pub(crate) struct InOrder {
    client: Client,
    link: Arc<Link>,
}

/// Why a message was not sent on this connection.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// The connection takes nothing any more; what was sent is still answered or lost.
    Over,
    /// Too much waits to be sent already.
    Full(PublishError),
    /// It cannot be sent at all.
    Error(PublishError),
}

/// A message that is on its way to a stream.
pub(crate) struct Storing {
    expected: Expected,
    subject: Subject,
    id: MessageId,
}

impl Client {
    /// Waits for a connection to send on in order.
    pub(crate) async fn in_order(&self, within: Duration) -> Result<InOrder, SubscribeError> {
        let link = self.link_by(Instant::now() + within).await?;
        Ok(InOrder {
            client: self.clone(),
            link,
        })
    }
}

impl InOrder {
    /// Sends a message under an id, by which a stream keeps it once.
    pub(crate) fn store(
        &self,
        subject: &Subject,
        headers: &Headers,
        payload: &Bytes,
        id: &MessageId,
    ) -> Result<Storing, Unsent> {
        let message = Publication {
            id: Some(id),
            ..Publication::new(subject.as_str(), headers, payload)
        };
        let size = message.size();
        let max = self.link.server.max_payload;
        if size > max {
            return Err(Unsent::Error(PublishError::TooLarge { size, max }));
        }
        let expected = self.link.replies.expect(subject.as_str());
        let inbox = expected.inbox();
        match self.link.publish(&message, Some(&inbox)) {
            Ok(()) => {
                count(&self.client.core.counters.messages_out, 1);
                Ok(Storing {
                    expected,
                    subject: subject.clone(),
                    id: id.clone(),
                })
            }
            Err(Refusal::Full { pending, capacity }) => {
                Err(Unsent::Full(PublishError::QueueFull { pending, capacity }))
            }
            Err(Refusal::Moved | Refusal::Closed) => Err(Unsent::Over),
        }
    }
}

impl Storing {
    /// Waits for the stream's acknowledgement. Dropping the future before it is ready loses nothing.
    pub(crate) async fn stored(&mut self, within: Duration) -> Result<Stored, PublishError> {
        let answer = tokio::time::timeout(within, self.expected.answer()).await;
        Stored::read(answer.ok().flatten(), self.subject.as_str(), &self.id)
    }
}
