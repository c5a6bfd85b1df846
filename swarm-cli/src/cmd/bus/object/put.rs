//! `swarm bus object put`.

use std::path::PathBuf;
use std::time::Duration;

use swarm_bus::client::Client;
use swarm_bus::object::{ObjectError, UploadId};
use tokio::io::AsyncRead;

use super::progress::Progress;
use super::show::Shown;
use super::{object_name, open};
use crate::cmd::bus::advice::Advise as _;
use crate::cmd::bus::size::size;
use crate::report::{Failure, Output, chain};

/// How long what is left of an upload is tidied away.
const TIDY: Duration = Duration::from_secs(5);

/// Store a file as an object, in place of what its name stands for
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  swarm bus object put swarm-files kernel.img --name images/kernel\n  \
    tar c /etc | swarm bus object put swarm-files - --name backups/etc.tar"
)]
pub(super) struct Put {
    /// The bucket
    bucket: String,
    /// The file; - reads standard input
    file: PathBuf,
    /// The object's name, in place of the file's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What people should know of it
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Go on with an upload that was interrupted, by the id that it said then
    #[arg(long, value_name = "UPLOAD")]
    resume: Option<UploadId>,
    /// How long nothing may move before it is given up
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    patience: Duration,
}

impl Put {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let from_input = self.file.as_os_str() == "-";
        let name = match (&self.name, from_input) {
            (Some(name), _) => object_name(name)?,
            (None, true) => {
                return Err(Failure::input("what comes from standard input has no name")
                    .hint("give it one: --name NAME"));
            }
            (None, false) => {
                object_name(&self.file.file_name().unwrap_or_default().to_string_lossy())?
            }
        };
        let mut total = None;
        let mut source: Box<dyn AsyncRead + Unpin> = match from_input {
            true => Box::new(tokio::io::stdin()),
            false => {
                let (file, length) = self.open().await?;
                total = Some(length);
                Box::new(file)
            }
        };
        let store = open(client, &self.bucket).await?;
        let upload = match &self.resume {
            None => store.upload(&name),
            Some(id) => store.resume_upload(&name, id.clone()),
        };
        let id = upload.id().clone();
        let interrupted = crate::cmd::bus::until::interrupted()?;
        let mut progress = Progress::new(output, total);
        let sent = std::sync::atomic::AtomicU64::new(0);
        let ended = {
            let mut upload = upload
                .description(&self.description)
                .patience(self.patience)
                .on_progress(|done| {
                    sent.store(done.bytes, std::sync::atomic::Ordering::Relaxed);
                    progress.at(done.bytes, None);
                });
            tokio::select! {
                ended = upload.send(&mut source) => Some(ended),
                () = interrupted => None,
            }
        };
        progress.clear();
        let stored = size(sent.into_inner());
        let again = || {
            format!(
                "go on: swarm bus object put {} {} --name '{name}' --resume {id}",
                self.bucket,
                self.file.display(),
            )
        };
        let failure = match ended {
            Some(Ok(info)) => {
                let shown = Shown::new(&info);
                // the last one of the lines that a program reads
                return output.item(&shown, || {
                    format!("{} has {name}\n{}", self.bucket, shown.text())
                });
            }
            None => {
                return Err(
                    Failure::failed(format!("interrupted; {stored} are stored")).hint(again())
                );
            }
            Some(Err(error @ ObjectError::Interrupted { .. })) => {
                let failure = Failure::failed(format!("{}; {stored} are stored", chain(&error)));
                return Err(failure.hint(again()));
            }
            Some(Err(error @ ObjectError::LeftOver { .. })) => return Err(error.into_failure()),
            Some(Err(error)) => error.into_failure(),
        };
        // what was begun here and cannot be gone on with is no use; what came from before may be
        if self.resume.is_none() {
            let tidied = tokio::time::timeout(TIDY, store.abandon(&id)).await;
            if !matches!(tidied, Ok(Ok(()))) {
                tracing::info!(upload = %id, "what was stored of the upload is still there");
            }
        }
        Err(failure)
    }

    async fn open(&self) -> Result<(tokio::fs::File, u64), Failure> {
        let fail = |error: std::io::Error| {
            Failure::input(format!("cannot read {}: {error}", self.file.display()))
        };
        let file = tokio::fs::File::open(&self.file).await.map_err(fail)?;
        let metadata = file.metadata().await.map_err(fail)?;
        if metadata.is_dir() {
            return Err(
                Failure::input(format!("{} is a directory", self.file.display())).hint(format!(
                    "pack it: tar c {} | swarm bus object put {} - --name NAME.tar",
                    self.file.display(),
                    self.bucket
                )),
            );
        }
        Ok((file, metadata.len()))
    }
}
