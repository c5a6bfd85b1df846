//! `/healthz` and `/metrics` on loopback.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::status::Status;

use super::{Shared, metrics};

/// A certificate that ends sooner than this is a problem, in seconds.
const CERTIFICATE_REMAINING: u64 = 24 * 3600;

/// What is wrong with a node, one line each.
pub(super) fn problems(status: &Status) -> Vec<String> {
    let mut problems = Vec::new();
    for service in status.services.iter().filter(|service| !service.ready) {
        let why = service.last_exit.as_deref().unwrap_or("it is starting");
        problems.push(format!("{} is not ready: {why}", service.name));
    }
    if !status.bus.connected {
        problems.push(format!("the bus is not connected: {}", status.bus.state));
    }
    if let Some(link) = status.link.as_ref().filter(|link| !link.connected) {
        problems.push(format!("its bus has no link to the hub's: {}", link.state));
    }
    if status.events.held > 0 {
        problems.push(
            "events wait on disk, since the bus does not say which of them it has: is the hub up to date?"
                .to_owned(),
        );
    }
    if !status.rooms.connected {
        problems.push(format!(
            "the rooms are not connected: {}",
            status.rooms.state
        ));
    }
    if status.certificate.remaining_seconds < CERTIFICATE_REMAINING {
        problems.push(format!(
            "the certificate ends at {}",
            status.certificate.not_after
        ));
    }
    problems
}

/// Serves until the node stops.
pub(super) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(prometheus))
        .with_state(shared);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { drop(stop.wait_for(|stop| *stop).await) })
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "health and metrics are served no more");
    }
}

/// 200 while nothing is wrong, else 503; the body says what.
async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    let status = shared.status();
    let code = if status.is_healthy() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = serde_json::json!({ "node": status.node, "ok": status.is_healthy(), "problems": status.problems });
    (code, Json(body)).into_response()
}

async fn prometheus(State(shared): State<Arc<Shared>>) -> Response {
    let text = metrics::text(&shared).await;
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}
