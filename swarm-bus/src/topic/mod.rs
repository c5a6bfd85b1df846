//! Topics: a family of subjects with one payload type.

mod filter;
#[doc(hidden)]
pub mod generated;
mod parameter;
mod template;

pub use filter::Filter;
pub use parameter::{Parameter, Parameters};
pub use template::Template;

use crate::Headers;
use crate::codec::Codec;
use crate::subject::{ParseSubjectError, Subject, Token};

/// What becomes of a message for which nobody listens at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It is gone: at most once, to whoever is subscribed.
    Live,
    /// A stream keeps it: published with an acknowledgement, read at least once.
    Stored,
}

/// What becomes of a message that is published while there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Offline {
    /// It is not taken: publishing it is an error.
    #[default]
    Fail,
    /// The client keeps it in memory, and drops the oldest where it has no room; what it drops it
    /// tells. Holds for `Client::publish`; who waits for a proof is told at once that there is none.
    DropOldest,
    /// It is put into a spool on disk, connected or not, which feeds the stream when it can. Only
    /// for topics that are [`Delivery::Stored`]. `Client::publish` goes around the spool, and fails.
    Spool,
}

/// A family of subjects with one payload type: what a channel of the application is.
///
/// A value of the type is one subject of the family; its fields are the open places of the
/// [`TEMPLATE`](Topic::TEMPLATE). `#[derive(Topic)]` writes the implementation:
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use swarm_bus::{Subject, Token, Topic};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Reading { celsius: f64 }
///
/// #[derive(Topic, Debug, Clone, PartialEq)]
/// #[topic("lab.{room}.temperature.{probe}", payload = Reading)]
/// struct Temperature { room: Token, probe: u16 }
///
/// let topic = Temperature { room: Token::from_static("attic"), probe: 3 };
/// assert_eq!(topic.subject().as_str(), "lab.attic.temperature.3");
/// assert_eq!(Temperature::parse(&topic.subject()).unwrap(), topic);
/// assert_eq!(Temperature::any().pattern().as_str(), "lab.*.temperature.*");
/// assert_eq!(Temperature::filter(None, Some(&3)).pattern().as_str(), "lab.*.temperature.3");
/// # }
/// ```
pub trait Topic: Sized + Send + Sync + 'static {
    /// What a message carries.
    type Payload: Send + 'static;
    /// How the payload becomes bytes.
    type Codec: Codec<Self::Payload>;

    /// The subjects of the family.
    const TEMPLATE: Template;
    /// Whether a stream keeps the messages.
    const DELIVERY: Delivery = Delivery::Live;
    /// What becomes of a message while there is no connection.
    const OFFLINE: Offline = Offline::Fail;
    /// The version of the payload's format. It travels with each message; a receiver refuses a
    /// version newer than its own instead of guessing.
    const SCHEMA: u16 = 1;

    /// Returns the values of the open places, in the order of the template.
    fn parameters(&self) -> Parameters;

    /// Makes the topic from the values of the open places.
    ///
    /// # Errors
    /// [`ParseTopicError::Parameter`] when a value does not fit its place's type.
    fn from_parameters(values: &[Token]) -> Result<Self, ParseTopicError>;

    /// Returns the subject.
    ///
    /// # Panics
    /// When a hand-written [`parameters`](Self::parameters) returns another number of values than
    /// the template has open places.
    fn subject(&self) -> Subject {
        Self::TEMPLATE.format(&self.parameters())
    }

    /// Finds the topic that a subject stands for.
    ///
    /// # Errors
    /// [`ParseTopicError`] when the subject is not of this family.
    fn parse(subject: &Subject) -> Result<Self, ParseTopicError> {
        let values = Self::TEMPLATE
            .parse(subject)
            .ok_or_else(|| ParseTopicError::OtherFamily {
                subject: subject.clone(),
                template: Self::TEMPLATE,
            })?;
        Self::from_parameters(&values)
    }

    /// Holds what a message says of its sender against what its subject proves. Permissions decide
    /// who may publish to which subject; what stands in a payload or a header, anybody may write
    /// who may publish at all. A receiver gets what does not pass as an error in its place.
    ///
    /// `#[topic("…", verify = path)]` names a function for it; without one everything passes.
    ///
    /// # Errors
    /// [`ForgedIdentity`] when the message claims to come from somebody else.
    fn verify(&self, payload: &Self::Payload, headers: &Headers) -> Result<(), ForgedIdentity> {
        let _ = (payload, headers);
        Ok(())
    }

    /// Returns the filter that lets the whole family through.
    fn any() -> Filter<Self> {
        Filter::new(Self::TEMPLATE.pattern(&[]))
    }
}

/// A topic whose messages are requests, each answered by one reply.
///
/// `#[topic("…", payload = …, reply = …)]` implements it.
pub trait Call: Topic {
    /// What the answer carries.
    type Reply: Send + 'static;
    /// How the answer becomes bytes.
    type ReplyCodec: Codec<Self::Reply>;
}

/// A message claims another sender than its subject proves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it claims to be of `{claimed}`, and its subject proves `{proven}`")]
pub struct ForgedIdentity {
    /// Whose the message says that it is.
    pub claimed: String,
    /// Whose it is, as far as permissions prove anything.
    pub proven: Token,
}

/// Why a subject is not a value of a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTopicError {
    /// The text is no subject at all.
    #[error("not a subject")]
    Subject(#[from] ParseSubjectError),
    /// The subject does not fit the template.
    #[error("`{subject}` does not fit `{template}`")]
    OtherFamily {
        /// The subject.
        subject: Subject,
        /// What it was held against.
        template: Template,
    },
    /// There are fewer values than places.
    #[error("no value for {name}")]
    Missing {
        /// The name of the place.
        name: &'static str,
    },
    /// A token does not fit the type of its place.
    #[error("`{token}` is no {name}")]
    Parameter {
        /// The name of the place.
        name: &'static str,
        /// What stood there.
        token: Token,
    },
}
