//! A nats-server of its own for each test: own port, own directory, mTLS with users mapped from URI
//! names, permissions as the library says.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use swarm_bus::Token;
use swarm_bus::client::{Client, Options};
use swarm_bus::permissions::{Permissions, Policy, Role};
use swarm_bus::stream::ServerVersion;
use tempfile::TempDir;
use test_port::Port;

/// How long a test waits for what must come: on a busy machine a server takes seconds to start.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
    certified: Arc<CertifiedKey>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = name("authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn client(&self, node: &str) -> Identity {
        let name = SanType::URI(uri(node).as_str().try_into().unwrap());
        self.issue(vec![name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    pub(crate) fn server(&self) -> Identity {
        let name = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
        self.issue(vec![name], ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn issue(&self, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name = name("leaf");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).unwrap();
        Identity {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            certified: Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer)),
        }
    }

    /// A client's TLS, and the place where its certificate can be changed.
    pub(crate) fn tls(&self, identity: Option<Identity>) -> (rustls::ClientConfig, Wallet) {
        let wallet = Wallet(Arc::new(Mutex::new(identity.map(|i| i.certified))));
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from(self.issuer.der().to_vec()))
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(wallet.clone()));
        (config, wallet)
    }
}

/// The certificate that a client shows at its next handshake.
#[derive(Debug, Clone)]
pub(crate) struct Wallet(Arc<Mutex<Option<Arc<CertifiedKey>>>>);

impl Wallet {
    pub(crate) fn put(&self, identity: Identity) {
        *self.0.lock().unwrap() = Some(identity.certified);
    }
}

impl ResolvesClientCert for Wallet {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.lock().unwrap().clone()
    }

    fn has_certs(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

pub(crate) fn uri(node: &str) -> String {
    format!("spiffe://swarm/node/{node}")
}

pub(crate) struct Rig {
    pub(crate) authority: Authority,
    program: PathBuf,
    directory: TempDir,
    port: Port,
    monitor: Port,
    /// For other servers of its cluster, where it is in one.
    route: Port,
    users: Vec<(String, Permissions)>,
    child: Option<Child>,
}

impl Rig {
    /// Starts a server whose users are these nodes; `None`, said aloud, where there is no program.
    pub(crate) fn start(test: &str, users: &[(&str, Role)]) -> Option<Self> {
        let mut rig = Self::prepare(test, users)?;
        rig.run();
        Some(rig)
    }

    /// Starts a server whose users may do what another policy than the mesh's says.
    pub(crate) fn start_with(test: &str, users: &[(&str, Role)], policy: &Policy) -> Option<Self> {
        let mut rig = Self::prepare_with(test, users, policy)?;
        rig.run();
        Some(rig)
    }

    /// Prepares all without starting the server.
    pub(crate) fn prepare(test: &str, users: &[(&str, Role)]) -> Option<Self> {
        Self::prepare_with(test, users, &Policy::mesh())
    }

    pub(crate) fn prepare_with(
        test: &str,
        users: &[(&str, Role)],
        policy: &Policy,
    ) -> Option<Self> {
        let program = nats_server(test)?;
        let users = users
            .iter()
            .map(|(node, role)| {
                let name = Token::parse(node).unwrap();
                (uri(node), policy.permissions(&name, &[*role]))
            })
            .collect();
        let rig = Self {
            authority: Authority::new(),
            program,
            directory: tempfile::tempdir().unwrap(),
            port: Port::free(),
            monitor: Port::free(),
            route: Port::free(),
            users,
            child: None,
        };
        let server = rig.authority.server();
        rig.write("ca.pem", &rig.authority.pem());
        rig.write("server.pem", &server.chain);
        rig.write("server.key", &server.key);
        rig.configure();
        Some(rig)
    }

    fn configure(&self) {
        let path = |name: &str| self.path(name).display().to_string();
        let mut users = String::new();
        for (name, p) in &self.users {
            let list = |subjects: &[String]| serde_json::to_string(subjects).unwrap();
            let one = |key: &str, allow: &[String], deny: &[String]| match deny {
                [] => format!("{key}: {{allow: {}}}", list(allow)),
                deny => format!("{key}: {{allow: {}, deny: {}}}", list(allow), list(deny)),
            };
            let responses = p.allow_responses.map_or(String::new(), |a| {
                let expires = a.expires.as_secs();
                format!(
                    "allow_responses: {{max: {}, expires: \"{expires}s\"}}",
                    a.max
                )
            });
            let publish = one("publish", &p.publish_allow, &p.publish_deny);
            let subscribe = one("subscribe", &p.subscribe_allow, &p.subscribe_deny);
            writeln!(
                users,
                "{{user: \"{name}\", permissions: {{{publish}, {subscribe}, {responses}}}}}"
            )
            .unwrap();
        }
        self.write(
            "nats.conf",
            &format!(
                "listen: \"127.0.0.1:{}\"\nhttp: \"127.0.0.1:{}\"\nserver_name: rig\n\
                 jetstream {{store_dir: \"{}\"}}\n\
                 tls {{cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", \
                 verify_and_map: true, timeout: 5}}\n\
                 authorization {{users: [\n{users}]}}\n",
                self.port,
                self.monitor,
                path("js"),
                path("server.pem"),
                path("server.key"),
                path("ca.pem"),
            ),
        );
    }

    /// Starts the server, and waits until it answers.
    pub(crate) fn run(&mut self) {
        // What it said before it was killed stays.
        let mut log = std::fs::File::options();
        let log = log
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.path("nats.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..SOON.as_millis() / 50 {
            if TcpStream::connect(("127.0.0.1", self.port())).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.path("log")).unwrap();
        panic!("nats-server does not answer:\n{log}");
    }

    /// Kills the server as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Gives a server that does not run a JetStream domain, and a user these permissions.
    pub(crate) fn in_domain(&mut self, domain: &str, node: &str, permissions: Permissions) {
        self.users.retain(|(name, _)| *name != uri(node));
        self.users.push((uri(node), permissions));
        self.configure();
        let conf = std::fs::read_to_string(self.path("nats.conf")).unwrap();
        let conf = conf.replace("jetstream {", &format!("jetstream {{domain: {domain}, "));
        self.write("nats.conf", &conf);
    }

    /// Takes a user away from a server that does not run.
    pub(crate) fn revoke_quietly(&mut self, node: &str) {
        self.users.retain(|(name, _)| *name != uri(node));
        self.configure();
    }

    /// Takes a user away and has the server read its configuration again.
    pub(crate) fn revoke(&mut self, node: &str) {
        self.revoke_quietly(node);
        self.signal("-HUP");
    }

    pub(crate) fn admit(&mut self, node: &str, role: Role) {
        let name = Token::parse(node).unwrap();
        let permissions = Policy::mesh().permissions(&name, &[role]);
        self.users.push((uri(node), permissions));
        self.configure();
        self.signal("-HUP");
    }

    pub(crate) fn options(&self, node: &str) -> Options {
        self.options_and_wallet(node).0
    }

    pub(crate) fn options_and_wallet(&self, node: &str) -> (Options, Wallet) {
        let (tls, wallet) = self.authority.tls(Some(self.authority.client(node)));
        let name = Token::parse(node).unwrap();
        let server = format!("127.0.0.1:{}", self.port).parse().unwrap();
        (Options::new(name, vec![server], tls), wallet)
    }

    pub(crate) async fn client(&self, node: &str) -> Client {
        connected(self.options(node)).await
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn route(&self) -> u16 {
        self.route.number()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Starts a script of this folder as the independent peer: it finds `peer.pem`, `peer.key` and
    /// `ca.pem` in the rig's directory, and speaks with the test over its input and output.
    pub(crate) fn script(&self, python: &Path, name: &str) -> tokio::process::Child {
        tokio::process::Command::new(python)
            .arg(
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("tests/it")
                    .join(name),
            )
            .arg(format!("nats://127.0.0.1:{}", self.port))
            .arg(self.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Asks the server's monitoring.
    pub(crate) fn monitor(&self, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitor.number())).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        answer.split_off(body + 4)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) async fn connected(options: Options) -> Client {
    let client = Client::start(options);
    client.connected(SOON).await.unwrap();
    client
}

/// Waits for what must come soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(SOON, future)
        .await
        .expect("it comes soon")
}

pub(crate) fn token(text: &str) -> Token {
    Token::parse(text).unwrap()
}

pub(crate) fn version(text: &str) -> ServerVersion {
    text.parse().unwrap()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Finds the nats-server that the tests run against, by its name or its path: Debian's, unless
/// `SWARM_TEST_NATS_SERVER` says which. `None`, said aloud, where it is not there.
#[allow(clippy::disallowed_methods, reason = "tests read their environment")]
pub(crate) fn nats_server(test: &str) -> Option<PathBuf> {
    let name = std::env::var("SWARM_TEST_NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
    program(&name).or_else(|| skip(test, &format!("{name} is not there")))
}

/// Finds a program by PATH, then among the workspace's own tools.
#[allow(clippy::disallowed_methods, reason = "tests read their environment")]
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([workspace().join(".tools/bin"), PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// A Python that has nats-py.
#[allow(clippy::disallowed_methods, reason = "tests read their environment")]
pub(crate) fn python() -> Option<PathBuf> {
    let given = std::env::var("SWARM_TEST_PYTHON").ok().map(PathBuf::from);
    let own = workspace().join(".tools/venv/bin/python3");
    given.into_iter().chain([own]).find(|python| {
        Command::new(python)
            .args(["-c", "import nats"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// Says that a test is skipped; where nothing may be missing, fails.
#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a skip must be seen"
)]
pub(crate) fn skip<T>(test: &str, reason: &str) -> Option<T> {
    assert!(std::env::var("CI").is_err(), "{test}: {reason}");
    eprintln!("SKIPPED: {test}: {reason}");
    None
}
