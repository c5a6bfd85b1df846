//! `swarm bus kv`: state that is kept by key.

mod buckets;
mod key;
mod keys;
mod show;

use clap::Subcommand;
use swarm_bus::Token;
use swarm_bus::client::Client;
use swarm_bus::kv::KvError;
use swarm_bus::topics::{NodeState, state_bucket};

use super::advice::Advise as _;
use super::until::Bounds;
use crate::report::{Failure, Output, chain};

/// State that is kept by key: read it, write it, watch it
///
/// The mesh's own bucket is swarm-state: a key NODE.KEY is written by that node and by hubs, and read by
/// every node; its values are JSON. Other buckets are a hub's, and their values any bytes.
#[derive(Debug, clap::Args)]
pub(super) struct Kv {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the buckets, or the keys of one with their values
    #[command(after_help = "Examples:\n  swarm bus kv ls\n  swarm bus kv ls swarm-state 'edge1.*'")]
    Ls {
        /// The bucket
        bucket: Option<String>,
        /// Only these keys: * stands for one token, > for the rest
        #[arg(default_value = ">")]
        keys: String,
    },
    /// Show a bucket's limits and what it holds
    #[command(after_help = "Example:\n  swarm bus kv info swarm-state")]
    Info {
        /// The bucket
        bucket: String,
    },
    /// Show the value of a key
    #[command(
        after_help = "Examples:\n  swarm bus kv get swarm-state edge1.node\n  swarm bus kv get swarm-state edge1.mode --revision 17"
    )]
    Get {
        /// The bucket
        bucket: String,
        /// The key
        key: String,
        /// The value that this revision wrote, as long as the bucket keeps it: swarm bus kv history
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
        /// Print the value alone, byte for byte
        #[arg(long)]
        raw: bool,
    },
    /// Write a value, whatever is there
    #[command(after_help = "Example:\n  swarm bus kv put swarm-state edge1.mode '\"night\"'")]
    Put(keys::Write),
    /// Write a value where there is none
    #[command(after_help = "Example:\n  swarm bus kv create swarm-state edge1.leader true")]
    Create(keys::Write),
    /// Replace a value if it is still at this revision
    #[command(after_help = "Example:\n  swarm bus kv update swarm-state edge1.count 8 17")]
    Update {
        /// The bucket
        bucket: String,
        /// The key
        key: String,
        /// The new value; - reads standard input
        #[arg(allow_negative_numbers = true)]
        value: String,
        /// The revision that it replaces, as get and ls show it; 0 for a key that was never written
        revision: u64,
    },
    /// Delete a key; what it had before is kept as far as the history reaches
    #[command(after_help = "Example:\n  swarm bus kv del swarm-state edge1.mode")]
    Del(keys::Remove),
    /// Delete a key and its history, in a bucket that allows it
    #[command(after_help = "Example:\n  swarm bus kv purge jobs build.42")]
    Purge(keys::Remove),
    /// Show what the bucket keeps of a key, the oldest first
    #[command(after_help = "Example:\n  swarm bus kv history swarm-state edge1.mode")]
    History {
        /// The bucket
        bucket: String,
        /// The key
        key: String,
    },
    /// Show the present state, then each change as it comes
    #[command(
        after_help = "Examples:\n  swarm bus kv watch swarm-state\n  swarm --json bus kv watch swarm-state 'edge1.*' --count 5 --time 1m"
    )]
    Watch {
        /// The bucket
        bucket: String,
        /// Only these keys: * stands for one token, > for the rest
        #[arg(default_value = ">")]
        keys: String,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Make a bucket, or change its limits; on a hub
    #[command(
        after_help = "Example:\n  swarm bus kv add jobs --history 10 --ttl 7d --max-bytes 16MiB"
    )]
    Add(buckets::Add),
    /// Delete a bucket with all that it holds; on a hub
    #[command(after_help = "Example:\n  swarm bus kv rm jobs --yes")]
    Rm {
        /// The bucket
        bucket: String,
        /// Do it; without this nothing is deleted
        #[arg(long)]
        yes: bool,
    },
}

impl Kv {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let (bucket, work) = match self.command {
            Command::Ls { bucket: None, .. } => return buckets::list(client, output).await,
            Command::Info { bucket } => {
                return buckets::info(client, &name(&bucket)?, output).await;
            }
            Command::Add(add) => return add.run(client, output).await,
            Command::Rm { bucket, yes } => {
                return buckets::remove(client, &name(&bucket)?, yes, output).await;
            }
            Command::Ls {
                bucket: Some(bucket),
                keys,
            } => (bucket, keys::Work::List { keys }),
            Command::Get {
                bucket,
                key,
                revision,
                raw,
            } => (bucket, keys::Work::Get { key, revision, raw }),
            Command::Put(write) => write.put(),
            Command::Create(write) => write.create(),
            Command::Update {
                bucket,
                key,
                value,
                revision,
            } => {
                let value = Some(value);
                let how = keys::How::Update(revision);
                (bucket, keys::Work::Write { key, value, how })
            }
            Command::Del(remove) => remove.delete(),
            Command::Purge(remove) => remove.purge(),
            Command::History { bucket, key } => (bucket, keys::Work::History { key }),
            Command::Watch {
                bucket,
                keys,
                bounds,
            } => (bucket, keys::Work::Watch { keys, bounds }),
        };
        let bucket = name(&bucket)?;
        let unopened = |error| match error {
            KvError::Stream(error) => buckets::KIND.unreadable(&bucket, error),
            error => error.into_failure(),
        };
        if bucket == *state_bucket().bucket() {
            let opened = client.bucket::<NodeState>().await.map_err(unopened)?;
            return work.run(&opened, output).await;
        }
        let opened = client.any_bucket(&bucket).await.map_err(unopened)?;
        work.run(&opened, output).await
    }
}

pub(super) use buckets::made;
pub(super) use key::readable;

/// Reads the name of a bucket.
pub(super) fn name(text: &str) -> Result<Token, Failure> {
    let refused = |error: &dyn std::error::Error| {
        Failure::input(format!("{text} is no name of a bucket: {}", chain(error)))
            .hint("letters, digits, - and _ make one")
    };
    let token = Token::parse(text).map_err(|error| refused(&error))?;
    swarm_bus::kv::BucketConfig::named(token.clone())
        .map(|_| token)
        .map_err(|_| {
            Failure::input(format!("{text} is no name of a bucket"))
                .hint("letters, digits, - and _ make one")
        })
}
