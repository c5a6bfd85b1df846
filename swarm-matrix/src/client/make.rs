//! Makes the mesh's rooms, whole, and gets into them.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::session::Session;
use crate::error::Error;
use crate::id::{RoomAlias, RoomId, ServerName, UserId};
use crate::rooms::RoomSpec;

/// How long the homeserver may take to tell of a room that was just entered.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(20);

/// The rooms that every mesh has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MeshRooms {
    /// `#ops`: operational state.
    pub ops: RoomId,
    /// `#telemetry`: roll-ups of readings.
    pub telemetry: RoomId,
    /// `#alerts`: alerts and who has seen them.
    pub alerts: RoomId,
}

impl Session {
    /// Makes the mesh's rooms, or repairs what they lack; done again, it changes nothing. The
    /// hub's job: whoever makes them is who all others look for.
    ///
    /// # Errors
    /// As [`Session::ensure_room`].
    pub async fn ensure_rooms(&self) -> Result<MeshRooms, Error> {
        Ok(MeshRooms {
            ops: self.ensure_room(&RoomSpec::ops()).await?,
            telemetry: self.ensure_room(&RoomSpec::telemetry()).await?,
            alerts: self.ensure_room(&RoomSpec::alerts()).await?,
        })
    }

    /// Enters the mesh's rooms that `creator` made.
    ///
    /// # Errors
    /// As [`Session::join_room`].
    pub async fn join_rooms(&self, creator: &UserId) -> Result<MeshRooms, Error> {
        Ok(MeshRooms {
            ops: self.join_room(&RoomSpec::ops().alias, creator).await?,
            telemetry: self
                .join_room(&RoomSpec::telemetry().alias, creator)
                .await?,
            alerts: self.join_room(&RoomSpec::alerts().alias, creator).await?,
        })
    }

    /// Makes a room under its alias, or repairs what it lacks; done again, it changes nothing.
    ///
    /// A room that was left half made by a failure is completed; an alias that leads nowhere is
    /// moved to a new room.
    ///
    /// # Errors
    /// When the alias is somebody else's room, the homeserver cannot be reached or refuses, or it
    /// does not tell of the room in time.
    pub async fn ensure_room(&self, spec: &RoomSpec) -> Result<RoomId, Error> {
        let alias = spec.alias_on(&self.server()?)?;
        let user = self.user().clone();
        // Made, found broken, made anew: more turns than that are a fight with somebody.
        for _ in 0..3 {
            let Some(room) = self.resolve(&alias).await? else {
                match self.create(spec, &alias).await {
                    Err(Error::Refused { code, .. }) if code == "M_ROOM_IN_USE" => continue,
                    Err(error) => return Err(error),
                    Ok(room) => return self.entered(&room).await.map(|()| room),
                }
            };
            let joined = self.inner.shared.is_joined(&room, &user) || self.enter(&room).await?;
            let outcome = match joined {
                true => self.repair(spec, &alias, &room).await.map(|()| true),
                false => Ok(false),
            };
            match outcome {
                Ok(true) => return self.entered(&room).await.map(|()| room),
                Ok(false) => {}
                // What was known of the room may be old: it was left since, and leads nowhere.
                Err(Error::Refused { status: 403, .. }) if !self.enter(&room).await? => {}
                Err(error) => return Err(error),
            }
            tracing::warn!(%alias, %room, "the alias leads nowhere and is moved");
            self.api(Method::DELETE, &["directory", "room", alias.as_str()], None)
                .await?;
        }
        Err(Error::NoRoom(alias))
    }

    /// Enters the room under an alias (without `#` and server), if `creator` made it. Done again,
    /// it changes nothing. When the homeserver cannot be reached, a room that the session is in
    /// already is found all the same.
    ///
    /// # Errors
    /// When there is no such room yet (try again), somebody else made it, it is not encrypted, or
    /// the homeserver cannot be reached or refuses.
    pub async fn join_room(&self, alias: &str, creator: &UserId) -> Result<RoomId, Error> {
        let alias = RoomAlias::new(alias, &self.server()?)?;
        let room = match self.resolve(&alias).await {
            Ok(room) => room.ok_or_else(|| Error::NoRoom(alias.clone()))?,
            Err(error @ Error::Unreachable(_)) => {
                return self.known(&alias, creator).ok_or(error);
            }
            Err(error) => return Err(error),
        };
        if !self.inner.shared.is_joined(&room, self.user()) && !self.enter(&room).await? {
            return Err(Error::NoRoom(alias));
        }
        self.entered(&room).await?;
        let found = self
            .inner
            .shared
            .read(&room, |entry| entry.state.creator().cloned())?;
        if found.as_ref() == Some(creator) {
            return Ok(room);
        }
        self.api(
            Method::POST,
            &["rooms", room.as_str(), "leave"],
            Some(&json!({})),
        )
        .await?;
        Err(Error::RoomTaken {
            alias,
            found: found.map_or_else(|| "nobody known".to_owned(), |user| user.to_string()),
            wanted: creator.clone(),
        })
    }

    /// A room that the session is in, by what the room says of itself.
    fn known(&self, alias: &RoomAlias, creator: &UserId) -> Option<RoomId> {
        let rooms = self.inner.shared.filter(|entry| {
            entry.state.canonical_alias().as_ref() == Some(alias)
                && entry.state.creator() == Some(creator)
                && entry.state.is_encrypted()
                && entry.state.joined().contains(self.user())
        });
        rooms.into_iter().next()
    }

    fn server(&self) -> Result<ServerName, Error> {
        Ok(ServerName::parse(self.user().server())?)
    }

    async fn resolve(&self, alias: &RoomAlias) -> Result<Option<RoomId>, Error> {
        match self
            .api(Method::GET, &["directory", "room", alias.as_str()], None)
            .await
        {
            Ok(answer) => Ok(Some(id(&answer)?)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Joins; `false` when the room is not there or lets nobody in.
    async fn enter(&self, room: &RoomId) -> Result<bool, Error> {
        match self
            .api(Method::POST, &["join", room.as_str()], Some(&json!({})))
            .await
        {
            Ok(_) => Ok(true),
            Err(Error::Refused {
                status: 403 | 404, ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, spec: &RoomSpec, alias: &RoomAlias) -> Result<RoomId, Error> {
        let version = self.room_version().await?;
        let required = spec.required_state(self.user(), &version, alias);
        let mut body = json!({
            "creation_content": {"m.federate": false},
            "name": spec.name,
            "preset": "private_chat",
            "room_alias_name": spec.alias,
            "room_version": version,
            "topic": spec.topic,
            "visibility": "private",
        });
        let mut initial = Vec::new();
        for (event_type, content) in required {
            match event_type {
                "m.room.power_levels" => body["power_level_content_override"] = content,
                // The server sends these of its own from the fields above.
                "m.room.name" | "m.room.topic" | "m.room.canonical_alias" => {}
                _ => initial.push(json!({"type": event_type, "state_key": "", "content": content})),
            }
        }
        body["initial_state"] = initial.into();
        id(&self.api(Method::POST, &["createRoom"], Some(&body)).await?)
    }

    /// The room version that the homeserver makes by default.
    async fn room_version(&self) -> Result<String, Error> {
        let answer = self.api(Method::GET, &["capabilities"], None).await?;
        answer
            .pointer("/capabilities/m.room_versions/default")
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
            .ok_or_else(|| Error::Answer("no default room version".into()))
    }

    async fn repair(&self, spec: &RoomSpec, alias: &RoomAlias, room: &RoomId) -> Result<(), Error> {
        let path = ["rooms", room.as_str(), "state"];
        let state = self.api(Method::GET, &path, None).await?;
        let mut current = BTreeMap::new();
        let mut creation = None;
        for event in state.as_array().into_iter().flatten() {
            let text = |field: &str| event.get(field).and_then(Value::as_str);
            if let (Some(event_type), Some("")) = (text("type"), text("state_key")) {
                if event_type == "m.room.create" {
                    creation = Some(event);
                }
                current.insert(event_type.to_owned(), event["content"].clone());
            }
        }
        let maker = creation.and_then(|event| event["sender"].as_str());
        if maker != Some(self.user().as_str()) {
            return Err(Error::RoomTaken {
                alias: alias.clone(),
                found: maker.unwrap_or("nobody known").chars().take(255).collect(),
                wanted: self.user().clone(),
            });
        }
        let version = creation.and_then(|event| event.pointer("/content/room_version"));
        let version = version.and_then(Value::as_str).unwrap_or("1");
        for (event_type, content) in spec.repairs(self.user(), version, alias, &current) {
            tracing::info!(%room, event_type, "the room is repaired");
            let path = ["rooms", room.as_str(), "state", event_type, ""];
            self.api(Method::PUT, &path, Some(&content)).await?;
        }
        Ok(())
    }

    /// Waits until the sync has told of the room, encryption and all.
    async fn entered(&self, room: &RoomId) -> Result<(), Error> {
        let shared = &self.inner.shared;
        let told = shared.wait(|| {
            let encrypted = shared.read(room, |entry| entry.state.is_encrypted()).ok()?;
            (encrypted && shared.is_joined(room, self.user())).then_some(())
        });
        match tokio::time::timeout(ENTRY_TIMEOUT, told).await {
            Ok(result) => result,
            Err(_) if shared.is_joined(room, self.user()) => Err(Error::NotEncrypted(room.clone())),
            Err(_) => Err(Error::Timeout {
                what: "word of the room",
                after: ENTRY_TIMEOUT,
            }),
        }
    }

    /// A request to the client-server API.
    async fn api(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let token = self.client().await?.access_token().ok_or(Error::Closed)?;
        let path: Vec<&str> = ["_matrix", "client", "v3"]
            .iter()
            .chain(path)
            .copied()
            .collect();
        self.inner
            .config
            .endpoint
            .request(method, &path, Some(&token), body)
            .await
    }
}

fn id(answer: &Value) -> Result<RoomId, Error> {
    let room = answer.get("room_id").and_then(Value::as_str);
    let room = room.ok_or_else(|| Error::Answer("no `room_id`".into()))?;
    Ok(RoomId::parse(room)?)
}
