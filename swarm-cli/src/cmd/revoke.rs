//! `swarm revoke`: a node is cut off, everywhere.

use serde_json::json;
use swarm::{Authority, Layout};
use swarm_pki::{NodeId, RevocationReason};

use crate::args::Global;
use crate::report::{Failure, Output};

/// Revoke a node: its tunnels, its bus connection and its rooms are cut
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm revoke edge2 --reason key-compromise")]
pub(crate) struct Revoke {
    /// The node's id
    id: NodeId,
    /// Why, as RFC 5280 names reasons: key-compromise, cessation-of-operation, superseded, …
    #[arg(long, default_value = "unspecified")]
    reason: RevocationReason,
}

impl Revoke {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let authority = Authority::open(Layout::new(&global.dir)?)?;
        let list = authority.revoke(&self.id, self.reason, &super::requester())?;
        let told = super::tell_hub(global);
        let value =
            json!({ "node": self.id, "crl_number": list.number().to_string(), "hub_told": told });
        output.show(&value, || {
            let next = if told {
                "the hub cuts it off now"
            } else {
                "no hub runs here: it is cut off when one is started (swarm up)"
            };
            format!(
                "{} is revoked, in revocation list {}; {next}",
                self.id,
                list.number()
            )
        })
    }
}
