//! `swarm demo`: a whole swarm on this machine, every part real, shown step by step.

mod lab;
mod machine;
mod record;
mod scenario;
mod steps;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::Global;
use crate::report::{Failure, print_line};

use self::record::Record;
use self::scenario::Scenario;

/// Show a whole swarm on this machine: a hub and its edges, each in a network namespace of its own
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm demo --keep\n\n\
    Needs nats-server, Synapse, wg, ip, ping and promtool; `make demo` provides them.")]
pub(crate) struct Demo {
    /// Leave the swarm running at the end, until Ctrl-C, and say how to look around
    #[arg(long)]
    keep: bool,
    /// Where the machines' directories and report.json go; what a former demo left there is removed
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    out: PathBuf,
}

impl Demo {
    pub(crate) fn run(&self, global: &Global) -> Result<ExitCode, Failure> {
        let out = std::path::absolute(&self.out).map_err(|error| {
            Failure::input(format!("cannot use {}: {error}", self.out.display()))
        })?;
        if !world::is_inside() {
            let status = world::enter(&out)?;
            let code = status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1);
            return Ok(ExitCode::from(code));
        }
        super::runtime()?.block_on(self.run_inside(global, out))
    }

    async fn run_inside(&self, global: &Global, out: PathBuf) -> Result<ExitCode, Failure> {
        let mut record = Record::new(global.json);
        let mut scenario = Scenario::new(out.clone()).await?;
        let ended = tokio::select! {
            ended = scenario.play(&mut record) => ended,
            () = interrupted() => Err(Failure::failed("interrupted; everything is torn down")),
        };
        let report = out.join("report.json");
        record.write(&report)?;
        if global.json {
            print_line(&std::fs::read_to_string(&report).unwrap_or_default())?;
        } else {
            print_line(&format!(
                "\n{}\n\nreport: {}",
                record.summary(),
                report.display()
            ))?;
        }
        if self.keep && ended.is_ok() {
            print_line(&scenario.tour())?;
            interrupted().await;
        }
        scenario.end().await;
        ended?;
        if record.holds() {
            return Ok(ExitCode::SUCCESS);
        }
        Err(Failure::failed("not every step held"))
    }
}

/// Waits for Ctrl-C, or for somebody who asks the demo to end.
async fn interrupted() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be watched");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
