//! The `swarm` command: arguments, printing and exit codes; everything else is in the library.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program, it speaks to people"
)]

mod args;
mod cmd;
mod failure;
mod input;
mod report;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = args::Args::parse_from(args::as_called(std::env::args_os()));
    start_logging(args.log_filter());
    match cmd::run(args) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Logs go to standard error; `SWARM_LOG` filters them as `RUST_LOG` does elsewhere.
fn start_logging(default: &str) {
    let filter = EnvFilter::try_from_env("SWARM_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // that nobody reads the log is told to nobody
        .log_internal_errors(false)
        .init();
}
