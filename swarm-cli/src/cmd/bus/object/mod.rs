//! `swarm bus object`: objects of any size.

mod get;
mod progress;
mod put;
mod show;
mod sweep;

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use swarm_bus::client::Client;
use swarm_bus::object::{ObjectError, ObjectName, ObjectStore, ObjectStoreConfig};
use swarm_bus::stream::Storage;
use swarm_bus::topics::FILES_BUCKET;

use super::advice::Advise as _;
use super::bucket::{self, Kind};
use super::kv;
use super::size::Size;
use crate::report::{Failure, Output, chain, table};

use show::{Line, Shown};

const KIND: Kind = Kind {
    prefix: "OBJ_",
    command: "object",
    has_keys: false,
};

/// Objects of any size: put and get files, and see what there is
///
/// The mesh's own bucket is swarm-files: hubs and operators write it, every node reads it. A transfer that
/// was interrupted is resumed, also by another process.
#[derive(Debug, clap::Args)]
pub(super) struct Object {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the buckets, or the objects of one
    #[command(after_help = "Examples:\n  swarm bus object ls\n  swarm bus object ls swarm-files")]
    Ls {
        /// The bucket
        bucket: Option<String>,
    },
    Put(put::Put),
    Get(get::Get),
    /// Show what an object is; without a name what the bucket is
    #[command(
        after_help = "Examples:\n  swarm bus object info swarm-files images/kernel\n  swarm bus object info swarm-files"
    )]
    Info {
        /// The bucket
        bucket: String,
        /// The object's name
        name: Option<String>,
    },
    /// Delete an object
    #[command(after_help = "Example:\n  swarm bus object del swarm-files images/kernel")]
    Del {
        /// The bucket
        bucket: String,
        /// The object's name
        name: String,
    },
    Sweep(sweep::Sweep),
    /// Make a bucket, or change its limits; on a hub
    #[command(after_help = "Example:\n  swarm bus object add backups --max-bytes 4GiB --ttl 30d")]
    Add {
        /// The bucket: letters, digits, - and _
        bucket: String,
        /// How old an object may become
        #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
        ttl: Option<Duration>,
        /// How much it may hold
        #[arg(long, value_name = "SIZE")]
        max_bytes: Option<Size>,
        /// Keep it in memory: it is gone with the server
        #[arg(long)]
        memory: bool,
    },
    /// Delete a bucket with all that it holds; on a hub
    #[command(after_help = "Example:\n  swarm bus object rm backups --yes")]
    Rm {
        /// The bucket
        bucket: String,
        /// Do it; without this nothing is deleted
        #[arg(long)]
        yes: bool,
    },
}

impl Object {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        match self.command {
            Command::Ls { bucket: None } => {
                bucket::list(client, &KIND, &FILES_BUCKET, output).await
            }
            Command::Ls {
                bucket: Some(bucket),
            } => list(&open(client, &bucket).await?, output).await,
            Command::Put(put) => put.run(client, output).await,
            Command::Get(get) => get.run(client, output).await,
            Command::Info { bucket, name: None } => {
                bucket::info(client, &KIND, &kv::name(&bucket)?, output).await
            }
            Command::Info {
                bucket,
                name: Some(name),
            } => {
                let name = object_name(&name)?;
                let store = open(client, &bucket).await?;
                let info = store.info(&name).await.map_err(ObjectError::into_failure)?;
                let shown = Shown::new(&info);
                output.show(&shown, || shown.text())
            }
            Command::Del { bucket, name } => {
                let name = object_name(&name)?;
                delete(&open(client, &bucket).await?, &name, output).await
            }
            Command::Sweep(sweep) => sweep.run(client, output).await,
            Command::Add {
                bucket,
                ttl,
                max_bytes,
                memory,
            } => add(client, &bucket, ttl, max_bytes, memory, output).await,
            Command::Rm { bucket, yes } => {
                bucket::remove(client, &KIND, &kv::name(&bucket)?, yes, output).await
            }
        }
    }
}

/// Opens a bucket that exists.
async fn open(client: &Client, bucket: &str) -> Result<ObjectStore, Failure> {
    let bucket = kv::name(bucket)?;
    let opened = client.object_store(&bucket).await;
    opened.map_err(|error| match error {
        ObjectError::Stream(error) => KIND.unreadable(&bucket, error),
        error => error.into_failure(),
    })
}

fn object_name(text: &str) -> Result<ObjectName, Failure> {
    ObjectName::parse(text)
        .map_err(|error| Failure::input(format!("that is no name of an object: {}", chain(&error))))
}

async fn list(store: &ObjectStore, output: Output) -> Result<(), Failure> {
    let listed = store.list().await.map_err(ObjectError::into_failure)?;
    let lines: Vec<_> = listed.iter().map(Line::new).collect();
    output.show(&lines, || {
        if lines.is_empty() {
            return format!("{} has no objects", store.name());
        }
        let rows: Vec<_> = lines.iter().map(Line::row).collect();
        table(&["name", "size", "modified", "sha256"], &rows)
    })
}

async fn delete(store: &ObjectStore, name: &ObjectName, output: Output) -> Result<(), Failure> {
    match store
        .delete(name)
        .await
        .map_err(ObjectError::into_failure)?
    {
        true => output.show(
            &json!({ "bucket": store.name(), "name": name.as_str() }),
            || format!("{name} is deleted from {}", store.name()),
        ),
        false => Err(ObjectError::NotFound { name: name.clone() }.into_failure()),
    }
}

async fn add(
    client: &Client,
    bucket: &str,
    ttl: Option<Duration>,
    max_bytes: Option<Size>,
    memory: bool,
    output: Output,
) -> Result<(), Failure> {
    let bucket = kv::name(bucket)?;
    if bucket == FILES_BUCKET {
        return Err(Failure::input(format!("{bucket} is the mesh's own bucket"))
            .hint("a hub makes it when it starts: swarm up, there"));
    }
    let mut config = ObjectStoreConfig::new(bucket.clone())
        .map_err(|error| Failure::input(error.to_string()))?;
    config.max_age = ttl;
    config.max_bytes = max_bytes.map(Size::bytes);
    if memory {
        config.storage = Storage::Memory;
    }
    let ensured = client
        .ensure_object_store(&config)
        .await
        .map_err(|error| match error {
            ObjectError::Stream(error) => error.into_failure(),
            error => error.into_failure(),
        })?;
    kv::made(&bucket, ensured, output)
}
