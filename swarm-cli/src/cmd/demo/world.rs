//! The demo's own world: namespaces that end with it.
//!
//! The demo runs itself again inside fresh mount, network and process namespaces (and a user namespace
//! where it is not root). When the process at the top ends, however it ends, the kernel takes every
//! process, interface and namespace below it along.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::report::Failure;

/// Set for the process that runs inside.
const INSIDE: &str = "SWARM_DEMO_INSIDE";

/// Whether this process is the one inside.
pub(super) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this very command line again inside namespaces of its own, and waits for it.
///
/// A script is left in `directory`, by which a person gets inside as well.
pub(super) fn enter(directory: &Path) -> Result<ExitStatus, Failure> {
    require_tun()?;
    require_programs()?;
    let flags = isolation()?;
    let program = std::env::current_exe().map_err(|error| {
        Failure::environment(format!("cannot find this program's own file: {error}"))
    })?;
    let mut world = Command::new("unshare")
        .args(&flags)
        .arg("--")
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .spawn()
        .map_err(|error| Failure::environment(format!("cannot run unshare: {error}")))?;
    // a person may interrupt the whole group; the demo inside tidies up, and this process waits for it
    let script = write_door(&mut world, directory, flags.contains(&"--user"));
    let status = world
        .wait()
        .map_err(|error| Failure::environment(format!("cannot wait for the demo: {error}")))?;
    script.map(|()| status)
}

/// Finds the flags with which this kernel lets this user make namespaces.
fn isolation() -> Result<Vec<&'static str>, Failure> {
    const BASE: [&str; 6] = [
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    let mut said = String::new();
    for extra in [&[][..], &["--user", "--map-root-user"][..]] {
        let flags: Vec<_> = BASE.iter().chain(extra).copied().collect();
        let output = Command::new("unshare")
            .args(&flags)
            .args(["--", "ip", "link", "set", "lo", "up"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                Failure::environment(format!("cannot run unshare: {error}"))
                    .hint("install util-linux (Debian: apt-get install util-linux iproute2)")
            })?;
        if output.status.success() {
            return Ok(flags);
        }
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    Err(Failure::environment(format!(
        "this kernel lets this user make no network namespaces: {said}"
    ))
    .hint(
        "run the demo as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1",
    ))
}

fn require_tun() -> Result<(), Failure> {
    match File::options().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::environment(format!(
            "cannot open /dev/net/tun, which tunnels need: {error}"
        ))
        .hint(
            "as root: modprobe tun; chmod 666 /dev/net/tun (in a container, pass the device in)",
        )),
    }
}

/// Every program that the demo runs, found before anything is made.
fn require_programs() -> Result<(), Failure> {
    const NEEDED: [(&str, &str); 10] = [
        ("hostname", "hostname"),
        ("ip", "iproute2"),
        ("ss", "iproute2"),
        ("nsenter", "util-linux"),
        ("setpriv", "util-linux"),
        ("ping", "iputils-ping"),
        ("wg", "wireguard-tools"),
        ("promtool", "prometheus"),
        ("nats-server", "nats-server"),
        ("synapse_homeserver", "matrix-synapse[jwt] of PyPI"),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    };
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(program, package)| format!("{program} ({package})"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(
        Failure::environment(format!("not in PATH: {}", missing.join(", ")))
            .hint("`make demo` provides them; elsewhere install the packages named"),
    )
}

/// Writes `enter`, which runs a command on one of the demo's machines.
fn write_door(world: &mut Child, directory: &Path, user: bool) -> Result<(), Failure> {
    let Some(inside) = first_child(world) else {
        // it ended at once, and says why itself
        return Ok(());
    };
    let namespaces = if user {
        "--user --preserve-credentials --pid --mount"
    } else {
        "--pid --mount"
    };
    let directory_shown = directory.display();
    let script = format!(
        "#!/bin/sh\n\
         # enter MACHINE COMMAND...: runs a command on a machine of the running demo\n\
         machine=${{1:?usage: enter MACHINE COMMAND...}}; shift\n\
         export SWARM_DIR={directory_shown}/machines/$machine PATH=\"$PATH:{directory_shown}/bin\"\n\
         read -r holder < {directory_shown}/machines/$machine.pid || exit 1\n\
         exec nsenter --target {inside} {namespaces} -- \\\n\
         \tnsenter --target \"$holder\" --net --mount --uts -- \"$@\"\n"
    );
    let path = directory.join("enter");
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(&path, script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
    };
    write()
        .map_err(|error| Failure::environment(format!("cannot write {}: {error}", path.display())))
}

/// The process that unshare forked, which is the first one inside.
fn first_child(parent: &mut Child) -> Option<u32> {
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    for _ in 0..100 {
        let found = std::fs::read_to_string(&children).ok()?;
        if let Some(first) = found.split_whitespace().next() {
            return first.parse().ok();
        }
        if !matches!(parent.try_wait(), Ok(None)) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}
