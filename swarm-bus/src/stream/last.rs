//! The last message of a subject.

use super::StreamError;
use crate::client::{Client, Message, PublishError, ReceiveError, RequestError};
use crate::stream::ServerVersion;
use crate::{Headers, Token, Topic};
use bytes::Bytes;

impl Client {
    /// Reads the last message of a topic's subject that a stream keeps. The stream must allow it
    /// ([`StreamConfig::direct_get`](super::StreamConfig::direct_get)).
    ///
    /// # Errors
    /// [`StreamError`]. A question about a stream that does not exist, or does not allow it, finds
    /// nobody who answers: servers from 2.11 on say so, which is [`StreamError::NoJetStream`], older
    /// ones do not, which is [`RequestError::TimedOut`]. The inner `Err` is a message that cannot be
    /// read.
    pub async fn last<T: Topic>(
        &self,
        stream: &Token,
        topic: &T,
    ) -> Result<Option<Result<Message<T>, ReceiveError>>, StreamError> {
        let subject = topic.subject();
        let request = self.api(format_args!("DIRECT.GET.{stream}.{subject}"));
        let within = self.core.options.timeout;
        let answer = self
            .ask(&request, &Headers::new(), &Bytes::new(), within)
            .await;
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(RequestError::NoResponders { .. }) => return Err(StreamError::NoJetStream),
            Err(error) => return Err(error.into()),
        };
        match answer.status {
            None => {}
            Some(404) => return Ok(None),
            Some(code) => {
                return Err(StreamError::Refused {
                    code: u32::from(code),
                    description: answer.description,
                });
            }
        }
        answer.subject = answer
            .headers
            .get("Nats-Subject")
            .unwrap_or(subject.as_str())
            .to_owned();
        Ok(Some(Message::decode(answer, crate::client::wall_clock())))
    }

    /// Returns the version of the server.
    pub(crate) fn server_version(&self) -> Result<ServerVersion, StreamError> {
        match self.states().current() {
            crate::client::State::Connected { server } => Ok(server.version),
            _ => Err(PublishError::Disconnected.into()),
        }
    }
}
