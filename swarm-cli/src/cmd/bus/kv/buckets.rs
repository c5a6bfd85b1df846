//! The buckets themselves: which there are, made, removed.

use std::time::Duration;

use serde_json::json;
use swarm_bus::Token;
use swarm_bus::client::Client;
use swarm_bus::kv::{BucketConfig, KvError};
use swarm_bus::stream::{Ensured, Storage};
use swarm_bus::topics::state_bucket;

use super::name;
use crate::cmd::bus::advice::Advise as _;
use crate::cmd::bus::bucket::{self, Kind};
use crate::cmd::bus::size::Size;
use crate::report::{Failure, Output};

/// The stream of a bucket begins so.
pub(super) const KIND: Kind = Kind {
    prefix: "KV_",
    command: "kv",
    has_keys: true,
};

/// What a bucket shall be.
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// The bucket: letters, digits, - and _
    bucket: String,
    /// How many revisions of a key it keeps
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    history: u8,
    /// How old a value may become
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    ttl: Option<Duration>,
    /// How much it may hold
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<Size>,
    /// How large a value may be
    #[arg(long, value_name = "SIZE")]
    max_value_size: Option<Size>,
    /// Keep it in memory: it is gone with the server
    #[arg(long)]
    memory: bool,
    /// Refuse purges, so that who may write one key cannot remove the others
    #[arg(long)]
    no_purge: bool,
}

impl Add {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let bucket = name(&self.bucket)?;
        let own = state_bucket();
        if bucket == *own.bucket() {
            return Err(Failure::input(format!("{bucket} is the mesh's own bucket"))
                .hint("a hub makes it when it starts: swarm up, there"));
        }
        let mut config =
            BucketConfig::named(bucket).map_err(|error| Failure::input(error.to_string()))?;
        config.history = self.history;
        config.max_age = self.ttl;
        config.max_bytes = self.max_bytes.map(Size::bytes);
        let value = self.max_value_size.map(|size| u32::try_from(size.bytes()));
        config.max_value_size = value
            .transpose()
            .map_err(|_| Failure::input("--max-value-size is less than 4GiB"))?;
        if self.memory {
            config.storage = Storage::Memory;
        }
        config.allow_purge = !self.no_purge;
        let ensured = client
            .ensure_bucket(&config)
            .await
            .map_err(|error| match error {
                KvError::Stream(error) => error.into_failure(),
                error => error.into_failure(),
            })?;
        made(config.bucket(), ensured, output)
    }
}

/// Says what became of a bucket that should be there.
pub(in crate::cmd::bus) fn made(
    bucket: &Token,
    ensured: Ensured,
    output: Output,
) -> Result<(), Failure> {
    let how = match ensured {
        Ensured::Created => "made",
        Ensured::Updated => "changed",
        _ => "there already, as asked",
    };
    output.show(&json!({ "bucket": bucket, "outcome": how }), || {
        format!("{bucket} is {how}")
    })
}

pub(super) async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    bucket::list(client, &KIND, state_bucket().bucket(), output).await
}

pub(super) async fn info(client: &Client, name: &Token, output: Output) -> Result<(), Failure> {
    bucket::info(client, &KIND, name, output).await
}

pub(super) async fn remove(
    client: &Client,
    name: &Token,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    bucket::remove(client, &KIND, name, yes, output).await
}
