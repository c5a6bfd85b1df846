//! What nodes are asked to do.

use super::Timestamp;
use crate as swarm_bus;
use crate::codec::{DecodeError, EncodeError};
use crate::service::ServiceName;
use crate::{Token, Topic};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The service as which each node serves its [`Commands`].
pub const NODE_SERVICE: ServiceName = ServiceName::from_static("swarm-node");

/// Commands to one node, each verb a subject: `swarm.commands.{node}.{verb}`.
#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic(
    "swarm.commands.{node}.{verb}",
    payload = Command,
    reply = CommandReply,
    crate = swarm_bus
)]
pub struct Commands {
    /// Who is to do it.
    pub node: Token,
    /// What is to be done.
    pub verb: Token,
}

impl Commands {
    /// Is the node there? The body is a [`Ping`], the answer a [`Pong`].
    pub const PING: Token = Token::from_static("ping");
    /// How is the node? What the answer holds is the node's affair.
    pub const STATUS: Token = Token::from_static("status");

    /// Names a verb of a node.
    #[must_use]
    pub fn new(node: Token, verb: Token) -> Self {
        Self { node, verb }
    }
}

macro_rules! open_body {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub Value);

        impl $name {
            /// Makes it from a type of the caller's.
            ///
            /// # Errors
            /// [`EncodeError`] when the value has no form in JSON.
            pub fn of(body: &impl Serialize) -> Result<Self, EncodeError> {
                serde_json::to_value(body)
                    .map(Self)
                    .map_err(EncodeError::new)
            }

            /// Reads it as a type of the caller's.
            ///
            /// # Errors
            /// [`DecodeError`] when it is another.
            pub fn read<B: DeserializeOwned>(&self) -> Result<B, DecodeError> {
                B::deserialize(&self.0).map_err(DecodeError::new)
            }
        }
    };
}
open_body!(
    /// What a command says beyond its verb: any JSON, often `null`.
    Command
);
open_body!(
    /// What a command is answered with: any JSON.
    CommandReply
);

/// The one command that every node may send to every other:
/// `swarm.commands.{node}.ping`, which [`Commands`] receives as the verb `ping`.
#[derive(Topic, Debug, Clone, PartialEq, Eq, Hash)]
#[topic(
    "swarm.commands.{node}.ping",
    payload = Ping,
    reply = Pong,
    crate = swarm_bus
)]
pub struct PingCommand {
    /// Who is to answer.
    pub node: Token,
}

/// Is anybody there?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ping {
    /// When it was asked, by the asker's clock.
    pub sent: Timestamp,
}

/// Yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pong {
    /// [`Ping::sent`], returned.
    pub sent: Timestamp,
    /// When it was answered, by the answerer's clock.
    pub answered: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_a_command_with_the_verb_ping() {
        let ping = PingCommand {
            node: Token::from_static("n1"),
        };
        let command = Commands::parse(&ping.subject()).unwrap();
        assert_eq!(command, Commands::new(ping.node, Commands::PING));
        let body = Ping { sent: Timestamp(5) };
        assert_eq!(Command::of(&body).unwrap().read::<Ping>().unwrap(), body);
    }
}
