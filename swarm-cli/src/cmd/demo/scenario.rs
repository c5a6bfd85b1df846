//! The order of events, and what the steps share: machines, their directories, their daemons.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use swarm::Status;
use tokio::process::{Child, Command};

use crate::report::Failure;

use super::lab::Lab;
use super::machine::Machine;
use super::record::Record;
use super::steps;

/// The machines, and where each stands on the simulated internet.
pub(super) const HUB: (&str, Ipv4Addr) = ("command0", Ipv4Addr::new(203, 0, 113, 10));
pub(super) const EDGE1: (&str, Ipv4Addr) = ("edge1", Ipv4Addr::new(198, 51, 100, 18));
pub(super) const EDGE2: (&str, Ipv4Addr) = ("edge2", Ipv4Addr::new(198, 51, 100, 34));
pub(super) const EDGE3: (&str, Ipv4Addr) = ("edge3", Ipv4Addr::new(198, 51, 100, 50));

/// A running demo.
pub(super) struct Scenario {
    out: PathBuf,
    program: PathBuf,
    lab: Lab,
    machines: BTreeMap<&'static str, Machine>,
    daemons: BTreeMap<&'static str, Child>,
    pub(super) began: Instant,
}

impl Scenario {
    /// Makes the internet, and clears away what a former demo left in `out`.
    pub(super) async fn new(out: PathBuf) -> Result<Self, Failure> {
        let fail = |error: std::io::Error| {
            Failure::environment(format!("cannot prepare {}: {error}", out.display()))
        };
        let machines = out.join("machines");
        match std::fs::remove_dir_all(&machines) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            _ => std::fs::create_dir_all(&machines).map_err(fail)?,
        }
        let program = std::env::current_exe().map_err(fail)?;
        let bin = out.join("bin");
        std::fs::create_dir_all(&bin).map_err(fail)?;
        let link = bin.join("swarm");
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link).map_err(fail)?;
        }
        std::os::unix::fs::symlink(&program, &link).map_err(fail)?;
        let lab = Lab::new().await?;
        Ok(Self {
            out,
            program,
            lab,
            machines: BTreeMap::new(),
            daemons: BTreeMap::new(),
            began: Instant::now(),
        })
    }

    /// Plays every step in order; each needs what those before it made.
    pub(super) async fn play(&mut self, record: &mut Record) -> Result<(), Failure> {
        self.began = Instant::now();
        steps::enrol::play(self, record).await?;
        steps::tunnels::play(self, record).await?;
        steps::tls::play(self, record).await?;
        steps::bus::play(self, record).await?;
        steps::state::play(self, record).await?;
        steps::rooms::play(self, record).await?;
        steps::health::play(self, record).await?;
        steps::growth::play(self, record).await?;
        steps::revocation::play(self, record).await?;
        steps::rotation::play(self, record).await?;
        steps::rollover::play(self, record).await?;
        steps::outage::play(self, record).await?;
        steps::isolation::play(self, record).await
    }

    pub(super) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Boots a machine and connects it to the internet.
    pub(super) async fn boot(
        &mut self,
        (name, address): (&'static str, Ipv4Addr),
    ) -> Result<(), Failure> {
        let machine = self.lab.add_machine(name, address).await?;
        let path = self.out.join("machines").join(format!("{name}.pid"));
        std::fs::write(&path, format!("{}\n", machine.pid())).map_err(|error| {
            Failure::environment(format!("cannot write {}: {error}", path.display()))
        })?;
        self.machines.insert(name, machine);
        Ok(())
    }

    /// A machine that was booted.
    ///
    /// # Panics
    ///
    /// When it was not.
    pub(super) fn machine(&self, name: &str) -> &Machine {
        self.machines
            .get(name)
            .expect("steps use only machines that were booted")
    }

    /// A machine's swarm directory.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        self.out.join("machines").join(name)
    }

    /// The `swarm` command on a machine, to which arguments can be added.
    pub(super) fn swarm(&self, name: &str) -> Command {
        self.swarm_at(name, &self.directory(name))
    }

    /// The `swarm` command on a machine, with another directory than its own.
    pub(super) fn swarm_at(&self, name: &str, directory: &Path) -> Command {
        let mut command = self.machine(name).command(&self.program);
        command.arg("--dir").arg(directory);
        command
    }

    /// Runs a `swarm` command on a machine to its end and returns what it printed.
    pub(super) async fn ask(&self, name: &str, arguments: &[&str]) -> Result<String, Failure> {
        let directory = self.directory(name);
        let directory = directory.to_str().expect("the directory was given as text");
        let all: Vec<_> = ["--dir", directory]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        self.machine(name).run(&self.program, &all).await
    }

    /// Runs a `swarm` command with `--json` and reads its answer.
    pub(super) async fn ask_json<T: DeserializeOwned>(
        &self,
        name: &str,
        arguments: &[&str],
    ) -> Result<T, Failure> {
        let all: Vec<_> = ["--json"].iter().chain(arguments).copied().collect();
        let text = self.ask(name, &all).await?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::failed(format!(
                "`swarm {}` on {name} printed no such JSON: {error}: {text}",
                arguments.join(" ")
            ))
        })
    }

    /// Starts `swarm up` on a machine.
    pub(super) fn start(&mut self, name: &'static str) -> Result<(), Failure> {
        let path = self.out.join("machines").join(format!("{name}.log"));
        let fail = |error: std::io::Error| {
            Failure::environment(format!("cannot start swarm up on {name}: {error}"))
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(fail)?;
        let daemon = self
            .swarm(name)
            .args(["-v", "up"])
            .stdout(Stdio::from(log.try_clone().map_err(fail)?))
            .stderr(Stdio::from(log))
            .spawn()
            .map_err(fail)?;
        self.daemons.insert(name, daemon);
        Ok(())
    }

    /// Kills a machine's daemon as a power cut would.
    pub(super) async fn kill(&mut self, name: &str) -> Result<(), Failure> {
        let Some(mut daemon) = self.daemons.remove(name) else {
            return Err(Failure::failed(format!("no daemon runs on {name}")));
        };
        daemon
            .kill()
            .await
            .map_err(|error| Failure::failed(format!("cannot kill the daemon of {name}: {error}")))
    }

    /// The daemon's process on a machine.
    pub(super) fn daemon_pid(&self, name: &str) -> Option<u32> {
        self.daemons.get(name).and_then(Child::id)
    }

    /// What a machine's daemon says of itself.
    pub(super) async fn status(&self, name: &str) -> Result<Status, Failure> {
        let layout = swarm::Layout::new(self.directory(name))?;
        let control = layout.node(&steps::id(name)).control_socket();
        swarm::control::status(&control).await.map_err(|error| {
            Failure::failed(format!(
                "no status of {name}: {}",
                crate::report::chain(&error)
            ))
        })
    }

    /// Waits until a machine's status is as wished.
    pub(super) async fn until_status(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        wished: impl Fn(&Status) -> bool,
    ) -> Result<Status, Failure> {
        let start = Instant::now();
        let mut last = None;
        while start.elapsed() < limit {
            match self.status(name).await {
                Ok(status) if wished(&status) => return Ok(status),
                Ok(status) => last = Some(format!("{:?}", status.problems)),
                Err(failure) => last = Some(failure.to_string()),
            }
            if self.has_ended(name) {
                return Err(Failure::failed(format!(
                    "the daemon of {name} ended: {}",
                    self.last_words(name)
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Failure::failed(format!(
            "{name}: {what} did not come about in {limit:?}; last seen: {}; its log: {}",
            last.unwrap_or_default(),
            self.out
                .join("machines")
                .join(format!("{name}.log"))
                .display(),
        )))
    }

    /// Whether a daemon that was started has ended by itself.
    fn has_ended(&self, name: &str) -> bool {
        // its parent has not awaited it, so it stays as a zombie
        let state = self
            .daemon_pid(name)
            .map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")));
        matches!(state, Some(Ok(stat)) if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
    }

    /// The last lines of a daemon's log.
    fn last_words(&self, name: &str) -> String {
        let log = std::fs::read_to_string(self.out.join("machines").join(format!("{name}.log")))
            .unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(3)..].join("; ")
    }

    /// How a person looks around a demo that was kept.
    pub(super) fn tour(&self) -> String {
        let enter = self.out.join("enter");
        let enter = enter
            .strip_prefix(std::env::current_dir().unwrap_or_default())
            .unwrap_or(&enter)
            .display()
            .to_string();
        format!(
            "\nThe swarm goes on running until Ctrl-C. Look around from another terminal:\n\
             \x20 {enter} edge1 swarm status\n\
             \x20 {enter} command0 wg show\n\
             \x20 {enter} command0 swarm bus sub 'swarm.>'\n\
             \x20 {enter} edge1 swarm bus kv watch swarm-state\n\
             \x20 {enter} edge1 swarm bus object ls swarm-files\n\
             \x20 {enter} edge1 swarm room show '#ops'\n\
             \x20 {enter} edge1 ping -c 3 10.77.0.1\n\
             logs: {}",
            self.out.join("machines").display(),
        )
    }

    /// Ends every daemon gently; whatever is left ends with this process.
    pub(super) async fn end(&mut self) {
        for daemon in self.daemons.values() {
            if let Some(pid) = daemon
                .id()
                .and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()))
            {
                // it may have ended by itself
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for daemon in self.daemons.values_mut() {
            // what does not end in time ends with the world
            let _ = tokio::time::timeout(Duration::from_secs(10), daemon.wait()).await;
        }
    }
}

/// Reads a whole file of a machine.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))
}
