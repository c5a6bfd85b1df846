//! Finding and running the programs that read what is rendered.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use swarm_config::RenderedFile;

const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools");

/// Says that a test is skipped by hand; where nobody looks, that is a failure.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{test} cannot be skipped here: {reason}"
    );
    eprintln!("SKIPPED: {test}: {reason}");
}

/// A program on the path, or among the repository's own tools.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = ["bin", "venv/bin"].map(|directory| Path::new(TOOLS).join(directory));
    // System programs are not on everybody's path.
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(tools)
        .chain(system)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// A Python that has Synapse.
pub(crate) fn python_with_synapse() -> Option<PathBuf> {
    let named = std::env::var_os("SWARM_TEST_SYNAPSE_PYTHON").map(PathBuf::from);
    let own = Path::new(TOOLS).join("venv/bin/python3");
    let python = named.or_else(|| Some(own).filter(|file| file.is_file()))?;
    let found = Command::new(&python)
        .args(["-c", "import synapse, authlib"])
        .output()
        .ok()?;
    found.status.success().then_some(python)
}

pub(crate) fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// Runs a command that has to succeed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    text.into_owned()
}

/// Writes rendered files below a directory.
pub(crate) fn write(root: &Path, files: &[RenderedFile]) {
    for file in files {
        let path = root.join(file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.contents).unwrap();
    }
}

/// A running server, killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::File::create(log).unwrap();
        let command = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        Self {
            child: command.spawn().expect("the server starts"),
            log: log.to_owned(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until a health endpoint answers with 200.
    pub(crate) fn wait_healthy(&mut self, address: &str, path: &str) {
        for _ in 0..1800 {
            if http_get(address, path).is_some_and(|answer| answer.contains(" 200 ")) {
                return;
            }
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "it ended: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("not healthy after three minutes: {}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer to a plain GET, when there is one.
pub(crate) fn http_get(address: &str, path: &str) -> Option<String> {
    http(address, "GET", path, "")
}

/// The answer to a request in the clear, when there is one.
pub(crate) fn http(address: &str, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream =
        TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(2)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}");
    write!(stream, "{head}\r\n\r\n{body}").ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

/// Runs a test in a network namespace of its own, where the hub has its mesh address, every
/// port is free, and nothing outside can be reached. Gives false in the process that only
/// started it, or that had to skip it.
pub(crate) fn in_namespace(test: &str) -> bool {
    const INSIDE: &str = "SWARM_CONFIG_TEST_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        succeed(Command::new("ip").args(["link", "set", "lo", "up"]));
        succeed(Command::new("ip").args(["address", "add", "10.77.0.1/16", "dev", "lo"]));
        return true;
    }
    let (Some(unshare), Some(_)) = (find("unshare"), find("ip")) else {
        skip(test, "no unshare or ip");
        return false;
    };
    let namespace = [
        "--map-root-user",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
    ];
    if !run(Command::new(&unshare).args(namespace).arg("true"))
        .status
        .success()
    {
        skip(test, "no network namespaces");
        return false;
    }
    let this = std::env::current_exe().unwrap();
    let mut arguments: Vec<OsString> = namespace.iter().map(OsString::from).collect();
    arguments.extend([
        this.into(),
        test.into(),
        "--exact".into(),
        "--nocapture".into(),
    ]);
    let output = run(Command::new(unshare).args(arguments).env(INSIDE, "1"));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "in the namespace: {text}"
    );
    false
}
