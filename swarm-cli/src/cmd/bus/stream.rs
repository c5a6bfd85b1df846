//! `swarm bus stream`: what the streams of the bus hold. Only a hub may.

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use swarm_bus::client::Client;
use swarm_bus::stream::{StoredMessage, StreamError, StreamInfo};
use swarm_bus::{Pattern, Token};

use super::advice::Advise as _;
use super::{parse_pattern, typed};
use crate::report::{Failure, Output, chain, print_line, table};

/// Look into the streams that keep messages, and empty them; on a hub
#[derive(Debug, clap::Args)]
pub(super) struct Stream {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the streams and what they hold
    #[command(visible_alias = "ls", after_help = "Example:\n  swarm bus stream list")]
    List,
    /// Show a stream's limits and what it holds
    #[command(after_help = "Example:\n  swarm bus stream info SWARM_EVENTS")]
    Info {
        /// The stream
        stream: String,
    },
    /// Show stored messages in their order; they stay where they are
    #[command(
        after_help = "Example:\n  swarm bus stream show SWARM_EVENTS --from 100 --count 5 --subject 'swarm.events.node.edge1'"
    )]
    Show {
        /// The stream
        stream: String,
        /// The number of the first message to show
        #[arg(long, default_value_t = 1, value_name = "N")]
        from: u64,
        /// How many messages to show at most
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
        count: u64,
        /// Only messages of these subjects: * stands for one token, > for the rest
        #[arg(long, default_value = ">", value_name = "SUBJECT")]
        subject: String,
    },
    /// Delete a stream's messages for good
    #[command(after_help = "Example:\n  swarm bus stream purge SWARM_EVENTS --keep 1000 --yes")]
    Purge {
        /// The stream
        stream: String,
        /// Only messages of these subjects
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// How many of the newest stay
        #[arg(long, default_value_t = 0, value_name = "N")]
        keep: u64,
        /// Do it; without this nothing is deleted
        #[arg(long)]
        yes: bool,
    },
}

/// A stored message as it is shown.
#[derive(Serialize)]
struct Shown {
    sequence: u64,
    time: String,
    subject: String,
    id: Option<String>,
    schema: Option<u16>,
    payload: Option<Value>,
    error: Option<String>,
}

impl Stream {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        match self.command {
            Command::List => {
                let streams = client.streams().await.map_err(StreamError::into_failure)?;
                output.show(&streams, || list(&streams))
            }
            Command::Info { stream } => {
                let info = info(client, &token(&stream)?).await?;
                output.show(&info, || describe(&info))
            }
            Command::Show {
                stream,
                from,
                count,
                subject,
            } => {
                show(
                    client,
                    &token(&stream)?,
                    from,
                    count,
                    &parse_pattern(&subject)?,
                    output,
                )
                .await
            }
            Command::Purge {
                stream,
                subject,
                keep,
                yes,
            } => {
                let subject = subject.as_deref().map(parse_pattern).transpose()?;
                purge(
                    client,
                    &token(&stream)?,
                    subject.as_ref(),
                    keep,
                    yes,
                    output,
                )
                .await
            }
        }
    }
}

async fn info(client: &Client, stream: &Token) -> Result<StreamInfo, Failure> {
    client
        .stream_info(stream)
        .await
        .map_err(StreamError::into_failure)
}

fn list(streams: &[StreamInfo]) -> String {
    if streams.is_empty() {
        return "there is no stream".to_owned();
    }
    let rows: Vec<_> = streams
        .iter()
        .map(|stream| {
            vec![
                stream.name.clone(),
                stream.subjects.join(" "),
                stream.messages.to_string(),
                stream.bytes.to_string(),
                format!("{}..{}", stream.first_sequence, stream.last_sequence),
                stream.consumers.to_string(),
            ]
        })
        .collect();
    let heading = [
        "stream",
        "subjects",
        "messages",
        "bytes",
        "numbers",
        "consumers",
    ];
    table(&heading, &rows)
}

fn describe(info: &StreamInfo) -> String {
    let limit = |limit: Option<u64>, unit: &str| {
        limit.map_or("no limit".to_owned(), |limit| {
            format!("at most {limit} {unit}")
        })
    };
    let age = info.max_age.map_or("no limit".to_owned(), |age| {
        format!("at most {}", humantime::format_duration(age))
    });
    [
        format!("stream        {}", info.name),
        format!("subjects      {}", info.subjects.join(" ")),
        format!("made          {}", info.created),
        format!(
            "kept          in {}, by {}, on {} server(s)",
            info.storage, info.retention, info.replicas
        ),
        format!("age           {age}"),
        format!(
            "messages      {}, {}",
            info.messages,
            limit(info.max_messages, "messages")
        ),
        format!(
            "per subject   {}",
            limit(info.max_messages_per_subject, "messages")
        ),
        format!(
            "bytes         {}, {}",
            info.bytes,
            limit(info.max_bytes, "bytes")
        ),
        format!(
            "numbers       {}..{}",
            info.first_sequence, info.last_sequence
        ),
        format!("consumers     {}", info.consumers),
    ]
    .join("\n")
}

async fn show(
    client: &Client,
    stream: &Token,
    from: u64,
    count: u64,
    subject: &Pattern,
    output: Output,
) -> Result<(), Failure> {
    let mut next = from;
    for shown in 0..count {
        let message = client
            .stream_message(stream, next, subject)
            .await
            .map_err(StreamError::into_failure)?;
        let Some(message) = message else {
            // a program reads the end of the lines
            if shown == 0 && !output.is_json() {
                return print_line("there is no such message");
            }
            return Ok(());
        };
        // a stream that somebody empties and fills meanwhile ends this all the same: numbers only rise
        next = message.sequence.max(next) + 1;
        let shown = Shown::new(message);
        output.item(&shown, || shown.line())?;
    }
    Ok(())
}

impl Shown {
    fn new(message: StoredMessage) -> Self {
        let (payload, error) = match typed::stored(&message) {
            Ok(payload) => (Some(payload), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            sequence: message.sequence,
            id: message.headers.id().map(str::to_owned),
            schema: message.headers.schema(),
            time: message.time,
            subject: message.subject,
            payload,
            error,
        }
    }

    fn line(&self) -> String {
        let content = match (&self.payload, &self.error) {
            (Some(payload), _) => payload.to_string(),
            (None, error) => format!("! {}", error.as_deref().unwrap_or_default()),
        };
        format!(
            "{}  {}  {}  {content}",
            self.sequence, self.time, self.subject
        )
    }
}

async fn purge(
    client: &Client,
    stream: &Token,
    subject: Option<&Pattern>,
    keep: u64,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    let held = info(client, stream).await?;
    if !yes {
        return Err(Failure::input(format!(
            "{stream} holds {} messages, and what is deleted is gone for good",
            held.messages
        ))
        .hint("to do it say --yes; to look first: swarm bus stream show"));
    }
    let purged = client
        .purge_stream(stream, subject, keep)
        .await
        .map_err(StreamError::into_failure)?;
    let value = json!({ "stream": stream, "purged": purged });
    output.show(&value, || {
        format!("{purged} messages are gone from {stream}")
    })
}

fn token(text: &str) -> Result<Token, Failure> {
    Token::parse(text).map_err(|error| {
        Failure::input(format!("{text} is no name of a stream: {}", chain(&error)))
            .hint("which there are: swarm bus stream list")
    })
}
