//! What can go wrong, by operation.

use super::ServerAddr;
use crate::codec::{DecodeError, EncodeError};
use crate::envelope::HeaderError;
use crate::topic::{ForgedIdentity, ParseTopicError};
use crate::{MessageId, Pattern};
use bytes::Bytes;
use std::io;
use std::time::Duration;

pub use crate::wire::ProtocolError;

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The options name no server.
    #[error("no server to connect to")]
    NoServers,
    /// The server's name has no address.
    #[error("no address for {server}")]
    Resolve {
        /// Which server.
        server: ServerAddr,
        /// What the resolver said.
        source: io::Error,
    },
    /// No TCP connection.
    #[error("cannot reach {server}")]
    Tcp {
        /// Which server.
        server: ServerAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The attempt took too long.
    #[error("{server} did not answer within {after:?}")]
    TimedOut {
        /// Which server.
        server: ServerAddr,
        /// How long was waited.
        after: Duration,
    },
    /// The server offers no TLS.
    #[error("{server} offers no TLS")]
    NoTls {
        /// Which server.
        server: ServerAddr,
    },
    /// The server's certificate is not to be trusted.
    #[error("the certificate of {server} is not accepted")]
    ServerCertificate {
        /// Which server.
        server: ServerAddr,
        /// What the verifier said.
        source: rustls::Error,
    },
    /// The server does not accept our certificate, or had none.
    #[error("{server} does not accept our certificate")]
    OurCertificate {
        /// Which server.
        server: ServerAddr,
        /// The alert that it sent.
        source: rustls::Error,
    },
    /// TLS failed otherwise.
    #[error("TLS with {server} failed")]
    Tls {
        /// Which server.
        server: ServerAddr,
        /// What TLS said.
        source: io::Error,
    },
    /// The certificate is good, but the server knows no such user, or no longer.
    #[error("{server} refuses us: {text}")]
    Unauthorized {
        /// Which server.
        server: ServerAddr,
        /// What it said.
        text: String,
    },
    /// The server does not speak the protocol.
    #[error("{server} does not speak the NATS protocol")]
    Protocol {
        /// Which server.
        server: ServerAddr,
        /// What it did.
        source: ProtocolError,
    },
    /// The server said why, and closed the connection.
    #[error("{server} closed the connection: {text}")]
    ClosedByServer {
        /// Which server.
        server: ServerAddr,
        /// What it said.
        text: String,
    },
    /// The connection broke.
    #[error("the connection to {server} broke")]
    Broken {
        /// Which server.
        server: ServerAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing came for so long that the line must be dead.
    #[error("nothing came from {server} for {after:?}")]
    Silent {
        /// Which server.
        server: ServerAddr,
        /// How long was waited.
        after: Duration,
    },
    /// This side closed it.
    #[error("closed")]
    Closed,
}

impl LinkError {
    /// Says whether waiting will not help: certificates or the server's configuration must change.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::NoServers
                | Self::NoTls { .. }
                | Self::ServerCertificate { .. }
                | Self::OurCertificate { .. }
                | Self::Unauthorized { .. }
        )
    }
}

/// Why a message was not published, or not as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// There is no connection; the message was not taken.
    #[error("not connected")]
    Disconnected,
    /// Too much waits to be sent already; the message was not taken.
    #[error("{pending} bytes wait to be sent already, of {capacity} at most")]
    QueueFull {
        /// How many bytes wait.
        pending: usize,
        /// How many may.
        capacity: usize,
    },
    /// The message is larger than the server takes.
    #[error("{size} bytes are more than the {max} that the server takes")]
    TooLarge {
        /// Headers and payload, in bytes.
        size: usize,
        /// What the server takes.
        max: usize,
    },
    /// The payload has no form in its encoding.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A header cannot be written.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// This user may not publish there.
    #[error("publishing to `{subject}` is not permitted")]
    Denied {
        /// Where.
        subject: String,
    },
    /// No stream keeps the subject.
    #[error("no stream keeps `{subject}`")]
    NoStream {
        /// Which.
        subject: String,
    },
    /// The stream did not take the message.
    #[error("the stream refused the message: {description} ({code})")]
    Refused {
        /// JetStream's number of the error.
        code: u32,
        /// JetStream's words.
        description: String,
    },
    /// No confirmation came: the message may have arrived, or not. Sent again with the same id, a
    /// stream keeps it once. Every other error of a publication means that no stream has it.
    #[error("no confirmation within the time")]
    Unconfirmed {
        /// The id to send it again with.
        id: MessageId,
    },
}

/// Why it is not known that the server has everything.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// There is no connection, or it broke meanwhile.
    #[error("not connected")]
    Disconnected,
    /// The server did not confirm it within the time.
    #[error("not confirmed within the time")]
    TimedOut,
}

/// Why a subscription is not live.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// This user may not subscribe to that.
    #[error("subscribing to `{pattern}` is not permitted")]
    Denied {
        /// To what.
        pattern: Pattern,
    },
    /// The server did not confirm it within the time; it goes live with the next connection.
    #[error("not confirmed within the time")]
    TimedOut,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// What a subscription yields in place of a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Messages came faster than they were read, and these were dropped here.
    #[error("{count} messages were dropped because the subscription was full")]
    Missed {
        /// How many.
        count: u64,
    },
    /// This user may not, or no longer, subscribe to that.
    #[error("subscribing to `{pattern}` is not permitted")]
    Denied {
        /// To what.
        pattern: Pattern,
    },
    /// The subject is none of the topic's.
    #[error("the subject `{subject}` is none of the topic's")]
    Subject {
        /// As the server wrote it.
        subject: String,
        /// Why.
        source: ParseTopicError,
    },
    /// The payload's format is newer than this program.
    #[error("the message on `{subject}` has schema {found}, known are up to {known}")]
    Schema {
        /// Where it was published.
        subject: String,
        /// The version it bears.
        found: u16,
        /// The newest version known here.
        known: u16,
    },
    /// The message claims a sender that its subject does not prove.
    #[error("the message on `{subject}` is forged")]
    Forged {
        /// Where it was published.
        subject: String,
        /// Who it claims to be of, and who it is of.
        source: ForgedIdentity,
    },
    /// The payload is none of the topic's.
    #[error("the message on `{subject}` cannot be read")]
    Undecodable {
        /// Where it was published.
        subject: String,
        /// The bytes that came.
        payload: Bytes,
        /// What the codec said.
        source: DecodeError,
    },
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It could not be sent.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Nobody listens there.
    #[error("nobody serves `{subject}`")]
    NoResponders {
        /// Where.
        subject: String,
    },
    /// No answer came within the time; the request may have been carried out.
    #[error("no answer within {after:?}")]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The connection went while waiting; the request may have been carried out.
    #[error("the connection was lost while waiting for the answer")]
    LinkLost,
    /// Answers came faster than they were read, and these were dropped here.
    #[error("{count} answers were dropped because too many waited to be read")]
    Missed {
        /// How many.
        count: u64,
    },
    /// The answer is an error.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The answer's format is newer than this program.
    #[error("the answer has schema {found}, known are up to {known}")]
    Schema {
        /// The version it bears.
        found: u16,
        /// The newest version known here.
        known: u16,
    },
    /// The answer cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// An answer that is an error, as NATS services send it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{description} ({code})")]
pub struct Fault {
    /// A number, by custom one of HTTP's.
    pub code: u16,
    /// What went wrong.
    pub description: String,
}

impl Fault {
    /// Makes a fault; control characters in the description become spaces.
    #[must_use]
    pub fn new(code: u16, description: impl Into<String>) -> Self {
        let description = description.into();
        Self {
            code,
            description: description.replace(|c: char| c.is_ascii_control(), " "),
        }
    }
}

/// Why the connection was not renewed; the old one, if there was one, goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// No new connection came about.
    #[error("no new connection")]
    Link(#[from] std::sync::Arc<LinkError>),
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// What was not finished when the client closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// The server did not confirm that it has everything, or answers were still awaited.
    #[error("not everything was finished within the time")]
    Unfinished,
    /// The client is closed already.
    #[error("the client is closed")]
    Closed,
}
