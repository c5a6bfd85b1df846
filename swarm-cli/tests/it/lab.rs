//! Two network namespaces joined by a cable, for what needs real interfaces.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{Ended, file};

/// How long any single step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long what has several steps may take.
const LONG: Duration = Duration::from_secs(60);

/// Two namespaces joined by a cable; they and the interfaces in them end with this value.
pub(crate) struct Lab {
    tag: String,
    pub(crate) directory: TempDir,
}

/// One end of the cable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side(pub(crate) u8);

pub(crate) const SIDES: [Side; 2] = [Side(1), Side(2)];

impl Lab {
    /// Makes a laboratory; `None`, said on stderr, where the machine does not allow it.
    pub(crate) fn new(test: &str, tools: &[&str]) -> Option<Self> {
        needs_root_and(test, tools)?;
        if !Path::new("/dev/net/tun").exists() {
            return skip(test, "needs /dev/net/tun");
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let lab = Self {
            tag: format!("{:x}{number:x}", std::process::id()),
            directory: tempfile::tempdir().unwrap(),
        };
        let [a, b] = SIDES.map(|side| lab.namespace(side));
        for namespace in [&a, &b] {
            run(Command::new("ip").args(["netns", "add", namespace])).success();
        }
        let cable = ["type", "veth", "peer", "name", "cable", "netns", &b];
        lab.ip(SIDES[0], &[&["link", "add", "cable"], &cable[..]].concat());
        for side in SIDES {
            let address = format!("192.0.2.{}/24", side.0);
            lab.ip(side, &["addr", "add", &address, "dev", "cable"]);
            lab.ip(side, &["link", "set", "cable", "up"]);
        }
        Some(lab)
    }

    fn namespace(&self, side: Side) -> String {
        format!("swcli-{}-{}", self.tag, side.0)
    }

    /// The configuration sockets of all namespaces share a directory, so the names differ.
    pub(crate) fn interface(&self, side: Side) -> String {
        format!("q{}{}", self.tag, side.0)
    }

    pub(crate) fn socket(&self, side: Side) -> PathBuf {
        format!("/var/run/wireguard/{}.sock", self.interface(side)).into()
    }

    pub(crate) fn ip(&self, side: Side, arguments: &[&str]) {
        let namespace = self.namespace(side);
        run(Command::new("ip").args(["-n", &namespace]).args(arguments)).success();
    }

    /// A command that runs in a side's namespace; wg-quick finds the program there under `name`.
    pub(crate) fn command(&self, side: Side, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(side), program])
            .args(arguments)
            .env("PATH", path(self.directory.path()));
        command
    }

    /// Runs something on a thread of its own in a side's network.
    pub(crate) fn inside<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> T {
        in_namespace(&self.namespace(side), work)
    }

    /// Makes the program callable by another name.
    pub(crate) fn link(&self, name: &str) {
        symlink(
            env!("CARGO_BIN_EXE_swarm"),
            self.directory.path().join(name),
        )
        .unwrap();
    }

    /// wg-quick as it is on a machine whose kernel has no WireGuard of its own.
    pub(crate) fn wg_quick(&self) -> String {
        let text = std::fs::read_to_string(find_tool("wg-quick").unwrap()).unwrap();
        let mut changed = text.clone();
        for (kernel, none) in [
            ("cmd ip link add \"$INTERFACE\" type wireguard", "false"),
            ("-e /sys/module/wireguard", "-e /nonexistent"),
        ] {
            assert!(text.contains(kernel), "wg-quick no longer says {kernel}");
            changed = changed.replace(kernel, none);
        }
        let script = file(self.directory.path(), "wg-quick", &changed);
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        script.to_str().unwrap().to_owned()
    }

    /// The processes that run the program for a side's interface.
    pub(crate) fn processes(&self, side: Side) -> Vec<String> {
        let interface = self.interface(side);
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
            .filter(|line| line.contains("\0wg\0") && line.contains(&interface))
            .collect()
    }

    pub(crate) fn assert_gone(&self, side: Side) {
        until("the process, the socket and the interface are gone", || {
            let interface = self.interface(side);
            let show = ["link", "show", &interface];
            self.processes(side).is_empty()
                && !self.socket(side).exists()
                && run(&mut self.command(side, "ip", &show)).code != Some(0)
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for side in SIDES {
            // a program that lost its interface ends
            let namespace = self.namespace(side);
            let interface = self.interface(side);
            for arguments in [
                &["-n", &namespace, "link", "del", &interface][..],
                &["netns", "del", &namespace],
            ] {
                let _ = Command::new("ip").args(arguments).output();
            }
        }
    }
}

/// `None`, said on stderr, where a test is not root's or lacks a program.
pub(crate) fn needs_root_and(test: &str, tools: &[&str]) -> Option<()> {
    if !rustix::process::geteuid().is_root() {
        return skip(test, "needs root");
    }
    match tools.iter().find(|tool| find_tool(tool).is_none()) {
        Some(tool) => skip(test, &format!("needs {tool}")),
        None => Some(()),
    }
}

/// Says that a test is skipped; where nothing may be, it fails.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn skip<T>(test: &str, reason: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{test}: {reason}");
    eprintln!("SKIPPED: {test}: {reason}");
    None
}

/// Where programs are: first here, then as usual, then among the tools of the workspace.
fn path(first: &Path) -> std::ffi::OsString {
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/bin");
    let all = std::iter::once(first.to_owned())
        .chain(std::env::split_paths(&usual))
        .chain(["/usr/sbin", "/sbin", tools].map(PathBuf::from));
    std::env::join_paths(all).unwrap()
}

pub(crate) fn find_tool(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&path(Path::new("/nonexistent")))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// Runs a command to its end. That its output ends too shows that nothing in the background holds on to it.
pub(crate) fn run(command: &mut Command) -> Ended {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    ended(child, command)
}

/// Waits for the end of what was started, and of its output.
pub(crate) fn ended(child: Child, what: impl std::fmt::Debug) -> Ended {
    let (send, receive) = std::sync::mpsc::channel::<std::io::Result<Output>>();
    std::thread::spawn(move || send.send(child.wait_with_output()));
    let output = receive.recv_timeout(PATIENCE);
    Ended::of(
        output
            .unwrap_or_else(|_| panic!("{what:?} does not end"))
            .unwrap(),
    )
}

/// Runs something on a thread of its own in a network namespace.
pub(crate) fn in_namespace<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let path = format!("/var/run/netns/{namespace}");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let namespace = std::fs::File::open(path).unwrap();
            let kind = rustix::thread::LinkNameSpaceType::Network;
            let namespace = std::os::fd::AsFd::as_fd(&namespace);
            rustix::thread::move_into_link_name_space(namespace, Some(kind)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// Waits for what comes by itself, also after several runs of the program.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LONG, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
