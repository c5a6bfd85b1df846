//! `swarm bus service`: NATS services, the nodes among them.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use swarm_bus::client::{Client, ManyBounds, PublishError, RequestError};
use swarm_bus::service::{ServiceAnswer, ServiceInfo, ServiceName, ServiceQuery, ServiceStats};

use super::advice::Advise as _;
use crate::report::{Failure, Output, chain, one_line, table, warn};

/// Services on the bus: each node is an instance of swarm-node; on a hub or for an operator
#[derive(Debug, clap::Args)]
pub(super) struct Service {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the instances that answer
    #[command(after_help = "Example:\n  swarm bus service ls --wait 2s")]
    Ls(Asked),
    /// Show what they offer
    #[command(after_help = "Example:\n  swarm bus service info swarm-node")]
    Info(Asked),
    /// Show what they did
    #[command(after_help = "Example:\n  swarm bus service stats swarm-node")]
    Stats(Asked),
}

#[derive(Debug, clap::Args)]
struct Asked {
    /// Only the instances of this service
    name: Option<String>,
    /// How long to wait for answers; it ends when none came for a quarter of that
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    wait: Duration,
}

impl Service {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        match self.command {
            Command::Ls(asked) => {
                let found = asked.ask::<ServiceInfo>(client).await?;
                output.show(&found, || list(&found))
            }
            Command::Info(asked) => {
                let found = asked.ask::<ServiceInfo>(client).await?;
                output.show(&found, || blocks(&found, describe))
            }
            Command::Stats(asked) => {
                let found = asked.ask::<ServiceStats>(client).await?;
                output.show(&found, || stats(&found))
            }
        }
    }
}

impl Asked {
    async fn ask<A: ServiceAnswer + Serialize>(&self, client: &Client) -> Result<Vec<A>, Failure> {
        let query = match &self.name {
            None => ServiceQuery::<A>::all(),
            Some(name) => ServiceQuery::named(
                ServiceName::parse(name).map_err(|error| Failure::input(chain(&error)))?,
            ),
        };
        let bounds = ManyBounds::within(self.wait).gap(self.wait / 4);
        let mut replies = client
            .query_services(&query, bounds)
            .map_err(PublishError::into_failure)?;
        let mut found = Vec::new();
        while let Some(reply) = replies.next().await {
            match reply {
                Ok(answer) => found.push(answer),
                Err(RequestError::NoResponders { .. }) => {}
                Err(
                    error @ (RequestError::Decode(_)
                    | RequestError::Fault(_)
                    | RequestError::Missed { .. }),
                ) => warn(&format!("an answer is left out: {}", chain(&error))),
                Err(error) => return Err(error.into_failure()),
            }
        }
        Ok(found)
    }
}

const NONE: &str = "no service answered";

fn list(found: &[ServiceInfo]) -> String {
    if found.is_empty() {
        return NONE.to_owned();
    }
    let mut rows: Vec<_> = found
        .iter()
        .map(|info| {
            let subjects: Vec<_> = info.endpoints.iter().map(|e| e.subject.as_str()).collect();
            vec![
                info.name.to_string(),
                info.metadata
                    .get("node")
                    .map_or("-".to_owned(), String::clone),
                info.version.to_string(),
                info.id.to_string(),
                subjects.join(" "),
            ]
        })
        .collect();
    rows.sort();
    table(&["service", "node", "version", "id", "asked at"], &rows)
}

fn describe(info: &ServiceInfo) -> String {
    let mut lines = vec![
        format!("service      {} {}", info.name, info.version),
        format!("id           {}", info.id),
        format!("description  {}", one_line(&info.description)),
    ];
    let metadata = info.metadata.iter();
    lines.extend(metadata.map(|(key, value)| one_line(&format!("{key:<12} {value}"))));
    for endpoint in &info.endpoints {
        let text = format!(
            "endpoint     {}: {} in group {}",
            endpoint.name, endpoint.subject, endpoint.queue_group
        );
        lines.push(one_line(&text));
    }
    lines.join("\n")
}

fn stats(found: &[ServiceStats]) -> String {
    let mut rows: Vec<_> = found
        .iter()
        .flat_map(|stats| {
            stats.endpoints.iter().map(move |endpoint| {
                vec![
                    stats.name.to_string(),
                    endpoint.subject.clone(),
                    endpoint.num_requests.to_string(),
                    endpoint.num_errors.to_string(),
                    format!(
                        "{:.2}",
                        endpoint.average_processing_time.as_secs_f64() * 1e3
                    ),
                    endpoint.last_error.clone(),
                ]
            })
        })
        .collect();
    rows.sort();
    match rows.as_slice() {
        [] => NONE.to_owned(),
        rows => table(
            &[
                "service",
                "asked at",
                "requests",
                "errors",
                "average ms",
                "last error",
            ],
            rows,
        ),
    }
}

fn blocks<T>(found: &[T], block: fn(&T) -> String) -> String {
    match found {
        [] => NONE.to_owned(),
        found => found.iter().map(block).collect::<Vec<_>>().join("\n\n"),
    }
}
