//! `swarm bus object sweep`.

use std::time::{Duration, SystemTime};

use serde_json::json;
use swarm_bus::client::Client;
use swarm_bus::object::ObjectError;

use super::open;
use crate::cmd::bus::advice::Advise as _;
use crate::report::{Failure, Output};

/// Remove what uploads have left that nobody goes on with
///
/// An upload that was interrupted keeps what it has, so that object put --resume goes on there. What no object
/// is made of, and had nothing new for the time of --idle, is removed, by this machine's clock.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm bus object sweep swarm-files --idle 7d")]
pub(super) struct Sweep {
    /// The bucket
    bucket: String,
    /// How long an upload has to be without anything new; one that is removed cannot be resumed
    #[arg(long, default_value = "1d", value_parser = humantime::parse_duration, value_name = "DURATION")]
    idle: Duration,
}

impl Sweep {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let store = open(client, &self.bucket).await?;
        let swept = store
            .sweep(self.idle, SystemTime::now())
            .await
            .map_err(ObjectError::into_failure)?;
        let value = json!({
            "bucket": store.name(), "uploads": swept.uploads, "chunks": swept.chunks,
        });
        output.show(&value, || match swept.uploads {
            0 => format!(
                "{} has no upload that was idle for {}",
                store.name(),
                humantime::format_duration(self.idle)
            ),
            uploads => format!(
                "{uploads} uploads are gone from {}, of {} chunks",
                store.name(),
                swept.chunks
            ),
        })
    }
}
