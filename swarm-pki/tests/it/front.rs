//! The front before real services, with real members and with members who try tricks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use swarm_pki::{
    front::{Access, Counters, Front, Limits, Rules, Upstream},
    tls::{Expected, MeshTls, http as https},
};
use test_port::Port;
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader,
    },
    net::{TcpListener, TcpStream, UnixListener},
    process::Command,
    sync::oneshot,
    task::JoinHandle,
    time::{Interval, sleep, timeout},
};
use tokio_rustls::client::TlsStream;

use crate::fixture::{Node, SOON, Swarm, learn, program, role, soon};

/// A running front and the means to talk to it.
pub(crate) struct World {
    pub(crate) swarm: Swarm,
    pub(crate) hub: MeshTls,
    pub(crate) front: Front,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl World {
    pub(crate) async fn new(make: impl FnOnce(MeshTls) -> Front) -> Self {
        let swarm = Swarm::new();
        let hub = swarm.node("hub", &["hub"]).tls(swarm.trust());
        let front = make(hub.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = front.clone();
        let served = tokio::spawn(async move {
            running
                .serve(listener, async { stopped.await.unwrap_or_default() })
                .await;
        });
        Self {
            swarm,
            hub,
            front,
            address,
            stop: Some(stop),
            served,
        }
    }

    pub(crate) async fn http(upstream: Upstream) -> Self {
        let mut rules = Rules::new(Access::AnyMember).close("/_synapse/admin".parse().unwrap());
        rules.upgrades.push("shout".to_owned());
        Self::new(|tls| Front::http(tls, upstream, rules)).await
    }

    pub(crate) fn member(&self, id: &str, roles: &[&str]) -> (Node, MeshTls) {
        let node = self.swarm.node(id, roles);
        let tls = node.tls(self.swarm.trust());
        (node, tls)
    }

    pub(crate) async fn ask(&self, tls: &MeshTls, request: Request<Bytes>) -> Response<Bytes> {
        self.try_ask(tls, request).await.unwrap()
    }

    pub(crate) async fn try_ask(
        &self,
        tls: &MeshTls,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, https::Error> {
        let config = tls.client_config(Expected::Node("hub".parse().unwrap()), &[b"http/1.1"]);
        let mut limits = https::Limits::default();
        limits.body = 64 << 20;
        limits.time = SOON;
        https::request(self.address, &config, request, &limits).await
    }

    pub(crate) async fn dial(&self, tls: &MeshTls) -> BufReader<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (stream, _) = tls
            .connect(Expected::AnyMember, &[b"http/1.1"], stream)
            .await
            .unwrap();
        BufReader::new(stream)
    }

    /// Sends bytes as they are and returns the status of the answer. A refusal may come, and the
    /// connection end, before all was sent.
    pub(crate) async fn say(&self, tls: &MeshTls, head: &str) -> u16 {
        let (mut reader, mut writer) = tokio::io::split(self.dial(tls).await);
        let answer = soon("status", read_head(&mut reader));
        tokio::join!(answer, writer.write_all(head.as_bytes())).0.0
    }

    pub(crate) async fn counters(&self, reached: impl Fn(&Counters) -> bool) -> Counters {
        soon("count", async {
            loop {
                let counters = self.front.counters();
                if reached(&counters) {
                    return counters;
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }
}

pub(crate) fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    let head = read_request(stream).await;
    (head[9..12].parse().unwrap(), head)
}

/// What a service saw of one request.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
}

type Body = BoxBody<Bytes, Infallible>;

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed()
}

/// How much all floods have poured out.
static FLOODED: AtomicUsize = AtomicUsize::new(0);

/// A body that goes on for as long as it is read.
struct Endless {
    chunk: Bytes,
    pause: Option<Interval>,
}

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.poll_tick(cx));
        }
        FLOODED.fetch_add(self.chunk.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))))
    }
}

/// A real HTTP service: it answers by path and reports what it saw.
pub(crate) struct Service {
    pub(crate) upstream: Upstream,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    _directory: Option<tempfile::TempDir>,
}

impl Service {
    pub(crate) async fn on_tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Upstream::Tcp(listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, Arc::clone(&shared));
            }
        });
        Self {
            upstream,
            seen,
            _directory: None,
        }
    }

    async fn on_unix_socket() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("service.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, Arc::clone(&shared));
            }
        });
        Self {
            upstream: Upstream::Unix(path),
            seen,
            _directory: Some(directory),
        }
    }

    fn last(&self) -> Seen {
        self.seen.lock().unwrap().pop().unwrap()
    }
}

fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
    tokio::spawn(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades(),
    );
}

async fn answer(
    mut request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Body>, Infallible> {
    let target = request.uri().to_string();
    seen.lock().unwrap().push(Seen {
        target,
        headers: request.headers().clone(),
    });
    Ok(match request.uri().path() {
        "/poll" => {
            sleep(Duration::from_secs(1)).await;
            Response::new(full("news"))
        }
        "/never" => std::future::pending().await,
        "/drip" => {
            let pause = tokio::time::interval(Duration::from_millis(20));
            Response::new(
                Endless {
                    chunk: Bytes::from_static(b"drip"),
                    pause: Some(pause),
                }
                .boxed(),
            )
        }
        "/flood" => Response::new(
            Endless {
                chunk: Bytes::from(vec![7; 1 << 16]),
                pause: None,
            }
            .boxed(),
        ),
        "/echo" => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Response::builder()
                .header("connection", "x-hop")
                .header("x-hop", "1")
                .body(full(body))
                .unwrap()
        }
        "/shout" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    byte.make_ascii_uppercase();
                    stream.write_all(&byte).await.unwrap();
                }
            });
            Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, "shout")
                .body(full(""))
                .unwrap()
        }
        _ => Response::new(full("hello")),
    })
}

#[tokio::test]
async fn the_service_learns_who_is_calling_and_nothing_that_the_caller_made_up() {
    let service = Service::on_tcp().await;
    let world = World::http(service.upstream.clone()).await;
    let (_, edge) = world.member("edge1", &["edge", "sensor"]);
    let mut request = get("/hello?x=%2e%2e/y");
    for (name, value) in [
        ("x-swarm-node", "hub"),
        ("x_swarm_node", "hub"),
        ("x-swarm-roles", "hub"),
        ("x-swarm-anything", "1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=192.0.2.1"),
        ("x-real-ip", "192.0.2.1"),
        ("x-original-url", "/_synapse/admin"),
        ("x_rewrite_url", "/_synapse/admin"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("authorization", "Bearer token"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let response = world.ask(&edge, request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.body(), "hello");

    let seen = service.last();
    assert_eq!(seen.target, "/hello?x=%2e%2e/y");
    let mut headers: Vec<(&str, &str)> = seen
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    headers.sort_unstable();
    let host = world.address.to_string();
    assert_eq!(
        headers,
        [
            ("authorization", "Bearer token"),
            ("host", host.as_str()),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-swarm-node", "edge1"),
            ("x-swarm-roles", "edge,sensor"),
        ]
    );

    let response = world
        .ask(&edge, Request::post("/echo").body("body".into()).unwrap())
        .await;
    assert_eq!(response.body(), "body");
    assert!(!response.headers().contains_key("x-hop"));
    assert_eq!(world.front.counters().forwarded, 2);
}

#[tokio::test]
async fn a_service_on_a_unix_socket_is_served_too() {
    let service = Service::on_unix_socket().await;
    let world = World::http(service.upstream.clone()).await;
    let (_, edge) = world.member("edge1", &[]);
    assert_eq!(world.ask(&edge, get("/hello")).await.body(), "hello");
    assert_eq!(service.last().headers["x-swarm-node"], "edge1");
}

#[tokio::test]
async fn closed_paths_stay_closed_however_they_are_spelled() {
    let service = Service::on_tcp().await;
    let world = World::http(service.upstream.clone()).await;
    let (_, edge) = world.member("edge1", &[]);
    for (target, status) in [
        ("/_synapse/admin/v1/users", 403),
        ("/_synapse/admin", 403),
        ("/_Synapse/%61dmin?x", 403),
        ("/_synapse%2Fadmin", 403),
        ("//_synapse/admin", 400),
        ("/x/../_synapse/admin", 400),
        ("/x/%2e%2e/_synapse/admin", 400),
        ("/x/%252e%252e/_synapse/admin", 400),
        ("/x/..%5c_synapse/admin", 400),
        ("/_synapse/admin%00", 400),
        ("http://hub/_synapse/admin", 400),
        ("http://hub/hello", 400),
        ("*", 400),
        ("/_synapse/client", 200),
        ("/_synapse/administrator", 200),
        ("/rooms/%21a%3Ab/state/t/%40edge1%3Ab", 200),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: hub\r\n\r\n");
        assert_eq!(world.say(&edge, &head).await, status, "{target}");
    }
    assert_eq!(world.front.counters().refused_path, 4);
    assert_eq!(world.front.counters().refused_request, 9);
    assert_eq!(service.seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn messages_of_two_lengths_and_endless_heads_are_refused() {
    let service = Service::on_tcp().await;
    let world = World::http(service.upstream.clone()).await;
    let (_, edge) = world.member("edge1", &[]);
    for (head, status) in [
        (
            "POST /echo HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("GET /hello HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nx : y\r\n\r\n", 400),
        ("CONNECT hub:1 HTTP/1.1\r\nhost: hub:1\r\n\r\n", 400),
        ("POST /echo HTTP/1.1\r\ncontent-length: 1, 1\r\n\r\na", 400),
        ("POST /echo HTTP/1.1\r\ncontent-length: +1\r\n\r\na", 400),
        (
            "POST /echo HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /echo HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("GET /hello HTTP/1.1\r\nx: a\r\n b: c\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nx: a\rb: c\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nx: a\0b\r\n\r\n", 400),
        ("GET /hello HTTP/2.0\r\nhost: hub\r\n\r\n", 400),
        ("GET  /hello HTTP/1.1\r\nhost: hub\r\n\r\n", 400),
    ] {
        assert_eq!(world.say(&edge, head).await, status, "{head}");
    }
    // Whether it comes in one piece or in several is up to the machine.
    let bare = "GET /hello HTTP/1.1\r\nx: \r\n\r\n".len();
    let long = |length: usize| {
        format!(
            "GET /hello HTTP/1.1\r\nx: {}\r\n\r\n",
            "y".repeat(length - bare)
        )
    };
    for length in [65_600, 100_000, 200_000] {
        assert_eq!(world.say(&edge, &long(length)).await, 431);
    }
    let many = format!("GET /hello HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
    assert_eq!(world.say(&edge, &many).await, 431);
    assert!(service.seen.lock().unwrap().is_empty());

    assert_eq!(world.say(&edge, &long(64 * 1024)).await, 200);

    // One length twice is one (RFC 9110, 8.6), and the service is told it once.
    let twice = "POST /echo HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na";
    assert_eq!(world.say(&edge, twice).await, 200);
    let seen = service.last().headers;
    assert_eq!(seen.get_all("content-length").iter().count(), 1);

    // Chunks override a length (RFC 9112, 6.3), and the service is told of the chunks alone.
    let both = "POST /echo HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n\
                2\r\nab\r\n0\r\n\r\n";
    assert_eq!(world.say(&edge, both).await, 200);
    assert!(!service.last().headers.contains_key("content-length"));
}

#[tokio::test]
async fn only_members_with_access_get_through() {
    let service = Service::on_tcp().await;
    let upstream = service.upstream.clone();
    let access = Access::roles([role("operator")]);
    let world = World::new(|tls| Front::http(tls, upstream, Rules::new(access))).await;
    let (_, operator) = world.member("desk", &["operator"]);
    let (_, edge) = world.member("edge1", &["edge"]);
    assert_eq!(
        world.ask(&operator, get("/hello")).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        world.ask(&edge, get("/hello")).await.status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(world.front.counters().refused_access, 1);

    let stranger = Swarm::new()
        .node("desk", &["operator"])
        .tls(world.swarm.trust());
    assert!(world.try_ask(&stranger, get("/hello")).await.is_err());
    let counters = world
        .counters(|counters| counters.refused_handshake == 1)
        .await;
    assert_eq!(counters.forwarded, 1);
    assert_eq!(service.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn paths_are_limited_by_role_and_by_node_however_they_are_spelled() {
    let service = Service::on_tcp().await;
    let upstream = service.upstream.clone();
    let rules = Rules::new(Access::AnyMember)
        .limit("/admin".parse().unwrap(), Access::roles([role("operator")]))
        .limit(
            "/admin/keys".parse().unwrap(),
            Access::nodes(["desk".parse().unwrap()]),
        );
    let world = World::new(|tls| Front::http(tls, upstream, rules)).await;
    let (_, edge) = world.member("edge1", &["edge"]);
    let (_, operator) = world.member("tablet", &["operator"]);
    let (_, desk) = world.member("desk", &["operator"]);
    // Named, but without the role that the path above asks for.
    let (_, demoted) = world.member("desk", &["edge"]);
    for (target, who, status) in [
        ("/hello", &edge, 200),
        ("/administrator", &edge, 200),
        ("/admin", &edge, 403),
        ("/admin?x", &edge, 403),
        ("/%41dmin/x", &edge, 403),
        ("/admin;x/keys", &edge, 403),
        ("/admin%2Fkeys", &operator, 403),
        ("/admin/users", &operator, 200),
        ("/admin/keys", &operator, 403),
        ("/admin/keys", &demoted, 403),
        ("/admin/keys", &desk, 200),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: hub\r\n\r\n");
        assert_eq!(world.say(who, &head).await, status, "{target}");
    }
    assert_eq!(world.front.counters().refused_path, 7);
    assert_eq!(service.seen.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn one_address_does_not_take_all_connections() {
    let service = Service::on_tcp().await;
    let upstream = service.upstream.clone();
    let mut limits = Limits::default();
    limits.max_from_one_address = 2;
    let rules = Rules::new(Access::AnyMember);
    let world = World::new(|tls| Front::http(tls, upstream, rules).with_limits(limits)).await;
    let (_, edge) = world.member("edge1", &[]);
    // A stranger who never speaks.
    let mut held = Vec::new();
    for _ in 0..4 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 66], 0).into()).unwrap();
        held.push(socket.connect(world.address).await.unwrap());
    }
    let counters = world.counters(|counters| counters.accepted == 4).await;
    assert_eq!(counters.refused_full, 2);
    assert_eq!(world.ask(&edge, get("/hello")).await.body(), "hello");
}

#[tokio::test]
async fn heads_that_drip_are_ended() {
    let service = Service::on_tcp().await;
    let upstream = service.upstream.clone();
    let mut limits = Limits::default();
    limits.head = Duration::from_millis(600);
    limits.handshake = Duration::from_millis(600);
    let rules = Rules::new(Access::AnyMember);
    let world = World::new(|tls| Front::http(tls, upstream, rules).with_limits(limits)).await;
    let (_, edge) = world.member("edge1", &[]);
    // Never silent, and never done: first with the head, then with the handshake.
    let mut dripping = world.dial(&edge).await;
    dripping
        .write_all(b"GET /hello HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    let start = tokio::time::Instant::now();
    soon("end", async {
        while dripping.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(start.elapsed() > Duration::from_millis(500));
    let mut dripping = TcpStream::connect(world.address).await.unwrap();
    dripping.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    soon("end", async {
        while dripping.write_all(&[0]).await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let counters = world.counters(|counters| counters.closed == 2).await;
    assert_eq!(counters.refused_handshake, 1);
    assert!(service.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_upload_is_held_back_by_a_service_that_does_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::Tcp(listener.local_addr().unwrap());
    let (read_on, reads) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        reads.await.unwrap();
        tokio::io::copy(&mut stream, &mut tokio::io::sink())
            .await
            .unwrap();
    });
    let world = World::http(upstream).await;
    let (_, edge) = world.member("edge1", &[]);
    let mut stream = world.dial(&edge).await;
    stream
        .write_all(b"PUT /x HTTP/1.1\r\nhost: hub\r\ncontent-length: 1000000000\r\n\r\n")
        .await
        .unwrap();
    let chunk = vec![7; 1 << 16];
    let mut sent = 0;
    while timeout(Duration::from_secs(1), stream.write_all(&chunk))
        .await
        .is_ok()
    {
        sent += chunk.len();
        assert!(sent < 64 << 20, "nobody held it back");
    }
    read_on.send(()).unwrap();
    soon("more", async {
        for _ in 0..64 {
            stream.write_all(&chunk).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_down_is_said_and_found_again() {
    // A port that nothing listens on, until something does.
    let port = Port::free();
    let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let world = World::http(Upstream::Tcp(address)).await;
    let (_, edge) = world.member("edge1", &[]);
    let response = world.ask(&edge, get("/hello")).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(response.body(), "the service is down\n");
    assert_eq!(world.front.counters().upstream_down, 1);

    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, Arc::default());
        }
    });
    assert_eq!(
        world.ask(&edge, get("/hello")).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_kept_connection_survives_a_service_that_restarts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::Tcp(listener.local_addr().unwrap());
    tokio::spawn(async move {
        // Answers one request on each connection and closes it without a word.
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
        }
    });
    let world = World::http(upstream).await;
    let (_, edge) = world.member("edge1", &[]);
    let mut stream = world.dial(&edge).await;
    for round in 0..20 {
        let method = if round % 3 == 0 { "POST" } else { "GET" };
        let head = format!("{method} / HTTP/1.1\r\nhost: hub\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(
            soon("status", read_head(&mut stream)).await.0,
            200,
            "round {round}"
        );
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.unwrap();
    }
    assert_eq!(world.front.counters().upstream_down, 0);
}

#[tokio::test]
async fn long_polls_pass_and_endless_ones_are_ended() {
    let service = Service::on_tcp().await;
    let upstream = service.upstream.clone();
    let mut limits = Limits::default();
    limits.response = Duration::from_secs(4);
    let rules = Rules::new(Access::AnyMember);
    let world = World::new(|tls| Front::http(tls, upstream, rules).with_limits(limits)).await;
    let (_, edge) = world.member("edge1", &[]);
    assert_eq!(world.ask(&edge, get("/poll")).await.body(), "news");
    assert_eq!(
        world.ask(&edge, get("/never")).await.status(),
        StatusCode::GATEWAY_TIMEOUT
    );
    assert_eq!(world.front.counters().upstream_slow, 1);
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let service = Service::on_tcp().await;
    let upstream = service.upstream.clone();
    let mut limits = Limits::default();
    limits.idle = Duration::from_millis(300);
    let rules = Rules::new(Access::AnyMember);
    let world = World::new(|tls| Front::http(tls, upstream, rules).with_limits(limits)).await;
    let (_, edge) = world.member("edge1", &[]);
    let mut stream = world.dial(&edge).await;
    assert!(soon("end", stream.read_u8()).await.is_err());
    assert_eq!(
        world
            .counters(|counters| counters.closed == 1)
            .await
            .cut_idle,
        1
    );
}

#[tokio::test]
async fn more_connections_than_allowed_are_turned_away() {
    let service = Service::on_tcp().await;
    let upstream = service.upstream.clone();
    let mut limits = Limits::default();
    limits.max_connections = 1;
    let rules = Rules::new(Access::AnyMember);
    let world = World::new(|tls| Front::http(tls, upstream, rules).with_limits(limits)).await;
    let (_, edge) = world.member("edge1", &[]);
    let first = world.dial(&edge).await;
    assert!(world.try_ask(&edge, get("/hello")).await.is_err());
    assert_eq!(world.front.counters().refused_full, 1);
    drop(first);
    world.counters(|counters| counters.closed == 2).await;
    assert_eq!(
        world.ask(&edge, get("/hello")).await.status(),
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_and_a_slow_reader_holds_the_service_back() {
    let service = Service::on_tcp().await;
    let world = World::http(service.upstream.clone()).await;
    let (_, edge) = world.member("edge1", &[]);
    let body = Bytes::from((0..3 << 20).map(|n| n as u8).collect::<Vec<_>>());
    let request = Request::put("/echo").body(body.clone()).unwrap();
    assert!(world.ask(&edge, request).await.body() == &body);

    let mut stream = world.dial(&edge).await;
    stream
        .write_all(b"GET /flood HTTP/1.1\r\nhost: hub\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(soon("status", read_head(&mut stream)).await.0, 200);
    // The flood fills the buffers of four sockets, and stands.
    let mut poured = 0;
    soon("standstill", async {
        loop {
            sleep(Duration::from_millis(500)).await;
            let now = FLOODED.load(Ordering::Relaxed);
            if now == poured {
                break;
            }
            poured = now;
        }
    })
    .await;
    assert!(poured < 32 << 20, "{poured} bytes");
    // It goes on when it is read.
    let mut read = vec![0; 8 << 20];
    soon("flood", stream.read_exact(&mut read)).await.unwrap();
    assert!(FLOODED.load(Ordering::Relaxed) > poured);
}

const SHOUT: &[u8] =
    b"GET /shout HTTP/1.1\r\nhost: hub\r\nconnection: Upgrade\r\nupgrade: shout\r\n\r\n";

async fn shout(world: &World, tls: &MeshTls) -> BufReader<TlsStream<TcpStream>> {
    let mut stream = world.dial(tls).await;
    stream.write_all(SHOUT).await.unwrap();
    let (status, head) = soon("upgrade", read_head(&mut stream)).await;
    assert_eq!(status, 101);
    assert!(head.contains("upgrade: shout\r\n") && head.contains("connection: upgrade\r\n"));
    stream.write_all(b"hey").await.unwrap();
    let mut answer = [0; 3];
    soon("answer", stream.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, *b"HEY");
    stream
}

#[tokio::test]
async fn connections_change_their_protocol_through_the_front() {
    let service = Service::on_tcp().await;
    let world = World::http(service.upstream.clone()).await;
    let (_, edge) = world.member("edge1", &[]);
    let mut stream = shout(&world, &edge).await;
    assert_eq!(service.last().headers["x-swarm-node"], "edge1");
    stream.shutdown().await.unwrap();
    soon("end", stream.read_to_end(&mut Vec::new()))
        .await
        .unwrap();
    world.counters(|counters| counters.closed == 1).await;
}

#[tokio::test]
async fn a_protocol_that_carries_requests_past_the_rules_is_not_agreed_on() {
    let service = Service::on_tcp().await;
    let world = World::http(service.upstream.clone()).await;
    let (_, edge) = world.member("edge1", &[]);
    for protocol in ["h2c", "shout, h2c", "websocket2"] {
        let head = format!(
            "GET /hello HTTP/1.1\r\nhost: hub\r\nconnection: upgrade, http2-settings\r\n\
             upgrade: {protocol}\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
        );
        assert_eq!(world.say(&edge, &head).await, 200);
        let seen = service.last().headers;
        assert!(!seen.contains_key("upgrade") && !seen.contains_key("http2-settings"));
        assert!(!seen.contains_key("connection"));
    }
}

#[tokio::test]
async fn live_connections_of_every_kind_are_cut_when_their_member_is_revoked() {
    let service = Service::on_tcp().await;
    let world = World::http(service.upstream.clone()).await;
    let (stolen, edge) = world.member("edge1", &[]);
    let (_, honest) = world.member("edge2", &[]);
    let mut kept = shout(&world, &honest).await;

    let mut idle = world.dial(&edge).await;
    let mut upgraded = shout(&world, &edge).await;
    let mut polling = world.dial(&edge).await;
    polling
        .write_all(b"GET /never HTTP/1.1\r\nhost: hub\r\n\r\n")
        .await
        .unwrap();
    let mut streaming = world.dial(&edge).await;
    streaming
        .write_all(b"GET /drip HTTP/1.1\r\nhost: hub\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(soon("status", read_head(&mut streaming)).await.0, 200);
    // The service has all three requests.
    world.counters(|counters| counters.forwarded == 3).await;

    let news = world.swarm.revoke(&stolen);
    let start = tokio::time::Instant::now();
    learn(&world.hub, &news);
    for stream in [&mut idle, &mut upgraded, &mut polling, &mut streaming] {
        // Cut, not closed in good order: an error, after whatever was on its way.
        assert!(
            soon("cut", stream.read_to_end(&mut Vec::new()))
                .await
                .is_err()
        );
    }
    // sooner than the guard looks by itself, which is every half a minute
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        world
            .counters(|counters| counters.closed == 4)
            .await
            .cut_untrusted,
        4
    );

    kept.write_all(b"hey").await.unwrap();
    let mut answer = [0; 3];
    soon("answer", kept.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, *b"HEY");
}

#[tokio::test]
async fn requests_under_way_are_finished_at_shutdown_and_others_are_cut() {
    let service = Service::on_tcp().await;
    let upstream = service.upstream.clone();
    let mut limits = Limits::default();
    limits.drain = Duration::from_secs(5);
    let mut rules = Rules::new(Access::AnyMember);
    rules.upgrades = vec!["shout".to_owned()];
    let mut world = World::new(|tls| Front::http(tls, upstream, rules).with_limits(limits)).await;
    let (_, edge) = world.member("edge1", &[]);
    let mut idle = world.dial(&edge).await;
    let mut upgraded = shout(&world, &edge).await;
    let mut polling = world.dial(&edge).await;
    polling
        .write_all(b"GET /poll HTTP/1.1\r\nhost: hub\r\n\r\n")
        .await
        .unwrap();
    soon("poll", async {
        while service.seen.lock().unwrap().len() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    world.stop.take().unwrap().send(()).unwrap();
    assert_eq!(soon("answer", read_head(&mut polling)).await.0, 200);
    let mut rest = String::new();
    soon("answer", polling.read_to_string(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, "news");
    soon("close", idle.read_to_end(&mut Vec::new()))
        .await
        .unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
    assert!(!world.served.is_finished());
    assert!(
        soon("cut", upgraded.read_to_end(&mut Vec::new()))
            .await
            .is_err()
    );
    soon("end of serving", world.served).await.unwrap();
    assert_eq!(world.front.counters().cut_at_shutdown, 1);
    assert_eq!(world.front.counters().closed, 3);
}

#[tokio::test]
async fn raw_connections_are_forwarded_and_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::Tcp(listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    let access = Access::roles([role("edge")]);
    let world = World::new(|tls| Front::raw(tls, upstream, access)).await;
    let (stolen, edge) = world.member("edge1", &["edge"]);
    let (_, other) = world.member("desk", &["operator"]);

    let raw = async |tls: &MeshTls| {
        let stream = TcpStream::connect(world.address).await.unwrap();
        tls.connect(Expected::AnyMember, &[], stream)
            .await
            .unwrap()
            .0
    };
    let mut stream = raw(&edge).await;
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    soon("answer", stream.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, *b"ping");

    let mut refused = raw(&other).await;
    assert!(soon("refusal", refused.read_u8()).await.is_err());
    assert_eq!(world.front.counters().refused_access, 1);

    learn(&world.hub, &world.swarm.revoke(&stolen));
    assert!(soon("cut", stream.read_u8()).await.is_err());
    assert_eq!(
        world
            .counters(|counters| counters.closed == 2)
            .await
            .cut_untrusted,
        1
    );
}

#[tokio::test]
async fn pythons_http_server_stands_behind_the_front() {
    let Some(python) = program("python behind the front", "python3") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let content = vec![b'x'; 1 << 20];
    std::fs::write(directory.path().join("file.bin"), &content).unwrap();
    let mut server = Command::new(python)
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Serving HTTP on 127.0.0.1 port 40000 (http://127.0.0.1:40000/) ...
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = soon("first line", lines.next_line())
        .await
        .unwrap()
        .unwrap();
    let port = line.split_whitespace().nth(5).unwrap().parse().unwrap();
    let world = World::http(Upstream::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))).await;
    let (_, edge) = world.member("edge1", &[]);
    let response = world.ask(&edge, get("/file.bin")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.body() == content.as_slice());
    assert_eq!(
        world.ask(&edge, get("/nothing")).await.status(),
        StatusCode::NOT_FOUND
    );

    // It speaks HTTP/1.0 and closes after each answer; the member's connection goes on.
    let mut stream = world.dial(&edge).await;
    for _ in 0..3 {
        stream
            .write_all(b"HEAD /file.bin HTTP/1.1\r\nhost: hub\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(soon("status", read_head(&mut stream)).await.0, 200);
    }
    assert!(
        timeout(Duration::from_millis(100), stream.read_u8())
            .await
            .is_err()
    );
}
