//! What an error of the bus means to a person, and what to do next.

use swarm_bus::client::{PublishError, RequestError, SubscribeError};
use swarm_bus::dead_letter::ReplayError;
use swarm_bus::kv::KvError;
use swarm_bus::object::ObjectError;
use swarm_bus::stream::StreamError;

use crate::report::{Failure, chain};

/// An error of the bus.
pub(super) trait Advise: std::error::Error + Sized {
    /// What to do next, where that can be said.
    fn hint(&self) -> Option<String>;

    /// Whether what was given makes no sense, whatever there is.
    fn is_input(&self) -> bool {
        false
    }

    fn into_failure(self) -> Failure {
        let failure = match self.is_input() {
            true => Failure::input(chain(&self)),
            false => Failure::failed(chain(&self)),
        };
        match self.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn explain(subject: &str) -> Option<String> {
    Some(format!(
        "who may is said by: swarm bus permissions --explain '{subject}'"
    ))
}

impl Advise for PublishError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { subject } => explain(subject),
            Self::NoStream { .. } => {
                Some("a hub makes the streams when it starts: swarm up, there".to_owned())
            }
            Self::TooLarge { .. } => {
                Some("the limit is nats.max_payload in the hub's swarm.toml".to_owned())
            }
            Self::Disconnected | Self::Unconfirmed { .. } => {
                Some("is the hub up and the tunnel there? swarm status".to_owned())
            }
            _ => None,
        }
    }
}

impl Advise for RequestError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Publish(error) => error.hint(),
            Self::NoResponders { .. } => Some(
                "does that node run, and is it in the roster? swarm ca list, on the hub".into(),
            ),
            Self::TimedOut { .. } => Some("give it more time: --timeout 30s".to_owned()),
            Self::LinkLost => Some("is the hub up and the tunnel there? swarm status".to_owned()),
            Self::Schema { .. } => Some("this program is older than that node's: update it".into()),
            _ => None,
        }
    }
}

impl Advise for SubscribeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { pattern } => explain(pattern.as_str()),
            _ => None,
        }
    }
}

impl Advise for StreamError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Request(RequestError::Publish(PublishError::Denied { .. })) => {
                Some("only a hub keeps the streams: run it there".to_owned())
            }
            Self::Request(error) => error.hint(),
            Self::NoStream => Some("which there are: swarm bus stream list".to_owned()),
            _ => None,
        }
    }
}

/// What a bucket is asked for that is not the stream's own.
pub(super) fn bucket(error: &StreamError, command: &str) -> Option<String> {
    match error {
        StreamError::NoStream => Some(format!(
            "there is no such bucket; which there are: swarm bus {command} ls"
        )),
        StreamError::Request(RequestError::Publish(PublishError::Denied { subject })) => {
            Some(format!(
                "which buckets there are for this node: swarm bus {command} ls; who may is said by: \
                 swarm bus permissions --explain '{subject}'"
            ))
        }
        error => error.hint(),
    }
}

/// The number by which JetStream refuses a message that asks for what its stream does not allow.
const NO_ROLLUP: u32 = 10_111;
/// The numbers by which it refuses one that finds no room, or is larger than its stream takes.
const NO_ROOM: [u32; 2] = [10_077, 10_047];
const TOO_LARGE: u32 = 10_054;

fn stored(error: &PublishError) -> Option<String> {
    match error {
        PublishError::Refused { code, .. } if *code == NO_ROLLUP => Some(
            "this bucket allows no purges, since who may write one key could remove the others; \
             delete instead: swarm bus kv del; or on a hub: swarm bus stream purge KV_BUCKET --subject '$KV.BUCKET.KEY'"
                .to_owned(),
        ),
        PublishError::Refused { code, .. } if NO_ROOM.contains(code) => Some(
            "the bucket is full: delete something, or give it more on a hub: --max-bytes".to_owned(),
        ),
        PublishError::Refused { code, .. } if *code == TOO_LARGE => {
            Some("that is larger than the bucket takes; larger things are objects: swarm bus object put".to_owned())
        }
        PublishError::NoStream { .. } => {
            Some("there is no such bucket; which there are: swarm bus kv ls".to_owned())
        }
        error => error.hint(),
    }
}

impl Advise for KvError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Stream(error) => bucket(error, "kv"),
            Self::Publish(error) => stored(error),
            Self::Subscribe(error) => error.hint(),
            Self::Conflict { present, .. } => Some(match present {
                Some(0) => "it was never written: revision 0, or swarm bus kv create".to_owned(),
                Some(present) => format!("it is at revision {present}: read it again, then update"),
                None => "read it again: swarm bus kv get".to_owned(),
            }),
            Self::Unreadable { .. } => {
                Some("somebody wrote it in another form: swarm bus kv history".to_owned())
            }
            _ => None,
        }
    }

    fn is_input(&self) -> bool {
        matches!(self, Self::Key { .. } | Self::Bucket(_) | Self::History(_))
    }
}

impl Advise for ObjectError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Stream(error) => bucket(error, "object"),
            Self::Publish(error) => stored(error),
            Self::NotFound { .. } => Some("which there are: swarm bus object ls BUCKET".to_owned()),
            Self::Link { .. } => Some("what it points to is read by: swarm bus object get".to_owned()),
            Self::Description { .. } => Some(
                "somebody wrote it in another form; to take it away: swarm bus object del".to_owned(),
            ),
            Self::Unclear { .. } => Some(
                "nothing is removed, since it is not known what it stands for; which it is: swarm bus object ls BUCKET"
                    .to_owned(),
            ),
            Self::LeftOver { .. } => Some(
                "what is left is removed by: swarm bus object sweep BUCKET".to_owned(),
            ),
            Self::SourceChanged | Self::NotResumable { .. } => {
                Some("begin anew: the same command without --resume".to_owned())
            }
            Self::PartChanged { .. } | Self::Replaced { .. } => {
                Some("begin anew: the same command again".to_owned())
            }
            Self::Contended { .. } => Some("try again when the others are done".to_owned()),
            _ => None,
        }
    }

    fn is_input(&self) -> bool {
        matches!(
            self,
            Self::Bucket(_) | Self::SourceChanged | Self::Source(_)
        )
    }
}

impl Advise for ReplayError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Publish(error) => error.hint(),
            Self::Stream(error) => error.hint(),
            Self::Gone => Some("take the letter away: swarm bus deadletter rm NUMBER".to_owned()),
            _ => None,
        }
    }
}
