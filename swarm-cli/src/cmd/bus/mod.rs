//! `swarm bus`: the bus as this machine's node sees it.

mod advice;
mod bench;
mod bucket;
mod dead_letter;
mod kv;
mod object;
mod permissions;
mod publish;
mod request;
mod service;
mod size;
mod stream;
mod subscribe;
mod topics;
mod typed;
mod until;

use std::time::Duration;

use clap::Subcommand;
use swarm::{Layout, Member};
use swarm_bus::client::Client;
use swarm_bus::{Pattern, Subject};
use swarm_pki::NodeId;

use crate::args::Global;
use crate::report::{Failure, Output, chain};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Publish, hear and ask on the bus as this machine's node, and see what is there
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
    Pub(publish::Pub),
    Sub(subscribe::Sub),
    Request(request::Request),
    Topics(topics::Topics),
    Permissions(permissions::Permissions),
    Stream(stream::Stream),
    Kv(kv::Kv),
    Object(object::Object),
    Service(service::Service),
    #[command(name = "deadletter")]
    DeadLetter(dead_letter::DeadLetter),
    Bench(bench::Bench),
}

impl Bus {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        // what needs no connection, and mostly not even a node
        let command = match self.command {
            Command::Topics(command) => return command.run(output),
            Command::Permissions(command) => {
                return command.run(global, self.node.as_ref(), output);
            }
            // the running node has the spool
            Command::Pub(command) if command.is_spooled() => {
                return command.spool(global, self.node.as_ref(), output);
            }
            command => command,
        };
        let layout = Layout::new(&global.dir)?;
        let runtime = super::runtime()?;
        let done = runtime.block_on(async {
            let member = Member::open(layout, self.node.as_ref())?;
            let client = member.bus();
            client.connected(CONNECT).await.map_err(|error| {
                Failure::failed(chain(&error)).hint("is the tunnel up? swarm status")
            })?;
            let done = command.run(&client, &member, output).await;
            if let Err(error) = client.drain(CONNECT).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the connection did not end in order"
                );
            }
            done
        });
        // a read of standard input that nobody ends keeps a thread, and must not keep the program
        runtime.shutdown_background();
        done
    }
}

impl Command {
    async fn run(self, client: &Client, member: &Member, output: Output) -> Result<(), Failure> {
        match self {
            Self::Pub(command) => command.run(client, output).await,
            Self::Sub(command) => command.run(client, member, output).await,
            Self::Request(command) => command.run(client, output).await,
            Self::Stream(command) => command.run(client, output).await,
            Self::Kv(command) => command.run(&member.at_hub(client), output).await,
            Self::Object(command) => command.run(&member.at_hub(client), output).await,
            Self::Service(command) => command.run(client, output).await,
            Self::DeadLetter(command) => command.run(client, output).await,
            Self::Bench(command) => command.run(client, member, output).await,
            Self::Topics(_) | Self::Permissions(_) => {
                unreachable!("they are answered without a connection")
            }
        }
    }
}

fn parse_subject(text: &str) -> Result<Subject, Failure> {
    Subject::parse(text).map_err(|error| {
        Failure::input(format!("{text}: {}", chain(&error)))
            .hint("which subjects there are: swarm bus topics")
    })
}

fn parse_pattern(text: &str) -> Result<Pattern, Failure> {
    Pattern::parse(text).map_err(|error| {
        Failure::input(format!("{text}: {}", chain(&error)))
            .hint("dots stand between tokens; * stands for one token, > at the end for the rest")
    })
}

/// The node's id as a token of a subject.
fn own(member: &Member) -> Result<swarm_bus::Token, Failure> {
    swarm_bus::Token::parse(member.id().as_str()).map_err(|error| Failure::input(chain(&error)))
}
