//! Real handshakes over loopback, in both directions, and with foreign TLS stacks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::{AlertDescription, CertificateError, NamedGroup};
use rustls_pki_types::ServerName;
use swarm_pki::{
    KeyAlgorithm, Timestamp, TrustBundle, Validity, VerifyError,
    tls::{ClientAuth, Expected, HandshakeError, MeshTls, OwnCertificateError, Peer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
};
use tokio_rustls::{TlsConnector, client, server};

use crate::fixture::{Node, Swarm, TestClock, current, learn, program, role, soon};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) type Served = (server::TlsStream<TcpStream>, Option<Peer>);
pub(crate) type Dialled = (client::TlsStream<TcpStream>, Peer);

/// One handshake over loopback; the client reads one byte, so that it learns of a refusal.
async fn handshake(
    server: &MeshTls,
    auth: ClientAuth,
    client: &MeshTls,
    expected: Expected,
) -> (
    Result<Served, HandshakeError>,
    Result<Dialled, HandshakeError>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = server.server_config(auth, &[]);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, peer) = server.accept(&config, stream).await?;
        stream.write_all(b"!").await.unwrap();
        Ok((stream, peer))
    };
    let dial = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut stream, peer) = client.connect(expected, &[], stream).await?;
        stream.read_u8().await?;
        Ok((stream, peer))
    };
    soon("handshake", async { tokio::join!(serve, dial) }).await
}

pub(crate) async fn between(
    server: &MeshTls,
    client: &MeshTls,
) -> (
    Result<Served, HandshakeError>,
    Result<Dialled, HandshakeError>,
) {
    handshake(server, ClientAuth::Required, client, Expected::AnyMember).await
}

#[track_caller]
pub(crate) fn untrusted<T>(result: Result<T, HandshakeError>) -> CertificateError {
    match result {
        Err(HandshakeError::Untrusted(error)) => error,
        Err(other) => panic!("refused for another reason: {other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

#[track_caller]
pub(crate) fn alert<T>(result: Result<T, HandshakeError>) -> AlertDescription {
    match result {
        Err(HandshakeError::Refused(alert)) => alert,
        Err(other) => panic!("refused for another reason: {other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

#[tokio::test]
async fn two_members_know_each_other_after_the_handshake() {
    let swarm = Swarm::new();
    for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
        let hub = swarm
            .node_with("hub", &["hub"], current(), algorithm)
            .tls(swarm.trust());
        let edge = swarm
            .node_with("edge1", &["edge"], current(), algorithm)
            .tls(swarm.trust());
        let (served, dialled) = between(&hub, &edge).await;
        let (stream, peer) = served.unwrap();
        assert_eq!(peer.unwrap().id().as_str(), "edge1");
        let group = stream
            .get_ref()
            .1
            .negotiated_key_exchange_group()
            .unwrap()
            .name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        let (_, peer) = dialled.unwrap();
        assert_eq!(peer.id().as_str(), "hub");
        assert!(peer.certificate().identity().has_role("hub"));
    }
}

#[tokio::test]
async fn a_client_accepts_only_the_peer_it_expects() {
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &["hub"]).tls(swarm.trust());
    let edge = swarm.node("edge1", &["edge"]).tls(swarm.trust());
    for good in [
        Expected::Node("hub".parse().unwrap()),
        Expected::Role(role("hub")),
    ] {
        let (served, dialled) = handshake(&hub, ClientAuth::Required, &edge, good).await;
        assert!(served.is_ok() && dialled.is_ok());
    }
    for bad in [
        Expected::Node("edge2".parse().unwrap()),
        Expected::Role(role("authority")),
    ] {
        let said = format!("expected {bad}, found node hub");
        let (served, dialled) = handshake(&hub, ClientAuth::Required, &edge, bad).await;
        assert_eq!(alert(served), AlertDescription::CertificateUnknown);
        assert!(dialled.unwrap_err().to_string().ends_with(&said));
    }
}

#[tokio::test]
async fn a_server_accepts_only_the_clients_it_expects() {
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &["hub"]).tls(swarm.trust());
    let edge = swarm.node("edge1", &["edge"]).tls(swarm.trust());
    let node = |id: &str| Expected::Node(id.parse().unwrap());
    for good in [
        node("edge1"),
        Expected::Role(role("edge")),
        Expected::AnyMember,
        Expected::AnyOf(vec![node("desk"), Expected::Role(role("edge"))]),
    ] {
        let auth = ClientAuth::Expected(good);
        let (served, dialled) = handshake(&hub, auth, &edge, Expected::AnyMember).await;
        assert_eq!(served.unwrap().1.unwrap().id().as_str(), "edge1");
        assert!(dialled.is_ok());
    }
    for (bad, said) in [
        (node("desk"), "expected node desk, found node edge1"),
        (
            Expected::AnyOf(vec![node("desk"), Expected::Role(role("operator"))]),
            "expected node desk or a node with the role operator, found node edge1",
        ),
        (
            Expected::AnyOf(Vec::new()),
            "expected nobody, found node edge1",
        ),
    ] {
        let auth = ClientAuth::Expected(bad);
        let (served, dialled) = handshake(&hub, auth, &edge, Expected::AnyMember).await;
        let refused = served.err().unwrap().to_string();
        assert!(refused.ends_with(said), "{refused}");
        assert_eq!(alert(dialled), AlertDescription::CertificateUnknown);
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_gets_in_only_where_that_is_allowed() {
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &["hub"]).tls(swarm.trust());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(swarm.root().der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let anonymous = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let anonymous = TlsConnector::from(Arc::new(anonymous));
    for (auth, welcome) in [(ClientAuth::Required, false), (ClientAuth::Optional, true)] {
        let config = hub.server_config(auth, &[]);
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            hub.accept(&config, stream).await
        };
        let dial = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            anonymous.connect(name, stream).await.unwrap()
        };
        let (served, _dialled) = soon("handshake", async { tokio::join!(serve, dial) }).await;
        match served {
            Ok((_, peer)) => assert!(welcome && peer.is_none()),
            Err(HandshakeError::NoCertificate) => assert!(!welcome),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn members_of_another_authority_are_refused_on_both_sides() {
    let (ours, theirs) = (Swarm::new(), Swarm::new());
    let good = ours.node("hub", &[]).tls(ours.trust());
    // Its own trust is ours, so that only the other side can refuse.
    let foreign = theirs.node("hub", &[]).tls(ours.trust());

    let (served, dialled) = between(&good, &foreign).await;
    assert_eq!(untrusted(served), CertificateError::UnknownIssuer);
    assert_eq!(alert(dialled), AlertDescription::UnknownCA);

    let (served, dialled) = between(&foreign, &good).await;
    assert_eq!(alert(served), AlertDescription::UnknownCA);
    assert_eq!(untrusted(dialled), CertificateError::UnknownIssuer);
}

#[tokio::test]
async fn members_outside_their_dates_are_refused_on_both_sides() {
    let swarm = Swarm::new();
    let now = Timestamp::now();
    let good = swarm.node("hub", &[]).tls(swarm.trust());
    let past = Validity {
        not_before: now - 3 * HOUR,
        not_after: now - HOUR,
    };
    let future = Validity {
        not_before: now + HOUR,
        not_after: now + 3 * HOUR,
    };
    for (validity, words) in [
        (past, "it expired at"),
        (future, "one of the two clocks is wrong"),
    ] {
        let bad = swarm
            .node_with("edge1", &[], validity, KeyAlgorithm::P256)
            .tls(swarm.trust());
        let (served, dialled) = between(&good, &bad).await;
        let error = served.err().unwrap();
        assert!(error.is_about_time());
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(alert(dialled), AlertDescription::CertificateExpired);

        let (served, dialled) = between(&bad, &good).await;
        assert_eq!(alert(served), AlertDescription::CertificateExpired);
        assert!(dialled.err().unwrap().is_about_time());
    }
}

#[tokio::test]
async fn revoked_members_are_refused_on_both_sides_as_soon_as_it_is_known() {
    let swarm = Swarm::new();
    let good = swarm.node("hub", &[]).tls(swarm.trust());
    let stolen = swarm.node("edge1", &[]);
    let bad = stolen.tls(swarm.trust());
    let (served, dialled) = between(&good, &bad).await;
    assert!(served.is_ok() && dialled.is_ok());

    learn(&good, &swarm.revoke(&stolen));
    let (served, dialled) = between(&good, &bad).await;
    assert_eq!(untrusted(served), CertificateError::Revoked);
    assert_eq!(alert(dialled), AlertDescription::CertificateRevoked);

    let (served, dialled) = between(&bad, &good).await;
    assert_eq!(alert(served), AlertDescription::CertificateRevoked);
    assert_eq!(untrusted(dialled), CertificateError::Revoked);
}

#[tokio::test]
async fn a_guard_ends_at_once_when_its_peer_is_revoked_and_no_other_does() {
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &[]).tls(swarm.trust());
    let (stolen, honest) = (swarm.node("edge1", &[]), swarm.node("edge2", &[]));
    let (served, _kept) = between(&hub, &stolen.tls(swarm.trust())).await;
    let of_stolen = hub.guard(&served.unwrap().1.unwrap());
    let (served, _kept) = between(&hub, &honest.tls(swarm.trust())).await;
    let of_honest = tokio::spawn(hub.guard(&served.unwrap().1.unwrap()));
    let of_stolen = tokio::spawn(of_stolen);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!of_stolen.is_finished());

    let news = swarm.revoke(&stolen);
    let start = tokio::time::Instant::now();
    learn(&hub, &news);
    let why = soon("end of the guard", of_stolen).await.unwrap();
    assert!(matches!(why, VerifyError::Revoked { .. }), "{why}");
    // sooner than the guard looks by itself, which is every half a minute
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!of_honest.is_finished());
}

#[tokio::test]
async fn a_guard_ends_when_its_peer_expires() {
    let swarm = Swarm::new();
    let now = Timestamp::now();
    let clock = TestClock::at(now);
    let node = swarm.node("hub", &[]);
    let hub = MeshTls::with_clock(&node.chain, node.key, swarm.trust(), clock.clone()).unwrap();
    let validity = Validity {
        not_before: now - HOUR,
        not_after: now + HOUR,
    };
    let edge = swarm
        .node_with("edge1", &[], validity, KeyAlgorithm::P256)
        .tls(swarm.trust());
    let (served, _kept) = between(&hub, &edge).await;
    let peer = served.unwrap().1.unwrap();

    // Within two seconds of the end, the guard sleeps until then and no longer.
    clock.set(now + HOUR - Duration::from_secs(1));
    let guard = tokio::spawn(hub.guard(&peer));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!guard.is_finished());
    clock.set(now + HOUR + Duration::from_secs(1));
    let why = soon("end of the guard", guard).await.unwrap();
    assert!(matches!(why, VerifyError::Expired { .. }), "{why}");
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_refused_at_once() {
    let swarm = Swarm::new();
    let (one, other) = (swarm.node("hub", &[]), swarm.node("edge1", &[]));
    let mixed = MeshTls::new(&one.chain, Arc::clone(&other.key), swarm.trust());
    assert!(matches!(mixed, Err(OwnCertificateError::OtherKey)));
    let tls = one.tls(swarm.trust());
    let mixed = tls.replace_identity(&one.chain, Arc::clone(&other.key));
    assert!(matches!(mixed, Err(OwnCertificateError::OtherKey)));
    assert!(matches!(
        tls.replace_identity(&[], other.key),
        Err(OwnCertificateError::Empty)
    ));
    assert_eq!(tls.certificate(), one.certificate());
}

/// Echoes bytes on every connection; returns where, and counts failed handshakes.
async fn echo(tls: &MeshTls, failures: &Arc<AtomicUsize>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls.server_config(ClientAuth::Required, &[]);
    let (tls, failures) = (tls.clone(), Arc::clone(failures));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (tls, config, failures) = (tls.clone(), config.clone(), failures.clone());
            tokio::spawn(async move {
                match tls.accept(&config, stream).await {
                    Ok((mut stream, _)) => {
                        let mut byte = [0];
                        while stream.read_exact(&mut byte).await.is_ok() {
                            if stream.write_all(&byte).await.is_err() {
                                break;
                            }
                        }
                    }
                    Err(_) => {
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_exchanged_under_a_thousand_connections_without_a_failure() {
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &[]).tls(swarm.trust());
    let edge = swarm.node("edge1", &[]).tls(swarm.trust());
    let failures = Arc::default();
    let address = echo(&hub, &failures).await;
    let dial = async || {
        let stream = TcpStream::connect(address).await.unwrap();
        let expected = Expected::Node("hub".parse().unwrap());
        edge.connect(expected, &[], stream).await.unwrap()
    };

    let mut open = Vec::new();
    for round in 0..1000 {
        let (mut stream, peer) = soon("handshake", dial()).await;
        assert_eq!(peer.certificate(), &hub.certificate());
        soon("echo", async {
            stream.write_all(b"a").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'a');
        })
        .await;
        open.push(stream);
        match round % 10 {
            0 => {
                let renewed = swarm.node("hub", &[]);
                hub.replace_identity(&renewed.chain, renewed.key).unwrap();
            }
            3 => learn(&hub, &swarm.revoke(&swarm.node("stolen", &[]))),
            6 => edge.set_trust(swarm.trust()),
            9 => {
                let renewed = swarm.node("edge1", &[]);
                edge.replace_identity(&renewed.chain, renewed.key).unwrap();
            }
            _ => {}
        }
    }
    for stream in &mut open {
        soon("echo", async {
            stream.write_all(b"z").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'z');
        })
        .await;
    }
    assert_eq!(failures.load(Ordering::Relaxed), 0);
    assert_eq!(*hub.subscribe().borrow(), 200);
}

#[tokio::test]
async fn a_failed_update_changes_nothing() {
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &[]).tls(swarm.trust());
    let before = hub.trust();
    let failed: Result<(), &str> = hub.update_trust(|trust| {
        trust.merge(&swarm.revoke(&swarm.node("edge1", &[])), Timestamp::now());
        Err("after all, no")
    });
    assert_eq!(failed, Err("after all, no"));
    assert!(Arc::ptr_eq(&before, &hub.trust()));
    assert_eq!(*hub.subscribe().borrow(), 0);
    learn(&hub, &TrustBundle::default());
    assert_eq!(*hub.subscribe().borrow(), 1);
}

/// Runs a foreign client against our echo server and returns whether it got its byte back.
async fn foreign_client(mut command: Command) -> bool {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    soon("answer of a foreign client", async {
        if stdin.write_all(b"x").await.is_err() {
            return false;
        }
        stdout.read_u8().await.is_ok_and(|byte| byte == b'x')
    })
    .await
}

#[tokio::test]
async fn openssl_is_accepted_as_a_client_until_it_is_revoked() {
    let Some(openssl) = program("openssl as a client", "openssl") else {
        return;
    };
    let swarm = Swarm::new();
    let directory = tempfile::tempdir().unwrap();
    let hub = swarm.node("hub", &[]).tls(swarm.trust());
    let edge = swarm.node("edge1", &[]);
    let (chain, key) = edge.write(directory.path(), "edge1");
    let root = directory.path().join("root.pem");
    std::fs::write(&root, swarm.root().to_pem()).unwrap();
    let address = echo(&hub, &Arc::default()).await;
    let client = |with_certificate: bool| {
        let mut command = Command::new(&openssl);
        command.args(["s_client", "-quiet", "-verify_return_error", "-connect"]);
        command.arg(address.to_string()).arg("-CAfile").arg(&root);
        command.args(["-verify_ip", "127.0.0.1"]);
        if with_certificate {
            command
                .arg("-cert")
                .arg(&chain)
                .arg("-cert_chain")
                .arg(&chain)
                .arg("-key")
                .arg(&key);
        }
        command
    };
    assert!(foreign_client(client(true)).await);
    assert!(!foreign_client(client(false)).await);
    learn(&hub, &swarm.revoke(&edge));
    assert!(!foreign_client(client(true)).await);
}

const PYTHON_SERVER: &str = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
context.load_verify_locations(sys.argv[3])
context.verify_mode = ssl.CERT_REQUIRED
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    plain, _ = listener.accept()
    try:
        with context.wrap_socket(plain, server_side=True) as stream:
            names = dict(stream.getpeercert()["subjectAltName"])
            stream.sendall(names["URI"].encode())
    except (ssl.SSLError, OSError):
        pass
"#;

async fn python_server(
    python: &std::path::Path,
    swarm: &Swarm,
    node: &Node,
) -> (tokio::process::Child, u16, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = node.write(directory.path(), "server");
    let root = directory.path().join("root.pem");
    std::fs::write(&root, swarm.root().to_pem()).unwrap();
    let mut child = Command::new(python)
        .args(["-c", PYTHON_SERVER])
        .args([&chain, &key, &root])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut port = String::new();
    soon("port of the server", async {
        loop {
            match stdout.read_u8().await.unwrap() {
                b'\n' => break,
                digit => port.push(char::from(digit)),
            }
        }
    })
    .await;
    (child, port.parse().unwrap(), directory)
}

#[tokio::test]
async fn python_is_accepted_as_a_server_until_it_is_revoked() {
    let Some(python) = program("python as a server", "python3") else {
        return;
    };
    let swarm = Swarm::new();
    let hub = swarm.node("hub", &["hub"]);
    let edge = swarm.node("edge1", &[]).tls(swarm.trust());
    let (_server, port, _directory) = python_server(&python, &swarm, &hub).await;
    let dial = async |expected| {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        edge.connect(expected, &[], stream).await
    };
    let expected = || Expected::Node("hub".parse().unwrap());
    let (mut stream, peer) = soon("handshake", dial(expected())).await.unwrap();
    assert_eq!(peer.certificate(), &hub.certificate());
    let mut uri = [0; 25];
    soon("name", stream.read_exact(&mut uri)).await.unwrap();
    assert_eq!(uri, *b"spiffe://fleet/node/edge1");

    let other = Expected::Node("edge2".parse().unwrap());
    assert!(soon("refusal", dial(other)).await.is_err());
    learn(&edge, &swarm.revoke(&hub));
    assert_eq!(
        untrusted(soon("refusal", dial(expected())).await),
        CertificateError::Revoked
    );
}
