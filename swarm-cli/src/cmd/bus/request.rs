//! `swarm bus request`: a question by hand.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use swarm_bus::client::{Client, RequestError};
use swarm_bus::topics::{Commands, Ping, PingCommand};
use swarm_bus::{Call, Topic};

use super::advice::Advise as _;
use crate::report::{Failure, Output, chain};

/// Ask another node, and wait for its answer
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm bus request swarm.commands.edge1.ping")]
pub(super) struct Request {
    /// The subject: swarm.commands.ID.VERB
    subject: String,
    /// What to ask, JSON; for ping it is made up
    payload: Option<String>,
    /// How long to wait for the answer
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    timeout: Duration,
}

impl Request {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let subject = super::parse_subject(&self.subject)?;
        if let Ok(topic) = PingCommand::parse(&subject) {
            let ping = match &self.payload {
                Some(payload) => read(payload)?,
                None => Ping {
                    sent: SystemTime::now().into(),
                },
            };
            return ask(client, &topic, &ping, self.timeout, output).await;
        }
        let topic = Commands::parse(&subject).map_err(|error| {
            Failure::input(chain(&error))
                .hint("commands are swarm.commands.ID.VERB, such as swarm.commands.edge1.status")
        })?;
        let command = read(self.payload.as_deref().unwrap_or("null"))?;
        ask(client, &topic, &command, self.timeout, output).await
    }
}

async fn ask<C: Call>(
    client: &Client,
    topic: &C,
    payload: &C::Payload,
    timeout: Duration,
    output: Output,
) -> Result<(), Failure>
where
    C::Reply: Serialize,
{
    let start = std::time::Instant::now();
    let reply = client
        .request(topic, payload, timeout)
        .await
        .map_err(RequestError::into_failure)?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let reply = serde_json::to_value(&reply).map_err(|error| Failure::failed(error.to_string()))?;
    let value =
        json!({ "subject": topic.subject().as_str(), "milliseconds": took, "reply": reply });
    output.show(&value, || format!("{reply:#}\n({took:.1} ms)"))
}

fn read<T: DeserializeOwned>(payload: &str) -> Result<T, Failure> {
    serde_json::from_str(payload)
        .map_err(|error| Failure::input(format!("the payload is not of the topic's type: {error}")))
}
