//! `swarm invite`: leave for one machine to join.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use swarm::{Authority, Layout};
use swarm_pki::{NodeId, Role};

use crate::args::Global;
use crate::report::{Failure, Output};

/// Invite a machine: prints a one-time invite, to be given to `swarm join` there
///
/// The invite is a secret until it is used. It names the swarm, the id, the root's fingerprint and where to
/// enrol.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm invite edge1 > edge1.invite")]
pub(crate) struct Invite {
    /// The new node's id: lower-case letters, digits and hyphens
    id: NodeId,
    /// A role of the node; may be repeated. Default: as swarm.toml has it, else edge
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Role>,
    /// How long the invite can be used, such as 2h; default: as swarm.toml has it
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
    /// Show it as a QR code as well
    #[arg(long)]
    qr: bool,
}

impl Invite {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let authority = Authority::open(Layout::new(&global.dir)?)?;
        let roles = BTreeSet::from_iter(self.roles);
        let invite = authority.invite(&self.id, roles, self.expires, &super::requester())?;
        let text = invite.to_string();
        let value =
            json!({ "node": self.id, "expires": invite.expires().to_string(), "invite": text });
        if self.qr {
            // beside the invite, so that a redirected invite stays one line
            eprintln!("{}", invite.qr().as_str());
        }
        output.show(&value, || text)
    }
}
