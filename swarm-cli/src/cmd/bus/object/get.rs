//! `swarm bus object get`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use swarm_bus::client::Client;
use swarm_bus::object::{Checkpoint, Download, ObjectError, ObjectInfo, ObjectName, ObjectStore};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::progress::Progress;
use super::show::Shown;
use super::{object_name, open};
use crate::cmd::bus::advice::Advise as _;
use crate::cmd::bus::size::size;
use crate::report::{Failure, Output, chain, warn};

/// After how many bytes it is noted how far it came, for what cannot be noted at the end: a kill.
const NOTE: u64 = 8 << 20;

/// Read an object into a file; what was interrupted before goes on where it stopped
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  swarm bus object get swarm-files images/kernel -o kernel.img\n  \
    swarm bus object get swarm-files backups/etc.tar -o - | tar t"
)]
pub(super) struct Get {
    /// The bucket
    bucket: String,
    /// The object's name
    name: String,
    /// The file, in place of the last part of the object's name; - writes standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    /// How long nothing may move before it is given up
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    patience: Duration,
}

/// What is there of a download: the bytes so far, and up to where they count.
struct Part {
    data: PathBuf,
    place: PathBuf,
}

impl Get {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let name = object_name(&self.name)?;
        let target = self.target(&name)?;
        if target.is_none() && output.is_json() {
            return Err(
                Failure::input("what -o - prints is the object, and no JSON")
                    .hint("leave --json out, or say which file: -o FILE"),
            );
        }
        let interrupted = crate::cmd::bus::until::interrupted()?;
        let store = open(client, &self.bucket).await?;
        let Some(target) = target else {
            return self.print(&store, &name, interrupted).await;
        };
        let part = Part::of(&target);
        let mut progress = Progress::new(output, None);
        let latest = Mutex::new(Latest::default());
        let mut download = store
            .download(&name)
            .patience(self.patience)
            .on_progress(|received| {
                progress.at(received.bytes, Some(received.total));
                let mut latest = lock(&latest);
                if let Some(note) = latest.take(&received.checkpoint) {
                    // without the note a kill costs the way back to the one before
                    let _ = part.note(&note);
                }
            });
        let mut file = part.open(&mut download).await?;
        let ended = tokio::select! {
            ended = download.receive(&mut file) => Some(ended),
            () = interrupted => None,
        };
        drop(download);
        progress.clear();
        let flushed = match file.flush().await {
            Ok(()) => file.sync_all().await,
            Err(error) => Err(error),
        };
        let failure = match ended {
            Some(Ok(info)) => {
                flushed.map_err(|error| cannot("write", &part.data, &error))?;
                return self.finish(&part, &target, &info, output);
            }
            None => Failure::failed("interrupted"),
            Some(Err(error @ ObjectError::Interrupted { .. })) => Failure::failed(chain(&error)),
            Some(Err(error)) => {
                part.remove();
                return Err(error.into_failure());
            }
        };
        let latest = lock(&latest).last.clone();
        match latest.filter(|_| flushed.is_ok()) {
            Some(checkpoint) if part.note(&checkpoint).is_ok() => Err(Failure::failed(format!(
                "{failure}; {} are here",
                size(checkpoint.bytes())
            ))
            .hint("the same command goes on there")),
            _ => Err(failure),
        }
    }

    /// Where to; `None` is standard output.
    fn target(&self, name: &ObjectName) -> Result<Option<PathBuf>, Failure> {
        let target = match &self.output {
            Some(path) if path.as_os_str() == "-" => return Ok(None),
            Some(path) => path.clone(),
            // never outside of the directory where one is, whatever the object is called
            None => match name.as_str().rsplit('/').next() {
                Some(last) if !matches!(last, "" | "." | "..") => PathBuf::from(last),
                _ => {
                    return Err(Failure::input(format!("{name} is no name for a file"))
                        .hint("say where to: -o FILE"));
                }
            },
        };
        if target.is_dir() {
            return Err(
                Failure::input(format!("{} is a directory", target.display()))
                    .hint("say which file: -o FILE"),
            );
        }
        // in the place of a device or a socket there would be a file afterwards
        if target.exists() && !target.is_file() {
            return Err(
                Failure::input(format!("{} is no regular file", target.display()))
                    .hint("say which file: -o FILE; to print it: -o -"),
            );
        }
        if target.exists() && !self.force {
            return Err(
                Failure::input(format!("{} is there already", target.display()))
                    .hint("replace it: --force; or another one: -o FILE"),
            );
        }
        Ok(Some(target))
    }

    async fn print(
        &self,
        store: &ObjectStore,
        name: &ObjectName,
        interrupted: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let mut download = store.download(name).patience(self.patience);
        let ended = tokio::select! {
            ended = download.receive(tokio::io::stdout()) => ended,
            () = interrupted => return Err(Failure::failed("interrupted")),
        };
        match ended {
            Ok(_) => Ok(()),
            Err(ObjectError::Sink(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                Ok(())
            }
            Err(error) => Err(error.into_failure()),
        }
    }

    fn finish(
        &self,
        part: &Part,
        target: &Path,
        info: &ObjectInfo,
        output: Output,
    ) -> Result<(), Failure> {
        std::fs::rename(&part.data, target).map_err(|error| cannot("write", target, &error))?;
        part.remove();
        let shown = Shown::new(info);
        output.item(&shown, || {
            format!("{} is written\n{}", target.display(), shown.text())
        })
    }
}

/// The checkpoints of a download as they come.
#[derive(Default)]
struct Latest {
    last: Option<Checkpoint>,
    noted: u64,
}

impl Latest {
    /// Takes one; returns the one before where it is time to note it: what it counts has been
    /// handed to the file, and the next write waited for it.
    fn take(&mut self, checkpoint: &Checkpoint) -> Option<Checkpoint> {
        let before = self.last.replace(checkpoint.clone())?;
        let due = before.bytes() >= self.noted + NOTE;
        due.then(|| {
            self.noted = before.bytes();
            before
        })
    }
}

impl Part {
    fn of(target: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self {
            data: beside(".part"),
            place: beside(".part.json"),
        }
    }

    /// Opens the file, behind what counts of a download of before.
    async fn open(&self, download: &mut Download<'_>) -> Result<File, Failure> {
        let fail = |error: &std::io::Error| cannot("write", &self.data, error);
        let checkpoint = std::fs::read(&self.place)
            .ok()
            .and_then(|json| serde_json::from_slice::<Checkpoint>(&json).ok());
        let mut options = File::options();
        options.create(true).read(true).write(true).truncate(false);
        let mut file = options
            .open(&self.data)
            .await
            .map_err(|error| fail(&error))?;
        if let Some(checkpoint) = checkpoint {
            let bytes = checkpoint.bytes();
            match download.resume(checkpoint, &mut file).await {
                Ok(()) => {
                    file.set_len(bytes).await.map_err(|error| fail(&error))?;
                    file.seek(std::io::SeekFrom::Start(bytes))
                        .await
                        .map_err(|error| fail(&error))?;
                    return Ok(file);
                }
                Err(error @ (ObjectError::Replaced { .. } | ObjectError::PartChanged { .. })) => {
                    warn(&format!("from the beginning: {}", chain(&error)));
                }
                Err(error) => return Err(error.into_failure()),
            }
        }
        file.set_len(0).await.map_err(|error| fail(&error))?;
        file.rewind().await.map_err(|error| fail(&error))?;
        Ok(file)
    }

    /// Writes how far it came, at once or not at all.
    fn note(&self, checkpoint: &Checkpoint) -> std::io::Result<()> {
        let json = serde_json::to_vec(checkpoint).map_err(std::io::Error::other)?;
        let fresh = self.place.with_extension("json.new");
        std::fs::write(&fresh, json)?;
        std::fs::rename(fresh, &self.place)
    }

    /// Removes what is there; that there is nothing is fine.
    fn remove(&self) {
        for path in [&self.data, &self.place] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::info!(path = %path.display(), %error, "what is left of the download stays");
                }
                _ => {}
            }
        }
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::environment(format!("cannot {what} {}: {error}", path.display()))
}

fn lock(latest: &Mutex<Latest>) -> std::sync::MutexGuard<'_, Latest> {
    latest
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
