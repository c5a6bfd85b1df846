//! Runs the program in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use swarm_pki::store::{Grant, Store};
use swarm_pki::{CertificateRequest, KeyAlgorithm, NodeId, PrivateKey, Timestamp};
use tempfile::TempDir;

/// A swarm's directory that ends with this value.
pub(crate) struct Swarm {
    directory: TempDir,
}

impl Swarm {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A hub that was bootstrapped and never ran; nobody listens at its address.
    pub(crate) fn bootstrapped() -> Self {
        let swarm = Self::new();
        swarm
            .run(&["bootstrap", "--endpoint", "127.0.0.1:1"])
            .success();
        swarm
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join("s").join(relative)
    }

    /// Writes a plan of one hub with further sections.
    pub(crate) fn write_plan(&self, more: &str) {
        std::fs::create_dir_all(self.path("")).unwrap();
        let hub = "[swarm]\nname = \"swarm\"\n[nodes.command0]\nroles = [\"hub\"]\nendpoint = \"127.0.0.1:1\"\n";
        std::fs::write(self.path("swarm.toml"), format!("{hub}{more}")).unwrap();
    }

    /// Adds a node whose certificate was issued at another time than now.
    pub(crate) fn add_node(&self, id: &str, issued: Timestamp, lifetime: Duration) {
        let store = Store::open(self.path("ca/state")).unwrap();
        let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
        let id: NodeId = id.parse().unwrap();
        let swarm = store.settings().unwrap().swarm;
        let tunnel = swarm_wg::PrivateKey::generate().unwrap();
        let request = CertificateRequest::build(&key, &swarm, &id, *tunnel.public_key().as_bytes());
        let mut grant = Grant::new(id.clone());
        grant.lifetime = Some(lifetime);
        let issued = store
            .issue(&request.unwrap(), &grant, "test", issued)
            .unwrap();
        let directory = self.path("nodes").join(id.as_str());
        std::fs::create_dir_all(&directory).unwrap();
        let identity = [
            key.to_pem().as_str(),
            &issued.certificate.to_pem(),
            &issued.issuer.to_pem(),
        ]
        .concat();
        file(&directory, "identity.pem", &identity);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarm"));
        command
            .arg("--dir")
            .arg(self.path(""))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// Every file below the directory with its contents.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut directories = vec![self.directory.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let contents = std::fs::read(&path).unwrap();
                    found.push((path, contents));
                }
            }
        }
        found.sort();
        found
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) said: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            output: String::from_utf8(output.stdout).unwrap(),
            said: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It must have succeeded; returns what it printed.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.said);
        self.output
    }

    /// It must have failed with `code`, said one line with every one of `words`, and printed nothing.
    #[track_caller]
    pub(crate) fn failure(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.output, self.said);
        let line = self.said.lines().next().unwrap_or_default();
        assert!(line.starts_with("swarm: "), "{}", self.said);
        for word in words {
            assert!(
                self.said.contains(word),
                "`{word}` is not in: {}",
                self.said
            );
        }
        assert_eq!(self.output, "");
    }
}

impl Ended {
    /// It must have come to a verdict with `code`, and printed every one of `words`.
    #[track_caller]
    pub(crate) fn refusal(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.output, self.said);
        for word in words {
            assert!(
                self.output.contains(word),
                "`{word}` is not in: {}",
                self.output
            );
        }
    }
}

/// A file with some text.
pub(crate) fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A node that joins by what is carried.
pub(crate) fn admit(hub: &Swarm, edge: &Swarm, id: &str) {
    let request = edge.run(&["request", id]).success();
    let request = file(&edge.path(""), "request", &request);
    let grant = hub.run(&["grant", id, request.to_str().unwrap(), "--role", "edge"]);
    let grant = file(&edge.path(""), "grant", &grant.success());
    let shown = json_of(hub.run(&["--json", "ca", "show"]));
    let root = shown["root"]["fingerprint"].as_str().unwrap();
    edge.run(&["accept", "--root", root, grant.to_str().unwrap()])
        .success();
}

#[track_caller]
pub(crate) fn json_of(ended: Ended) -> Value {
    serde_json::from_str(&ended.success()).unwrap()
}

#[track_caller]
pub(crate) fn lines_of(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The words of a command line in which no word has a space.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
