//! A hub makes dead letters of what consumers give up.

use swarm_bus::client::State;
use swarm_bus::dead_letter::{self, KeepError, Keeper, Kept};

use super::super::Shared;
use super::PAUSE;

/// How much dead letters may take, and what waits to become one.
const LETTERS_BYTES: u64 = 64 << 20;
const ADVISORIES_BYTES: u64 = 16 << 20;

/// On a hub: makes letters of what consumers give up.
pub(super) async fn keep_letters(shared: &Shared) {
    if shared.hub.is_none() {
        return;
    }
    let (mut advisories, mut letters) = (
        dead_letter::advisories_stream(),
        dead_letter::letters_stream(),
    );
    advisories.max_bytes = Some(ADVISORIES_BYTES);
    letters.max_bytes = Some(LETTERS_BYTES);
    let mut states = shared.bus.states();
    while states.until(State::is_connected).await.is_some() {
        let consumer = dead_letter::keeper_consumer();
        match Keeper::start_with(&shared.bus, &advisories, &letters, &consumer).await {
            Ok(keeper) => keeper.run(note_letter).await,
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "dead letters are not kept yet"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn note_letter(kept: Result<Kept, KeepError>) {
    match kept {
        Ok(Kept::Letter {
            origin,
            sequence,
            duplicate: false,
            ..
        }) => tracing::warn!(
            stream = %origin.stream,
            consumer = %origin.consumer,
            message = origin.sequence,
            letter = sequence,
            "a message was given up; see it: swarm bus deadletter show {sequence}"
        ),
        Ok(_) => {}
        Err(error) => tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a dead letter is not kept yet"
        ),
    }
}
