//! The node's session with the rooms: its state where others see it, alerts, messages; a hub makes the rooms.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use swarm_matrix::{
    Alert, Body, Endpoint, Localpart, LoginToken, MeshRooms, Message, NodeState, NodeStatus,
    Received, RoomId, ServerName, Session, SessionConfig, SessionState, TokenError, UserId,
};
use swarm_pki::tls::Expected;
use swarm_pki::{NodeId, Role, Timestamp};
use tokio::sync::{Notify, watch};

use crate::control::{RoomContents, RoomMessage, RoomNode, RoomStatus, Sent};
use crate::error::Error;
use crate::member::Member;
use crate::secrets;
use crate::status::LinkStatus;
use crate::wire;

use super::interface::TOKEN;
use super::{Shared, accounts};

/// The first and the longest pause before another attempt.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// How long an answer may take to show the newest messages.
const DRAIN: Duration = Duration::from_millis(50);

/// The session of a node, when there is one.
pub(crate) struct Rooms {
    server: ServerName,
    own: UserId,
    open: watch::Sender<Option<Open>>,
    /// Why there is none.
    waiting: Mutex<String>,
    roster_changed: Notify,
}

/// A session, and the rooms that it is in.
#[derive(Clone)]
pub(crate) struct Open {
    session: Session,
    rooms: MeshRooms,
}

impl Open {
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn all(&self) -> [&RoomId; 3] {
        [&self.rooms.ops, &self.rooms.telemetry, &self.rooms.alerts]
    }
}

impl Rooms {
    pub(crate) fn new(member: &Member) -> Self {
        let server =
            ServerName::parse(member.swarm().as_str()).expect("a swarm's name is a server's name");
        let own = user(member.id(), &server);
        Self {
            server,
            own,
            open: watch::Sender::new(None),
            waiting: Mutex::new("starting".to_owned()),
            roster_changed: Notify::new(),
        }
    }

    pub(crate) fn status(&self) -> LinkStatus {
        let state = self
            .open
            .borrow()
            .as_ref()
            .map(|open| open.session.state().borrow().clone());
        match state {
            Some(SessionState::Connected) => LinkStatus {
                connected: true,
                state: "connected".to_owned(),
            },
            Some(SessionState::Disconnected { error, .. }) => LinkStatus {
                connected: false,
                state: error,
            },
            Some(SessionState::Revoked { reason }) => LinkStatus {
                connected: false,
                state: reason,
            },
            Some(SessionState::Closed) => LinkStatus {
                connected: false,
                state: "closed".to_owned(),
            },
            Some(_) => LinkStatus {
                connected: false,
                state: "connecting".to_owned(),
            },
            None => LinkStatus {
                connected: false,
                state: self.waiting().clone(),
            },
        }
    }

    /// On a hub: some node may have lost or regained its right to an account.
    pub(crate) fn roster_changed(&self) {
        self.roster_changed.notify_one();
    }

    /// Raises an alert in `#alerts`, as soon as there is a session.
    pub(crate) async fn alert(&self, alert: &Alert) -> Result<(), Error> {
        let mut open = self.open.subscribe();
        let open = open
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|open| open.clone());
        if let Some(open) = open {
            open.session.send_alert(&open.rooms.alerts, alert).await?;
        }
        Ok(())
    }

    /// The rooms that the node is in.
    pub(crate) fn list(&self) -> Result<Vec<RoomStatus>, Error> {
        let open = self.session()?;
        Ok(self
            .named(&open)
            .into_iter()
            .map(|(alias, id)| self.describe(&open, alias, &id))
            .collect())
    }

    /// What is in a room, given by alias with or without `#` and server.
    pub(crate) async fn show(&self, name: &str) -> Result<RoomContents, Error> {
        let open = self.session()?;
        let (alias, id) = self.find(&open, name)?;
        let states = open.session.states::<NodeState>(&id)?;
        let states = states.entries.iter().map(|(user, entry)| RoomNode {
            user: user.to_string(),
            content: serde_json::to_value(&entry.content).unwrap_or_default(),
        });
        let states = states.collect();
        let mut messages = Vec::new();
        let mut reader = open.session.messages(&id)?;
        while let Ok(Some(received)) = tokio::time::timeout(DRAIN, reader.next()).await {
            if let Received::Message(message) = received {
                messages.push(shown(&message));
            }
        }
        Ok(RoomContents {
            room: self.describe(&open, alias, &id),
            states,
            messages,
        })
    }

    /// Sends an encrypted text.
    pub(crate) async fn send(&self, name: &str, text: &str) -> Result<Sent, Error> {
        let open = self.session()?;
        let (alias, id) = self.find(&open, name)?;
        let event = open.session.send_text(&id, text).await?;
        Ok(Sent {
            room: alias,
            event: event.to_string(),
        })
    }

    /// Ends the session in good order.
    pub(crate) async fn close(&self) {
        let open = self.open.send_replace(None);
        if let Some(open) = open {
            open.session.close().await;
        }
    }

    /// Waits until [`roster_changed`](Self::roster_changed) is called.
    pub(super) async fn changed_roster(&self) {
        self.roster_changed.notified().await;
    }

    pub(super) fn server(&self) -> &ServerName {
        &self.server
    }

    fn session(&self) -> Result<Open, Error> {
        self.open.borrow().clone().ok_or_else(|| Error::Refused {
            by: "this node".to_owned(),
            reason: format!("it has no session with the rooms yet: {}", self.waiting()),
        })
    }

    fn named(&self, open: &Open) -> [(String, RoomId); 3] {
        let name = |alias: &str| format!("#{alias}:{}", self.server);
        [
            (name("ops"), open.rooms.ops.clone()),
            (name("telemetry"), open.rooms.telemetry.clone()),
            (name("alerts"), open.rooms.alerts.clone()),
        ]
    }

    fn find(&self, open: &Open, name: &str) -> Result<(String, RoomId), Error> {
        let wanted = name.trim_start_matches('#');
        let wanted = wanted
            .strip_suffix(&format!(":{}", self.server))
            .unwrap_or(wanted);
        let rooms = self.named(open);
        let known = rooms
            .iter()
            .map(|(alias, _)| alias.clone())
            .collect::<Vec<_>>()
            .join(", ");
        let found = rooms
            .into_iter()
            .find(|(alias, _)| alias[1..].split(':').next() == Some(wanted));
        found.ok_or_else(|| Error::Refused {
            by: "this node".to_owned(),
            reason: format!("there is no room {name}; there are {known}"),
        })
    }

    fn describe(&self, open: &Open, alias: String, id: &RoomId) -> RoomStatus {
        RoomStatus {
            alias,
            id: id.to_string(),
            // the session enters no room that is not
            encrypted: true,
            members: open
                .session
                .members(id)
                .unwrap_or_default()
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }

    fn wait_because(&self, reason: String) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the session, keeps it, and opens it anew when it ended although the node is trusted.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut pause = PAUSES.0;
    loop {
        let error = match enter(&shared).await {
            Ok(open) => {
                pause = PAUSES.0;
                shared.rooms.open.send_replace(Some(open.clone()));
                tracing::info!("in the rooms");
                let reason = keep(&shared, &open).await;
                shared.rooms.open.send_replace(None);
                reason
            }
            Err(error) => crate::error::chain(&error),
        };
        tracing::debug!(error, "not in the rooms");
        shared.rooms.wait_because(error);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Logs in and enters the rooms; a hub makes them.
async fn enter(shared: &Arc<Shared>) -> Result<Open, Error> {
    let rooms = &shared.rooms;
    if let Some(hub) = &shared.hub {
        hub.services.ready(&shared.member).await?;
    }
    let source = Arc::clone(shared);
    let tokens = move || token(Arc::clone(&source));
    let config = SessionConfig::new(
        endpoint(shared)?,
        rooms.own.clone(),
        shared.member.node_layout().matrix(),
        tokens,
    );
    let session = Session::login(config).await?;
    let entered = match &shared.hub {
        Some(_) => session.ensure_rooms().await,
        None => {
            let creator = wire::node_id(&shared.member.plan().primary().id);
            session.join_rooms(&user(&creator, &rooms.server)).await
        }
    };
    let entered = match entered {
        Ok(entered) => entered,
        Err(error) => {
            // its store must be free for the next attempt
            session.close().await;
            return Err(error.into());
        }
    };
    let open = Open {
        session,
        rooms: entered,
    };
    announce(shared, &open).await?;
    Ok(open)
}

/// Publishes the node's state where the others see it.
async fn announce(shared: &Shared, open: &Open) -> Result<(), Error> {
    let certificate = shared.member.certificate();
    let identity = certificate.identity();
    let state = NodeState::new(NodeStatus::Up, Timestamp::now().as_unix() * 1_000)
        .with_roles(identity.roles.iter().map(|role| role.to_string()))
        .with_addresses(identity.addresses.iter().copied())
        .with_version(env!("CARGO_PKG_VERSION"));
    open.session.publish_state(&open.rooms.ops, &state).await?;
    Ok(())
}

/// Stays until the session has come to its end, and says why.
async fn keep(shared: &Shared, open: &Open) -> String {
    let mut state = open.session.state();
    let ended = async {
        match state.wait_for(SessionState::is_final).await.as_deref() {
            Ok(SessionState::Revoked { reason }) => reason.clone(),
            _ => "closed".to_owned(),
        }
    };
    tokio::select! {
        reason = ended => reason,
        never = accounts::keep(shared, open) => match never {},
    }
}

/// A hub with the homeserver on its loopback goes there; all others by mutual TLS to its front.
pub(super) fn endpoint(shared: &Shared) -> Result<Endpoint, Error> {
    let plan = shared.member.plan();
    if shared.hub.is_some() {
        return Ok(Endpoint::loopback(&format!(
            "http://127.0.0.1:{}",
            plan.matrix().client_port
        ))?);
    }
    let config = shared
        .member
        .tls()
        .client_config(Expected::Role(Role::hub()), &[b"http/1.1"]);
    Ok(Endpoint::tls(&plan.matrix_url(), config.as_ref().clone())?)
}

/// A login token: made here on a hub, asked of the hub elsewhere.
async fn token(shared: Arc<Shared>) -> Result<LoginToken, TokenError> {
    let member = &shared.member;
    let refused = |error: Error| TokenError::Refused(crate::error::chain(&error));
    if shared.hub.is_some() {
        return secrets::room_token(member, member.id()).map_err(refused);
    }
    let hub = wire::node_id(&member.plan().primary().id);
    match member
        .request(&hub, Method::POST, TOKEN, Bytes::new())
        .await
    {
        Ok(token) => Ok(LoginToken::new(String::from_utf8_lossy(&token))),
        Err(error @ Error::Refused { .. }) => Err(refused(error)),
        Err(error) => Err(TokenError::Unavailable(crate::error::chain(&error))),
    }
}

pub(super) fn user(id: &NodeId, server: &ServerName) -> UserId {
    let localpart = Localpart::parse(id.as_str()).expect("a node's id is a local part");
    UserId::new(&localpart, server).expect("both parts are short")
}

fn shown(message: &Message) -> RoomMessage {
    let (kind, encrypted, body) = match &message.body {
        Body::Text(text) => ("text".to_owned(), true, text.clone()),
        Body::Typed {
            event_type,
            content,
        } => (event_type.clone(), true, content.to_string()),
        Body::Undecryptable { reason } => ("unreadable".to_owned(), true, reason.clone()),
        _ => (
            "not encrypted".to_owned(),
            false,
            "withheld: it came unencrypted".to_owned(),
        ),
    };
    RoomMessage {
        sender: message.sender.to_string(),
        sent: message.at,
        kind,
        encrypted,
        body,
    }
}
