//! What an error of the bus means to a person, and what to do next.

use swarm_bus::client::{PublishError, RequestError, SubscribeError};
use swarm_bus::stream::StreamError;

use crate::report::{Failure, chain};

/// An error of the bus.
pub(super) trait Advise: std::error::Error + Sized {
    /// What to do next, where that can be said.
    fn hint(&self) -> Option<String>;

    fn into_failure(self) -> Failure {
        let failure = Failure::failed(chain(&self));
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
