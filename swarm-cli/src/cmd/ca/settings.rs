//! `swarm ca settings`: lifetimes, and what the nodes of a role may be.

use std::path::PathBuf;

use swarm_pki::Timestamp;

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output, print_line};

/// Show the settings that certificates are issued by, or change them
///
/// Lifetimes, and a policy for each role that is to be limited: how long its certificates live, in which
/// prefixes its addresses lie, under which domains it has further DNS names, and whether it may be a TLS
/// server, client or both. What was issued already stays as it is.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca settings > settings.json\n  swarm ca settings settings.json"
)]
pub(super) struct Settings {
    /// A file with the new settings, JSON as they are shown; - for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Settings {
    pub(super) fn run(self, global: &Global, _: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        if let Some(path) = &self.file {
            let text = input::text(Some(path), 1024 * 1024)?;
            let settings: swarm_pki::store::Settings = serde_json::from_str(&text)
                .map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
            store.update_settings(&settings, &crate::cmd::requester(), Timestamp::now())?;
        }
        let text = serde_json::to_string_pretty(&store.settings()?)
            .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
        print_line(&text)
    }
}
