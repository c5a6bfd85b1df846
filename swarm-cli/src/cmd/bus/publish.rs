//! `swarm bus pub`: a message by hand.

use serde::de::DeserializeOwned;
use serde_json::json;
use swarm::Layout;
use swarm::http::HttpError;
use swarm_bus::client::{Client, PublishError};
use swarm_bus::dead_letter::DeadLetterTopic;
use swarm_bus::topics::{Commands, NodeEndpoints, NodeEvent, NodeEvents, Telemetry, TrustBundle};
use swarm_bus::{Headers, Subject, Topic};
use swarm_pki::NodeId;

use super::advice::Advise as _;
use super::typed;
use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output, chain};

/// Publish a message of one of the mesh's topics, and wait until the server has it
///
/// Commands are requests: swarm bus request. State and objects are written with swarm bus kv and swarm bus
/// object.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  swarm bus pub swarm.telemetry.edge1.battery \
    '{\"at\": 1700000000000, \"values\": {\"volts\": 12.6}}'\n  \
    swarm bus pub --spool swarm.events.node.edge1 '{\"at\": 0, \"event\": {\"kind\": \"up\"}}'"
)]
pub(super) struct Pub {
    /// The subject: swarm.events.node.ID, swarm.telemetry.ID.KIND or, on a hub, swarm.endpoints.ID
    subject: String,
    /// The payload, JSON of the topic's type: swarm bus topics --schema TOPIC; - reads standard input
    payload: String,
    /// Wait until a stream keeps it, not only until the server has it
    #[arg(long, conflicts_with = "spool")]
    stored: bool,
    /// Have the running node keep it on disk, and store it in order when the bus is there: an event of its
    /// own, also while the bus is away
    #[arg(long)]
    spool: bool,
}

impl Pub {
    /// Whether the running node is asked, and not the bus.
    pub(super) fn is_spooled(&self) -> bool {
        self.spool
    }

    pub(super) fn spool(
        self,
        global: &Global,
        node: Option<&NodeId>,
        output: Output,
    ) -> Result<(), Failure> {
        let subject = super::parse_subject(&self.subject)?;
        let topic = NodeEvents::parse(&subject).map_err(|_| {
            Failure::input(format!("{subject} is not spooled"))
                .hint("the node spools its own events: swarm.events.node.ID")
        })?;
        let layout = Layout::new(&global.dir)?.find_node(node)?;
        let own = layout.directory().file_name();
        if own.is_none_or(|own| own != topic.node.as_str()) {
            return Err(Failure::input(format!(
                "{} is not this node: it spools events of its own only",
                topic.node
            ))
            .hint("run it on that node; or, when the directory has several, name it: --node ID"));
        }
        let event: NodeEvent = typed::given(&input::given(Some(self.payload))?, "NodeEvents")?;
        topic.verify(&event, &Headers::new()).map_err(|error| {
            Failure::input(chain(&error)).hint(format!(
                "an alert is of the node that tells it: leave its label `node` out, or say {}",
                topic.node
            ))
        })?;
        let socket = layout.control_socket();
        let spooled = crate::cmd::runtime()?.block_on(swarm::control::spool_event(&socket, &event));
        let spooled = spooled.map_err(|error| match error {
            HttpError::Status { body, .. } => {
                Failure::failed(format!("the node does not take it: {body}"))
                    .hint("has its disk room? how its spool is: swarm status")
            }
            error => error.into(),
        })?;
        output.show(&spooled, || {
            format!(
                "on disk as {}; {} wait for the bus",
                spooled.id, spooled.waiting
            )
        })
    }

    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let subject = super::parse_subject(&self.subject)?;
        if let Ok(topic) = NodeEvents::parse(&subject) {
            return self.publish(client, &topic, "NodeEvents", output).await;
        }
        if let Ok(topic) = NodeEndpoints::parse(&subject) {
            return self.publish(client, &topic, "NodeEndpoints", output).await;
        }
        if let Ok(topic) = Telemetry::parse(&subject) {
            if self.stored {
                return Err(Failure::input(format!("no stream keeps {subject}"))
                    .hint("without --stored whoever is subscribed gets it"));
            }
            return self.flush(client, &topic, "Telemetry", output).await;
        }
        Err(Failure::input(format!(
            "{subject} is no topic that one publishes to by hand"
        ))
        .hint(elsewhere(&subject)))
    }

    /// Publishes to a topic that a stream keeps.
    async fn publish<T: Topic>(
        self,
        client: &Client,
        topic: &T,
        name: &str,
        output: Output,
    ) -> Result<(), Failure>
    where
        T::Payload: DeserializeOwned,
    {
        if !self.stored {
            return self.flush(client, topic, name, output).await;
        }
        let payload = typed::given(&input::given(Some(self.payload))?, name)?;
        let stored = client.publish_stored(topic, &payload).await;
        let kept = stored.map_err(PublishError::into_failure)?;
        let value = json!({
            "subject": topic.subject().as_str(), "stream": kept.stream, "sequence": kept.sequence,
        });
        output.show(&value, || {
            format!("kept by {} as {}", kept.stream, kept.sequence)
        })
    }

    /// Publishes to any topic, and waits until the server has it.
    async fn flush<T: Topic>(
        self,
        client: &Client,
        topic: &T,
        name: &str,
        output: Output,
    ) -> Result<(), Failure>
    where
        T::Payload: DeserializeOwned,
    {
        let payload = typed::given(&input::given(Some(self.payload))?, name)?;
        let flushed = client.publish_flushed(topic, &payload).await;
        flushed.map_err(PublishError::into_failure)?;
        let subject = topic.subject();
        output.show(&json!({ "subject": subject.as_str() }), || {
            format!("the server has it: {subject}")
        })
    }
}

/// What does it, where publishing does not.
fn elsewhere(subject: &Subject) -> String {
    let text = subject.as_str();
    let after = |prefix: &str| {
        text.strip_prefix(prefix)
            .and_then(|rest| rest.split_once('.'))
    };
    if Commands::parse(subject).is_ok() {
        return format!("a command is asked and answered: swarm bus request {subject}");
    }
    if let Some((bucket, key)) = after("$KV.") {
        return format!("state is written with: swarm bus kv put {bucket} {key} VALUE");
    }
    if let Some((bucket, _)) = after("$O.") {
        return format!("objects are written with: swarm bus object put {bucket} FILE");
    }
    if text.starts_with("$SRV.") {
        return "services are asked with: swarm bus service ls".to_owned();
    }
    if text.starts_with("$JS.") {
        return "JetStream is asked with: swarm bus stream, swarm bus kv, swarm bus object"
            .to_owned();
    }
    if DeadLetterTopic::parse(subject).is_ok() {
        return "dead letters are seen and replayed with: swarm bus deadletter".to_owned();
    }
    if TrustBundle::parse(subject).is_ok() {
        return "a hub publishes it whenever its authority does something: swarm ca".to_owned();
    }
    "there are swarm.events.node.ID, swarm.telemetry.ID.KIND and swarm.endpoints.ID; all topics: \
     swarm bus topics"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_is_done_by_another_command() {
        for (subject, command) in [
            (
                "swarm.commands.edge1.reboot",
                "swarm bus request swarm.commands.edge1.reboot",
            ),
            (
                "$KV.swarm-state.edge1.mode",
                "swarm bus kv put swarm-state edge1.mode",
            ),
            ("$O.swarm-files.M.YQ==", "swarm bus object put swarm-files"),
            ("$SRV.PING", "swarm bus service"),
            ("$JS.API.INFO", "swarm bus stream"),
            ("dead.A.b.1", "swarm bus deadletter"),
            ("swarm.trust.bundle", "swarm ca"),
            ("else.where", "swarm bus topics"),
        ] {
            let said = elsewhere(&Subject::parse(subject).unwrap());
            assert!(said.contains(command), "{subject}: {said}");
        }
    }
}
