//! `swarm bootstrap`: a hub from nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;
use swarm::{Authority, FirstHub, Layout};
use swarm_pki::{NodeId, SwarmName};

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output};

/// Make a swarm: authority, this machine as its hub, configuration of every server
///
/// Run again, it changes only what swarm.toml changed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm --dir /opt/sovereign-swarm bootstrap --endpoint 203.0.113.10:51820"
)]
pub(crate) struct Bootstrap {
    /// The swarm's name, when there is no swarm.toml yet
    #[arg(long, default_value = "swarm")]
    name: SwarmName,
    /// This machine's id, when there is no swarm.toml yet
    #[arg(long, default_value = "command0")]
    node: NodeId,
    /// This machine's public WireGuard address; needed when there is no swarm.toml yet
    #[arg(long, value_name = "IP:PORT")]
    endpoint: Option<SocketAddr>,
    /// Encrypt the root's key with the passphrase that is the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Bootstrap {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let layout = Layout::new(&global.dir)?;
        let endpoint = match self.endpoint {
            Some(endpoint) => endpoint,
            // it is read from swarm.toml then
            None if layout.config().exists() => SocketAddr::from(([0, 0, 0, 0], 0)),
            None => {
                return Err(Failure::input(format!("there is no {} yet, and no --endpoint", layout.config().display()))
                    .hint("give this machine's public address: swarm bootstrap --endpoint 203.0.113.10:51820"));
            }
        };
        let passphrase = self
            .passphrase_file
            .map(|path| input::passphrase(&path))
            .transpose()?;
        let first = FirstHub {
            swarm: self.name,
            node: self.node,
            endpoint,
        };
        let made = Authority::bootstrap(layout, &first, passphrase)?;
        let changed: Vec<_> = made
            .changed
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let value = json!({
            "swarm": made.swarm, "node": made.node, "root_fingerprint": made.root.to_string(), "changed": changed,
        });
        output.show(&value, || {
            let files = match changed.as_slice() {
                [] => "nothing to change".to_owned(),
                changed => format!("made or changed:\n  {}", changed.join("\n  ")),
            };
            format!(
                "swarm {} with the hub {}\nroot fingerprint {}\n{files}\nnext: swarm --dir {} up",
                made.swarm,
                made.node,
                made.root,
                global.dir.display()
            )
        })
    }
}
