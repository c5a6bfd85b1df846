//! The commands, one a file.

pub(crate) mod bootstrap;
pub(crate) mod bus;
pub(crate) mod ca;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod offline;
pub(crate) mod renew;
pub(crate) mod revoke;
pub(crate) mod room;
pub(crate) mod status;
pub(crate) mod up;
pub(crate) mod wg;

use std::path::PathBuf;
use std::process::ExitCode;

use swarm::Layout;
use swarm_pki::NodeId;

use crate::args::{Args, Command, Global};
use crate::report::{Failure, Output};

/// Runs what the command line asks for.
pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let global = &args.global;
    let output = Output::new(global.json);
    let done = match args.command {
        Command::Bootstrap(command) => command.run(global, output),
        Command::Invite(command) => command.run(global, output),
        Command::Join(command) => command.run(global, output),
        Command::Request(command) => command.run(global, output),
        Command::Grant(command) => command.run(global, output),
        Command::Accept(command) => command.run(global, output),
        Command::Up(command) => command.run(global),
        Command::Status(command) => return command.run(global, output),
        Command::Revoke(command) => command.run(global, output),
        Command::Renew(command) => command.run(global, output),
        Command::Ca(command) => return command.run(global, output),
        Command::Config(command) => return command.run(global, output),
        Command::Bus(command) => command.run(global, output),
        Command::Room(command) => command.run(global, output),
        Command::Wg(command) => return command.run(),
        Command::Demo(command) => return command.run(global),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// A runtime for a command that talks to others.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::environment(format!("cannot start the runtime: {error}")))
}

/// Finds the socket of this machine's node.
pub(crate) fn control_socket(global: &Global, node: Option<&NodeId>) -> Result<PathBuf, Failure> {
    Ok(Layout::new(&global.dir)?.find_node(node)?.control_socket())
}

/// Tells a running hub that its authority did something, and returns whether one listened. It looks by
/// itself within a second; told, it looks at once.
pub(crate) fn tell_hub(global: &Global) -> bool {
    control_socket(global, None).is_ok_and(|socket| {
        runtime().is_ok_and(|runtime| runtime.block_on(swarm::control::refresh(&socket)).is_ok())
    })
}

/// Who asks the authority, for its log: the user of this machine.
pub(crate) fn requester() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    format!("operator {}", user.as_deref().unwrap_or("unknown"))
}
