//! What cannot be read, and what is replayed to one consumer.

use super::{
    JOBS, Jobs, RawJobs, Retry, USERS, WORKER, all, fail_always, jobs, kept, make_jobs, policy,
};
use crate::rig::{Rig, SOON, soon, token, version};
use std::time::Duration;
use swarm_bus::Topic;
use swarm_bus::client::ReceiveError;
use swarm_bus::dead_letter::{Cause, DeadLetters, Keeper, Original};
use swarm_bus::stream::{Retention, Undecodable};

#[tokio::test]
async fn what_cannot_be_read_becomes_a_letter_as_its_user_says() {
    for (retention, undecodable, whole) in [
        (Retention::Limits, Undecodable::Term, true),
        (Retention::WorkQueue, Undecodable::Term, false),
        (
            Retention::WorkQueue,
            Undecodable::GiveBack(Duration::from_millis(10)),
            true,
        ),
    ] {
        let Some(rig) = Rig::start_with("dead_letter::unread", &USERS, &policy()) else {
            return;
        };
        let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
        let edge = rig.client("n1").await;
        make_jobs(&hub, retention).await;
        let mut keeper = Keeper::start(&operator).await.unwrap();
        let raw = RawJobs {
            queue: token("main"),
        };
        hub.publish_stored(&raw, &"seven".into()).await.unwrap();
        let consumer = edge.consumer::<Jobs>(&JOBS, &WORKER).await.unwrap();
        let mut consumer = consumer.undecodable(undecodable);
        let reading = tokio::spawn(async move {
            let mut seen = 0;
            while let Ok(delivered) = consumer.next().await {
                assert!(matches!(
                    delivered.content,
                    Err(ReceiveError::Undecodable { .. })
                ));
                seen += 1;
                assert!(seen <= 3);
            }
        });
        assert_eq!(kept(&mut keeper).await, (1, false, whole), "{retention:?}");
        let letter = all(&operator).await.remove(0);
        match undecodable {
            Undecodable::Term => {
                let server = edge.connected(SOON).await.unwrap();
                let told = server.version >= version("2.10.4");
                let reason = told.then(|| "the message on `jobs.main` cannot be read".to_owned());
                assert_eq!(letter.cause, Cause::Terminated { reason });
            }
            _ => assert_eq!(letter.cause, Cause::MaxDeliveries),
        }
        match whole {
            true => {
                let message = letter.message::<RawJobs>().unwrap().unwrap();
                assert_eq!(message.payload, "seven");
                let unread = letter.message::<Jobs>().unwrap();
                assert!(matches!(unread, Err(ReceiveError::Undecodable { .. })));
            }
            false => assert_eq!(letter.original, Original::Gone),
        }
        assert!(!reading.is_finished());
        reading.abort();
    }
}

#[tokio::test]
async fn one_that_leaves_no_room_stays_where_it_is_and_another_goes_to_one_consumer() {
    let Some(rig) = Rig::start_with("dead_letter::large", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    let mut keeper = Keeper::start(&operator).await.unwrap();
    let raw = RawJobs {
        queue: token("main"),
    };
    let large = bytes::Bytes::from(vec![b'1'; (1 << 20) - 100]);
    hub.publish_stored(&raw, &large).await.unwrap();
    let failing = fail_always(&edge);
    assert_eq!(kept(&mut keeper).await, (1, false, false));
    let letter = all(&operator).await.remove(0);
    assert!(
        matches!(&letter.original, Original::TooLarge { subject, size } if subject == "jobs.main" && *size > 1_048_476),
        "{letter:?}"
    );
    assert!(letter.message::<RawJobs>().is_none());
    let shelf = DeadLetters::new(&operator);
    // It is replayed from where it lies.
    failing.abort();
    let again = shelf.replay(&letter, SOON).await.unwrap();
    let mut consumer = edge.consumer::<RawJobs>(&JOBS, &WORKER).await.unwrap();
    let delivered = loop {
        let delivered = soon(consumer.next()).await.unwrap();
        if delivered.sequence == again.sequence {
            break delivered;
        }
    };
    assert_eq!(delivered.content.as_ref().unwrap().payload, large);
    delivered.ack_confirmed(SOON).await.unwrap();
    drop(consumer);

    let failing = fail_always(&edge);
    hub.publish_stored(&jobs(), &7).await.unwrap();
    let (sequence, _, whole) = kept(&mut keeper).await;
    assert!(whole);
    failing.abort();
    let letter = shelf.inspect(sequence).await.unwrap().unwrap().unwrap();
    let mut live = hub.subscribe(Jobs::any()).unwrap();
    live.barrier().await.unwrap();
    let retry = Retry { consumer: WORKER };
    let stored = shelf.replay_to(&letter, &retry, SOON).await.unwrap();
    assert_eq!(stored.stream, "JOBS");
    assert!(shelf.inspect(sequence).await.unwrap().is_none());
    hub.publish_flushed(&jobs(), &8).await.unwrap();
    let seen = soon(live.next()).await.unwrap().unwrap();
    assert_eq!(seen.payload, 8, "the replay did not come here");
}
