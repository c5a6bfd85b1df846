//! `swarm up`: run this machine's node.

use swarm::{Layout, Node};
use swarm_pki::NodeId;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Global;
use crate::report::{Failure, print_line};

/// Run this machine's node until it is told to end: tunnel, bus, rooms, and on a hub the servers
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm --dir /opt/sovereign-swarm up")]
pub(crate) struct Up {
    /// Which node, when the directory has several
    #[arg(long, value_name = "ID")]
    node: Option<NodeId>,
}

impl Up {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        let layout = Layout::new(&global.dir)?;
        super::runtime()?.block_on(async {
            let node = Node::start(layout, self.node.as_ref()).await?;
            let status = node.status();
            let addresses: Vec<_> = status.addresses.iter().map(ToString::to_string).collect();
            print_line(&format!(
                "{} is up as {}; see: swarm status",
                status.node,
                addresses.join(" and ")
            ))?;
            let mut terminate = signal(SignalKind::terminate())
                .map_err(|error| Failure::environment(format!("cannot watch signals: {error}")))?;
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            node.stop().await;
            Ok(())
        })
    }
}
