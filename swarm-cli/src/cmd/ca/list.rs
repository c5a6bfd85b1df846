//! `swarm ca list`: who holds a certificate.

use serde_json::json;
use swarm_pki::Timestamp;
use swarm_pki::store::{NodeRecord, NodeStatus};

use crate::args::Global;
use crate::report::{Failure, Output, table};

/// List the newest certificate of every node, or all that were ever issued
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca list --json | jq '.[] | select(.status == \"live\")'")]
pub(super) struct List {
    /// Every certificate that was ever issued, not the newest of each node alone
    #[arg(long)]
    all: bool,
}

impl List {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let now = Timestamp::now();
        let records = if self.all {
            store.certificates(now)?
        } else {
            store.nodes(now)?
        };
        let value: Vec<_> = records
            .iter()
            .map(|record| {
                let identity = record.certificate.identity();
                json!({
                    "node": identity.id, "serial": record.certificate.serial().to_string(), "status": status(record),
                    "roles": identity.roles, "addresses": identity.addresses,
                    "not_after": record.certificate.not_after().to_string(),
                    "issued_at": record.issued_at.to_string(), "requester": record.requester,
                })
            })
            .collect();
        output.show(&value, || {
            let rows: Vec<_> = records.iter().map(row).collect();
            table(
                &["node", "status", "roles", "address", "until", "serial"],
                &rows,
            )
        })
    }
}

fn row(record: &NodeRecord) -> Vec<String> {
    let identity = record.certificate.identity();
    let roles: Vec<_> = identity.roles.iter().map(ToString::to_string).collect();
    vec![
        identity.id.to_string(),
        status(record).to_owned(),
        roles.join(","),
        identity
            .addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
        record.certificate.not_after().to_string(),
        record.certificate.serial().to_string(),
    ]
}

fn status(record: &NodeRecord) -> &'static str {
    match record.status {
        NodeStatus::Live => "live",
        NodeStatus::Expired => "expired",
        NodeStatus::Revoked(_) => "revoked",
        _ => "unknown",
    }
}
