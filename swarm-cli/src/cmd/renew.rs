//! `swarm renew`: a new certificate for this machine's node, while it runs.

use swarm_pki::NodeId;

use crate::args::Global;
use crate::report::{Failure, Output};

/// Renew the certificate of this machine's running node now; it renews by itself in time otherwise
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm renew")]
pub(crate) struct Renew {
    /// Which node, when the directory has several
    #[arg(long, value_name = "ID")]
    node: Option<NodeId>,
}

impl Renew {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let socket = super::control_socket(global, self.node.as_ref())?;
        let renewed = super::runtime()?.block_on(swarm::control::renew(&socket))?;
        output.show(&renewed, || {
            format!(
                "{} has certificate {} until {}",
                renewed.node, renewed.serial, renewed.not_after
            )
        })
    }
}
