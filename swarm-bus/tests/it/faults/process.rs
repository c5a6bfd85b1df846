//! A publisher in a process of its own, with a spool, that is killed.

use super::ledger::{Fate, Key};
use super::plan::Chance;
use super::publish::{Yard, fate, spooled};
use super::scenario::drain_options;
use super::world::impatient;
use super::{node, reading};
use crate::rig::{Rig, SOON};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use swarm_bus::client::{Client, Options};
use swarm_bus::spool::{Limits, OpenError, Order, Spool};
use tokio::time::{Instant, sleep};

/// Tells the process where its files are.
const DIRECTORY: &str = "SWARM_TEST_FAULTS_PROCESS";
pub(super) const NUMBER: u8 = 4;

/// A number that outlives the process that wrote it.
struct Noted(File);

impl Noted {
    fn open(directory: &Path, name: &str) -> Self {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        Self(options.open(directory.join(name)).unwrap())
    }

    fn read(&self) -> u32 {
        let mut bytes = [0; 4];
        match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => u32::from_le_bytes(bytes),
            Err(_) => 0,
        }
    }

    fn write(&self, number: u32) {
        self.0.write_all_at(&number.to_le_bytes(), 0).unwrap();
    }
}

/// What both processes see.
struct Notes {
    /// Up to where messages are handed out.
    allowed: Noted,
    /// Up to where they may have been put.
    tried: Noted,
    /// Up to where it was told what became of them.
    told: Noted,
    directory: PathBuf,
}

impl Notes {
    fn open(directory: &Path) -> Self {
        Self {
            allowed: Noted::open(directory, "allowed"),
            tried: Noted::open(directory, "tried"),
            told: Noted::open(directory, "told"),
            directory: directory.to_owned(),
        }
    }
}

pub(super) struct Publisher {
    notes: Notes,
    process: Child,
    quota: u32,
    /// What was on its way to the spool when the process was killed.
    open: Vec<Range<u32>>,
}

impl Publisher {
    pub(super) fn start(rig: &Rig, ports: &[u16], quota: u32) -> Self {
        let identity = rig.authority.client(node(NUMBER).as_str());
        let directory = rig.path("process");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("peer.pem"), &identity.chain).unwrap();
        std::fs::write(directory.join("peer.key"), &identity.key).unwrap();
        std::fs::write(directory.join("ca.pem"), rig.authority.pem()).unwrap();
        let orders = serde_json::json!({"ports": ports, "quota": quota});
        std::fs::write(directory.join("orders"), orders.to_string()).unwrap();
        Self {
            notes: Notes::open(&directory),
            process: spawn(&directory),
            quota,
            open: Vec::new(),
        }
    }

    pub(super) fn hand_out(&self, yard: &Yard, part: u64) {
        let allowed = yard.handed_out(part, self.quota);
        self.notes.allowed.write(allowed);
    }

    pub(super) fn kill(&mut self) {
        if self.process.try_wait().unwrap().is_some() {
            return;
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let (told, tried) = (self.notes.told.read(), self.notes.tried.read());
        if told < tried {
            self.open.push(told..tried);
        }
        self.process = spawn(&self.notes.directory);
    }

    /// Waits until all is put and drained, and tells the ledger what became of it.
    pub(super) async fn finish(mut self, yard: &Yard, within: Duration) {
        let deadline = Instant::now() + within;
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            sleep(Duration::from_millis(20)).await;
        };
        let log = std::fs::read_to_string(self.notes.directory.join("log"));
        assert!(status.success(), "{}", log.unwrap_or_default());
        let errors = std::fs::read_to_string(self.notes.directory.join("errors"));
        let errors: HashMap<u32, Fate> = errors
            .unwrap_or_default()
            .lines()
            .map(|line| match line.split_once(' ').unwrap() {
                ("refused", number) => (number.parse().unwrap(), Fate::Refused),
                (_, number) => (number.parse().unwrap(), Fate::Unknown),
            })
            .collect();
        let mut ledger = yard.ledger.lock().unwrap();
        for number in 0..self.quota {
            let open = self.open.iter().any(|range| range.contains(&number));
            let fate = match errors.get(&number) {
                _ if open => Fate::Unknown,
                Some(fate) => *fate,
                None => Fate::Kept,
            };
            let key = Key {
                node: NUMBER,
                number,
            };
            ledger.publish(key, number % 8, fate, None);
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(directory: &Path) -> Child {
    let mut log = File::options();
    let log = log.create(true).append(true).open(directory.join("log"));
    let log = log.unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::process::publisher", "--ignored"])
        .arg("--nocapture")
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn options(directory: &Path, ports: &[u16]) -> Options {
    let chain = CertificateDer::pem_file_iter(directory.join("peer.pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(directory.join("peer.key")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_file(directory.join("ca.pem")).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    impatient(Options::new(node(NUMBER), Vec::new(), tls), ports)
}

/// Opens a spool whose last holder may still be ending.
fn reopen(directory: &Path) -> Spool {
    for _ in 0..200 {
        match Spool::open(directory, Limits::default()) {
            Ok(spool) => return spool,
            Err(OpenError::Locked) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("still locked");
}

/// Puts what is handed out, and drains it, until it is killed or done; run by the tests above.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "another test runs it in a process of its own"]
#[allow(clippy::disallowed_methods, reason = "tests read their environment")]
async fn publisher() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    // It does not outlive who started it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    let directory = PathBuf::from(directory);
    let orders = std::fs::read(directory.join("orders")).unwrap();
    let orders: serde_json::Value = serde_json::from_slice(&orders).unwrap();
    let quota = orders["quota"].as_u64().unwrap() as u32;
    let ports: Vec<u16> = serde_json::from_value(orders["ports"].clone()).unwrap();
    let notes = Notes::open(&directory);
    let mut errors = File::options();
    let errors = errors
        .create(true)
        .append(true)
        .open(directory.join("errors"));
    let mut errors = errors.unwrap();

    let spool = reopen(&directory.join("spool"));
    assert!(spool.recovery().damage.is_empty(), "{:?}", spool.recovery());
    let client = Client::start(options(&directory, &ports));
    let drain = spool.drain(client, drain_options(Order::Strict)).unwrap();
    let mut next = notes.tried.read();
    let mut chance = Chance::new(u64::from(next));
    while next < quota {
        let batch = [1, 50][chance.below(2) as usize];
        let end = notes.allowed.read().min(next + batch);
        if end <= next {
            sleep(Duration::from_millis(2)).await;
            continue;
        }
        notes.tried.write(end);
        let submit = |number| {
            (
                number,
                spool.submit(&spooled(NUMBER, number), &reading(number)),
            )
        };
        let submitted: Vec<_> = (next..end).map(submit).collect();
        for (number, submitted) in submitted {
            let put = match submitted {
                Ok(submitted) => submitted.confirmed().await,
                Err(error) => Err(error),
            };
            match fate(&put) {
                Fate::Kept => {}
                Fate::Refused => writeln!(errors, "refused {number}").unwrap(),
                Fate::Unknown => writeln!(errors, "unknown {number}").unwrap(),
            }
        }
        notes.told.write(end);
        next = end;
    }
    while !spool.emptied(SOON).await {}
    drain.stop(SOON).await;
    spool.close().await;
}
