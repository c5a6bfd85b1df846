//! A Synapse of the tests' own: its port, its directory, its end.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use swarm_matrix::{Endpoint, TokenIssuer};
use test_port::Port;

pub(crate) const SERVER_NAME: &str = "swarm";
pub(crate) const SHARED_SECRET: &str = "only for tests";

/// A running homeserver, killed when dropped.
pub(crate) struct Synapse {
    python: PathBuf,
    dir: tempfile::TempDir,
    pub(crate) port: Port,
    child: Child,
}

/// What signs login tokens that this homeserver takes.
pub(crate) fn issuer() -> TokenIssuer {
    TokenIssuer::from_seed(&[42; 32]).unwrap()
}

/// A Python with Synapse in it; without one the test is skipped by name, or fails in CI.
#[allow(
    clippy::disallowed_methods,
    reason = "where the tests' tools are is the environment's word"
)]
#[allow(clippy::print_stderr, reason = "a skip is said")]
pub(crate) fn python(test: &str) -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/venv/bin/python3");
    let named = std::env::var_os("SWARM_TEST_SYNAPSE_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or(tools);
    if python.exists() {
        return Some(python);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{test}: no Synapse at {}",
        python.display()
    );
    eprintln!("SKIPPED: {test}: no Synapse at {}", python.display());
    None
}

/// The homeserver that the tests of this binary share. It ends with the process: a shell waits
/// for the end of its input.
pub(crate) fn shared(test: &str) -> Option<&'static Synapse> {
    static SHARED: OnceLock<(Synapse, Child)> = OnceLock::new();
    let python = python(test)?;
    let (synapse, _) = SHARED.get_or_init(|| {
        let synapse = Synapse::start(python);
        let script = "cat >/dev/null; kill -9 \"$0\"; rm -rf \"$1\"";
        let reaper = Command::new("sh")
            .args(["-c", script, &synapse.child.id().to_string()])
            .arg(synapse.dir.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        (synapse, reaper)
    });
    Some(synapse)
}

impl Synapse {
    pub(crate) fn start(python: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = Port::free();
        write_config(dir.path(), port.number());
        let child = spawn(&python, dir.path());
        let mut synapse = Self {
            python,
            dir,
            port,
            child,
        };
        synapse.wait_until_healthy();
        synapse
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::loopback(&self.url()).unwrap()
    }

    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    /// Ends it as a power failure does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.python, self.dir.path());
        self.wait_until_healthy();
    }

    fn wait_until_healthy(&mut self) {
        for _ in 0..1800 {
            if healthy(self.port.number()) {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("synapse ended with {status}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("synapse is not healthy after 180 s: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(python: &Path, dir: &Path) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .unwrap();
    Command::new(python)
        .args(["-m", "synapse.app.homeserver", "-c"])
        .arg(dir.join("homeserver.yaml"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn healthy(port: u16) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = [0; 15];
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer.ends_with(b"200 OK")
}

fn write_config(dir: &Path, port: u16) {
    let pem: String = issuer()
        .public_key_pem()
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    let rate = "{per_second: 10000, burst_count: 10000}";
    let dir_text = dir.display();
    let config = format!(
        "server_name: {SERVER_NAME}
pid_file: {dir_text}/pid
listeners:
  - port: {port}
    bind_addresses: ['127.0.0.1']
    type: http
    resources: [{{names: [client], compress: false}}]
database: {{name: sqlite3, args: {{database: {dir_text}/homeserver.db}}}}
log_config: {dir_text}/log.yaml
media_store_path: {dir_text}/media
signing_key_path: {dir_text}/signing.key
report_stats: false
suppress_key_server_warning: true
trusted_key_servers: []
federation_domain_whitelist: []
enable_registration: false
presence: {{enabled: false}}
macaroon_secret_key: tests
form_secret: tests
registration_shared_secret: {SHARED_SECRET}
jwt_config:
  enabled: true
  algorithm: EdDSA
  secret: |
{pem}rc_message: {rate}
rc_registration: {rate}
rc_login: {{address: {rate}, account: {rate}, failed_attempts: {rate}}}
rc_joins: {{local: {rate}, remote: {rate}}}
rc_joins_per_room: {rate}
rc_room_creation: {rate}
"
    );
    fs::write(dir.join("homeserver.yaml"), config).unwrap();
    let log = "version: 1
formatters: {plain: {format: '%(asctime)s %(levelname)s %(name)s %(message)s'}}
handlers: {console: {class: logging.StreamHandler, formatter: plain}}
root: {level: WARNING, handlers: [console]}
disable_existing_loggers: false
";
    fs::write(dir.join("log.yaml"), log).unwrap();
    // An Ed25519 seed in unpadded base64.
    let seed = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    fs::write(dir.join("signing.key"), format!("ed25519 a_test {seed}\n")).unwrap();
}
