//! `swarm bus pub`: a message by hand.

use serde::de::DeserializeOwned;
use serde_json::json;
use swarm_bus::client::{Client, PublishError};
use swarm_bus::topics::{NodeEvents, Telemetry};
use swarm_bus::{Subject, Topic};

use super::advice::Advise as _;
use crate::report::{Failure, Output};

/// Publish a message of one of the mesh's topics, and wait until the server has it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm bus pub swarm.telemetry.edge1.battery \
    '{\"at\": 1700000000000, \"values\": {\"volts\": 12.6}}'"
)]
pub(super) struct Pub {
    /// The subject: swarm.events.node.ID or swarm.telemetry.ID.KIND
    subject: String,
    /// The payload, JSON of the topic's type: swarm bus topics --schema TOPIC
    payload: String,
    /// Wait until a stream keeps it, not only until the server has it
    #[arg(long)]
    stored: bool,
}

impl Pub {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let subject = super::parse_subject(&self.subject)?;
        if let Ok(topic) = NodeEvents::parse(&subject) {
            let event = read(&self.payload, "NodeEvents")?;
            if self.stored {
                let kept = client
                    .publish_stored(&topic, &event)
                    .await
                    .map_err(PublishError::into_failure)?;
                let value = json!({ "subject": subject.as_str(), "stream": kept.stream, "sequence": kept.sequence });
                return output.show(&value, || {
                    format!("kept by {} as {}", kept.stream, kept.sequence)
                });
            }
            return said(
                client.publish_flushed(&topic, &event).await,
                &subject,
                output,
            );
        }
        if let Ok(topic) = Telemetry::parse(&subject) {
            if self.stored {
                return Err(Failure::input(format!("no stream keeps {subject}")));
            }
            let samples = read(&self.payload, "Telemetry")?;
            return said(
                client.publish_flushed(&topic, &samples).await,
                &subject,
                output,
            );
        }
        Err(Failure::input(format!(
            "{subject} is no topic that one publishes to by hand"
        ))
        .hint(
            "there are swarm.events.node.ID and swarm.telemetry.ID.KIND; ask with: swarm bus request",
        ))
    }
}

fn said<T>(
    result: Result<T, PublishError>,
    subject: &Subject,
    output: Output,
) -> Result<(), Failure> {
    result.map_err(PublishError::into_failure)?;
    output.show(&json!({ "subject": subject.as_str() }), || {
        format!("the server has it: {subject}")
    })
}

fn read<T: DeserializeOwned>(payload: &str, topic: &str) -> Result<T, Failure> {
    serde_json::from_str(payload).map_err(|error| {
        Failure::input(format!("the payload is not of the topic's type: {error}")).hint(format!(
            "what it may be is said by: swarm bus topics --schema {topic}"
        ))
    })
}
