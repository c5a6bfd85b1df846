//! Asks a stream what it has of a subject.

use super::window::Last;
use crate::client::{Client, PublishError, RequestError};
use crate::envelope::ID;
use crate::wire::Delivery;
use crate::{Headers, Pattern, Subject, Token};
use base64::Engine as _;
use bytes::Bytes;
use serde::Deserialize;
use std::time::Duration;

/// JetStream's numbers of errors that mean that there is no such message.
const NO_MESSAGE: u32 = 10037;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Asking again may help.
    Now,
    /// This user may not ask.
    Ever,
    /// Nobody answers: the server is in trouble, or the stream does not allow to be asked.
    Silent,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    err_code: u32,
}

/// Reads the id of the last message of a subject. The leader of the stream is asked first; where
/// that is not permitted, any server that has a copy: it may lag behind, but by less than the time
/// for which ids are known, which has passed when this is asked.
pub(super) async fn last(
    client: &Client,
    streams: &[(Pattern, Token)],
    subject: &Subject,
    within: Duration,
) -> Result<Last, Unanswered> {
    let known = streams.iter().find(|(pattern, _)| pattern.matches(subject));
    let stream = match known {
        Some((_, stream)) => stream.as_str().to_owned(),
        None => name(client, subject, within).await?,
    };
    match by_leader(client, &stream, subject, within).await {
        Err(Unanswered::Ever) => directly(client, &stream, subject, within).await,
        answer => answer,
    }
}

async fn ask(
    client: &Client,
    subject: &str,
    body: Bytes,
    within: Duration,
) -> Result<Delivery, RequestError> {
    client.ask(subject, &Headers::new(), &body, within).await
}

fn unanswered(error: &RequestError) -> Unanswered {
    match error {
        RequestError::Publish(PublishError::Denied { .. } | PublishError::TooLarge { .. }) => {
            Unanswered::Ever
        }
        _ => Unanswered::Now,
    }
}

async fn name(client: &Client, subject: &Subject, within: Duration) -> Result<String, Unanswered> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        streams: Option<Vec<String>>,
    }
    let body = serde_json::json!({ "subject": subject.as_str() }).to_string();
    let request = client.api(format_args!("STREAM.NAMES"));
    let answer = ask(client, &request, body.into(), within)
        .await
        .map_err(|error| unanswered(&error))?;
    let answer: Answer = serde_json::from_slice(&answer.payload).map_err(|_| Unanswered::Now)?;
    // Without a stream there is nothing to send to either.
    let mut names = answer.streams.unwrap_or_default().into_iter();
    names.next().ok_or(Unanswered::Now)
}

async fn by_leader(
    client: &Client,
    stream: &str,
    subject: &Subject,
    within: Duration,
) -> Result<Last, Unanswered> {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<Fault>,
        message: Option<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        hdrs: String,
    }
    let body = serde_json::json!({ "last_by_subj": subject.as_str() }).to_string();
    let request = client.api(format_args!("STREAM.MSG.GET.{stream}"));
    let answer = ask(client, &request, body.into(), within)
        .await
        .map_err(|error| unanswered(&error))?;
    let answer = serde_json::from_slice(&answer.payload).map_err(|_| Unanswered::Now)?;
    match answer {
        Answer {
            error: Some(fault), ..
        } if fault.err_code == NO_MESSAGE => Ok(Last::None),
        Answer {
            error: None,
            message: Some(message),
        } => {
            let headers = base64::engine::general_purpose::STANDARD.decode(&message.hdrs);
            let id = headers.ok().as_deref().and_then(id_in);
            Ok(id.map_or(Last::Anonymous, Last::Id))
        }
        _ => Err(Unanswered::Now),
    }
}

/// Finds the id among headers as they are written on the wire.
fn id_in(headers: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(headers).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case(ID))
        .map(|(_, value)| value.trim().to_owned())
}

async fn directly(
    client: &Client,
    stream: &str,
    subject: &Subject,
    within: Duration,
) -> Result<Last, Unanswered> {
    let request = client.api(format_args!("DIRECT.GET.{stream}.{subject}"));
    match ask(client, &request, Bytes::new(), within).await {
        Ok(answer) => match answer.status {
            None => Ok(match answer.headers.id() {
                Some(id) => Last::Id(id.to_owned()),
                None => Last::Anonymous,
            }),
            Some(404) => Ok(Last::None),
            Some(_) => Err(Unanswered::Now),
        },
        // To a question about a stream that does not allow it JetStream does not answer at all.
        Err(RequestError::TimedOut { .. }) => Err(Unanswered::Silent),
        Err(error) => Err(unanswered(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_among_headers_as_they_are_stored() {
        let headers = b"NATS/1.0\r\nA: b\r\nnats-msg-id: x-1f\r\n\r\n";
        assert_eq!(id_in(headers).as_deref(), Some("x-1f"));
        assert_eq!(id_in(b"NATS/1.0\r\n\r\n"), None);
        assert_eq!(id_in(&[0xff]), None);
    }
}
