//! Keeps a session in step with its homeserver.

use std::sync::Arc;
use std::time::Duration;

use matrix_sdk::Client;
use matrix_sdk::config::SyncSettings;
use matrix_sdk::deserialized_responses::RawAnySyncOrStrippedState;
use matrix_sdk::ruma::api::client::filter::FilterDefinition;
use matrix_sdk::ruma::api::client::sync::sync_events::v3::Filter;
use matrix_sdk::ruma::events::StateEventType;
use matrix_sdk::ruma::presence::PresenceState;
use matrix_sdk::store::StateStoreDataKey;
use matrix_sdk::sync::{JoinedRoomUpdate, State, SyncResponse};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::config::{Identity, SessionConfig, SessionState};
use super::failure::{Standing, classify, one_line, standing};
use super::login;
use super::message::Received;
use super::session::Inner;
use super::shared::Shared;
use super::store::{SavedLogin, Store};
use super::timeline;
use crate::error::Error;
use crate::id::RoomId;

/// Timeline events a room that one sync brings; more are fetched apart.
const TIMELINE_LIMIT: u32 = 20;

/// What the room itself is made of, loaded from the databases at start.
const ROOM_STATE: [&str; 5] = [
    "m.room.canonical_alias",
    "m.room.create",
    "m.room.encryption",
    "m.room.member",
    "m.room.tombstone",
];

/// How a session is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    Close,
    Logout,
}

/// The task of a session. It alone holds the store and the login.
pub(super) struct SyncTask {
    pub(super) inner: Arc<Inner>,
    pub(super) store: Store,
    pub(super) login: SavedLogin,
    pub(super) stop: watch::Receiver<Stop>,
    /// Whether the identity has been seen to since this device is in use.
    pub(super) identity_ensured: bool,
}

impl SyncTask {
    pub(super) async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop != Stop::No) => {
                self.inner.shared.enter(SessionState::Closed);
            }
            reason = self.follow() => {
                tracing::warn!(user = %self.inner.config.user, reason, "the account is cut off");
                self.inner.shared.enter(SessionState::Revoked { reason });
            }
        }
        // In-flight operations hold the client for as long as their own time limits.
        self.inner.client.write().await.take();
        if *self.stop.borrow() == Stop::Logout
            && let Err(error) = self.store.clear()
        {
            tracing::warn!(error = one_line(&error), "the store is not emptied");
        }
    }

    /// Follows the homeserver until the account is cut off; gives the reason.
    async fn follow(&mut self) -> String {
        let mut attempts = 0;
        let mut device_gone = false;
        loop {
            let result = if device_gone {
                self.change_device().await.map(|()| device_gone = false)
            } else {
                self.follow_device(&mut attempts, &mut device_gone).await
            };
            match result {
                Ok(()) => {}
                Err(Error::Revoked(reason)) => return reason,
                Err(error) => self.pause(&mut attempts, &error).await,
            }
        }
    }

    /// Syncs until something fails, or the device is found to be gone.
    async fn follow_device(
        &mut self,
        attempts: &mut u32,
        device_gone: &mut bool,
    ) -> Result<(), Error> {
        let client = self.live_client().await?;
        if !self.identity_ensured {
            let identity = match Box::pin(login::ensure_identity(&client)).await {
                Ok(identity) => identity,
                Err(error @ (Error::Unreachable(_) | Error::Revoked(_))) => return Err(error),
                // A token that is no longer good shows itself in the sync, with its reason.
                Err(error) => {
                    tracing::debug!(error = one_line(&error), "the identity is not ensured");
                    Identity::Unknown
                }
            };
            self.inner.shared.identity.send_replace(identity);
            self.identity_ensured = identity != Identity::Unknown;
        }
        loop {
            let connected = *self.inner.shared.state.borrow() == SessionState::Connected;
            let poll = if connected {
                self.inner.config.poll
            } else {
                Duration::ZERO
            };
            let since = sync_token(&client).await;
            match Box::pin(client.sync_once(settings(poll))).await {
                Ok(response) => {
                    *attempts = 0;
                    absorb(&client, &self.inner.shared, response, since).await;
                    self.inner.shared.enter(SessionState::Connected);
                }
                Err(error) => {
                    return match standing(&error) {
                        Standing::Stands => Err(classify(error)),
                        Standing::Revoked => Err(Error::Revoked(one_line(&classify(error)))),
                        Standing::Expired => Box::pin(self.renew_token()).await,
                        Standing::Forgotten => {
                            *device_gone = true;
                            Ok(())
                        }
                    };
                }
            }
        }
    }

    /// The client; made again when an attempt to log in again left none.
    async fn live_client(&mut self) -> Result<Client, Error> {
        let mut client = self.inner.client.write().await;
        if client.is_none() {
            let made = Box::pin(login::restore(&self.inner.config, &self.store, &self.login));
            *client = Some(made.await?);
        }
        client.clone().ok_or(Error::NotReady)
    }

    /// Logs in again as the same device, on the same databases.
    async fn renew_token(&mut self) -> Result<(), Error> {
        let login = login::log_in(&self.inner.config, Some(&self.login.device)).await?;
        let mut client = self.inner.client.write().await;
        client.take();
        *client = Some(Box::pin(login::restore(&self.inner.config, &self.store, &login)).await?);
        self.store.save(&login)?;
        self.login = login;
        Ok(())
    }

    /// Logs in as a new device that takes over the old one's cross-signing keys.
    async fn change_device(&mut self) -> Result<(), Error> {
        let config = &self.inner.config;
        let login = login::log_in(config, None).await?;
        let keys = {
            self.inner.client.write().await.take();
            Box::pin(login::keys_of(&self.store, &self.login)).await
        };
        let client = Box::pin(login::restore(config, &self.store, &login)).await?;
        if let Some(keys) = keys {
            Box::pin(login::adopt(&client, &keys)).await?;
        }
        // Saved before the identity is made: a crash in between must not lose its keys.
        self.store.save(&login)?;
        tracing::info!(user = %config.user, device = login.device, "a new device");
        let shared = &self.inner.shared;
        // Keys of what was said in between went to no device of this user.
        for room in shared.filter(|_| true) {
            shared.change(&room, |entry| {
                entry.log.append(Received::Missed { count: None });
            });
        }
        *self.inner.client.write().await = Some(client);
        self.login = login;
        self.identity_ensured = false;
        Ok(())
    }

    async fn pause(&self, attempts: &mut u32, error: &Error) {
        let (first, longest) = self.inner.config.backoff;
        let doubled = first.saturating_mul(1 << (*attempts).min(16)).min(longest);
        *attempts = attempts.saturating_add(1);
        let asked = match error {
            Error::RateLimited {
                retry_after: Some(after),
            } => (*after).min(longest),
            _ => Duration::ZERO,
        };
        let retry_in = jitter(doubled).max(asked);
        tracing::debug!(error = one_line(error), attempts, ?retry_in, "out of step");
        self.inner.shared.enter(SessionState::Disconnected {
            attempts: *attempts,
            retry_in,
            error: one_line(error),
        });
        tokio::time::sleep(retry_in).await;
    }
}

/// Between half of a duration and all of it.
fn jitter(duration: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    // Without randomness the longest wait is as good as any.
    let share = if aws_lc_rs::rand::fill(&mut byte).is_ok() {
        u32::from(byte[0])
    } else {
        255
    };
    duration.mul_f64(0.5 + f64::from(share) / 510.0)
}

fn settings(poll: Duration) -> SyncSettings {
    let nothing = json!({"not_types": ["*"]});
    let filter = json!({
        "presence": nothing,
        "room": {
            "ephemeral": nothing,
            "timeline": {"limit": TIMELINE_LIMIT},
            "state": {"lazy_load_members": false},
        },
    });
    let filter: FilterDefinition =
        serde_json::from_value(filter).expect("the filter is one of the specification's");
    SyncSettings::new()
        .timeout(poll)
        .set_presence(PresenceState::Offline)
        .filter(Filter::FilterDefinition(filter))
}

/// Where the last sync ended.
async fn sync_token(client: &Client) -> Option<String> {
    let kept = client
        .state_store()
        .get_kv_data(StateStoreDataKey::SyncToken)
        .await;
    kept.ok().flatten()?.into_sync_token()
}

/// Takes a sync's news: state first, all rooms', then messages.
async fn absorb(client: &Client, shared: &Shared, response: SyncResponse, since: Option<String>) {
    let mut news = !response.rooms.is_empty();
    let mut timelines = Vec::new();
    for (id, update) in response.rooms.joined {
        let Ok(room) = RoomId::parse(id.as_str()) else {
            continue;
        };
        apply_state(shared, &room, &state_events(&update));
        timelines.push((room, update.timeline));
    }
    for (id, update) in response.rooms.left {
        let Ok(room) = RoomId::parse(id.as_str()) else {
            continue;
        };
        let timeline = update
            .timeline
            .events
            .iter()
            .filter_map(|event| timeline::json(event.raw()));
        let (State::Before(state) | State::After(state)) = &update.state;
        let events: Vec<Value> = state
            .iter()
            .filter_map(timeline::json)
            .chain(timeline)
            .collect();
        apply_state(shared, &room, &events);
    }
    for (room, timeline) in timelines {
        if let (true, Some(from), Some(until)) =
            (timeline.limited, timeline.prev_batch, since.as_deref())
        {
            timeline::fill_gap(client, shared, &room, from, until).await;
        }
        timeline::record(shared, &room, &timeline.events);
    }
    news |= timeline::retry_pending(client, shared).await;
    if news {
        shared.wake();
    }
}

/// The state events of an update, in the order in which they hold.
fn state_events(update: &JoinedRoomUpdate) -> Vec<Value> {
    match &update.state {
        State::After(state) => state.iter().filter_map(timeline::json).collect(),
        State::Before(state) => {
            let timeline = update.timeline.events.iter();
            let timeline = timeline.filter_map(|event| timeline::json(event.raw()));
            let timeline = timeline.filter(|event| event.get("state_key").is_some());
            state
                .iter()
                .filter_map(timeline::json)
                .chain(timeline)
                .collect()
        }
    }
}

fn apply_state(shared: &Shared, room: &RoomId, events: &[Value]) {
    let applied = shared.change(room, |entry| {
        let state = events
            .iter()
            .filter(|event| event.get("state_key").is_some());
        entry.state.apply(state)
    });
    for refusal in applied.refused {
        tracing::warn!(%room, %refusal, "a state event is refused");
    }
}

/// Rooms and their state as the databases have them, before anything is heard.
pub(super) async fn load_known_rooms(
    client: &Client,
    config: &SessionConfig,
    shared: &Shared,
) -> Result<(), Error> {
    for sdk_room in client.joined_rooms() {
        let Ok(room) = RoomId::parse(sdk_room.room_id().as_str()) else {
            continue;
        };
        let mut events = Vec::new();
        for event_type in ROOM_STATE
            .into_iter()
            .chain(config.state_types.iter().copied())
        {
            let known = sdk_room
                .get_state_events(StateEventType::from(event_type))
                .await;
            events.extend(
                known
                    .map_err(classify)?
                    .iter()
                    .filter_map(|event| match event {
                        RawAnySyncOrStrippedState::Sync(event) => timeline::json(event),
                        RawAnySyncOrStrippedState::Stripped(_) => None,
                    }),
            );
        }
        apply_state(shared, &room, &events);
    }
    Ok(())
}
