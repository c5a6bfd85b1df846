//! What a node does when it is told over the bus: `ping` and `status`.

use std::sync::Arc;
use std::time::SystemTime;

use swarm_bus::client::Fault;
use swarm_bus::topics::{Command, CommandReply, Commands, Ping, Pong};

use super::Shared;

/// Answers one command.
pub(super) fn answer(
    shared: &Arc<Shared>,
    topic: &Commands,
    command: &Command,
) -> Result<CommandReply, Fault> {
    let invalid = |error: &dyn std::fmt::Display| Fault::new(400, error.to_string());
    let reply = if topic.verb == Commands::PING {
        let ping: Ping = command.read().map_err(|error| invalid(&error))?;
        CommandReply::of(&Pong {
            sent: ping.sent,
            answered: SystemTime::now().into(),
        })
    } else if topic.verb == Commands::STATUS {
        CommandReply::of(&shared.status())
    } else {
        return Err(Fault::new(
            404,
            format!("there is no command {}", topic.verb),
        ));
    };
    reply.map_err(|error| invalid(&error))
}
