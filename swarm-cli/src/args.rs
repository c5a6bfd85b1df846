//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

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

impl Args {
    /// What is logged unless `SWARM_LOG` says otherwise.
    pub(crate) fn log_filter(&self) -> &'static str {
        if let Command::Wg(_) = self.command
            && let Some(filter) = cmd::wg::log_filter()
        {
            return filter;
        }
        match self.global.verbose {
            0 => "warn,matrix_sdk=error,matrix_sdk_crypto=error",
            1 => "info,matrix_sdk=warn,matrix_sdk_crypto=error",
            _ => "debug,hyper=info,rustls=info",
        }
    }
}

/// The arguments as the program's name has them: under the names of a userspace WireGuard they are those of
/// `swarm wg`, since wg-quick calls a single word.
pub(crate) fn as_called(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let name = arguments
        .first()
        .and_then(|word| Path::new(word).file_name());
    let is_wireguard = name.is_some_and(|name| name == "wireguard-go" || name == "swarm-wg");
    if is_wireguard && arguments.get(1).map(OsString::as_os_str) != Some(OsStr::new("--version")) {
        arguments.insert(1, "wg".into());
    }
    arguments
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
    Wg(cmd::wg::Wg),
    Demo(cmd::demo::Demo),
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::CommandFactory;

    #[test]
    fn under_the_name_of_a_userspace_wireguard_it_is_one() {
        for (called, means) in [
            ("swarm wg0", "swarm wg0"),
            (
                "/usr/bin/wireguard-go -f wg0",
                "/usr/bin/wireguard-go wg -f wg0",
            ),
            ("swarm-wg wg0", "swarm-wg wg wg0"),
            ("wireguard-go --version", "wireguard-go --version"),
            ("swarm-wg", "swarm-wg wg"),
        ] {
            let words = called.split(' ').map(OsString::from);
            let wanted: Vec<_> = means.split(' ').map(OsString::from).collect();
            assert_eq!(super::as_called(words), wanted, "{called}");
        }
    }

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
