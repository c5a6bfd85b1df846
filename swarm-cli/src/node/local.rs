//! The node's side of [`control`](crate::control): commands of this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use swarm_bus::topics::NodeEvent;
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::control::{
    EVENT, REFRESH, RENEW, ROOM_SEND, ROOM_SHOW, ROOMS, STATUS, SendText, ShowRoom, SpooledEvent,
};
use crate::error::{Error, chain};
use crate::member::Member;

use super::{Shared, renewal};

/// Makes the socket, in place of one that a killed process left; the node's lock is held.
pub(super) fn listen(member: &Member) -> Result<UnixListener, Error> {
    let path = member.node_layout().control_socket();
    let fail = |source| Error::File {
        path: path.clone(),
        source,
    };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let listener =
        UnixListener::bind(crate::http::short_path(&path).map_err(fail)?.path()).map_err(fail)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    Ok(listener)
}

/// Serves until the node stops.
pub(super) async fn serve(
    shared: Arc<Shared>,
    listener: UnixListener,
    mut stop: watch::Receiver<bool>,
) {
    let router = Router::new()
        .route(STATUS, get(status))
        .route(REFRESH, post(refresh))
        .route(RENEW, post(renew))
        .route(EVENT, post(spool_event))
        .route(ROOMS, get(rooms))
        .route(ROOM_SHOW, post(show_room))
        .route(ROOM_SEND, post(send_to_room))
        .with_state(shared);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { drop(stop.wait_for(|stop| *stop).await) })
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "commands of this machine are served no more");
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.status()).into_response()
}

async fn refresh(State(shared): State<Arc<Shared>>) -> Response {
    shared.refresh.notify_one();
    Json(()).into_response()
}

async fn renew(State(shared): State<Arc<Shared>>) -> Response {
    answer(renewal::renew(&shared).await)
}

async fn spool_event(State(shared): State<Arc<Shared>>, Json(event): Json<NodeEvent>) -> Response {
    let spooled = shared.events.put(&event).await;
    answer(spooled.map(|spooled| SpooledEvent {
        id: spooled.id.to_string(),
        waiting: shared.events.status().waiting,
    }))
}

async fn rooms(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.rooms.list())
}

async fn show_room(State(shared): State<Arc<Shared>>, Json(asked): Json<ShowRoom>) -> Response {
    answer(shared.rooms.show(&asked.room).await)
}

async fn send_to_room(State(shared): State<Arc<Shared>>, Json(asked): Json<SendText>) -> Response {
    answer(shared.rooms.send(&asked.room, &asked.text).await)
}

fn answer<T: Serialize>(result: Result<T, Error>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::CONFLICT, format!("{}\n", chain(&error))).into_response(),
    }
}
