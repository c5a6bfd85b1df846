//! Commands of this machine to the node that runs on it, over a unix socket that only its owner may open.

use std::path::Path;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use swarm_bus::topics::NodeEvent;

use crate::http::{HttpError, over_unix};
use crate::status::Status;

/// The paths of the socket.
pub(crate) const STATUS: &str = "/status";
pub(crate) const REFRESH: &str = "/refresh";
pub(crate) const RENEW: &str = "/renew";
pub(crate) const EVENT: &str = "/event";
pub(crate) const ROOMS: &str = "/rooms";
pub(crate) const ROOM_SHOW: &str = "/room/show";
pub(crate) const ROOM_SEND: &str = "/room/send";

/// A certificate after a renewal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Renewed {
    /// The node.
    pub node: String,
    /// The new serial number, hexadecimal.
    pub serial: String,
    /// Its end, RFC 3339, UTC.
    pub not_after: String,
}

/// An event that waits on disk for the bus.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpooledEvent {
    /// The id by which its stream knows it.
    pub id: String,
    /// How many events wait now, this one included unless it is stored already.
    pub waiting: u64,
}

/// A room of the swarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoomStatus {
    /// Its alias, such as `#ops:swarm`.
    pub alias: String,
    /// Its id.
    pub id: String,
    /// Whether its messages are end-to-end encrypted.
    pub encrypted: bool,
    /// The users in it.
    pub members: Vec<String>,
}

/// What is in a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoomContents {
    /// The room.
    pub room: RoomStatus,
    /// The state that each node wrote of itself.
    pub states: Vec<RoomNode>,
    /// The newest messages, the oldest of them first.
    pub messages: Vec<RoomMessage>,
}

/// A node's state in a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoomNode {
    /// The user who wrote it, who is the only one who may.
    pub user: String,
    /// What it says.
    pub content: serde_json::Value,
}

/// A message in a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoomMessage {
    /// Who sent it.
    pub sender: String,
    /// When the server took it, milliseconds since 1970, UTC.
    pub sent: u64,
    /// What kind of message it is: `text`, `alert`, `unreadable` or the type of another one.
    pub kind: String,
    /// Whether it came encrypted.
    pub encrypted: bool,
    /// The text, or the content as JSON.
    pub body: String,
}

/// Which room to show.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ShowRoom {
    pub(crate) room: String,
}

/// A text to send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SendText {
    pub(crate) room: String,
    pub(crate) text: String,
}

/// A message that was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sent {
    /// The room's alias.
    pub room: String,
    /// The event that it became.
    pub event: String,
}

/// Asks a running node for its status.
///
/// # Errors
///
/// When no node runs there, or it does not answer.
pub async fn status(socket: &Path) -> Result<Status, HttpError> {
    ask(socket, Method::GET, STATUS, &()).await
}

/// Asks a hub to look at its authority at once.
///
/// # Errors
///
/// When no node runs there, or it does not answer.
pub async fn refresh(socket: &Path) -> Result<(), HttpError> {
    ask(socket, Method::POST, REFRESH, &()).await
}

/// Asks a node to renew its certificate now.
///
/// # Errors
///
/// When no node runs there, or the authority refuses.
pub async fn renew(socket: &Path) -> Result<Renewed, HttpError> {
    ask(socket, Method::POST, RENEW, &()).await
}

/// Has a node tell an event of its own: it is on disk when this returns, and the bus stores it in order and
/// once, now or when it is there again.
///
/// # Errors
///
/// When no node runs there, or its disk does not take the event.
pub async fn spool_event(socket: &Path, event: &NodeEvent) -> Result<SpooledEvent, HttpError> {
    ask(socket, Method::POST, EVENT, event).await
}

/// Lists the rooms that a node is in.
///
/// # Errors
///
/// When no node runs there, or it has no session.
pub async fn rooms(socket: &Path) -> Result<Vec<RoomStatus>, HttpError> {
    ask(socket, Method::GET, ROOMS, &()).await
}

/// Shows a room: states and messages.
///
/// # Errors
///
/// When no node runs there, it has no session, or is not in the room.
pub async fn show_room(socket: &Path, room: &str) -> Result<RoomContents, HttpError> {
    ask(
        socket,
        Method::POST,
        ROOM_SHOW,
        &ShowRoom {
            room: room.to_owned(),
        },
    )
    .await
}

/// Sends an encrypted text to a room.
///
/// # Errors
///
/// When no node runs there, it has no session, or may not send.
pub async fn send_to_room(socket: &Path, room: &str, text: &str) -> Result<Sent, HttpError> {
    ask(
        socket,
        Method::POST,
        ROOM_SEND,
        &SendText {
            room: room.to_owned(),
            text: text.to_owned(),
        },
    )
    .await
}

async fn ask<B: Serialize, T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: &B,
) -> Result<T, HttpError> {
    let to = || socket.display().to_string();
    let body = serde_json::to_vec(body).expect("requests are plain values");
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::from(Bytes::from(body)))
        .expect("paths are well formed");
    let answer = over_unix(socket, request).await?;
    serde_json::from_slice(&answer).map_err(|error| HttpError::Protocol {
        to: to(),
        reason: error.to_string(),
    })
}
