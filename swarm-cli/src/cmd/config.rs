//! `swarm config`: is swarm.toml right, and what does it make.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use swarm::{Authority, Layout};
use swarm_config::Plan;
use swarm_pki::{NodeId, Timestamp};

use crate::args::Global;
use crate::report::{Failure, Output, print_line};

/// Check swarm.toml; render the configuration that it makes
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check swarm.toml: exits with 2 and says line, column and what to do when it is wrong
    #[command(after_help = "Example:\n  swarm config check swarm.toml")]
    Check {
        /// Another file than the swarm's
        file: Option<PathBuf>,
    },
    /// Print the files that swarm.toml and the roster make, or write those that changed
    #[command(after_help = "Example:\n  swarm config render nats/nats-server.conf")]
    Render {
        /// Only these, named by their path below the swarm's directory
        files: Vec<PathBuf>,
        /// Write what changed instead of printing
        #[arg(long)]
        write: bool,
    },
}

impl Config {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<ExitCode, Failure> {
        let layout = Layout::new(&global.dir)?;
        match self.command {
            Command::Check { file } => {
                let path = file.unwrap_or_else(|| layout.config());
                check(&path, output)?;
            }
            Command::Render { files, write } => render(layout, &files, write, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn check(path: &std::path::Path, output: Output) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
    let plan = Plan::parse(&text)
        .map_err(|problems| Failure::input(format!("{}: {problems}", path.display())))?;
    let warnings: Vec<_> = swarm_config::lint::plan(&plan)
        .iter()
        .map(ToString::to_string)
        .collect();
    let nodes: Vec<_> = plan.nodes().map(|node| node.id.to_string()).collect();
    let value = json!({ "swarm": plan.name().as_str(), "nodes": nodes, "warnings": warnings });
    output.show(&value, || {
        let mut lines = vec![format!(
            "{}: right; swarm {}, listed nodes: {}",
            path.display(),
            plan.name(),
            nodes.join(", ")
        )];
        lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    })
}

fn render(layout: Layout, only: &[PathBuf], write: bool, output: Output) -> Result<(), Failure> {
    let authority = Authority::open(layout)?;
    let primary = authority.plan().primary().id.as_str().parse::<NodeId>();
    let node = primary.map_err(|error| Failure::input(error.to_string()))?;
    let trust = authority.store().trust(Timestamp::now())?;
    let mut files = authority.rendered(&node, trust.roster())?;
    files.retain(|file| {
        only.is_empty()
            || only
                .iter()
                .any(|wanted| wanted.as_path() == std::path::Path::new(file.path))
    });
    if files.is_empty() {
        return Err(
            Failure::input("no such file is rendered").hint("see them all: swarm config render")
        );
    }
    if write {
        let changed = authority.write(files)?;
        return output.show(&changed, || match changed.as_slice() {
            [] => "nothing changed".to_owned(),
            changed => changed
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join("\n"),
        });
    }
    if let ([file], false) = (files.as_slice(), output.is_json()) {
        return print_line(&file.contents);
    }
    let value: Vec<_> = files
        .iter()
        .map(|file| json!({ "path": file.path, "mode": format!("{:o}", file.mode), "contents": file.contents }))
        .collect();
    output.show(&value, || {
        files
            .iter()
            .map(|file| format!("==> {} <==\n{}", file.path, file.contents))
            .collect::<Vec<_>>()
            .join("\n")
    })
}
