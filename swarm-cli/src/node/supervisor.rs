//! One child process kept alive: started, watched, started again, told to reload, stopped.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::http;

/// Pause before the first new start; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A child that ran this long was healthy: its next start is prompt again.
const STEADY: Duration = Duration::from_secs(30);
/// How long a child may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// A log larger than this is moved aside before the next start, in bytes.
const LOG_LIMIT: u64 = 16 << 20;

/// What to run and how to know that it is well.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The name in logs, status and metrics.
    pub(crate) name: &'static str,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Where its output goes.
    pub(crate) log: PathBuf,
    /// A loopback address and path that answers 2xx when it is ready.
    pub(crate) health: (SocketAddr, &'static str),
}

/// What is known of a child.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The process, while there is one.
    pub(crate) pid: Option<u32>,
    /// Whether it answered its health check since it was started.
    pub(crate) ready: bool,
    /// How often it was started again.
    pub(crate) restarts: u64,
    /// How it ended the last time.
    pub(crate) last_exit: Option<String>,
}

/// A supervised child; it ends with the runtime at the latest.
#[derive(Debug)]
pub(crate) struct Supervised {
    name: &'static str,
    condition: watch::Receiver<Condition>,
    stop: watch::Sender<bool>,
}

impl Supervised {
    /// Starts the program and keeps it alive.
    pub(crate) fn start(program: Program) -> Self {
        let (report, condition) = watch::channel(Condition::default());
        let (stop, stopped) = watch::channel(false);
        let name = program.name;
        tokio::spawn(supervise(program, report, stopped));
        Self {
            name,
            condition,
            stop,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn condition(&self) -> Condition {
        self.condition.borrow().clone()
    }

    /// Waits until the child answers its health check.
    ///
    /// # Errors
    ///
    /// How the child last ended, when it is not ready in time.
    pub(crate) async fn ready(&self, limit: Duration) -> Result<(), String> {
        let mut condition = self.condition.clone();
        let ready = condition.wait_for(|condition| condition.ready);
        match tokio::time::timeout(limit, ready).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(self
                .condition()
                .last_exit
                .unwrap_or_else(|| "it does not answer".to_owned())),
        }
    }

    /// Sends SIGHUP, upon which the program reads its configuration again; nothing when it is down, for it
    /// reads it at its start.
    pub(crate) fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Ends the program, which starts again at once, and reads everything anew.
    pub(crate) fn restart(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .condition
            .borrow()
            .pid
            .and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            // it may have ended this instant; then its next start reads the configuration
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends the child, gently at first, and waits for it.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        // the supervisor drops its end of the condition when the child is gone
        let mut condition = self.condition.clone();
        while condition.changed().await.is_ok() {}
    }
}

async fn supervise(
    program: Program,
    report: watch::Sender<Condition>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let ended = match spawn(&program) {
            Ok(child) => {
                report.send_modify(|condition| condition.pid = child.id());
                match watch_over(child, &program, &report, &mut stopped).await {
                    Some(ended) => ended,
                    None => break,
                }
            }
            Err(error) => format!("cannot start {}: {error}", program.command[0]),
        };
        tracing::warn!(service = program.name, log = %program.log.display(), "{ended}; starting it again");
        report.send_modify(|condition| {
            condition.pid = None;
            condition.ready = false;
            condition.restarts += 1;
            condition.last_exit = Some(ended);
        });
        if started.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = stop_asked(&mut stopped) => break,
        }
    }
    report.send_modify(|condition| {
        condition.pid = None;
        condition.ready = false;
    });
}

/// Waits for the child to end and says how; `None` once it was stopped on purpose.
async fn watch_over(
    mut child: Child,
    program: &Program,
    report: &watch::Sender<Condition>,
    stopped: &mut watch::Receiver<bool>,
) -> Option<String> {
    let mut probe = Box::pin(until_healthy(program.health));
    let mut ready = false;
    loop {
        tokio::select! {
            () = &mut probe, if !ready => {
                ready = true;
                report.send_modify(|condition| condition.ready = true);
            }
            status = child.wait() => {
                return Some(match status {
                    Ok(status) => format!("{} ended with {status}", program.name),
                    Err(error) => format!("{} cannot be awaited: {error}", program.name),
                });
            }
            () = stop_asked(stopped) => {
                terminate(&mut child, program.name).await;
                return None;
            }
        }
    }
}

/// Waits until the program is to end; so does the loss of whoever could ask.
async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
}

async fn terminate(child: &mut Child, name: &str) {
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        // when it has ended already there is nothing to ask
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        tracing::warn!(service = name, "does not end by itself; killing it");
        if let Err(error) = child.kill().await {
            tracing::warn!(service = name, %error, "cannot kill it");
        }
    }
}

async fn until_healthy((address, path): (SocketAddr, &'static str)) {
    while http::get(address, path).await.is_err() {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

fn spawn(program: &Program) -> std::io::Result<Child> {
    let log = open_log(&program.log)?;
    // the child must not outlive this process, not even when it is killed: nobody would reload it, and its
    // ports would be taken at the next start
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(&program.command)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
}

fn open_log(path: &Path) -> std::io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    if std::fs::metadata(path).is_ok_and(|log| log.len() > LOG_LIMIT) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}
