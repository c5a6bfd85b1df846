//! From a sync's timeline to a room's log, gaps filled.

use std::time::Duration;

use matrix_sdk::deserialized_responses::{TimelineEvent, TimelineEventKind};
use matrix_sdk::room::MessagesOptions;
use matrix_sdk::ruma::{OwnedRoomId, UInt};
use matrix_sdk::{Client, Room};
use serde_json::Value;

use super::message::{Message, Reading, Received};
use super::shared::{RoomEntry, Shared};
use crate::id::RoomId;

/// Events that one request for history brings.
const PAGE: u32 = 50;
/// Requests for history after one outage, a room; beyond that messages count as missed.
const MAX_PAGES: usize = 100;
/// Undecryptable events that are tried again after each sync, a room.
const RETRIES: usize = 32;

/// The JSON of an event as the SDK has it.
pub(super) fn json<T>(raw: &matrix_sdk::ruma::serde::Raw<T>) -> Option<Value> {
    serde_json::from_str(raw.json().get()).ok()
}

/// Adds timeline events, oldest first, to a room's log.
pub(super) fn record(shared: &Shared, room: &RoomId, events: &[TimelineEvent]) {
    let read: Vec<_> = events
        .iter()
        .filter_map(|event| read(room, event))
        .collect();
    shared.change(room, |entry| {
        for (message, pending) in read {
            let event = message.event_id.clone();
            let new = entry.log.push(&event, Received::Message(Box::new(message)));
            if let (true, Some(raw)) = (new, pending) {
                entry.postpone(event, raw);
            }
        }
    });
}

/// A message, and the event itself when it could not be decrypted.
fn read(room: &RoomId, event: &TimelineEvent) -> Option<(Message, Option<Value>)> {
    let raw = json(event.raw())?;
    match &event.kind {
        TimelineEventKind::Decrypted(_) => {
            Some((Message::parse(room, &raw, Reading::Decrypted)?, None))
        }
        TimelineEventKind::PlainText { .. } => {
            Some((Message::parse(room, &raw, Reading::Plain)?, None))
        }
        TimelineEventKind::UnableToDecrypt { utd_info, .. } => {
            let reason = format!("{:?}", utd_info.reason);
            Some((
                Message::parse(room, &raw, Reading::Undecryptable(&reason))?,
                Some(raw),
            ))
        }
    }
}

/// Fetches what a limited timeline left out: back from where it begins to where the last sync
/// ended. Gives `false` when not all could be had.
pub(super) async fn fill_gap(
    client: &Client,
    shared: &Shared,
    room: &RoomId,
    from: String,
    until: &str,
) -> bool {
    let Some(sdk_room) = sdk_room(client, room) else {
        return false;
    };
    let (mut from, mut found, mut whole) = (Some(from), Vec::new(), false);
    for _ in 0..MAX_PAGES {
        let Some(start) = from.take() else { break };
        let Some(page) = page(&sdk_room, start, until).await else {
            break;
        };
        let empty = page.chunk.is_empty();
        found.extend(page.chunk);
        from = page.end;
        if empty || from.is_none() {
            whole = true;
            break;
        }
    }
    found.reverse();
    if !whole {
        shared.change(room, |entry| {
            entry.log.append(Received::Missed { count: None });
        });
    }
    record(shared, room, &found);
    whole
}

/// One page, tried a few times.
async fn page(room: &Room, from: String, until: &str) -> Option<matrix_sdk::room::Messages> {
    let mut wait = Duration::from_millis(500);
    for _ in 0..4 {
        let mut options = MessagesOptions::backward().from(from.as_str());
        options.to = Some(until.to_owned());
        options.limit = UInt::from(PAGE);
        match Box::pin(room.messages(options)).await {
            Ok(page) => return Some(page),
            Err(error) if super::failure::standing(&error) != super::failure::Standing::Stands => {
                return None;
            }
            Err(error) => tracing::debug!(%error, "history cannot be fetched yet"),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    None
}

/// Tries again to decrypt what could not be decrypted when it came.
pub(super) async fn retry_pending(client: &Client, shared: &Shared) -> bool {
    let mut any = false;
    for room in shared.filter(|entry| !entry.pending.is_empty()) {
        let Some(sdk_room) = sdk_room(client, &room) else {
            continue;
        };
        let pending = shared.change(&room, |entry| {
            let newest = entry.pending.len().saturating_sub(RETRIES);
            entry.pending[newest..].to_vec()
        });
        for (event_id, raw) in pending {
            let Ok(text) = serde_json::value::to_raw_value(&raw) else {
                continue;
            };
            let event = matrix_sdk::ruma::serde::Raw::from_json(text);
            let Ok(decrypted) = Box::pin(sdk_room.decrypt_event(&event, None)).await else {
                continue;
            };
            let Some((message, None)) = read(&room, &decrypted) else {
                continue;
            };
            any = true;
            shared.change(&room, |entry: &mut RoomEntry| {
                entry.pending.retain(|(id, _)| *id != event_id);
                entry.log.append(Received::Message(Box::new(message)));
            });
        }
    }
    any
}

fn sdk_room(client: &Client, room: &RoomId) -> Option<Room> {
    client.get_room(&OwnedRoomId::try_from(room.as_str()).ok()?)
}
