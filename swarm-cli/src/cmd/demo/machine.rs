//! One simulated machine: a network, mount and host name of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::Pin;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::report::Failure;

type Task = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// How long any one command in a machine may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// A machine, alive as long as this value.
pub(super) struct Machine {
    name: &'static str,
    holder: Child,
    tasks: mpsc::UnboundedSender<Task>,
}

impl Machine {
    /// Boots a machine that has no network yet but its loopback.
    pub(super) async fn boot(name: &'static str) -> Result<Self, Failure> {
        // /run is the machine's own, so that control sockets of two machines never meet; /etc/hosts has the
        // machine's name, as the installer of a real one writes it, or programs would ask a DNS server for it
        let script = format!(
            "mount -t tmpfs tmpfs /run && hostname {name} && ip link set lo up \
             && printf '127.0.0.1 localhost\\n127.0.1.1 {name}\\n::1 localhost\\n' > /run/hosts \
             && mount --bind /run/hosts /etc/hosts && echo ready && exec sleep infinity"
        );
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::environment(format!("cannot boot {name}: {error}")))?;
        let mut ready = [0; 6];
        let mut output = holder.stdout.take().expect("the output was asked for");
        tokio::io::AsyncReadExt::read_exact(&mut output, &mut ready)
            .await
            .map_err(|error| Failure::environment(format!("cannot boot {name}: {error}")))?;
        let pid = holder.id().expect("the holder was not awaited");
        let network = File::open(format!("/proc/{pid}/ns/net"))
            .map_err(|error| Failure::environment(format!("cannot enter {name}: {error}")))?;
        Ok(Self {
            name,
            holder,
            tasks: start_thread(name, network),
        })
    }

    /// The process that holds the namespaces, for `nsenter --target`.
    pub(super) fn pid(&self) -> u32 {
        self.holder
            .id()
            .expect("the holder lives as long as the machine")
    }

    /// A command that will run in this machine; the working directory is `/`.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "--target",
                &self.pid().to_string(),
                "--net",
                "--mount",
                "--uts",
                "--",
            ])
            .arg(program)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end, within a minute, whatever its exit status.
    pub(super) async fn output(
        &self,
        program: impl AsRef<OsStr>,
        arguments: &[&str],
    ) -> Result<Output, Failure> {
        let program = program.as_ref();
        let run = self.command(program).args(arguments).output();
        let shown = || format!("{} on {}", Path::new(program).display(), self.name);
        tokio::time::timeout(COMMAND_LIMIT, run)
            .await
            .map_err(|_| {
                Failure::environment(format!("{} did not end in {COMMAND_LIMIT:?}", shown()))
            })?
            .map_err(|error| Failure::environment(format!("cannot run {}: {error}", shown())))
    }

    /// Runs a command that must succeed and returns what it printed.
    pub(super) async fn run(
        &self,
        program: impl AsRef<OsStr>,
        arguments: &[&str],
    ) -> Result<String, Failure> {
        let program = program.as_ref();
        let output = self.output(program, arguments).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Failure::failed(format!(
            "`{} {}` on {}: {}",
            Path::new(program).file_name().unwrap_or(program).display(),
            arguments.join(" "),
            self.name,
            String::from_utf8_lossy(&output.stderr).trim(),
        )))
    }

    /// Runs a future as a program on this machine would: every socket it opens is in its network.
    pub(super) async fn inside<T, F>(&self, make: impl FnOnce() -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (done, result) = oneshot::channel();
        let task: Task = Box::new(move || {
            Box::pin(async move {
                // whoever asked may have gone away; then nobody wants the result
                let _ = done.send(make().await);
            })
        });
        assert!(
            self.tasks.send(task).is_ok(),
            "the machine's thread lives as long as the machine"
        );
        result
            .await
            .expect("the machine's thread runs every task to its end")
    }
}

/// Starts the thread that lives in the machine's network and runs what [`Machine::inside`] is given.
fn start_thread(name: &'static str, network: File) -> mpsc::UnboundedSender<Task> {
    let (tasks, mut queue) = mpsc::unbounded_channel::<Task>();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("a namespace that this process made can be entered");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made");
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                while let Some(task) = queue.recv().await {
                    tokio::task::spawn_local(task());
                }
            });
        })
        .expect("a thread can be started");
    tasks
}
