//! `swarm bus`: typed messages by hand, as this machine's node.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use swarm::{Layout, Member};
use swarm_bus::client::{Client, Message};
use swarm_bus::topics::{Commands, NodeEndpoints, NodeEvents, PingCommand, Telemetry, TrustBundle};
use swarm_bus::{Call, Pattern, Subject, Topic};
use swarm_pki::NodeId;

use crate::args::Global;
use crate::report::{Failure, Output, chain};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Publish, hear and ask on the bus as this machine's node
#[derive(Debug, clap::Args)]
pub(crate) struct Bus {
    /// Which node, when the directory has several
    #[arg(long, global = true, value_name = "ID")]
    node: Option<NodeId>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish a message of one of the mesh's topics, and wait until the server has it
    #[command(
        after_help = "Example:\n  swarm bus pub swarm.telemetry.edge1.battery \
        '{\"at\": 1700000000000, \"values\": {\"volts\": 12.6}}'"
    )]
    Pub {
        /// The subject: swarm.events.node.ID or swarm.telemetry.ID.KIND
        subject: String,
        /// The payload, JSON of the topic's type
        payload: String,
        /// Wait until a stream keeps it, not only until the server has it
        #[arg(long)]
        stored: bool,
    },
    /// Show messages of the mesh's topics as they come, with their age
    #[command(after_help = "Example:\n  swarm bus sub 'swarm.events.node.*'")]
    Sub {
        /// The subjects: * stands for one token, > for the rest
        #[arg(default_value = "swarm.>")]
        pattern: String,
        /// End after so many messages
        #[arg(long, value_name = "N")]
        count: Option<usize>,
    },
    /// Ask another node, and wait for its answer
    #[command(after_help = "Example:\n  swarm bus request swarm.commands.edge1.ping")]
    Request {
        /// The subject: swarm.commands.ID.VERB
        subject: String,
        /// What to ask, JSON; for ping it is made up
        payload: Option<String>,
        /// How long to wait for the answer
        #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "DURATION")]
        timeout: Duration,
    },
}

impl Bus {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let layout = Layout::new(&global.dir)?;
        super::runtime()?.block_on(async {
            let member = Member::open(layout, self.node.as_ref())?;
            let client = member.bus();
            client
                .connected(CONNECT)
                .await
                .map_err(|error| failure(&error).hint("is the tunnel up? swarm status"))?;
            let done = match self.command {
                Command::Pub {
                    subject,
                    payload,
                    stored,
                } => publish(&client, &subject, &payload, stored, output).await,
                Command::Sub { pattern, count } => {
                    subscribe(&client, &member, &pattern, count, output).await
                }
                Command::Request {
                    subject,
                    payload,
                    timeout,
                } => request(&client, &subject, payload.as_deref(), timeout, output).await,
            };
            if let Err(error) = client.drain(CONNECT).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the connection did not end in order"
                );
            }
            done
        })
    }
}

async fn publish(
    client: &Client,
    subject: &str,
    payload: &str,
    stored: bool,
    output: Output,
) -> Result<(), Failure> {
    let subject = parse_subject(subject)?;
    if let Ok(topic) = NodeEvents::parse(&subject) {
        let event = read(payload)?;
        if stored {
            let kept = client
                .publish_stored(&topic, &event)
                .await
                .map_err(|error| failure(&error))?;
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
        if stored {
            return Err(Failure::input(format!("no stream keeps {subject}")));
        }
        return said(
            client.publish_flushed(&topic, &read(payload)?).await,
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

fn said<T, E: std::error::Error>(
    result: Result<T, E>,
    subject: &Subject,
    output: Output,
) -> Result<(), Failure> {
    result.map_err(|error| failure(&error))?;
    output.show(&json!({ "subject": subject.as_str() }), || {
        format!("the server has it: {subject}")
    })
}

async fn request(
    client: &Client,
    subject: &str,
    payload: Option<&str>,
    timeout: Duration,
    output: Output,
) -> Result<(), Failure> {
    let subject = parse_subject(subject)?;
    if let Ok(topic) = PingCommand::parse(&subject) {
        let ping = match payload {
            Some(payload) => read(payload)?,
            None => swarm_bus::topics::Ping {
                sent: SystemTime::now().into(),
            },
        };
        return ask(client, &topic, &ping, timeout, output).await;
    }
    let topic = Commands::parse(&subject).map_err(|error| {
        Failure::input(chain(&error))
            .hint("commands are swarm.commands.ID.VERB, such as swarm.commands.edge1.status")
    })?;
    ask(
        client,
        &topic,
        &read(payload.unwrap_or("null"))?,
        timeout,
        output,
    )
    .await
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
        .map_err(|error| failure(&error))?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let reply = serde_json::to_value(&reply).map_err(|error| Failure::failed(error.to_string()))?;
    let value =
        json!({ "subject": topic.subject().as_str(), "milliseconds": took, "reply": reply });
    output.show(&value, || format!("{reply:#}\n({took:.1} ms)"))
}

/// One message as it is shown.
#[derive(Serialize)]
struct Heard {
    subject: String,
    age_milliseconds: Option<u128>,
    payload: Value,
}

type Hearing = BoxStream<'static, Result<Heard, String>>;

async fn subscribe(
    client: &Client,
    member: &Member,
    pattern: &str,
    count: Option<usize>,
    output: Output,
) -> Result<(), Failure> {
    let pattern = Pattern::parse(pattern).map_err(|error| Failure::input(chain(&error)))?;
    let own = swarm_bus::Token::parse(member.id().as_str())
        .map_err(|error| Failure::input(chain(&error)))?;
    let mut all = SelectAll::<Hearing>::new();
    all.extend(hear(client, &pattern, NodeEvents::any(), &plain).await?);
    all.extend(hear(client, &pattern, Telemetry::any(), &plain).await?);
    all.extend(hear(client, &pattern, NodeEndpoints::any(), &plain).await?);
    all.extend(
        hear(
            client,
            &pattern,
            TrustBundle::any(),
            &|bytes: &bytes::Bytes| json!({ "bytes": bytes.len() }),
        )
        .await?,
    );
    // commands to others are nobody's business
    all.extend(hear(client, &pattern, Commands::filter(Some(&own), None), &plain).await?);
    if all.is_empty() {
        return Err(Failure::input(format!(
            "no topic that this node may hear matches {pattern}"
        )));
    }
    let mut left = count.unwrap_or(usize::MAX);
    while left > 0 {
        tokio::select! {
            heard = all.next() => match heard {
                None => break,
                Some(Err(problem)) => eprintln!("swarm: {problem}"),
                Some(Ok(heard)) => {
                    output.item(&heard, || line(&heard))?;
                    left -= 1;
                }
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    Ok(())
}

/// Hears a family of topics if it has anything to do with the pattern and this node may hear it.
async fn hear<T: Topic>(
    client: &Client,
    pattern: &Pattern,
    filter: swarm_bus::Filter<T>,
    show: &'static (dyn Fn(&T::Payload) -> Value + Sync),
) -> Result<Option<Hearing>, Failure> {
    if !pattern.overlaps(filter.pattern()) {
        return Ok(None);
    }
    let messages = client.subscribe(filter).map_err(|error| failure(&error))?;
    if let Err(error) = messages.barrier().await {
        tracing::info!(
            error = &error as &dyn std::error::Error,
            "this node does not hear a topic"
        );
        return Ok(None);
    }
    let pattern = pattern.clone();
    let heard = messages.filter_map(move |item| {
        let heard = match item {
            Ok(message) => pattern
                .matches(&message.topic.subject())
                .then(|| Ok(heard(&message, show))),
            Err(error) => Some(Err(chain(&error))),
        };
        std::future::ready(heard)
    });
    Ok(Some(heard.boxed()))
}

fn heard<T: Topic>(message: &Message<T>, show: &dyn Fn(&T::Payload) -> Value) -> Heard {
    let payload = show(&message.payload);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let sent = payload
        .get("at")
        .or_else(|| payload.get("sent"))
        .and_then(Value::as_u64);
    Heard {
        subject: message.topic.subject().to_string(),
        age_milliseconds: sent.map(|sent| now.saturating_sub(sent.into())),
        payload,
    }
}

fn plain<P: Serialize>(payload: &P) -> Value {
    serde_json::to_value(payload).unwrap_or_default()
}

fn line(heard: &Heard) -> String {
    let age = heard
        .age_milliseconds
        .map(|age| format!(" ({age} ms old)"))
        .unwrap_or_default();
    format!("{}{age}  {}", heard.subject, heard.payload)
}

fn parse_subject(text: &str) -> Result<Subject, Failure> {
    Subject::parse(text).map_err(|error| Failure::input(format!("{text}: {}", chain(&error))))
}

fn read<T: DeserializeOwned>(payload: &str) -> Result<T, Failure> {
    serde_json::from_str(payload)
        .map_err(|error| Failure::input(format!("the payload is not of the topic's type: {error}")))
}

fn failure(error: &dyn std::error::Error) -> Failure {
    Failure::failed(chain(error))
}
