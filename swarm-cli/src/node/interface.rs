//! What a node answers to other nodes: over mutual TLS on its mesh address, and at a hub's enrolment port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use swarm_pki::tls::{ClientAuth, Peer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::error::Error;
use crate::secrets;

use super::Shared;

/// How many connections a listener serves at a time.
const CONNECTIONS: usize = 1_024;
/// How long a handshake, and each request's head, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The paths of the interface; other nodes and `swarm join` use them.
pub(crate) const BUNDLE: &str = "/swarm/v1/bundle";
pub(crate) const CONFIG: &str = "/swarm/v1/config";
pub(crate) const ENDPOINTS: &str = "/swarm/v1/endpoints";
pub(crate) const HEALTH: &str = "/swarm/v1/health";
pub(crate) const TOKEN: &str = "/swarm/v1/room-token";

/// What every member may ask every member.
pub(crate) fn member_routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(BUNDLE, get(bundle))
        .route(CONFIG, get(config))
        .route(ENDPOINTS, get(endpoints))
        .route(HEALTH, get(health))
        .route(TOKEN, post(token))
        .with_state(shared)
}

/// What anybody may ask at a hub's enrolment port: EST; members also what they ask each other.
pub(crate) fn enrolment_routes(
    shared: Arc<Shared>,
    enrolment: swarm_pki::enroll::Server,
) -> Router {
    let hub = Arc::clone(&shared);
    let enrol = move |peer: Option<Extension<Peer>>, request: axum::extract::Request| {
        let (hub, enrolment) = (Arc::clone(&hub), enrolment.clone());
        async move {
            let certificate = peer.as_ref().map(|Extension(peer)| peer.certificate());
            let answer = enrolment.handle(certificate, request).await;
            // a new node's first handshake comes within milliseconds, and is repeated only after seconds
            hub.refresh.notify_one();
            answer.map(Body::new)
        }
    };
    member_routes(shared).fallback(enrol)
}

/// Serves a router to TLS clients until the node stops; a connection ends at once when its peer's
/// certificate is no longer trusted.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    clients: ClientAuth,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // out of descriptors, as a rule: a pause lets others end
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("too many connections; one is refused");
            continue;
        };
        let connection = serve_connection(
            Arc::clone(&shared),
            stream,
            clients.clone(),
            router.clone(),
            stop.clone(),
        );
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

async fn serve_connection(
    shared: Arc<Shared>,
    stream: TcpStream,
    clients: ClientAuth,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let tls = shared.member.tls();
    let config = tls.server_config(clients, &[]);
    let accepted = tokio::time::timeout(PATIENCE, tls.accept(&config, stream)).await;
    let (stream, peer) = match accepted {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => {
            return tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a handshake failed"
            );
        }
        Err(_) => return tracing::debug!("a handshake took too long"),
    };
    let router = match &peer {
        Some(peer) => router.layer(Extension(peer.clone())),
        None => router,
    };
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let distrust = async {
        match &peer {
            Some(peer) => tls.guard(peer).await.to_string(),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        },
        reason = distrust => tracing::info!(%reason, "a connection is cut"),
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Binds a listener, and says whose it would have been when it cannot.
pub(crate) async fn listen(address: SocketAddr, what: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen {
            address: address.to_string(),
            what,
            source,
        })
}

async fn bundle(State(shared): State<Arc<Shared>>, peer: Option<Extension<Peer>>) -> Response {
    answer_member(peer, |_| {
        match shared.member.tls().trust().to_bundle().to_der() {
            Ok(der) => ([(header::CONTENT_TYPE, "application/octet-stream")], der).into_response(),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    })
}

async fn config(State(shared): State<Arc<Shared>>, peer: Option<Extension<Peer>>) -> Response {
    answer_member(peer, |_| {
        match std::fs::read_to_string(shared.member.layout().config()) {
            Ok(text) => text.into_response(),
            Err(error) => refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("cannot read swarm.toml: {error}"),
            ),
        }
    })
}

async fn endpoints(State(shared): State<Arc<Shared>>, peer: Option<Extension<Peer>>) -> Response {
    answer_member(peer, |_| {
        let seen: BTreeMap<String, SocketAddr> = shared
            .seen_endpoints()
            .into_iter()
            .map(|(node, endpoint)| (node.to_string(), endpoint))
            .collect();
        Json(seen).into_response()
    })
}

async fn health(State(shared): State<Arc<Shared>>, peer: Option<Extension<Peer>>) -> Response {
    answer_member(peer, |peer| {
        let answer = serde_json::json!({ "node": shared.member.id(), "asked_by": peer.id() });
        Json(answer).into_response()
    })
}

/// A login token for the rooms: for the node that the certificate proves, and for nobody else.
async fn token(State(shared): State<Arc<Shared>>, peer: Option<Extension<Peer>>) -> Response {
    if shared.hub.is_none() {
        return refuse(StatusCode::NOT_FOUND, "only a hub gives login tokens");
    }
    answer_member(peer, |peer| {
        match secrets::room_token(&shared.member, peer.id()) {
            Ok(token) => token.expose().to_owned().into_response(),
            Err(error) => refuse(StatusCode::FORBIDDEN, &error.to_string()),
        }
    })
}

fn answer_member(
    peer: Option<Extension<Peer>>,
    answer: impl FnOnce(&Peer) -> Response,
) -> Response {
    match peer {
        Some(Extension(peer)) => answer(&peer),
        None => refuse(StatusCode::UNAUTHORIZED, "a node certificate is needed"),
    }
}

fn refuse(status: StatusCode, line: &str) -> Response {
    (status, format!("{line}\n")).into_response()
}
