//! A session: one user on one device, in step with its homeserver.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use matrix_sdk::Client;
use matrix_sdk::ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, RwLock, RwLockReadGuard, watch};
use tokio::task::{AbortHandle, JoinHandle};

use super::config::{Identity, SessionConfig, SessionState};
use super::failure::classify;
use super::login;
use super::publish::Publisher;
use super::shared::Shared;
use super::store::Store;
use super::sync::{Stop, SyncTask};
use super::watch::{Alerts, Messages, StateWatch};
use crate::alerts::{AlertBook, AlertBookConfig};
use crate::error::Error;
use crate::event::{Acknowledgement, Alert, MessageContent, StateContent, encode};
use crate::id::{EventId, RoomId, UserId};
use crate::quarantine::IdentityPermit;
use crate::state::{Membership, Snapshot};

/// How long anything a caller waits for may take, all retries included.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);

/// One user on one device, in step with its homeserver.
///
/// A clone is the same session. Dropping the last one ends it at once; [`Session::close`] ends it
/// in good order.
#[derive(Clone)]
pub struct Session {
    pub(super) inner: Arc<Inner>,
    _tasks: Arc<Tasks>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user", self.user())
            .field("state", &*self.inner.shared.state.borrow())
            .finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    pub(super) config: SessionConfig,
    pub(super) shared: Arc<Shared>,
    /// The client on the device's databases; `None` while the device changes and after the end.
    pub(super) client: RwLock<Option<Client>>,
    pub(super) publisher: Publisher,
    stop: watch::Sender<Stop>,
    sync: Mutex<Option<JoinHandle<()>>>,
}

struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Session {
    /// Opens the session kept in the store, or logs in when there is none, and keeps it in step
    /// from then on.
    ///
    /// A kept session needs no homeserver to open: rooms and state are as they were last known,
    /// and [`Session::state`] tells when it is up to date.
    ///
    /// # Errors
    /// When the store cannot be opened or is somebody else's; for a first login, when the
    /// homeserver cannot be reached or refuses.
    pub async fn login(config: SessionConfig) -> Result<Self, Error> {
        let store = Store::open(&config.store)?;
        let shared = Arc::new(Shared::new(config.messages));
        let (saved, client, identity_ensured) = match store.load(&config.user)? {
            Some(saved) => {
                let client = Box::pin(login::restore(&config, &store, &saved)).await?;
                (saved, client, false)
            }
            None => {
                let saved = login::log_in(&config, None).await?;
                let client = Box::pin(login::restore(&config, &store, &saved)).await?;
                // Saved before the identity is made: a crash in between must not lose its keys.
                store.save(&saved)?;
                let ensured = match Box::pin(login::ensure_identity(&client)).await {
                    Ok(identity) => {
                        shared.identity.send_replace(identity);
                        true
                    }
                    Err(error) if error.is_transient() => false,
                    Err(error) => return Err(error),
                };
                (saved, client, ensured)
            }
        };
        super::sync::load_known_rooms(&client, &config, &shared).await?;

        let (stop, stopped) = watch::channel(Stop::No);
        let inner = Arc::new(Inner {
            publisher: Publisher::new(config.budget),
            client: RwLock::new(Some(client)),
            stop,
            sync: Mutex::default(),
            shared,
            config,
        });
        let task = SyncTask {
            inner: inner.clone(),
            store,
            login: saved,
            stop: stopped,
            identity_ensured,
        };
        let sync = tokio::spawn(task.run());
        let publish = tokio::spawn(Publisher::run(inner.clone()));
        let tasks = Arc::new(Tasks(vec![sync.abort_handle(), publish.abort_handle()]));
        *inner.sync.lock().await = Some(sync);
        Ok(Self {
            inner,
            _tasks: tasks,
        })
    }

    /// Whose session it is.
    pub fn user(&self) -> &UserId {
        &self.inner.config.user
    }

    /// Where the session stands, now and as it changes.
    pub fn state(&self) -> watch::Receiver<SessionState> {
        self.inner.shared.state.subscribe()
    }

    /// Whether others give this device keys, now and as it changes.
    pub fn identity(&self) -> watch::Receiver<Identity> {
        self.inner.shared.identity.subscribe()
    }

    /// Waits until the session is up to date with the homeserver.
    ///
    /// # Errors
    /// When that takes longer than `limit`, or the session comes to its end.
    pub async fn connected(&self, limit: Duration) -> Result<(), Error> {
        let shared = &self.inner.shared;
        let up = || (*shared.state.borrow() == SessionState::Connected).then_some(());
        match tokio::time::timeout(limit, shared.wait(up)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                what: "connection to the homeserver",
                after: limit,
            }),
        }
    }

    /// Rooms in which the session takes part.
    pub fn rooms(&self) -> Vec<RoomId> {
        let user = self.user();
        self.inner
            .shared
            .filter(|entry| entry.state.membership(user) == Membership::Joined)
    }

    /// All that is said in a room under `T`, as last known.
    ///
    /// # Errors
    /// When `T` was not declared by [`SessionConfig::with_state`], or the room is not known.
    pub fn states<T: StateContent>(&self, room: &RoomId) -> Result<Snapshot<T>, Error> {
        self.watch_states(room)?.snapshot()
    }

    /// Follows what is said in a room under `T`.
    ///
    /// # Errors
    /// When `T` was not declared by [`SessionConfig::with_state`], or the room is not known.
    pub fn watch_states<T: StateContent>(&self, room: &RoomId) -> Result<StateWatch<T>, Error> {
        if !self.inner.config.state_types.contains(T::TYPE) {
            return Err(Error::UndeclaredState(T::TYPE));
        }
        let seen = self
            .inner
            .shared
            .read(room, |entry| entry.state.revision_of(T::TYPE))?;
        let shared = self.inner.shared.clone();
        Ok(StateWatch {
            shared,
            room: room.clone(),
            seen,
            of: PhantomData,
        })
    }

    /// A user's relation to a room, as last known.
    ///
    /// # Errors
    /// When the room is not known.
    pub fn membership(&self, room: &RoomId, user: &UserId) -> Result<Membership, Error> {
        self.inner
            .shared
            .read(room, |entry| entry.state.membership(user))
    }

    /// Users who take part in a room, as last known.
    ///
    /// # Errors
    /// When the room is not known.
    pub fn members(&self, room: &RoomId) -> Result<Vec<UserId>, Error> {
        self.inner.shared.read(room, |entry| {
            entry.state.joined().into_iter().cloned().collect()
        })
    }

    /// Says text for people, end-to-end encrypted. Gives the event's id once the homeserver has
    /// it.
    ///
    /// # Errors
    /// When the session is not in the room, the room is not encrypted, the homeserver cannot be
    /// reached or refuses.
    pub async fn send_text(&self, room: &RoomId, text: &str) -> Result<EventId, Error> {
        let content = encode(&json!({"msgtype": "m.text", "body": text}))?;
        self.send_raw(room, "m.room.message", content).await
    }

    /// Says a content, end-to-end encrypted. Gives the event's id once the homeserver has it.
    ///
    /// # Errors
    /// As [`Session::send_text`], and when the content cannot be one.
    pub async fn send<T: MessageContent>(
        &self,
        room: &RoomId,
        content: &T,
    ) -> Result<EventId, Error> {
        crate::event::check_type(T::TYPE)?;
        self.send_raw(room, T::TYPE, encode(content)?).await
    }

    /// Raises, repeats or resolves an alert.
    ///
    /// # Errors
    /// As [`Session::send`].
    pub async fn send_alert(&self, room: &RoomId, alert: &Alert) -> Result<EventId, Error> {
        self.send(room, alert).await
    }

    /// Tells that somebody has seen an alert.
    ///
    /// # Errors
    /// As [`Session::send`].
    pub async fn acknowledge(
        &self,
        room: &RoomId,
        acknowledgement: &Acknowledgement,
    ) -> Result<EventId, Error> {
        self.send(room, acknowledgement).await
    }

    /// Reads a room's messages: those kept since the session began, then each new one.
    ///
    /// # Errors
    /// When the room is not known.
    pub fn messages(&self, room: &RoomId) -> Result<Messages, Error> {
        let place = self.inner.shared.read(room, |entry| entry.log.begin())?;
        let shared = self.inner.shared.clone();
        Ok(Messages {
            ticks: shared.ticks(),
            shared,
            room: room.clone(),
            place,
        })
    }

    /// Reads a room's alerts, each told once.
    ///
    /// # Errors
    /// When the room is not known.
    pub fn alerts(&self, room: &RoomId, config: AlertBookConfig) -> Result<Alerts, Error> {
        Ok(Alerts {
            messages: self.messages(room)?,
            book: AlertBook::new(config),
        })
    }

    /// Puts a user out of a room for good, as when its node is cut off. Needs the rank.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses.
    pub async fn ban(&self, room: &RoomId, user: &UserId, reason: &str) -> Result<(), Error> {
        let (sdk_room, user) = self.room_and_user(room, user).await?;
        bounded(sdk_room.ban_user(&user, Some(reason))).await
    }

    /// Takes a ban back: the user may join again.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses.
    pub async fn unban(&self, room: &RoomId, user: &UserId) -> Result<(), Error> {
        let (sdk_room, user) = self.room_and_user(room, user).await?;
        bounded(sdk_room.unban_user(&user, None)).await
    }

    /// Makes a new identity in place of one that was lost with its store, by an administrator's
    /// permit ([`Admin::permit_new_identity`](crate::Admin::permit_new_identity)). An identity that
    /// is not lost is kept.
    ///
    /// # Errors
    /// When the permit is not good, or the homeserver cannot be reached.
    pub async fn renew_identity(&self, permit: &IdentityPermit) -> Result<Identity, Error> {
        let client = self.client().await?;
        if *self.inner.shared.identity.borrow() == Identity::CrossSigned {
            return Ok(Identity::CrossSigned);
        }
        let identity = Box::pin(login::renew_identity(&client, permit)).await?;
        self.inner.shared.identity.send_replace(identity);
        Ok(identity)
    }

    /// Ends the session in good order: state that is held back is published, the device stays
    /// known, and [`Session::login`] goes on from here. Its store is free when this returns.
    pub async fn close(self) {
        Box::pin(self.publish_held()).await;
        self.stop(Stop::Close).await;
    }

    /// Ends the session and gives its device up: the homeserver forgets it, the store is emptied,
    /// its keys are gone. What was said before can never be read again by this user.
    ///
    /// # Errors
    /// When the homeserver cannot be told; the session is ended and its store emptied all the
    /// same.
    pub async fn logout(self) -> Result<(), Error> {
        let told = match self.client().await {
            Ok(client) => bounded(async { client.logout().await }).await,
            Err(error) => Err(error),
        };
        self.stop(Stop::Logout).await;
        told
    }

    async fn stop(&self, how: Stop) {
        self.inner.stop.send_replace(how);
        if let Some(task) = self.inner.sync.lock().await.take() {
            // An aborted or failed task has ended too.
            let _ = task.await;
        }
    }

    /// The client, held for as long as the guard is.
    pub(super) async fn client(&self) -> Result<RwLockReadGuard<'_, Client>, Error> {
        self.inner.client().await
    }

    async fn send_raw(
        &self,
        room: &RoomId,
        event_type: &str,
        content: Map<String, Value>,
    ) -> Result<EventId, Error> {
        let client = self.client().await?;
        if !self
            .inner
            .shared
            .read(room, |entry| entry.state.is_encrypted())?
        {
            return Err(Error::NotEncrypted(room.clone()));
        }
        let sdk_room = find(&client, room)?;
        let sent = bounded(async { sdk_room.send_raw(event_type, Value::Object(content)).await });
        let result = Box::pin(sent).await?;
        Ok(EventId::parse(result.response.event_id.as_str())?)
    }

    async fn room_and_user(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<(matrix_sdk::Room, OwnedUserId), Error> {
        let client = self.client().await?;
        let user = OwnedUserId::try_from(user.as_str()).map_err(|e| Error::Answer(e.into()))?;
        Ok((find(&client, room)?, user))
    }
}

impl Inner {
    pub(super) async fn client(&self) -> Result<RwLockReadGuard<'_, Client>, Error> {
        self.shared.check_open()?;
        RwLockReadGuard::try_map(self.client.read().await, Option::as_ref)
            .map_err(|_| Error::NotReady)
    }

    /// Publishes a content as this user's state.
    pub(super) async fn put_state(
        &self,
        room: &RoomId,
        event_type: &str,
        content: &Value,
    ) -> Result<EventId, Error> {
        let client = self.client().await?;
        let sdk_room = find(&client, room)?;
        let key = self.config.user.as_str();
        let sent = bounded(sdk_room.send_state_event_raw(event_type, key, content.clone()));
        Ok(EventId::parse(Box::pin(sent).await?.event_id.as_str())?)
    }
}

/// The SDK's room, when the session takes part in it.
fn find(client: &Client, room: &RoomId) -> Result<matrix_sdk::Room, Error> {
    let id = OwnedRoomId::try_from(room.as_str()).map_err(|e| Error::Answer(e.into()))?;
    client
        .get_room(&id)
        .filter(|room| room.state() == matrix_sdk::RoomState::Joined)
        .ok_or_else(|| Error::UnknownRoom(room.clone()))
}

/// An operation of the SDK with an end.
pub(super) async fn bounded<R, E: Into<matrix_sdk::Error>>(
    operation: impl Future<Output = Result<R, E>>,
) -> Result<R, Error> {
    match tokio::time::timeout(OPERATION_TIMEOUT, operation).await {
        Ok(result) => result.map_err(classify),
        Err(_) => Err(Error::Timeout {
            what: "answer",
            after: OPERATION_TIMEOUT,
        }),
    }
}
