//! What is given up is kept: whole, once, whoever dies.

use super::{
    Forgery, JOBS, Jobs, Retry, USERS, WORKER, all, fail_always, jobs, kept, make_jobs, policy,
    until,
};
use crate::rig::{Rig, SOON, soon, token};
use std::time::Duration;
use swarm_bus::Topic;
use swarm_bus::client::{PublishError, State};
use swarm_bus::dead_letter::{
    Advisories, Cause, DeadLetterTopic, DeadLetters, KeepError, Keeper, Kept, LETTERS_STREAM,
    Original, ReplayError, advisories_stream, keeper_consumer, letters_stream,
};
use swarm_bus::permissions::{Right, Role, Rule, Scope};
use swarm_bus::stream::{Retention, StreamConfig};

#[tokio::test]
async fn what_fails_always_is_kept_whole_and_replayed_once() {
    let Some(rig) = Rig::start_with("dead_letter::whole", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    // The stream of advisories is there; nobody reads it yet.
    drop(Keeper::start(&operator).await.unwrap());
    let failing = fail_always(&edge);
    let message = hub.message(&jobs(), &7).unwrap();
    let message = message.header("Trace", "abc").unwrap();
    // A header by which the stream would act, were it not put aside in the letter.
    let message = message.header("Nats-Expected-Stream", "JOBS").unwrap();
    let first = message.store().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;

    let mut keeper = Keeper::start(&operator).await.unwrap();
    assert_eq!(kept(&mut keeper).await, (1, false, true));
    let letter = all(&operator).await.remove(0);
    let origin = DeadLetterTopic {
        stream: JOBS,
        consumer: WORKER,
        sequence: first.sequence,
    };
    assert_eq!((letter.sequence, &letter.origin), (1, &origin));
    assert_eq!(
        (letter.deliveries, &letter.cause),
        (3, &Cause::MaxDeliveries)
    );
    let age = letter.at.elapsed().unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    let Original::Kept(original) = &letter.original else {
        panic!("{letter:?}");
    };
    assert_eq!(
        (original.subject.as_str(), &*original.payload),
        ("jobs.main", b"7".as_slice())
    );
    assert_eq!(original.headers.get("Trace"), Some("abc"));
    assert_eq!(original.headers.get("Nats-Expected-Stream"), Some("JOBS"));
    assert_eq!(original.headers.id(), Some(first.id.as_str()));
    assert_eq!(letter.message::<Jobs>().unwrap().unwrap().payload, 7);
    let shelf = DeadLetters::new(&operator);
    let inspected = shelf.inspect(1).await.unwrap().unwrap().unwrap();
    assert_eq!(inspected, letter);

    // Repaired, and replayed to the same subject.
    failing.abort();
    let mut consumer = edge.consumer::<Jobs>(&JOBS, &WORKER).await.unwrap();
    let again = shelf.replay(&letter, SOON).await.unwrap();
    assert_eq!((again.stream.as_str(), again.duplicate), ("JOBS", false));
    assert_ne!(again.id, first.id);
    let delivered = loop {
        let delivered = soon(consumer.next()).await.unwrap();
        // One that the aborted worker had asked for.
        if delivered.sequence == again.sequence {
            break delivered;
        }
    };
    let message = delivered.content.as_ref().unwrap();
    assert_eq!(
        (message.payload, message.headers.get("Trace")),
        (7, Some("abc"))
    );
    delivered.ack_confirmed(SOON).await.unwrap();
    assert!(all(&operator).await.is_empty());
    // Whoever holds the letter still and tries again doubles nothing.
    let once = shelf.replay(&letter, SOON).await.unwrap();
    assert_eq!((once.sequence, once.duplicate), (again.sequence, true));
    assert!(!shelf.discard(1).await.unwrap());
    assert!(shelf.inspect(1).await.unwrap().is_none());
}

#[tokio::test]
async fn an_advisory_that_comes_again_makes_no_second_letter_however_late() {
    let policy = policy().with(Rule::new::<Forgery>(
        Role::Operator,
        Right::Publish,
        Scope::All,
    ));
    let Some(rig) = Rig::start_with("dead_letter::once", &USERS, &policy) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    let (advisories, mut letters) = (advisories_stream(), letters_stream());
    let consumer = keeper_consumer();
    letters.duplicate_window = Duration::from_millis(500);
    let mut keeper = Keeper::start_with(&operator, &advisories, &letters, &consumer)
        .await
        .unwrap();
    let failing = fail_always(&edge);
    hub.publish_stored(&jobs(), &7).await.unwrap();
    let (first, _, _) = kept(&mut keeper).await;
    let letter = all(&operator).await.remove(0);

    // As if the server had gone between the letter and the acknowledgement.
    let body = format!(
        r#"{{"type":"io.nats.jetstream.advisory.v1.max_deliver","id":"x",
        "timestamp":"2026-01-01T00:00:00Z","stream":"JOBS","consumer":"n1",
        "stream_seq":{},"deliveries":3}}"#,
        letter.origin.sequence
    );
    let again = |stream: &str| Forgery {
        kind: Advisories::MAX_DELIVERIES,
        stream: token(stream),
        consumer: WORKER,
    };
    operator
        .publish_flushed(&again("JOBS"), &body.clone().into())
        .await
        .unwrap();
    assert_eq!(kept(&mut keeper).await, (first, true, true));
    // The window in which the server knows the id is over, and the original is gone.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut stream = StreamConfig::new(
        JOBS,
        vec![
            Jobs::any().pattern().clone(),
            Retry::any().pattern().clone(),
        ],
    );
    stream.retention = Retention::WorkQueue;
    stream.max_messages = Some(1);
    hub.ensure_stream(&stream).await.unwrap();
    failing.abort();
    hub.publish_stored(&jobs(), &8).await.unwrap();
    operator
        .publish_flushed(&again("JOBS"), &body.clone().into())
        .await
        .unwrap();
    assert_eq!(kept(&mut keeper).await, (first, true, true));
    let letters = all(&operator).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0], letter);

    // A body that speaks of another stream than its subject, one that is no JSON, and one of the
    // letters themselves.
    operator
        .publish_flushed(&again("OTHER"), &body.clone().into())
        .await
        .unwrap();
    let refused = soon(keeper.next()).await.unwrap();
    assert!(
        matches!(&refused, Kept::Refused { reason } if reason.contains("`JOBS`")),
        "{refused:?}"
    );
    operator
        .publish_flushed(&again("JOBS"), &"{".into())
        .await
        .unwrap();
    assert!(matches!(
        soon(keeper.next()).await.unwrap(),
        Kept::Refused { .. }
    ));
    let own = body.replace("JOBS", LETTERS_STREAM.as_str());
    operator
        .publish_flushed(&again(LETTERS_STREAM.as_str()), &own.into())
        .await
        .unwrap();
    assert!(matches!(soon(keeper.next()).await.unwrap(), Kept::Own(_)));
    // Of a stream that there is not, and of a message that there never was.
    for (stream, body) in [
        ("NONE", body.replace("JOBS", "NONE")),
        (
            "JOBS",
            body.replace("\"stream_seq\":1", "\"stream_seq\":99"),
        ),
    ] {
        operator
            .publish_flushed(&again(stream), &body.into())
            .await
            .unwrap();
        let (_, duplicate, whole) = kept(&mut keeper).await;
        assert!(!duplicate && !whole, "{stream}");
    }
    let gone = all(&operator).await.pop().unwrap();
    assert_eq!(
        (gone.origin.sequence, &gone.original),
        (99, &Original::Gone)
    );
    let refused = DeadLetters::new(&operator).replay(&gone, SOON).await;
    assert!(matches!(refused, Err(ReplayError::Gone)));
    assert!(
        DeadLetters::new(&operator)
            .discard(gone.sequence)
            .await
            .unwrap()
    );
    assert_eq!(all(&operator).await.len(), 2);
}

#[tokio::test]
async fn when_there_is_no_room_for_letters_the_advisories_wait() {
    let Some(rig) = Rig::start_with("dead_letter::full", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    let mut letters = letters_stream();
    letters.max_messages = Some(1);
    let mut keeper = Keeper::start_with(
        &operator,
        &advisories_stream(),
        &letters,
        &keeper_consumer(),
    )
    .await
    .unwrap();
    let _failing = fail_always(&edge);
    hub.publish_stored(&jobs(), &1).await.unwrap();
    let (first, _, _) = kept(&mut keeper).await;
    hub.publish_stored(&jobs(), &2).await.unwrap();
    let full = soon(keeper.next()).await;
    assert!(
        matches!(full, Err(KeepError::Letter(PublishError::Refused { .. }))),
        "{full:?}"
    );
    let shelf = DeadLetters::new(&operator);
    assert!(shelf.discard(first).await.unwrap());
    // It comes again by itself.
    let (second, duplicate, whole) = kept(&mut keeper).await;
    assert!(second > first && !duplicate && whole);
    let letter = all(&operator).await.remove(0);
    assert_eq!(letter.message::<Jobs>().unwrap().unwrap().payload, 2);
}

#[tokio::test]
async fn a_server_killed_in_the_middle_costs_no_letter_and_doubles_none() {
    const COUNT: u64 = 400;
    let Some(mut rig) = Rig::start_with("dead_letter::killed", &USERS, &policy()) else {
        return;
    };
    let (hub, operator) = (rig.client("hub").await, rig.client("keeper").await);
    let edge = rig.client("n1").await;
    make_jobs(&hub, Retention::WorkQueue).await;
    drop(Keeper::start(&operator).await.unwrap());
    let failing = fail_always(&edge);
    for number in 0..COUNT {
        hub.publish_stored(&jobs(), &number).await.unwrap();
    }
    // The first time between advisories and any letter, then with the keeper at work.
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.kill();
    rig.run();
    for client in [&hub, &operator, &edge] {
        let mut states = client.states();
        soon(states.until(State::is_connected)).await.unwrap();
    }
    let keeper = loop {
        match Keeper::start(&operator).await {
            Ok(keeper) => break keeper,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let other = Keeper::start(&operator).await.unwrap();
    let told_by_other = told.clone();
    let others = tokio::spawn(other.run(move |kept| drop(told_by_other.send(kept))));
    let running = tokio::spawn(keeper.run(move |kept| drop(told.send(kept))));
    let mut stored = 0;
    for at in [COUNT / 10, COUNT / 2] {
        while stored < at {
            if let Ok(Kept::Letter { .. }) = soon(hear.recv()).await.unwrap() {
                stored += 1;
            }
        }
        rig.kill();
        assert!(
            hear.len() < (COUNT / 4) as usize,
            "the rest is not done yet"
        );
        rig.run();
        let mut states = operator.states();
        soon(states.until(State::is_connected)).await.unwrap();
    }
    until(&operator, 0..COUNT).await;
    assert!(!running.is_finished());
    failing.abort();
    operator.drain(SOON).await.unwrap();
    soon(running).await.unwrap();
    soon(others).await.unwrap();
}
