//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::cmd;

/// A zero-trust mesh of machines you own: one certificate is the node.
#[derive(Debug, Parser)]
#[command(
    name = "swarm",
    version,
    max_term_width = 100,
    propagate_version = false
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// The swarm's directory on this machine
    #[arg(
        long,
        global = true,
        env = "SWARM_DIR",
        default_value = "/opt/sovereign-swarm",
        value_name = "DIR"
    )]
    pub(crate) dir: PathBuf,
    /// Print JSON instead of text, where there is something to read
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on standard error (-v information, -vv details)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Bootstrap(cmd::bootstrap::Bootstrap),
    Invite(cmd::invite::Invite),
    Join(cmd::join::Join),
    Request(cmd::offline::Request),
    Grant(cmd::offline::Grant),
    Accept(cmd::offline::Accept),
    Up(cmd::up::Up),
    Status(cmd::status::Status),
    Revoke(cmd::revoke::Revoke),
    Renew(cmd::renew::Renew),
    Ca(cmd::ca::Ca),
    Config(cmd::config::Config),
    Bus(cmd::bus::Bus),
    Room(cmd::room::Room),
    Demo(cmd::demo::Demo),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            let leaf = command.get_subcommands().next().is_none();
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                !leaf || help.contains("swarm "),
                "{} has no example",
                command.get_name()
            );
            command.get_subcommands().for_each(check);
        }
        check(&super::Args::command());
    }
}
