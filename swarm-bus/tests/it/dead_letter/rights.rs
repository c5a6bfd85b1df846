//! What a user may with advisories and letters.

use super::{Forgery, JOBS, USERS, WORKER, make_jobs, policy};
use crate::rig::{Rig, token};
use std::time::Duration;
use swarm_bus::Topic;
use swarm_bus::client::{PublishError, RequestError};
use swarm_bus::dead_letter::{Advisories, DeadLetterTopic, DeadLetters, Keeper};
use swarm_bus::stream::{Retention, StreamConfig, StreamError};

#[tokio::test]
async fn a_stranger_can_neither_forge_an_advisory_nor_a_letter_nor_read_any() {
    let Some(rig) = Rig::start_with("dead_letter::stranger", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    let mut keeper = Keeper::start(&operator).await.unwrap();
    let forgery = Forgery {
        kind: Advisories::MAX_DELIVERIES,
        stream: JOBS,
        consumer: WORKER,
    };
    let letter = DeadLetterTopic {
        stream: JOBS,
        consumer: WORKER,
        sequence: 1,
    };
    // The keeper neither: advisories are the server's.
    for client in [&edge, &hub, &operator] {
        let refused = client.publish_flushed(&forgery, &"{}".into()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{refused:?}"
        );
    }
    for client in [&edge, &hub] {
        let refused = client.publish_flushed(&letter, &"{}".into()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{refused:?}"
        );
    }
    let denied = |error: StreamError| {
        matches!(
            error,
            StreamError::Request(RequestError::Publish(PublishError::Denied { .. }))
        )
    };
    let shelf = DeadLetters::new(&edge);
    assert!(denied(
        shelf.list(DeadLetterTopic::any(), 0, 1).await.unwrap_err()
    ));
    assert!(denied(shelf.discard(1).await.unwrap_err()));
    assert!(denied(Keeper::start(&edge).await.err().unwrap()));
    // To keep letters is not to make other streams.
    let other = StreamConfig::new(token("OTHER"), vec![]);
    assert!(denied(operator.ensure_stream(&other).await.unwrap_err()));
    let silence = tokio::time::timeout(Duration::from_millis(500), keeper.next()).await;
    assert!(silence.is_err(), "nothing came of it");
}
