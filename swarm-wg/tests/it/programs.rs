//! Programs of the machine: found, run, waited for.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long any single step may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Says that a test is skipped; where nothing may be, it fails.
pub(crate) fn skip<T>(test: &str, reason: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{test}: {reason}");
    eprintln!("SKIPPED: {test}: {reason}");
    None
}

/// Finds a program on the path, among the tools of the workspace, or those that cargo installed.
pub(crate) fn find_tool(name: &str) -> Option<PathBuf> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = [
        "/usr/sbin".into(),
        "/sbin".into(),
        "/usr/bin".into(),
        workspace.into(),
    ];
    let installed = std::env::home_dir().map(|home| home.join(".cargo/bin"));
    std::env::split_paths(&path)
        .chain(system)
        .chain(installed)
        .map(|dir: PathBuf| dir.join(name))
        .find(|file| file.is_file())
}

/// Runs a program that must succeed; returns what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let path = find_tool(program).unwrap_or_else(|| panic!("no {program}"));
    let child = Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let output = wait(child, PATIENCE);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for a program, and ends it when that takes too long.
pub(crate) fn wait(mut child: Child, patience: Duration) -> Output {
    until(patience, || {
        child
            .try_wait()
            .expect("a child can be waited for")
            .is_some()
    });
    let _ = child.kill();
    child.wait_with_output().expect("a child can be waited for")
}

/// Waits until something is true; says whether it became so in time.
#[allow(clippy::disallowed_methods, reason = "these tests run in real time")]
pub(crate) fn until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < patience {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    done()
}
