//! `swarm bus sub`: messages as they come.

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use serde_json::Value;
use swarm::Member;
use swarm_bus::client::{Client, SubscribeError};
use swarm_bus::topics::{Commands, NodeEndpoints, NodeEvents, Telemetry, TrustBundle};
use swarm_bus::{Filter, Pattern, Topic};

use super::advice::Advise as _;
use super::typed::{Heard, opaque, plain};
use super::until::Bounds;
use crate::report::{Failure, Output, chain, warn};

/// Show messages of the mesh's topics as they come, with their age
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  swarm bus sub 'swarm.events.node.*'\n  \
    swarm --json bus sub 'swarm.telemetry.>' --count 10 --time 1m")]
pub(super) struct Sub {
    /// The subjects: * stands for one token, > for the rest
    #[arg(default_value = "swarm.>")]
    pattern: String,
    #[command(flatten)]
    bounds: Bounds,
}

type Hearing = BoxStream<'static, Result<Heard, String>>;

impl Sub {
    pub(super) async fn run(
        self,
        client: &Client,
        member: &Member,
        output: Output,
    ) -> Result<(), Failure> {
        let pattern = super::parse_pattern(&self.pattern)?;
        let mut until = self.bounds.begin()?;
        let own = super::own(member)?;
        let mut all = SelectAll::<Hearing>::new();
        all.extend(hear(client, &pattern, NodeEvents::any(), &plain).await?);
        all.extend(hear(client, &pattern, Telemetry::any(), &plain).await?);
        all.extend(hear(client, &pattern, NodeEndpoints::any(), &plain).await?);
        all.extend(hear(client, &pattern, TrustBundle::any(), &opaque).await?);
        // commands to others are nobody's business
        let commands = Commands::filter(Some(&own), None);
        all.extend(hear(client, &pattern, commands, &plain).await?);
        if all.is_empty() {
            return Err(Failure::input(format!(
                "no topic that this node may hear matches {pattern}"
            ))
            .hint("what it may hear is said by: swarm bus permissions"));
        }
        while let Some(heard) = until.next(all.next()).await {
            match heard {
                None => break,
                Some(Err(problem)) => warn(&problem),
                Some(Ok(heard)) => {
                    output.item(&heard, || heard.line())?;
                    until.note();
                }
            }
        }
        until.end("messages")
    }
}

/// Hears a family of topics if it has anything to do with the pattern and this node may hear it.
async fn hear<T: Topic>(
    client: &Client,
    pattern: &Pattern,
    filter: Filter<T>,
    show: &'static (dyn Fn(&T::Payload) -> Value + Sync),
) -> Result<Option<Hearing>, Failure> {
    if !pattern.overlaps(filter.pattern()) {
        return Ok(None);
    }
    let messages = client
        .subscribe(filter)
        .map_err(SubscribeError::into_failure)?;
    match messages.barrier().await {
        Ok(()) => {}
        Err(error @ SubscribeError::Denied { .. }) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "this node does not hear a topic"
            );
            return Ok(None);
        }
        Err(error) => return Err(error.into_failure()),
    }
    let pattern = pattern.clone();
    let heard = messages.filter_map(move |item| {
        let heard = match item {
            Ok(message) => pattern
                .matches(&message.topic.subject())
                .then(|| Ok(Heard::new(&message, show))),
            Err(error) => Some(Err(chain(&error))),
        };
        std::future::ready(heard)
    });
    Ok(Some(heard.boxed()))
}
