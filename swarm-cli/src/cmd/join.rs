//! `swarm join`: this machine becomes a node.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use swarm::Layout;
use swarm_pki::enroll::Invite;

use crate::args::Global;
use crate::report::{Failure, Output};

/// An invite is shorter than this, in bytes.
const LONGEST: u64 = 8_192;

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
        let text = self.read()?;
        let invite: Invite = text.trim().parse().map_err(|error| {
            Failure::input(format!("this is no invite: {error}"))
                .hint("ask for a new one: swarm invite ID")
        })?;
        let layout = Layout::new(&global.dir)?;
        let start = Instant::now();
        let joined = super::runtime()?.block_on(swarm::join(&layout, &invite))?;
        let took = start.elapsed();
        let value = json!({
            "swarm": invite.swarm(), "node": joined.node, "addresses": joined.addresses,
            "serial": joined.serial.to_string(), "not_after": joined.not_after.to_string(),
            "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        output.show(&value, || {
            let addresses: Vec<_> = joined.addresses.iter().map(ToString::to_string).collect();
            format!(
                "{} joined the swarm {} as {}\ncertificate {} until {}\nnext: swarm --dir {} up",
                joined.node,
                invite.swarm(),
                addresses.join(" and "),
                joined.serial,
                joined.not_after,
                global.dir.display()
            )
        })
    }

    fn read(&self) -> Result<zeroize::Zeroizing<String>, Failure> {
        let mut text = zeroize::Zeroizing::new(String::new());
        let (name, read) = match self.file.as_deref().filter(|path| path.as_os_str() != "-") {
            None => (
                "standard input".to_owned(),
                std::io::stdin()
                    .lock()
                    .take(LONGEST)
                    .read_to_string(&mut text),
            ),
            Some(path) => {
                let file = std::fs::File::open(path)
                    .and_then(|file| file.take(LONGEST).read_to_string(&mut text));
                (path.display().to_string(), file)
            }
        };
        read.map_err(|error| {
            Failure::input(format!("cannot read the invite from {name}: {error}"))
        })?;
        Ok(text)
    }
}
