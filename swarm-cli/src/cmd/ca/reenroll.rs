//! `swarm ca pending`, `approve` and `deny`: nodes whose certificates expired ask to come back.

use serde_json::json;
use swarm_pki::{NodeId, Timestamp};

use crate::args::Global;
use crate::report::{Failure, Output, table};

/// List the nodes that ask to come back, for their certificates expired while they were away
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca pending")]
pub(super) struct Pending {}

impl Pending {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let pending = super::open(global)?.pending_reenrolments(Timestamp::now())?;
        let value: Vec<_> = pending
            .iter()
            .map(|one| {
                json!({
                    "node": one.node, "serial": one.serial.to_string(), "ended": one.ended.to_string(),
                    "since": one.since.to_string(),
                    "approved_until": one.approved_until.map(|until| until.to_string()),
                })
            })
            .collect();
        output.show(&value, || {
            if pending.is_empty() {
                return "no node asks to come back".to_owned();
            }
            let rows: Vec<_> = pending
                .iter()
                .map(|one| {
                    let approved = one.approved_until.map(|until| until.to_string());
                    vec![
                        one.node.to_string(),
                        one.ended.to_string(),
                        one.since.to_string(),
                        approved.unwrap_or_else(|| "no".to_owned()),
                    ]
                })
                .collect();
            table(&["node", "ended", "asks since", "approved until"], &rows)
        })
    }
}

/// Let a node come back that asks for it; it does so by itself within 7 days
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca approve edge3")]
pub(super) struct Approve {
    /// The node's id
    id: NodeId,
}

impl Approve {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        store.approve_reenrolment(&self.id, &crate::cmd::requester(), Timestamp::now())?;
        output.show(&json!({ "node": self.id, "approved": true }), || {
            format!("{} may come back, within 7 days", self.id)
        })
    }
}

/// Deny a node to come back, until it is approved after all
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca deny edge3")]
pub(super) struct Deny {
    /// The node's id
    id: NodeId,
}

impl Deny {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        store.deny_reenrolment(&self.id, &crate::cmd::requester(), Timestamp::now())?;
        output.show(&json!({ "node": self.id, "approved": false }), || {
            format!("{} may not come back", self.id)
        })
    }
}
