//! `swarm bus deadletter`: messages that a consumer gave up. Only a hub may.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use swarm_bus::Topic as _;
use swarm_bus::client::Client;
use swarm_bus::dead_letter::{
    Cause, DeadLetter as Letter, DeadLetterError, DeadLetterTopic, DeadLetters, Original,
    ReplayError,
};
use swarm_bus::stream::StreamError;

use super::advice::Advise as _;
use super::kv;
use super::size::size;
use crate::report::{Failure, Output, chain, one_line, print_line};

/// How long a replay may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages that a consumer could not use: see them, replay them; on a hub
#[derive(Debug, clap::Args)]
pub(super) struct DeadLetter {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the letters, the oldest first
    #[command(after_help = "Example:\n  swarm bus deadletter ls --count 100")]
    Ls {
        /// The number of the first letter to show
        #[arg(long, default_value_t = 0, value_name = "N")]
        from: u64,
        /// How many to show at most
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
        count: u64,
    },
    /// Show a letter with the message that it holds
    #[command(after_help = "Example:\n  swarm bus deadletter show 7")]
    Show {
        /// The letter's number
        number: u64,
    },
    /// Publish the message again to its own subject, and take the letter away
    #[command(after_help = "Example:\n  swarm bus deadletter replay 7")]
    Replay {
        /// The letter's number
        number: u64,
    },
    /// Take a letter away for good
    #[command(after_help = "Example:\n  swarm bus deadletter rm 7")]
    Rm {
        /// The letter's number
        number: u64,
    },
}

/// A letter as it is shown.
#[derive(Serialize)]
struct Shown {
    number: u64,
    /// When it was given up, RFC 3339 in UTC.
    time: String,
    stream: String,
    consumer: String,
    sequence: u64,
    deliveries: u64,
    cause: String,
    #[serde(flatten)]
    original: Value,
}

impl DeadLetter {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let letters = DeadLetters::new(client);
        match self.command {
            Command::Ls { from, count } => list(&letters, from, count, output).await,
            Command::Show { number } => {
                let shown = Shown::new(&letter(&letters, number).await?);
                output.show(&shown, || shown.text())
            }
            Command::Replay { number } => {
                let letter = letter(&letters, number).await?;
                let stored = letters
                    .replay(&letter, PATIENCE)
                    .await
                    .map_err(ReplayError::into_failure)?;
                let value = json!({
                    "number": number, "stream": stored.stream, "sequence": stored.sequence,
                });
                output.show(&value, || {
                    format!("replayed: kept by {} as {}", stored.stream, stored.sequence)
                })
            }
            Command::Rm { number } => match letters.discard(number).await.map_err(said)? {
                true => output.show(&json!({ "number": number }), || {
                    format!("letter {number} is gone")
                }),
                false => Err(missing(number)),
            },
        }
    }
}

async fn list(
    letters: &DeadLetters,
    mut from: u64,
    count: u64,
    output: Output,
) -> Result<(), Failure> {
    for shown in 0..count {
        let next = letters.next(DeadLetterTopic::any(), from).await;
        let Some((number, letter)) = next.map_err(said)? else {
            // a program reads the end of the lines
            if shown == 0 && !output.is_json() {
                return print_line("there are no dead letters");
            }
            return Ok(());
        };
        match letter {
            Ok(letter) => {
                let shown = Shown::new(&letter);
                output.item(&shown, || shown.line())?;
            }
            Err(error) => {
                let error = chain(&error);
                output.item(&json!({ "number": number, "error": error }), || {
                    format!("{number}  ! {error}")
                })?;
            }
        }
        from = number + 1;
    }
    Ok(())
}

async fn letter(letters: &DeadLetters, number: u64) -> Result<Letter, Failure> {
    let found = letters.inspect(number).await.map_err(said)?;
    found
        .ok_or_else(|| missing(number))?
        .map_err(|error: DeadLetterError| Failure::failed(chain(&error)))
}

fn missing(number: u64) -> Failure {
    Failure::failed(format!("there is no dead letter {number}"))
        .hint("which there are: swarm bus deadletter ls")
}

fn said(error: StreamError) -> Failure {
    match error {
        StreamError::NoStream => Failure::failed("nobody keeps dead letters yet")
            .hint("a hub does when it runs: swarm up, there"),
        error => error.into_failure(),
    }
}

impl Shown {
    fn new(letter: &Letter) -> Self {
        let original = match &letter.original {
            Original::Kept(message) => json!({
                "subject": message.subject, "bytes": message.payload.len(),
                "payload": kv::readable(&message.payload),
            }),
            Original::TooLarge { subject, size } => json!({
                "subject": subject, "bytes": size, "payload_in": letter.origin.stream,
            }),
            _ => json!({ "gone": true }),
        };
        Self {
            number: letter.sequence,
            time: humantime::format_rfc3339_millis(letter.at).to_string(),
            stream: letter.origin.stream.to_string(),
            consumer: letter.origin.consumer.to_string(),
            sequence: letter.origin.sequence,
            deliveries: letter.deliveries,
            cause: match &letter.cause {
                Cause::MaxDeliveries => "delivered as often as it may be".to_owned(),
                Cause::Terminated { reason: None } => "given up by its consumer".to_owned(),
                Cause::Terminated {
                    reason: Some(reason),
                } => format!("given up by its consumer: {}", one_line(reason)),
                other => format!("{other:?}"),
            },
            original,
        }
    }

    fn subject(&self) -> &str {
        self.original["subject"].as_str().unwrap_or("-")
    }

    fn line(&self) -> String {
        format!(
            "{}  {}  {} {} of {}, {}: {}",
            self.number,
            self.time,
            self.stream,
            self.sequence,
            self.consumer,
            self.cause,
            self.subject()
        )
    }

    fn text(&self) -> String {
        let bytes = self.original["bytes"].as_u64().map(size);
        let mut lines = vec![
            format!("number      {}", self.number),
            format!("given up    {}, {}", self.time, self.cause),
            format!("message     {} of {}", self.sequence, self.stream),
            format!(
                "consumer    {}, {} deliveries",
                self.consumer, self.deliveries
            ),
            format!("subject     {}", self.subject()),
            format!("size        {}", bytes.unwrap_or_else(|| "-".to_owned())),
        ];
        match self.original.get("payload") {
            Some(payload) => lines.push(format!("payload     {payload:#}")),
            None => lines.push("payload     not in the letter".to_owned()),
        }
        lines.join("\n")
    }
}
