//! `swarm bus request`: a question by hand.

use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::json;
use swarm_bus::client::{Client, ManyBounds, ManyEnd, PublishError, RequestError};
use swarm_bus::topics::{Commands, Ping, PingCommand};
use swarm_bus::{Call, Topic};

use super::advice::Advise as _;
use super::typed;
use super::until::{Over, over};
use crate::input;
use crate::report::{Failure, Output, chain};

/// Ask another node, and wait for its answer
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  swarm bus request swarm.commands.edge1.ping\n  \
    swarm bus request swarm.commands.edge1.report --replies all --gap 500ms"
)]
pub(super) struct Request {
    /// The subject: swarm.commands.ID.VERB
    subject: String,
    /// What to ask, JSON; - reads standard input; for ping it is made up
    payload: Option<String>,
    /// How long to wait for the answer, or for all of them
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    timeout: Duration,
    /// How many answers to take: a number, or all that come in time
    #[arg(long, default_value = "1", value_name = "N|all")]
    replies: Wanted,
    /// With more than one answer, end when none came for so long after the last
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    gap: Option<Duration>,
}

/// How many answers are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Count(usize),
    All,
}

/// The most answers that `all` takes.
const MOST: usize = 1 << 16;

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(count)) if (1..=MOST).contains(&count) => Ok(Self::Count(count)),
            _ => Err(format!("a number from 1 to {MOST}, or all")),
        }
    }
}

impl Request {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let subject = super::parse_subject(&self.subject)?;
        let payload =
            |given: Option<String>| given.map(|text| input::given(Some(text))).transpose();
        if let Ok(topic) = PingCommand::parse(&subject) {
            let ping = match payload(self.payload.clone())? {
                Some(payload) => typed::given(&payload, "PingCommand")?,
                None => Ping {
                    sent: SystemTime::now().into(),
                },
            };
            return self.ask(client, &topic, &ping, output).await;
        }
        let topic = Commands::parse(&subject).map_err(|error| {
            Failure::input(chain(&error))
                .hint("commands are swarm.commands.ID.VERB, such as swarm.commands.edge1.status")
        })?;
        let payload = payload(self.payload.clone())?.unwrap_or_else(|| b"null".to_vec());
        let command = typed::given(&payload, "Commands")?;
        self.ask(client, &topic, &command, output).await
    }

    async fn ask<C: Call>(
        &self,
        client: &Client,
        topic: &C,
        payload: &C::Payload,
        output: Output,
    ) -> Result<(), Failure>
    where
        C::Reply: Serialize,
    {
        match self.replies {
            Wanted::Count(1) => one(client, topic, payload, self.timeout, output).await,
            wanted => {
                let mut bounds = ManyBounds::within(self.timeout).max_messages(wanted.most());
                bounds.gap = self.gap;
                many(client, topic, payload, bounds, wanted, output).await
            }
        }
    }
}

impl Wanted {
    fn most(self) -> usize {
        match self {
            Self::Count(count) => count,
            Self::All => MOST,
        }
    }
}

async fn one<C: Call>(
    client: &Client,
    topic: &C,
    payload: &C::Payload,
    timeout: Duration,
    output: Output,
) -> Result<(), Failure>
where
    C::Reply: Serialize,
{
    let start = Instant::now();
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

/// Shows each answer as it comes; an answer that is an error counts as one, and is said.
async fn many<C: Call>(
    client: &Client,
    topic: &C,
    payload: &C::Payload,
    bounds: ManyBounds,
    wanted: Wanted,
    output: Output,
) -> Result<(), Failure>
where
    C::Reply: Serialize,
{
    let start = Instant::now();
    let subject = topic.subject();
    let over = over(None)?;
    tokio::pin!(over);
    let mut replies = client
        .request_many(topic, payload, bounds)
        .map_err(PublishError::into_failure)?;
    let (mut good, mut bad) = (0, 0);
    loop {
        let reply = tokio::select! {
            reply = replies.next() => reply,
            over = &mut over => return match over {
                Over::Unread => Ok(()),
                _ => Err(Failure::failed(format!("interrupted; {} answers came", good + bad))),
            },
        };
        let took = start.elapsed().as_secs_f64() * 1e3;
        match reply {
            None => break,
            Some(Ok(reply)) => {
                good += 1;
                let reply = serde_json::to_value(&reply)
                    .map_err(|error| Failure::failed(error.to_string()))?;
                let value = json!({
                    "subject": subject.as_str(), "milliseconds": took, "reply": reply,
                });
                output.item(&value, || format!("{reply}  ({took:.1} ms)"))?;
            }
            Some(Err(error @ (RequestError::Fault(_) | RequestError::Decode(_)))) => {
                bad += 1;
                let error = chain(&error);
                let value = json!({
                    "subject": subject.as_str(), "milliseconds": took, "error": error,
                });
                output.item(&value, || format!("! {error}  ({took:.1} ms)"))?;
            }
            Some(Err(error)) => return Err(error.into_failure()),
        }
    }
    let came = good + bad;
    match (wanted, replies.end()) {
        (Wanted::Count(count), end) if came < count => {
            let within = match end {
                Some(ManyEnd::Gap) => "before none came for the gap".to_owned(),
                _ => format!("within {}", humantime::format_duration(bounds.within)),
            };
            Err(
                Failure::failed(format!("{came} of {count} answers came {within}"))
                    .hint("give it more time: --timeout 30s; or take what comes: --replies all"),
            )
        }
        (_, _) if came == 0 => Err(Failure::failed(format!(
            "nobody answered within {}",
            humantime::format_duration(bounds.within)
        ))
        .hint("give it more time: --timeout 30s")),
        (_, _) if good == 0 => Err(Failure::failed(format!("all {bad} answers are errors"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_answers_are_wanted_as_was_said() {
        assert_eq!("all".parse(), Ok(Wanted::All));
        assert_eq!("3".parse(), Ok(Wanted::Count(3)));
        for bad in ["0", "-1", "", "some", "65537"] {
            assert!(bad.parse::<Wanted>().is_err(), "{bad}");
        }
    }
}
