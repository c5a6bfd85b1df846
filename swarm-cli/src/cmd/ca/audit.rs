//! `swarm ca audit` and `swarm ca export`: what the authority did, for people and for other programs.

use serde_json::json;
use swarm_pki::Timestamp;
use swarm_pki::store::{Export as What, ExportFormat};

use crate::args::Global;
use crate::report::{Failure, Output, print_line, table};

/// Show the log: who asked, what was issued, why something was refused; its hash chain is verified
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca audit --last 20")]
pub(super) struct Audit {
    /// Only the newest entries
    #[arg(long, value_name = "COUNT")]
    last: Option<usize>,
}

impl Audit {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let head = store.verify()?;
        let entries = store.audit()?;
        let skip = entries
            .len()
            .saturating_sub(self.last.unwrap_or(usize::MAX));
        let entries = &entries[skip..];
        let node = |id: &Option<swarm_pki::NodeId>| id.as_ref().map(ToString::to_string);
        let serials = |serials: &[swarm_pki::SerialNumber]| {
            serials.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let list: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({
                    "sequence": entry.sequence, "at": entry.at.to_string(), "requester": entry.requester,
                    "kind": entry.kind, "node": node(&entry.node), "serials": serials(&entry.serials),
                    "detail": entry.detail,
                })
            })
            .collect();
        output.show(&json!({ "head": head, "entries": list }), || {
            let rows: Vec<_> = entries
                .iter()
                .map(|entry| {
                    vec![
                        entry.sequence.to_string(),
                        entry.at.to_string(),
                        entry.kind.to_owned(),
                        node(&entry.node).unwrap_or_default(),
                        entry.requester.clone(),
                        entry.detail.clone(),
                    ]
                })
                .collect();
            let rows = table(&["entry", "at", "what", "node", "by", "detail"], &rows);
            format!("{rows}\nintact, head {head}")
        })
    }
}

/// Print the inventory or the log for spreadsheets and other programs
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca export inventory --format csv > inventory.csv")]
pub(super) struct Export {
    /// What is exported
    what: WhatArgument,
    /// In which form
    #[arg(long, value_enum, default_value = "csv")]
    format: FormatArgument,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum WhatArgument {
    /// Every certificate that was ever issued
    Inventory,
    /// The log
    Audit,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FormatArgument {
    /// RFC 4180, with a header line
    Csv,
    /// An array of objects
    Json,
}

impl Export {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let store = super::open(global)?;
        let what = match self.what {
            WhatArgument::Inventory => What::Inventory,
            WhatArgument::Audit => What::AuditLog,
        };
        let format = match self.format {
            FormatArgument::Csv => ExportFormat::Csv,
            FormatArgument::Json => ExportFormat::Json,
        };
        print_line(&store.export(what, format, Timestamp::now())?)
    }
}
