//! `swarm join`: this machine becomes a node.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use swarm::Layout;
use swarm_pki::enroll::Invite;

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output};

/// An invite is shorter than this, in bytes.
const LONGEST: usize = 8_192;

/// Join a swarm by an invite
///
/// The invite is read from a file or from standard input, never from the command line, where other users of
/// the machine could see it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm join edge1.invite && swarm up")]
pub(crate) struct Join {
    /// A file with the invite; - or nothing for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Join {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let text = input::text(self.file.as_deref(), LONGEST)?;
        let invite: Invite = text.trim().parse().map_err(|error| {
            Failure::input(format!("this is no invite: {error}"))
                .hint("ask for a new one: swarm invite ID")
        })?;
        let layout = Layout::new(&global.dir)?;
        let start = Instant::now();
        let joined = super::runtime()?.block_on(swarm::join(&layout, &invite))?;
        let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        show(&joined, &[("milliseconds", json!(took))], global, output)
    }
}

/// Tells of a node that has just come into being.
pub(super) fn show(
    joined: &swarm::Joined,
    more: &[(&str, serde_json::Value)],
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let mut value = json!({
        "swarm": joined.swarm, "node": joined.node, "addresses": joined.addresses,
        "serial": joined.serial.to_string(), "not_after": joined.not_after.to_string(),
    });
    for (name, more) in more {
        value[name] = more.clone();
    }
    output.show(&value, || {
        let addresses: Vec<_> = joined.addresses.iter().map(ToString::to_string).collect();
        format!(
            "{} joined the swarm {} as {}\ncertificate {} until {}\nnext: swarm --dir {} up",
            joined.node,
            joined.swarm,
            addresses.join(" and "),
            joined.serial,
            joined.not_after,
            global.dir.display()
        )
    })
}
