//! nats-server, started with what is rendered, and clients with certificates of their own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use swarm_config::{Layout, Member, Plan, Renderer, diff};

use crate::fixture::{SWARM_TOML, id, layout, members, plan, user};
use crate::programs::{Server, find, http_get, in_namespace, skip, succeed, write};

/// An authority that names nodes by a URI, as a swarm's does.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![
            SanType::URI(user(name).try_into().unwrap()),
            SanType::IpAddress("10.77.0.1".parse().unwrap()),
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

/// A bus of the three members, running.
struct Bus {
    server: Server,
    authority: Authority,
    layout: Layout,
    directory: tempfile::TempDir,
}

impl Bus {
    /// Starts a bus where there is a nats-server and a namespace, in that namespace.
    fn start(test: &str) -> Option<Self> {
        let Some(program) = find("nats-server") else {
            skip(test, "no nats-server");
            return None;
        };
        if !in_namespace(test) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(directory.path().to_str().unwrap());
        let authority = Authority::new();
        let (certificate, key) = authority.issue("command0");
        let node = directory.path().join("nodes/command0");
        std::fs::create_dir_all(&node).unwrap();
        std::fs::write(node.join("tls.key"), key.serialize_pem()).unwrap();
        std::fs::write(node.join("tls.crt"), certificate.pem()).unwrap();
        std::fs::write(node.join("trust.pem"), authority.0.pem()).unwrap();
        let plan = plan();
        render(directory.path(), &layout, &plan, &members(&plan));
        let mut command = Command::new(program);
        command.args(["-c", &layout.nats_conf()]);
        let mut server = Server::start(&mut command, &directory.path().join("log"));
        server.wait_healthy("127.0.0.1:8222", "/healthz");
        Some(Self {
            server,
            authority,
            layout,
            directory,
        })
    }

    /// Renders anew and has the server read it; gives what the server says.
    fn reload(&self, plan: &Plan, members: &[Member]) -> String {
        render(self.directory.path(), &self.layout, plan, members);
        let before = self.server.log().len();
        succeed(Command::new("kill").args(["-HUP", &self.server.id().to_string()]));
        for _ in 0..600 {
            let log = self.server.log()[before..].to_owned();
            if log.contains("Reloaded server configuration") || log.contains("Failed to reload") {
                return log;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no word of a reload: {}", self.server.log());
    }

    fn connect(&self, name: &str) -> Result<Client, String> {
        let (certificate, key) = self.authority.issue(name);
        Client::connect(&self.authority, Some((&certificate, &key)))
    }
}

fn render(root: &Path, layout: &Layout, plan: &Plan, members: &[Member]) {
    let node = id("command0");
    write(
        root,
        &[Renderer::new(plan, layout, &node, members).nats().unwrap()],
    );
}

/// A client of the bus that speaks its protocol line by line.
struct Client(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Client {
    fn connect(
        trusted: &Authority,
        identity: Option<(&Certificate, &KeyPair)>,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                config
                    .with_client_auth_cert(vec![certificate.der().clone()], key)
                    .unwrap()
            }
        };
        let text = |error: std::io::Error| error.to_string();
        let stream = TcpStream::connect("10.77.0.1:4222").map_err(text)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        // The server speaks first, before TLS begins.
        let mut info = String::new();
        BufReader::with_capacity(1, &stream)
            .read_line(&mut info)
            .map_err(text)?;
        assert!(
            info.starts_with("INFO ") && info.contains("\"tls_required\":true"),
            "{info}"
        );
        let address = std::net::IpAddr::from([10, 77, 0, 1]);
        let connection = ClientConnection::new(Arc::new(config), address.into()).unwrap();
        let mut client = Self(BufReader::new(StreamOwned::new(connection, stream)));
        match client
            .say("CONNECT {\"verbose\":false,\"headers\":true}")
            .as_slice()
        {
            [] => Ok(client),
            errors => Err(errors.join("\n")),
        }
    }

    /// Sends lines and gives what the server says up to its answer to a ping; nothing is good.
    fn say(&mut self, lines: &str) -> Vec<String> {
        let mut heard = Vec::new();
        let end = if lines.is_empty() { "" } else { "\r\n" };
        let text = format!("{lines}{end}PING\r\n");
        if let Err(error) = self.0.get_mut().write_all(text.as_bytes()) {
            return vec![error.to_string()];
        }
        loop {
            match self.line() {
                Ok(line) if line == "PONG" => return heard,
                Ok(line) if line.starts_with("INFO ") || line == "PING" => {}
                Ok(line) if line.is_empty() => {
                    heard.push("closed".to_owned());
                    return heard;
                }
                Ok(line) => heard.push(line),
                Err(error) => {
                    heard.push(error.to_string());
                    return heard;
                }
            }
        }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

#[test]
fn members_do_what_they_may_and_nothing_else() {
    const TEST: &str = "nats::members_do_what_they_may_and_nothing_else";
    let Some(bus) = Bus::start(TEST) else { return };

    let mut edge1 = bus.connect("edge1").unwrap();
    assert_eq!(
        edge1.say("PUB swarm.telemetry.edge1.load 1\r\n7"),
        [] as [&str; 0]
    );
    assert_eq!(edge1.say("SUB swarm.commands.edge1.> 1"), [] as [&str; 0]);
    for (line, what) in [
        (
            "PUB swarm.telemetry.edge2.load 1\r\n7",
            "Publish to \"swarm.telemetry.edge2.load\"",
        ),
        (
            "PUB swarm.telemetry.edge1.secret 1\r\n7",
            "Publish to \"swarm.telemetry.edge1.secret\"",
        ),
        (
            "PUB $SYS.REQ.SERVER.PING 0\r\n",
            "Publish to \"$SYS.REQ.SERVER.PING\"",
        ),
        ("PUB $JS.API.INFO 0\r\n", "Publish to \"$JS.API.INFO\""),
        (
            "SUB swarm.commands.edge2.> 2",
            "Subscription to \"swarm.commands.edge2.>\"",
        ),
        ("SUB swarm.> 3", "Subscription to \"swarm.>\""),
        ("SUB > 4", "Subscription to \">\""),
        ("SUB $SYS.> 5", "Subscription to \"$SYS.>\""),
        ("SUB _INBOX.> 6", "Subscription to \"_INBOX.>\""),
    ] {
        assert_eq!(
            edge1.say(line),
            [format!("-ERR 'Permissions Violation for {what}'")],
            "{line}"
        );
    }

    let mut mute = bus.connect("edge2").unwrap();
    for line in ["PUB a 1\r\n7", "SUB a 1", "SUB _INBOX_edge2.> 1"] {
        let heard = mute.say(line);
        assert!(
            heard.len() == 1 && heard[0].starts_with("-ERR 'Permissions"),
            "{line}: {heard:?}"
        );
    }

    let streams = http_get("127.0.0.1:8222", "/jsz").unwrap();
    let store = bus.layout.nats_store();
    assert!(
        streams.contains("\"max_storage\": 10737418240") && streams.contains(&store),
        "{streams}"
    );
    assert_eq!(
        http_get("10.77.0.1:8222", "/healthz"),
        None,
        "monitoring is on loopback alone"
    );
    assert!(
        TcpStream::connect("127.0.0.1:4222").is_err(),
        "the bus is on the mesh alone"
    );
}

#[test]
fn a_request_is_answered_once_by_leave_of_the_request() {
    const TEST: &str = "nats::a_request_is_answered_once_by_leave_of_the_request";
    let Some(bus) = Bus::start(TEST) else { return };
    // The hub may command; its own inbox is open to it already.
    let plan = plan();
    let mut members = members(&plan);
    let subject = swarm_config::NatsSubject::parse("swarm.commands.>").unwrap();
    members[1].nats.publish.allow.insert(subject);
    let log = bus.reload(&plan, &members);
    assert!(log.contains("Reloaded server configuration"), "{log}");

    let mut hub = bus.connect("command0").unwrap();
    let mut edge1 = bus.connect("edge1").unwrap();
    assert_eq!(edge1.say("SUB swarm.commands.edge1.> 1"), [] as [&str; 0]);
    assert_eq!(hub.say("SUB _INBOX_command0.> 1"), [] as [&str; 0]);
    let unasked = edge1.say("PUB _INBOX_command0.1 1\r\n7");
    assert!(unasked[0].contains("Permissions Violation"), "{unasked:?}");

    assert_eq!(
        hub.say("PUB swarm.commands.edge1.stop _INBOX_command0.1 2\r\nhi"),
        [] as [&str; 0]
    );
    assert_eq!(
        edge1.line().unwrap(),
        "MSG swarm.commands.edge1.stop 1 _INBOX_command0.1 2"
    );
    assert_eq!(edge1.line().unwrap(), "hi");
    assert_eq!(edge1.say("PUB _INBOX_command0.1 2\r\nok"), [] as [&str; 0]);
    assert_eq!(hub.line().unwrap(), "MSG _INBOX_command0.1 1 2");
    assert_eq!(hub.line().unwrap(), "ok");
    let again = edge1.say("PUB _INBOX_command0.1 2\r\nok");
    assert!(again[0].contains("Permissions Violation"), "{again:?}");
}

#[test]
fn strangers_stay_outside() {
    const TEST: &str = "nats::strangers_stay_outside";
    let Some(bus) = Bus::start(TEST) else { return };

    let stranger = bus.connect("edge9").map(|_| ()).unwrap_err();
    assert!(stranger.contains("Authorization Violation"), "{stranger}");
    let bare = Client::connect(&bus.authority, None)
        .map(|_| ())
        .unwrap_err();
    assert!(
        bare.contains("CertificateRequired") || bare.contains("BadCertificate"),
        "{bare}"
    );
    let other = Authority::new();
    let (certificate, key) = other.issue("edge1");
    let forged = Client::connect(&bus.authority, Some((&certificate, &key)))
        .map(|_| ())
        .unwrap_err();
    assert!(
        forged.contains("BadCertificate") || forged.contains("UnknownCA"),
        "{forged}"
    );
    assert!(bus.connect("edge1").is_ok());
}

#[test]
fn a_member_that_is_left_out_is_cut_off_by_a_reload() {
    const TEST: &str = "nats::a_member_that_is_left_out_is_cut_off_by_a_reload";
    let Some(bus) = Bus::start(TEST) else { return };
    let mut edge1 = bus.connect("edge1").unwrap();
    let mut edge2 = bus.connect("edge2").unwrap();

    let plan = plan();
    let mut members = members(&plan);
    members.retain(|member| member.id != id("edge1"));
    let log = bus.reload(&plan, &members);
    assert!(log.contains("Reloaded server configuration"), "{log}");

    // The server says why, and the stream ends.
    let heard = edge1.say("");
    assert!(
        !heard.is_empty() && heard.last().unwrap() != "PONG",
        "{heard:?}"
    );
    assert!(
        edge1.say("").iter().all(|line| !line.is_empty()),
        "it stays cut"
    );
    assert!(bus.connect("edge1").is_err());
    assert_eq!(edge2.say(""), [] as [&str; 0], "the others notice nothing");
}

#[test]
fn what_the_difference_of_plans_says_of_a_reload_is_so() {
    const TEST: &str = "nats::what_the_difference_of_plans_says_of_a_reload_is_so";
    let Some(bus) = Bus::start(TEST) else { return };
    let old = plan();
    for more in [
        "max_payload = \"2MiB\"",
        "max_connections = 77",
        "write_deadline = \"7s\"",
        "ping_interval = \"7s\"",
        "port = 4223",
        "monitor_port = 8223",
        "jetstream.max_memory = \"7MiB\"",
        "jetstream.max_file = \"7MiB\"",
    ] {
        let new = Plan::parse(&format!("{SWARM_TOML}\n[nats]\n{more}")).unwrap();
        let log = bus.reload(&new, &members(&new));
        let refused = log.contains("not supported");
        match diff::plans(&old, &new).actions.as_slice() {
            [diff::Action::ReloadBus] => assert!(!refused, "{more}: {log}"),
            [diff::Action::RestartBus] => assert!(refused, "{more}: {log}"),
            other => panic!("{more}: {other:?}"),
        }
        bus.reload(&old, &members(&old));
    }
}
