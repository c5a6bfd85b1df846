//! Runs the program in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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

/// A file with some text.
pub(crate) fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
