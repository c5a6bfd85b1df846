//! The front before services that people use: websockets, and a Synapse.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use http::StatusCode;
use swarm_pki::front::{Access, Front, Rules, Upstream};
use test_port::Port;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use crate::{
    fixture::{Swarm, learn, program, soon},
    front::{World, get},
};

/// A websocket service that answers each message with itself, twice as long.
async fn websocket_service() -> Upstream {
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::Tcp(listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut caller = String::new();
                #[allow(clippy::result_large_err, reason = "the callback's form is given")]
                let note = |request: &Request, response: Response| {
                    caller = request.headers()["x-swarm-node"]
                        .to_str()
                        .unwrap()
                        .to_owned();
                    Ok(response)
                };
                let accepted = tokio_tungstenite::accept_hdr_async(stream, note).await;
                let mut socket = accepted.unwrap();
                while let Some(Ok(message)) = next(&mut socket).await {
                    let answer = match message {
                        Message::Text(text) => Message::text(format!("{caller}: {text}")),
                        Message::Binary(bytes) => Message::binary([&bytes[..], &bytes].concat()),
                        // A close is answered while the next message is awaited.
                        _ => continue,
                    };
                    send(&mut socket, answer).await.unwrap();
                }
            });
        }
    });
    upstream
}

type Failure = tokio_tungstenite::tungstenite::Error;

async fn next<S>(
    socket: &mut tokio_tungstenite::WebSocketStream<S>,
) -> Option<Result<Message, Failure>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use futures_util::StreamExt as _;
    socket.next().await
}

async fn send<S>(
    socket: &mut tokio_tungstenite::WebSocketStream<S>,
    message: Message,
) -> Result<(), Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use futures_util::SinkExt as _;
    socket.send(message).await
}

#[tokio::test]
async fn websockets_pass_and_are_cut_when_their_member_is_revoked() {
    let upstream = websocket_service().await;
    // No upgrade is named: websockets are let through by default.
    let rules = Rules::new(Access::AnyMember);
    let world = World::new(|tls| Front::http(tls, upstream, rules)).await;
    let (stolen, edge) = world.member("edge1", &[]);
    let stream = world.dial(&edge).await;
    let mut request = "ws://hub/live".into_client_request().unwrap();
    let forged = "hub".parse().unwrap();
    request.headers_mut().insert("x-swarm-node", forged);
    let opening = Box::pin(tokio_tungstenite::client_async(request, stream));
    let opened = soon("handshake", opening).await;
    let (mut socket, response) = opened.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);

    send(&mut socket, Message::text("hello")).await.unwrap();
    let answer = soon("answer", next(&mut socket)).await.unwrap().unwrap();
    assert_eq!(answer, Message::text("edge1: hello"));
    // More than the buffers on the way hold, in both directions.
    let large: Vec<u8> = (0..2 << 20).map(|n| n as u8).collect();
    send(&mut socket, Message::binary(large.clone()))
        .await
        .unwrap();
    let answer = soon("answer", next(&mut socket)).await.unwrap().unwrap();
    assert_eq!(answer.into_data(), [&large[..], &large].concat());
    send(&mut socket, Message::Ping("x".into())).await.unwrap();
    let answer = soon("pong", next(&mut socket)).await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong("x".into()));

    learn(&world.hub, &world.swarm.revoke(&stolen));
    let cut = soon("cut", next(&mut socket)).await;
    assert!(!matches!(cut, Some(Ok(_))), "{cut:?}");
    assert_eq!(
        world
            .counters(|counters| counters.closed == 1)
            .await
            .cut_untrusted,
        1
    );
}

#[tokio::test]
async fn a_websocket_is_closed_in_good_order_through_the_front() {
    let world = World::http(websocket_service().await).await;
    let (_, edge) = world.member("edge1", &[]);
    let stream = world.dial(&edge).await;
    let opened = Box::pin(tokio_tungstenite::client_async("ws://hub/live", stream)).await;
    let (mut socket, _) = opened.unwrap();
    socket.close(None).await.unwrap();
    let answer = soon("close", next(&mut socket)).await.unwrap().unwrap();
    assert!(answer.is_close(), "{answer:?}");
    drop(socket);
    assert_eq!(
        world
            .counters(|counters| counters.closed == 1)
            .await
            .cut_untrusted,
        0
    );
}

/// A homeserver of the test's own, killed when dropped.
struct Synapse {
    address: SocketAddr,
    _port: Port,
    child: Child,
    directory: tempfile::TempDir,
}

impl Synapse {
    async fn start(homeserver: PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = Port::free();
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        configure(directory.path(), port.number());
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(homeserver)
            .arg("-c")
            .arg(directory.path().join("homeserver.yaml"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut synapse = Self {
            address,
            _port: port,
            child,
            directory,
        };
        let start = tokio::time::Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let ended = synapse.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(synapse.directory.path().join("log"));
            assert!(ended.is_none(), "it ended: {}", log().unwrap());
            assert!(
                start.elapsed() < Duration::from_secs(180),
                "{}",
                log().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        synapse
    }
}

fn configure(directory: &Path, port: u16) {
    let here = directory.display();
    let config = format!(
        "server_name: fleet
pid_file: {here}/pid
listeners:
  - {{port: {port}, bind_addresses: ['127.0.0.1'], type: http, resources: [{{names: [client]}}]}}
database: {{name: sqlite3, args: {{database: {here}/homeserver.db}}}}
media_store_path: {here}/media
signing_key_path: {here}/signing.key
report_stats: false
suppress_key_server_warning: true
trusted_key_servers: []
macaroon_secret_key: tests
form_secret: tests
"
    );
    std::fs::write(directory.join("homeserver.yaml"), config).unwrap();
    // An Ed25519 seed in unpadded base64.
    let seed = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    std::fs::write(
        directory.join("signing.key"),
        format!("ed25519 a_test {seed}\n"),
    )
    .unwrap();
}

#[tokio::test]
async fn a_real_synapse_stands_behind_the_front_with_its_admin_paths_closed() {
    let Some(homeserver) = program("a Synapse behind the front", "synapse_homeserver") else {
        return;
    };
    let synapse = Synapse::start(homeserver).await;
    let world = World::http(Upstream::Tcp(synapse.address)).await;
    let (_, edge) = world.member("edge1", &[]);
    let response = world.ask(&edge, get("/_matrix/client/versions")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let versions = String::from_utf8_lossy(response.body());
    assert!(versions.contains("\"versions\":["), "{versions}");

    // It answers there, and only past the front.
    let admin = "/_synapse/admin/v1/server_version";
    let plain = plain_status(synapse.address, admin).await;
    assert_ne!(plain, 403, "Synapse itself refuses: this proves nothing");
    for spelling in [admin, "/_synapse/%61dmin/v1/server_version"] {
        let response = world.ask(&edge, get(spelling)).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.body(), "this path is closed\n");
    }
    let stranger = Swarm::new().node("edge1", &[]).tls(world.swarm.trust());
    assert!(
        world
            .try_ask(&stranger, get("/_matrix/client/versions"))
            .await
            .is_err()
    );
}

async fn plain_status(address: SocketAddr, path: &str) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: fleet\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    answer[9..12].parse().unwrap()
}
